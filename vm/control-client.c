/* SPDX-License-Identifier: GPL-2.0-only */
/* The control socket from outside: one request, one reply, never longer than it was given. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/passfd.h"
#include "vm/control-dir.h"
#include "vm/control-wire.h"

#define RETRY_MS 20

static uint64_t seconds_from_now(unsigned int seconds)
{
	return clock_now_ns() + seconds * 1000000000ull;
}

static void nap(void)
{
	const struct timespec step = {.tv_nsec = RETRY_MS * 1000000};

	nanosleep(&step, NULL);
}

/* 0 when @fd has something, -ETIMEDOUT, or another negative errno. */
static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = clock_now_ns();
		int rc, ms;

		if (now >= deadline)
			return -ETIMEDOUT;
		ms = (int)((deadline - now) / 1000000 + 1);
		rc = poll(&p, 1, ms);
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_all(int fd, const uint8_t *data, size_t len, uint64_t deadline)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int rc;

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		/* The server may have refused us and left; what it said can still be read. */
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = wait_for(fd, POLLOUT, deadline);
		if (rc)
			return rc;
	}
	return 0;
}

static int receive(int fd, struct control_frame *f, uint64_t deadline)
{
	int whole = 0;

	while (!whole) {
		uint8_t *at;
		size_t room = control_frame_room(f, &at);
		ssize_t n = recv(fd, at, room, MSG_DONTWAIT);

		if (n > 0)
			whole = control_frame_filled(f, (size_t)n);
		else if (n == 0)
			return -ECONNRESET;
		else if (errno == EAGAIN || errno == EINTR)
			whole = wait_for(fd, POLLIN, deadline);
		else
			return -errno;
	}
	return whole < 0 ? whole : 0;
}

static int send_request(int fd, enum control_type type, const struct wbuf *payload, int passed,
			uint64_t deadline)
{
	size_t ahead = passed >= 0;
	struct wbuf request;
	int rc;

	if (payload && payload->error)
		return payload->error;
	wbuf_init(&request, CONTROL_HEADER + CONTROL_MAX_REQUEST);
	control_header_encode(&request, (uint16_t)type, payload ? (uint32_t)payload->len : 0);
	if (payload)
		wbuf_bytes(&request, payload->data, payload->len);
	rc = request.error;
	if (!rc && ahead) { /* a connection that is new takes a byte at once */
		ssize_t n = passfd_send(fd, request.data, 1, MSG_DONTWAIT, passed);

		rc = n < 0 ? (int)n : 0;
	}
	if (!rc)
		rc = send_all(fd, request.data + ahead, request.len - ahead, deadline);
	wbuf_release(&request);
	return rc;
}

/* It is going to a terminal, and comes from another process. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
}

static int take_reply(const struct control_frame *f, enum control_type type, struct wbuf *reply,
		      struct err *err)
{
	char text[CONTROL_TEXT_MAX];
	struct rbuf r;
	int result;

	rbuf_init(&r, f->payload, f->h.length);
	if (f->h.type != ((unsigned int)type | CONTROL_REPLY) ||
	    control_reply_decode(&r, &result, text))
		return err_set(err, -EBADMSG, "sent a reply that cannot be understood");
	make_printable(text);
	if (result)
		return text[0] ? err_set(err, result, "%s", text) : err_sys(err, result, "refused");
	if (reply)
		wbuf_bytes(reply, r.data + r.pos, rbuf_left(&r));
	else if (rbuf_left(&r))
		return err_set(err, -EBADMSG, "sent a reply with more in it than expected");
	return reply && reply->error ? err_sys(err, reply->error, "reply") : 0;
}

static int explain(int rc, const struct control_frame *f, struct err *err)
{
	switch (rc) {
	case -ETIMEDOUT:
		return err_set(err, rc, "does not answer (stopped, or its host is overloaded)");
	case -ECONNRESET:
		return err_set(err, rc, "ended, or closed the connection, before it answered");
	case -EPROTONOSUPPORT:
		return err_set(
			err, rc,
			"speaks version %u of the control protocol, this program version %u: "
			"use the lkvm that started it",
			f->h.version, CONTROL_VERSION);
	case -EBADMSG:
	case -EMSGSIZE:
		return err_set(err, rc, "sent a reply that cannot be understood");
	}
	return err_sys(err, rc, "control socket");
}

static int exchange(int fd, enum control_type type, const struct wbuf *payload, int passed,
		    struct wbuf *reply, uint64_t deadline, struct err *err)
{
	struct control_frame f;
	int rc;

	control_frame_init(&f, CONTROL_MAX_PAYLOAD);
	rc = send_request(fd, type, payload, passed, deadline);
	if (!rc)
		rc = receive(fd, &f, deadline);
	if (rc)
		rc = explain(rc, &f, err);
	else
		rc = take_reply(&f, type, reply, err);
	control_frame_release(&f);
	return rc;
}

/* The folder stays open: the socket's name may be asked for again. */
static int connect_vm(const char *name, uint64_t deadline, struct control_folder *f, int *out,
		      struct err *err)
{
	char file[CONTROL_FILE_MAX];
	int rc;

