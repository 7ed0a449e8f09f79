/* SPDX-License-Identifier: GPL-2.0-only */
/* Clients of the control socket that can do what vm/control-client.c never would. Include once a program. */
#ifndef LKVM_TESTS_RAW_CLIENT_H
#define LKVM_TESTS_RAW_CLIENT_H

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "fake_vm.h"

#define MS	 1000000ull
#define BOUND_MS 8000 /* "at once", on a machine that is busy with other things */

static const struct control_limits patient = {.client_ns = 30000 * MS, .grace_ns = 20 * MS};
static const struct control_limits hasty = {.client_ns = 200 * MS, .grace_ns = 20 * MS};

struct fixture {
	char dir[FAKE_DIR];
	struct fake_vm f;
};

static inline int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	*state = x;
	return x ? fake_dir_make(x->dir) : -1;
}

static inline int teardown(void **state)
{
	struct fixture *x = *state;

	fake_dir_remove(x->dir);
	free(x);
	return 0;
}

static inline uint64_t ms_since(uint64_t start)
{
	return (clock_now_ns() - start) / MS;
}

static inline void nap_ms(unsigned int ms)
{
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static inline int raw_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static inline void raw_connect_fd(const struct fixture *x, int fd)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/lkvm/%s.sock", x->dir, x->f.vm.name);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
}

static inline int raw_connect(const struct fixture *x)
{
	int fd = raw_socket();

	raw_connect_fd(x, fd);
	return fd;
}

static inline void request(struct wbuf *out, uint16_t type)
{
	static const uint8_t zeros[4];
	uint32_t len = type == CONTROL_REGISTERS ? 4 : 0;

	wbuf_init(out, 4096);
	control_header_encode(out, type, len);
	wbuf_bytes(out, zeros, len);
}

static inline void raw_send(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static inline void raw_request(int fd, uint16_t type)
{
	struct wbuf out;

	request(&out, type);
	raw_send(fd, out.data, out.len);
	wbuf_release(&out);
}

/* Bytes read, at most @len; fewer at the end of the stream. Fails the test when nothing comes for long. */
static inline size_t raw_read(int fd, void *bytes, size_t len)
{
	size_t have = 0;

	while (have < len) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&p, 1, 10000), 1);
		n = recv(fd, (char *)bytes + have, len - have, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return have;
}

/* A whole reply: its result, -ENODATA when the server closed instead. */
static inline int raw_reply(int fd, uint16_t type, char text[CONTROL_TEXT_MAX], size_t *body)
{
	uint8_t header[CONTROL_HEADER], *payload;
	struct control_header h;
	struct rbuf r;
	int result;

	if (raw_read(fd, header, sizeof(header)) != sizeof(header))
		return -ENODATA;
	assert_int_equal(control_header_decode(header, CONTROL_MAX_PAYLOAD, &h), 0);
	assert_int_equal(h.type, type | CONTROL_REPLY);
	payload = malloc(h.length);
	assert_non_null(payload);
	assert_int_equal(raw_read(fd, payload, h.length), h.length);
	rbuf_init(&r, payload, h.length);
	assert_int_equal(control_reply_decode(&r, &result, text), 0);
	if (body)
		*body = rbuf_left(&r);
	free(payload);
	return result;
}

static inline bool raw_closed(int fd)
{
	char byte;

	return raw_read(fd, &byte, 1) == 0;
}

/* A good client gets its answer, and soon. */
static inline void assert_serves(const struct fixture *x)
{
	uint64_t start = clock_now_ns();
	struct err err = ERR_INIT;
	struct wbuf reply;

	assert_int_equal(control_call(x->f.vm.name, CONTROL_INFO, NULL, &reply, &err), 0);
	wbuf_release(&reply);
	assert_in_range(ms_since(start), 0, BOUND_MS);
}

#endif
