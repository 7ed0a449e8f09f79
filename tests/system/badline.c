/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * badline LISTEN DEST ACTION N
 *
 * A line between two unix sockets that goes wrong: takes one connection at LISTEN, connects to DEST, and passes bytes on, up
 * (from who connected) and down. When N bytes have gone in ACTION's direction:
 *   cut-up, cut-down      both connections are closed; the first N bytes have arrived
 *   stall-up, stall-down  nothing is passed on any more, either way, until a side hangs up
 *   flip-up, flip-down    bit N % 8 of the next byte is another one; all else arrives
 *   slow-up, slow-down    nothing is wrong, but after each N bytes it waits for 10 ms
 * With "border-" before it, N is a number of messages of the migration protocol: the action comes behind the Nth one, at 0
 * behind the hello. With "type-" N is the type of a message: the action comes in front of the last byte of the first one that has it.
 * Prints "LISTEN: ready" once it listens, "LISTEN: stalled" when it does, and in the end how many bytes and whole messages went
 * up and down.
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

/* docs/migration-protocol.md */
#define HELLO	  16
#define HEADER	  16
#define LENGTH_AT 12
#define CHECKSUM  8

enum { UP, DOWN };

/* What goes in one direction, cut at the borders of messages. */
struct course {
	uint64_t bytes, messages;
	uint8_t header[HEADER];
	uint64_t had,
		wants; /* bytes of the part that is under way: hello, header, or the rest of a message */
	enum { IN_HELLO, IN_HEADER, IN_REST } in;
};

struct line {
	int fd[2]; /* what comes from fd[UP] goes up, to fd[DOWN] */
	struct course course[2];
	uint64_t n;
	int direction, borders, types;
	const char *listen, *action;
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

	printf("%s: stalled\n", l->listen);
	fflush(stdout);
	while (!((p[0].revents | p[1].revents) & (POLLHUP | POLLERR)))
		poll(p, 2, -1);
}

/* n more bytes, no more than the part under way lacks. */
static void follow(struct course *c, const uint8_t *bytes, uint64_t n)
{
	uint32_t length;

	c->bytes += n;
	if (c->in == IN_HEADER)
		memcpy(c->header + c->had, bytes, n);
	c->had += n;
	if (c->had < c->wants)
		return;
	c->had = 0;
	if (c->in == IN_HEADER) {
		memcpy(&length, c->header + LENGTH_AT, sizeof(length));
		c->wants = (uint64_t)length + CHECKSUM;
		c->in = IN_REST;
		return;
	}
	c->messages += c->in == IN_REST;
	c->wants = HEADER;
	c->in = IN_HEADER;
}

/* The rest of a message of that type is under way. */
static int last_of_type(const struct line *l, const struct course *c)
{
	uint32_t type;

	memcpy(&type, c->header, sizeof(type));
	return c->in == IN_REST && type == l->n;
}

/* The place for the action has come. */
static int there(const struct line *l)
{
	const struct course *c = &l->course[l->direction];

	if (l->types)
		return last_of_type(l, c) && c->had == c->wants - 1;
	return l->borders ? c->in == IN_HEADER && !c->had && c->messages == l->n : c->bytes == l->n;
}

static int does(const struct line *l, const char *what)
{
	return !strncmp(l->action, what, strlen(what));
}

/* False when the line is at its end. */
static int pass(struct line *l, int from)
{
	static uint8_t bytes[65536];
	struct course *c = &l->course[from];
	uint64_t max = c->wants - c->had < sizeof(bytes) ? c->wants - c->had : sizeof(bytes);
	int ours = from == l->direction, slow = does(l, "slow"), bad;
	ssize_t n;

	/* Up to the place exactly, so that what happens there happens there. */
	if (ours && slow && l->n < max)
		max = l->n;
	else if (ours && l->types && last_of_type(l, c) && c->had + max == c->wants)
		max = max > 1 ? max - 1 : 1;
	else if (ours && !l->borders && !l->types && c->bytes < l->n && l->n - c->bytes < max)
		max = l->n - c->bytes;
	n = read(l->fd[from], bytes, max);
	if (n <= 0)
		return 0;
	bad = ours && there(l) && does(l, "flip");
	/* It follows what was sent, not what the flip makes of it. */
	follow(c, bytes, (uint64_t)n);
	if (bad)
		bytes[0] ^= (uint8_t)(1u << l->n % 8);
	write_all(l->fd[!from], bytes, (size_t)n);
	if (slow && ours)
		usleep(10000);
	if (slow || !ours || !there(l))
		return 1;
	if (does(l, "stall"))
		stall(l);
	return does(l, "flip");
}

int main(int argc, char **argv)
{
	struct line l = {.course = {{.wants = HELLO}, {.wants = HELLO}}};
	int listener;

	if (argc != 5)
		return 2;
	l.listen = argv[1];
	l.action = argv[3];
	l.borders = does(&l, "border-");
	l.types = does(&l, "type-");
	l.action += l.borders ? strlen("border-") : l.types ? strlen("type-") : 0;
	l.direction = strstr(argv[3], "-down") ? DOWN : UP;
	l.n = strtoull(argv[4], NULL, 0);
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
	printf("up %llu down %llu, messages up %llu down %llu\n",
	       (unsigned long long)l.course[UP].bytes, (unsigned long long)l.course[DOWN].bytes,
	       (unsigned long long)l.course[UP].messages,
	       (unsigned long long)l.course[DOWN].messages);
	return 0;
}