	f->fd = -1;
	if (!vm_name_valid(name))
		return err_set(
			err, -EINVAL,
			"'%s' is not a VM's name: letters, digits, '.', '_' and '-', at most "
			"%d, a letter or digit first",
			name, VM_NAME_MAX);
	control_file_name(name, file);
	rc = control_folder_open(f, false, err);
	while (!rc) {
		*out = control_folder_connect(f, file);
		if (*out >= 0)
			return 0;
		if (*out != -EAGAIN || clock_now_ns() >= deadline) {
			rc = *out;
			break;
		}
		nap(); /* its queue of connections is full */
	}
	if (rc == -ENOENT)
		err_set(err, rc, "no VM of that name runs");
	else if (rc == -ECONNREFUSED)
		err_set(err, rc, "no VM of that name runs; one that did left its socket behind");
	else if (rc == -ENOTSOCK)
		err_set(err, rc, "%s/%s is not a VM's socket", f->path, file);
	else if (rc == -EAGAIN)
		explain(-ETIMEDOUT, NULL, err);
	else if (f->fd >= 0)
		err_sys(err, rc, "%s/%s", f->path, file);
	control_folder_close(f);
	return rc;
}

int control_call(const char *name, enum control_type type, const struct wbuf *payload,
		 struct wbuf *reply, struct err *err)
{
	return control_call_fd(name, type, payload, -1, reply, err);
}

int control_call_fd(const char *name, enum control_type type, const struct wbuf *payload,
		    int passed, struct wbuf *reply, struct err *err)
{
	uint64_t deadline = seconds_from_now(CONTROL_CLIENT_SECONDS);
	struct control_folder f;
	int fd, rc;

	if (reply)
		wbuf_init(reply, CONTROL_MAX_PAYLOAD);
	rc = connect_vm(name, deadline, &f, &fd, err);
	if (!rc) {
		control_folder_close(&f);
		rc = exchange(fd, type, payload, passed, reply, deadline, err);
		close(fd);
	}
	if (rc)
		err_prefix(err, "%s", name);
	return rc;
}

int control_exchange(int fd, enum control_type type, const struct wbuf *payload, struct wbuf *reply,
		     uint64_t deadline, struct err *err)
{
	return exchange(fd, type, payload, -1, reply, deadline, err);
}

/* The server takes its socket away before it closes the connections: the end of ours is the end of the VM. */
static int wait_for_end(int fd, uint64_t deadline)
{
	uint8_t byte;
	ssize_t n;
	int rc;

	do {
		rc = wait_for(fd, POLLIN, deadline);
		n = rc ? -1 : recv(fd, &byte, 1, MSG_DONTWAIT);
	} while (!rc && (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))));
	return rc;
}

/* Whether the name is free, another VM's by now, or a left-over of one that was killed. */
static bool has_gone(const struct control_folder *f, const char *file, const struct stat *was)
{
	struct stat now;

	if (fstatat(f->fd, file, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	if (now.st_ino != was->st_ino || now.st_dev != was->st_dev)
		return true;
	return control_folder_probe(f, file) != 1;
}

int control_stop(const char *name, unsigned int seconds, struct err *err)
{
	uint64_t deadline = seconds_from_now(seconds);
	char file[CONTROL_FILE_MAX];
	struct control_folder f;
	struct stat was = {0};
	int fd = -1, rc;

	rc = connect_vm(name, deadline, &f, &fd, err);
	if (rc)
		goto out;
	control_file_name(name, file);
	(void)fstatat(f.fd, file, &was, AT_SYMLINK_NOFOLLOW);
	rc = control_exchange(fd, CONTROL_STOP, NULL, NULL, deadline, err);
	if (!rc) {
		rc = wait_for_end(fd, deadline);
		while (!rc && !has_gone(&f, file, &was)) {
			if (clock_now_ns() >= deadline)
				rc = -ETIMEDOUT;
			nap();
		}
		if (rc)
			rc = err_set(err, rc, "was told to stop but still runs after %u s",
				     seconds);
	}
	close(fd);
	control_folder_close(&f);
out:
	if (rc)
		err_prefix(err, "%s", name);
	return rc;
}
