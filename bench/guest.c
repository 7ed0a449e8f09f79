/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /init of the guests that are measured: says "init" when it runs, and powers off. A word after "--" on the kernel's
 * command line asks for more:
 *   idle     waits for ever instead
 *   console  first sends 200 KiB to the console and says how many microseconds that took
 *   log      first shows the kernel's log
 *   fill MIB         fills so much memory, says "filled", and waits for ever
 *   random-tags MIB  the same, and each granule gets a tag of its own
 *   busy MIB RATE    fills so much, and writes a word to RATE / 4096 pages of it a second, one after the other, for ever
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CONSOLE_BYTES (200 << 10)
#define CHUNK	      4096
#define PAGE	      4096
#define GRANULE	      16
#define TICK_US	      10000

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void write_all(const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(STDOUT_FILENO, bytes, n);

		if (done <= 0)
			return;
		bytes += done;
		n -= (size_t)done;
	}
}

static void console(void)
{
	char bytes[CHUNK];
	struct termios t;
	uint64_t start;

	/* Byte for byte: no line feed becomes two characters. */
	if (tcgetattr(STDOUT_FILENO, &t) == 0) {
		cfmakeraw(&t);
		tcsetattr(STDOUT_FILENO, TCSANOW, &t);
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i % 64 == 63 ? '\n' : (char)('0' + i % 64);
	tcdrain(STDOUT_FILENO);
	start = now_us();
	for (size_t sent = 0; sent < CONSOLE_BYTES; sent += sizeof(bytes))
		write_all(bytes, sizeof(bytes));
	tcdrain(STDOUT_FILENO);
	(void)snprintf(bytes, sizeof(bytes), "\nconsole-us %llu\n",
		       (unsigned long long)(now_us() - start));
	write_all(bytes, strlen(bytes));
}

static void show_log(void)
{
	static char text[1 << 18];
	int n = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text));

	if (n > 0)
		write_all(text, (size_t)n);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void write_tags(uint8_t *page, uint64_t *seed)
{
	uint64_t tags = 0;

	for (unsigned int i = 0; i < PAGE / GRANULE; i++) {
		if (i % 16 == 0)
			tags = next_random(seed);
		__asm__ volatile(".arch armv8.5-a+memtag\n\tstg %0, [%1]"
				 :
				 : "r"(tags << 56), "r"(page + i * GRANULE)
				 : "memory");
		tags >>= 4;
	}
}

/* No page is like another, and none can be made smaller. */
static uint64_t *fill(size_t size, bool tags)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull;
	uint64_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE | (tags ? PROT_MTE : 0),
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		write_all("no memory\n", 10);
		return NULL;
	}
	for (size_t i = 0; i < size / sizeof(*p); i++)
		p[i] = next_random(&seed);
	for (size_t at = 0; tags && at < size; at += PAGE)
		write_tags((uint8_t *)p + at, &seed);
	write_all("filled\n", 7);
	return p;
}

/* What a tick could not do is not made up for. */
static void be_busy(uint64_t *p, size_t size, size_t rate)
{
	size_t words = PAGE / sizeof(*p), pages = size / PAGE, at = 0;
	size_t a_tick = rate / PAGE * TICK_US / 1000000;

	for (;;) {
		for (size_t i = 0; i < a_tick; i++) {
			p[at * words]++;
			at = (at + 1) % pages;
		}
		usleep(TICK_US);
	}
}

static size_t number(int argc, char **argv, int i)
{
	return i < argc ? strtoul(argv[i], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t *page = NULL;

	if (!strcmp(what, "console"))
		console();
	else if (!strcmp(what, "log"))
		show_log();
	else if (!strcmp(what, "fill") || !strcmp(what, "random-tags"))
		(void)fill(number(argc, argv, 2) << 20, what[0] == 'r');
	else if (!strcmp(what, "busy"))
		page = fill(number(argc, argv, 2) << 20, false);
	if (page)
		be_busy(page, number(argc, argv, 2) << 20, number(argc, argv, 3));
	write_all("init\n", 5);
	if (!strcmp(what, "idle") || !strcmp(what, "fill") || !strcmp(what, "random-tags"))
		for (;;)
			pause();
	reboot(RB_POWER_OFF);
	return 1;
}
