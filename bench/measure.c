/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * measure [-k] [-i FILE] [-n RUNS] [-o FILE] MARKER COMMAND [ARG...]
 *
 * Runs a VMM some times and prints one line: the least time from just before fork() to the moment when MARKER has been
 * read from its standard output, the least time to its end (both in microseconds), and its least peak RSS in KiB.
 * The output of the last run goes to FILE. Standard input is empty,
 * or FILE of -i. With -k the VMM is sent SIGTERM once MARKER was read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct result {
	uint64_t marker_us, end_us;
	long rss_kib;
};

static char output[1 << 20];

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void fail(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void child(const char *input, int out, char **argv)
{
	int in = open(input, O_RDONLY);

	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execv(argv[0], argv);
	fail(argv[0]);
}

/* Returns the length of the output. */
static size_t run_once(const char *marker, char **argv, const char *input, bool term,
		       struct result *r)
{
	uint64_t start;
	size_t len = 0;
	struct rusage usage;
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		fail("pipe");
	r->marker_us = 0;
	start = now_us();
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid)
		child(input, pipes[1], argv);
	close(pipes[1]);
	while ((n = read(pipes[0], output + len, sizeof(output) - 1 - len)) > 0) {
		size_t back = strlen(marker) < len ? strlen(marker) : len;

		len += (size_t)n;
		output[len] = '\0';
		if (!r->marker_us && strstr(output + len - (size_t)n - back, marker)) {
			r->marker_us = now_us() - start;
			if (term)
				kill(pid, SIGTERM);
		}
	}
	if (wait4(pid, &status, 0, &usage) < 0)
		fail("wait");
	r->end_us = now_us() - start;
	r->rss_kib = usage.ru_maxrss;
	close(pipes[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "measure: %s ended with status 0x%x\n", argv[0], status);
		exit(1);
	}
	if (!r->marker_us && *marker) {
		fprintf(stderr, "measure: \"%s\" never came; %zu bytes of output:\n%s\n", marker,
			len, output);
		exit(1);
	}
	return len;
}

int main(int argc, char **argv)
{
	struct result best = {UINT64_MAX, UINT64_MAX, LONG_MAX};
	const char *file = NULL, *input = "/dev/null";
	bool term = false;
	size_t len = 0;
	int runs = 1, opt;

	while ((opt = getopt(argc, argv, "+ki:n:o:")) != -1) {
		if (opt == 'n')
			runs = (int)strtol(optarg, NULL, 10);
		else if (opt == 'k')
			term = true;
		else if (opt == 'i')
			input = optarg;
		else if (opt == 'o')
			file = optarg;
		else
			return 2;
	}
	if (argc - optind < 2 || runs < 1)
		return 2;
	for (int i = 0; i < runs; i++) {
		struct result r;

		len = run_once(argv[optind], argv + optind + 1, input, term, &r);
		best.marker_us = r.marker_us < best.marker_us ? r.marker_us : best.marker_us;
		best.end_us = r.end_us < best.end_us ? r.end_us : best.end_us;
		best.rss_kib = r.rss_kib < best.rss_kib ? r.rss_kib : best.rss_kib;
	}
	if (file) {
		FILE *f = fopen(file, "w");

		if (!f || fwrite(output, 1, len, f) != len || fclose(f))
			fail(file);
	}
	printf("%llu %llu %ld\n", (unsigned long long)best.marker_us,
	       (unsigned long long)best.end_us, best.rss_kib);
	return 0;
}
