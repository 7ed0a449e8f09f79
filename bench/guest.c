/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /init of the guests that are measured: says "init" when it runs, and powers off. A word after "--" on the kernel's
 * command line asks for more:
 *   idle     waits for ever instead
 *   console  first sends 200 KiB to the console and says how many microseconds that took
 *   log      first shows the kernel's log
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CONSOLE_BYTES (200 << 10)
#define CHUNK	      4096

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

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "console"))
		console();
	else if (!strcmp(what, "log"))
		show_log();
	write_all("init\n", 5);
	if (!strcmp(what, "idle"))
		for (;;)
			pause();
	reboot(RB_POWER_OFF);
	return 1;
}
