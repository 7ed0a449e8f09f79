/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * storm [PROCESSES [REST]]
 *
 * Keeps a kernel's allocators busy for ever: processes that fork, send data through pipes and write, read and remove files,
 * all of it checked. Each rests for REST ms (default 0) after a round. Prints "storm N at SECONDS" every now and then, with N
 * counting up and the seconds since it was booted; "storm: WRONG ..." once something is not as it was written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES 8000

static void wrong(const char *what)
{
	printf("storm: WRONG %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void fill(uint8_t *to, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		to[i] = next(&seed);
}

static void check(const uint8_t *from, size_t n, uint32_t seed, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (from[i] != (uint8_t)next(&seed))
			wrong(what);
}

/* A child sends @n bytes; they come out as they went in. */
static void pipe_round(uint32_t seed, size_t n)
{
	static uint8_t out[BYTES], in[BYTES];
	size_t have = 0;
	int ends[2], status;
	pid_t child;

	if (pipe(ends) < 0)
		wrong("pipe");
	child = fork();
	if (child < 0)
		wrong("fork");
	if (child == 0) {
		fill(out, n, seed);
		_exit(write(ends[1], out, n) == (ssize_t)n ? 0 : 1);
	}
	close(ends[1]);
	while (have < n) {
		ssize_t got = read(ends[0], in + have, n - have);

		if (got <= 0)
			wrong("read of a pipe");
		have += got;
	}
	close(ends[0]);
	check(in, n, seed, "bytes of a pipe");
	if (waitpid(child, &status, 0) != child || status)
		wrong("a child's end");
}

static void file_round(uint32_t seed, size_t n, unsigned int who)
{
	static uint8_t bytes[BYTES];
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/tmp/storm.%u.%u", who, seed % 64);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		wrong("a file");
	fill(bytes, n, seed);
	if (write(fd, bytes, n) != (ssize_t)n)
		wrong("write of a file");
	memset(bytes, 0, n);
	if (pread(fd, bytes, n, 0) != (ssize_t)n)
		wrong("read of a file");
	check(bytes, n, seed, "bytes of a file");
	close(fd);
	if (seed % 3 && unlink(name) < 0)
		wrong("unlink");
}

static _Noreturn void work(unsigned int who, unsigned int rest, volatile uint32_t *rounds)
{
	uint32_t seed = who * 7919 + 1;

	for (;;) {
		size_t n = next(&seed) % (BYTES - 1) + 1;

		pipe_round(seed, n);
		file_round(seed, n, who);
		__atomic_fetch_add(rounds, 1, __ATOMIC_RELAXED);
		if (rest)
			usleep(rest * 1000);
	}
}

int main(int argc, char **argv)
{
	unsigned int processes = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
	unsigned int rest = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
	volatile uint32_t *rounds =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t said = 0, n = 0;
	struct timespec clock;

	if (rounds == MAP_FAILED)
		wrong("mmap");
	for (unsigned int i = 0; i < processes; i++)
		if (fork() == 0)
			work(i, rest, rounds);
	for (;;) {
		uint32_t now = *rounds;

		if (now >= said + 5) {
			said = now;
			clock_gettime(CLOCK_MONOTONIC, &clock);
			printf("storm %u at %ld\n", ++n, (long)clock.tv_sec);
			fflush(stdout);
		}
		usleep(20000);
		if (waitpid(-1, NULL, WNOHANG) > 0)
			wrong("a worker's end");
	}
}
