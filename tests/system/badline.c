/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * badline LISTEN DEST ACTION N
 *
 * A line between two unix sockets that goes wrong: takes one connection at LISTEN, connects to DEST, and passes bytes on, up
 * (from who connected) and down. When N bytes have gone in ACTION's direction:
 *   cut-up, cut-down      both connections are closed; the first N bytes have arrived
 *   stall-up, stall-down  nothing is passed on any more, either way, until a side hangs up
 *   flip-up, flip-down    bit N % 8 of the next byte is another one; all else arrives
 * Prints "LISTEN: ready" once it listens, and in the end how many bytes went up and down.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { UP, DOWN };

struct line {
	int fd[2]; /* what comes from fd[UP] goes up, to fd[DOWN] */
	uint64_t passed[2], n;
	int direction;
	const char *action;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "badline: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(const char *path, int listening)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(at.sun_path))
		die(path);
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (listening)
		unlink(path);
	if (fd < 0 || (listening ? bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1)
				 : connect(fd, (struct sockaddr *)&at, sizeof(at))))
		die(path);
	return fd;
}

static void write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno != EINTR)
			return; /* it has hung up: the next read says so */
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
	}
}

/* Waits until somebody hangs up. */
static void stall(struct line *l)
{
	struct pollfd p[2] = {{.fd = l->fd[UP]}, {.fd = l->fd[DOWN]}};

	while (!((p[0].revents | p[1].revents) & (POLLHUP | POLLERR)))
		poll(p, 2, -1);
}

/* False when the line is at its end. */
static int pass(struct line *l, int from)
{
	static uint8_t bytes[65536];
	uint64_t left = l->n - l->passed[from];
	size_t max = sizeof(bytes);
	ssize_t n;

	/* Up to the place exactly, so that what happens there happens there. */
	if (from == l->direction && l->passed[from] < l->n && left < max)
		max = left;
	n = read(l->fd[from], bytes, max);
	if (n <= 0)
		return 0;
	if (from == l->direction && l->passed[from] == l->n && !strncmp(l->action, "flip", 4))
		bytes[0] ^= (uint8_t)(1u << l->n % 8);
	write_all(l->fd[!from], bytes, (size_t)n);
	l->passed[from] += (uint64_t)n;
	if (from != l->direction || l->passed[from] != l->n)
		return 1;
	if (!strncmp(l->action, "stall", 5))
		stall(l);
	return !strncmp(l->action, "flip", 4);
}

int main(int argc, char **argv)
{
	struct line l = {.n = 0};
	int listener;

	if (argc != 5)
		return 2;
	l.action = argv[3];
	l.direction = strstr(argv[3], "-down") ? DOWN : UP;
	l.n = strtoull(argv[4], NULL, 10);
	listener = open_socket(argv[1], 1);
	printf("%s: ready\n", argv[1]);
	fflush(stdout);
	l.fd[UP] = accept(listener, NULL, NULL);
	if (l.fd[UP] < 0)
		die(argv[1]);
	unlink(argv[1]);
	l.fd[DOWN] = open_socket(argv[2], 0);
	for (int go_on = 1; go_on;) {
		struct pollfd p[2] = {{.fd = l.fd[UP], .events = POLLIN},
				      {.fd = l.fd[DOWN], .events = POLLIN}};

		poll(p, 2, -1);
		for (int from = UP; from <= DOWN && go_on; from++)
			if (p[from].revents)
				go_on = pass(&l, from);
	}
	printf("up %llu down %llu\n", (unsigned long long)l.passed[UP],
	       (unsigned long long)l.passed[DOWN]);
	return 0;
}
