/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hostile SOCKET MODE [N]
 *
 * Clients of a VM's control socket that nobody would want (docs/control-protocol.md).
 *   silent N    N connections on which nothing is ever sent; stays until it is killed, or until all are closed
 *   half N      the same with half a header on each
 *   flood N     requests without end on N connections, no reply is ever read; ends when it is dropped or after 2 s
 *   send HEX    sends these bytes, prints "reply RESULT TEXT" for each reply that comes, and "closed" if the VM closes
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEADER 12

static int connect_to(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(to.sun_path)) {
		fprintf(stderr, "hostile: %s: too long\n", path);
		exit(2);
	}
	memcpy(to.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		fprintf(stderr, "hostile: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	return fd;
}

/* Magic, version 1, request 1 (INFO), no payload. */
static const uint8_t info[HEADER] = {'L', 'K', 'V', 'C', 1, 0, 1, 0, 0, 0, 0, 0};

static int hold(const char *path, size_t bytes, int n)
{
	struct pollfd *fds = calloc((size_t)n, sizeof(*fds));
	int open = n;

	if (!fds)
		return 2;
	for (int i = 0; i < n; i++) {
		fds[i].fd = connect_to(path);
		fds[i].events = POLLIN;
		if (bytes && write(fds[i].fd, info, bytes) < 0)
			return 2;
	}
	printf("connected %d\n", n);
	fflush(stdout);
	while (open) {
		poll(fds, (nfds_t)n, -1);
		for (int i = 0; i < n; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			close(fds[i].fd);
			fds[i].fd = -1;
			open--;
		}
	}
	printf("all closed\n");
	free(fds);
	return 0;
}

static int flood(const char *path, int n)
{
	uint8_t many[HEADER * 64];
	struct timespec start, now;
	struct pollfd *fds = calloc((size_t)n, sizeof(*fds));

	if (!fds)
		return 2;
	for (size_t i = 0; i < sizeof(many); i += HEADER)
		memcpy(many + i, info, HEADER);
	for (int i = 0; i < n; i++) {
		fds[i].fd = connect_to(path);
		fds[i].events = POLLOUT;
	}
	printf("connected %d\n", n);
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		poll(fds, (nfds_t)n, 100);
		for (int i = 0; i < n; i++)
			if (fds[i].revents & POLLOUT)
				(void)!send(fds[i].fd, many, sizeof(many),
					    MSG_DONTWAIT | MSG_NOSIGNAL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2);
	free(fds);
	return 0;
}

static size_t unhex(const char *hex, uint8_t *bytes, size_t max)
{
	size_t n = 0;

	for (; hex[0] && hex[1] && n < max; hex += 2) {
		const char digits[] = {hex[0], hex[1], '\0'};

		bytes[n++] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return n;
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The replies at the start of @b; returns how many bytes they have. */
static size_t print_replies(const uint8_t *b, size_t len)
{
	size_t done = 0;

	while (len - done >= HEADER && len - done - HEADER >= le32(b + done + 8)) {
		const uint8_t *p = b + done + HEADER;
		uint32_t n = le32(b + done + 8), text = n >= 6 ? p[4] | (uint32_t)p[5] << 8 : 0;

		if (n < 6 || text > n - 6)
			printf("reply with %u bytes that are no result and text\n", n);
		else
			printf("reply %d %.*s\n", (int)le32(p), (int)text, (const char *)p + 6);
		done += HEADER + n;
	}
	return done;
}

static int send_bytes(const char *path, const char *hex)
{
	static uint8_t out[65536], in[1 << 21];
	struct pollfd fd = {.fd = connect_to(path), .events = POLLIN};
	size_t n = unhex(hex, out, sizeof(out)), have = 0;
	ssize_t got = 1;

	if (send(fd.fd, out, n, MSG_NOSIGNAL) < 0)
		printf("cannot send: %s\n", strerror(errno));
	while (got > 0 && poll(&fd, 1, 1000) > 0) {
		size_t done;

		got = read(fd.fd, in + have, sizeof(in) - have);
		if (got <= 0)
			break;
		have += (size_t)got;
		done = print_replies(in, have);
		memmove(in, in + done, have - done);
		have -= done;
	}
	if (have)
		printf("%zu bytes of a reply that does not go on\n", have);
	puts(got <= 0 ? "closed" : "open");
	close(fd.fd);
	return 0;
}

int main(int argc, char **argv)
{
	int n = argc == 4 ? (int)strtol(argv[3], NULL, 10) : 0;

	if (n > 0 && !strcmp(argv[2], "silent"))
		return hold(argv[1], 0, n);
	if (n > 0 && !strcmp(argv[2], "half"))
		return hold(argv[1], HEADER / 2, n);
	if (n > 0 && !strcmp(argv[2], "flood"))
		return flood(argv[1], n);
	if (argc == 4 && !strcmp(argv[2], "send"))
		return send_bytes(argv[1], argv[3]);
	fprintf(stderr, "usage: hostile SOCKET silent|half|flood N, or send HEX\n");
	return 2;
}
