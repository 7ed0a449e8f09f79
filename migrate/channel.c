/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull
#define LINGER_MS 1000
#define STEP	  (1u << 20)	  /* memory for a long message grows by so much */
#define NAP_NS	  (10 * NS_PER_S) /* longer, and the other side takes the line for cut */
#define SLICE_NS  50000000ull	  /* of the time in which a limit of the rate is kept */

int channel_open(struct channel *ch, int rfd, int wfd, struct err *err)
{
	*ch = (struct channel){.rfd = rfd,
			       .wfd = wfd,
			       .stall_ms = CHANNEL_STALL_MS,
			       .alive_max_ms = CHANNEL_ALIVE_MAX_MS};
	wbuf_init(&ch->out, STREAM_HEADER + SNAP_MAX_STATE + STREAM_CHECKSUM);
	wbuf_init(&ch->in, STREAM_HEADER + SNAP_MAX_STATE + STREAM_CHECKSUM);
	ch->cancelled = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ch->cancelled < 0) {
		int rc = -errno;

		channel_close(ch);
		return err_sys(err, rc, "event");
	}
	return 0;
}

void channel_hang_up(struct channel *ch)
{
	if (ch->rfd >= 0)
		close(ch->rfd);
	if (ch->wfd >= 0 && ch->wfd != ch->rfd)
		close(ch->wfd);
	ch->rfd = ch->wfd = -1;
}

void channel_close(struct channel *ch)
{
	channel_hang_up(ch);
	if (ch->cancelled >= 0)
		close(ch->cancelled);
	ch->cancelled = -1;
	wbuf_release(&ch->out);
	wbuf_release(&ch->in);
}

void channel_cancel(struct channel *ch)
{
	uint64_t one = 1;
	ssize_t n = write(ch->cancelled, &one, sizeof(one));

	(void)n;
}

void channel_limit(struct channel *ch, uint64_t rate)
{
	ch->rate = rate;
	ch->rate_since_ns = clock_now_ns();
	ch->rate_bytes = 0;
}

/* Until @fd is ready or @ms are over. 0, -ETIMEDOUT, -ECANCELED. */
static int wait_for(struct channel *ch, int fd, short events, int ms, bool even_cancelled)
{
	struct pollfd p[2] = {{.fd = fd, .events = events},
			      {.fd = even_cancelled ? -1 : ch->cancelled, .events = POLLIN}};
	int n;

	do {
		n = poll(p, 2, ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (p[1].revents)
		return -ECANCELED;
	return n ? 0 : -ETIMEDOUT;
}

/* All of them, or not the last one: who fails here has sent no whole message. */
static int send_all(struct channel *ch, const uint8_t *at, size_t len, int ms, bool even_cancelled)
{
	while (len) {
		ssize_t n;
		int rc = wait_for(ch, ch->wfd, POLLOUT, ms, even_cancelled);

		if (rc)
			return rc;
		n = io_write_some(ch->wfd, at, len);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			ch->torn = len > 0;
		}
	}
	return 0;
}

struct wbuf *channel_begin(struct channel *ch, enum stream_type type)
{
	ch->out.len = 0;
	ch->out.error = 0;
	stream_begin(&ch->out, type, ch->out_number);
	return &ch->out;
}

/* What was begun and ended. */
static int send_message(struct channel *ch, int ms, bool even_cancelled)
{
	int rc = send_all(ch, ch->out.data, ch->out.len, ms, even_cancelled);

	/* One of which nothing went out was none. */
	if (!rc) {
		ch->out_number++;
		ch->sent_bytes += ch->out.len;
		ch->said_ns = clock_now_ns();
	}
	return rc;
}

/* One that has closed the line may have said why before: that is read first. */
static int say_alive(struct channel *ch)
{
	int rc;

	if (!ch->tells || clock_now_ns() < ch->said_ns + CHANNEL_ALIVE_MS * NS_PER_MS)
		return 0;
	stream_end(channel_begin(ch, STREAM_ALIVE), 0);
	rc = ch->out.error ? ch->out.error : send_message(ch, 0, true);
	/* Where there is no room the other side has enough of these to read. */
	if (rc == -ETIMEDOUT && !ch->torn)
		return 0;
	if (rc != -EPIPE && rc != -ECONNRESET)
		return rc;
	ch->tells = false;
	return 0;
}

static int receive_all(struct channel *ch, uint8_t *at, size_t len, int ms)
{
	while (len) {
		if (ch->until_ns && clock_now_ns() >= ch->until_ns)
			return -ETIMEDOUT;
		ssize_t n;
		int rc = wait_for(ch, ch->rfd, POLLIN, ms, false);

		if (rc)
			return rc;
		n = io_read_some(ch->rfd, at, len);
		if (!n)
			return -ENODATA;
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			__atomic_fetch_add(&ch->received_bytes, (uint64_t)n, __ATOMIC_RELAXED);
			rc = say_alive(ch);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int explain(int rc, struct err *err)
{
	if (rc == -ETIMEDOUT)
		return err_set(err, rc, "the line stood still for %d s", CHANNEL_STALL_MS / 1000);
	if (rc == -ECANCELED)
		return err_set(err, rc, "cancelled");
	if (rc == -ENODATA || rc == -EPIPE || rc == -ECONNRESET)
		return err_set(err, rc, "the other side has closed the line");
	return err_sys(err, rc, "the line");
}

/* Sleeps off what was sent too early, in a way that a cancel ends. */
static int keep_rate(struct channel *ch, size_t len)
{
	uint64_t now, due;
	int rc;

	if (!ch->rate)
		return 0;
	now = clock_now_ns();
	ch->rate_bytes += len;
	due = ch->rate_since_ns + (unsigned __int128)ch->rate_bytes * NS_PER_S / ch->rate;
	/* Time in which nothing was sent is not made up for later. */
	if (now > due + SLICE_NS) {
		ch->rate_since_ns = now;
		ch->rate_bytes = 0;
	}
	if (due <= now)
		return 0;
	if (due > now + NAP_NS)
		due = now + NAP_NS;
	rc = wait_for(ch, -1, 0, (int)((due - now) / 1000000), false);
	return rc == -ETIMEDOUT ? 0 : rc;
}

int channel_hello(struct channel *ch, struct err *err)
{
	uint8_t bytes[STREAM_HELLO];
	uint16_t version;
	int rc;

	ch->out.len = 0;
	stream_hello_encode(&ch->out);
	rc = ch->out.error;
	if (!rc)
		rc = send_all(ch, ch->out.data, ch->out.len, CHANNEL_STALL_MS, false);
	ch->said_ns = clock_now_ns();
	if (!rc)
		rc = receive_all(ch, bytes, sizeof(bytes), CHANNEL_STALL_MS);
	return rc ? explain(rc, err) : stream_hello_decode(bytes, &version, err);
}

int channel_send_bytes(struct channel *ch, const void *bytes, size_t len, struct err *err)
{
	int rc = send_all(ch, bytes, len, CHANNEL_STALL_MS, false);

	return rc ? explain(rc, err) : 0;
}

int channel_follow(struct channel *ch, const struct channel *other, struct err *err)
{
	int fd = fcntl(other->cancelled, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return err_sys(err, -errno, "event");
	close(ch->cancelled);
	ch->cancelled = fd;
	return 0;
}

int channel_send(struct channel *ch, struct err *err)
{
	int rc;

	stream_end(&ch->out, 0);
	rc = ch->out.error;
	if (rc)
		return err_sys(err, rc, "a message");
	rc = send_message(ch, CHANNEL_STALL_MS, false);
	if (!rc)
		rc = keep_rate(ch, ch->out.len);
	return rc ? explain(rc, err) : 0;
}

int channel_alive(struct channel *ch, struct err *err)
{
	int rc = say_alive(ch);

	return rc ? explain(rc, err) : 0;
}

int channel_send_empty(struct channel *ch, enum stream_type type, struct err *err)
{
	channel_begin(ch, type);
	return channel_send(ch, err);
}

static int receive_body(struct channel *ch, size_t len, int ms)
{
	while (len) {
		size_t n = len < STEP ? len : STEP;
		uint8_t *at = wbuf_room(&ch->in, n);
		int rc = at ? receive_all(ch, at, n, ms) : -ENOMEM;

		if (rc)
			return rc;
		len -= n;
	}
	return 0;
}

static int receive(struct channel *ch, uint32_t *type, struct rbuf *payload, int ms,
		   struct err *err)
{
	struct stream_header header;
	int rc;

	ch->in.len = 0;
	ch->in.error = 0;
	ch->until_ns = ch->brief && ms >= 0 ? clock_now_ns() + (uint64_t)ms * NS_PER_MS : 0;
	rc = receive_body(ch, STREAM_HEADER, ms);
	if (rc)
		return explain(rc, err);
	rc = stream_header_decode(ch->in.data, ch->in_number, ch->page_size, &header, err);
	if (rc)
		return rc;
	rc = receive_body(ch, (size_t)header.length + STREAM_CHECKSUM, ms);
	if (rc)
		return explain(rc, err);
	rc = stream_check(ch->in.data, ch->in.len, payload, err);
	if (rc) {
		err_prefix(err, "message %u, %s", ch->in_number, stream_type_name(header.type));
		return rc;
	}
	ch->in_number++;
	*type = header.type;
	return 0;
}

int channel_receive_late(struct channel *ch, uint32_t *type, struct rbuf *payload, struct err *err)
{
	return receive(ch, type, payload, -1, err);
}

int channel_receive(struct channel *ch, uint32_t *type, struct rbuf *payload, struct err *err)
{
	return receive(ch, type, payload, CHANNEL_STALL_MS, err);
}

int channel_poll(struct channel *ch, bool line, const int *fds, unsigned int n, int ms,
		 struct err *err)
{
	struct pollfd p[CHANNEL_POLL_MAX + 2] = {
		{.fd = line ? ch->rfd : -1, .events = POLLIN},
		{.fd = line ? ch->cancelled : -1, .events = POLLIN}};
	int ready = 0;

	for (unsigned int i = 0; i < n; i++)
		p[2 + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	if (poll(p, 2 + n, ms) < 0)
		return errno == EINTR ? 0 : err_sys(err, -errno, "the line");
	if (p[1].revents)
		return err_set(err, -ECANCELED, "cancelled");
	for (unsigned int i = 0; i < n; i++)
		ready |= p[2 + i].revents ? 1 << i : 0;
	return ready | (p[0].revents ? CHANNEL_LINE : 0);
}

/* The message that was begun, also after channel_cancel(). */
static void last_message(struct channel *ch)
{
	uint64_t until = clock_now_ns() + LINGER_MS * 1000000ull;
	uint8_t rest[4096];

	/* What came behind a COMMIT that lacks its last bytes could be taken for them, and who says ABORT runs on. */
	if (ch->torn)
		return;
	stream_end(&ch->out, 0);
	if (ch->out.error || send_all(ch, ch->out.data, ch->out.len, LINGER_MS, true))
		return;
	ch->out_number++;
	/* Closing a socket in which something is unread would take the words away from who reads them. */
	shutdown(ch->wfd, SHUT_WR);
	while (clock_now_ns() < until && !wait_for(ch, ch->rfd, POLLIN, LINGER_MS, true) &&
	       io_read_some(ch->rfd, rest, sizeof(rest)) > 0)
		;
}

void channel_abort(struct channel *ch, int code, const char *why)
{
	stream_abort_encode(channel_begin(ch, STREAM_ABORT), code, why);
	last_message(ch);
}

void channel_farewell(struct channel *ch, enum stream_type type)
{
	channel_begin(ch, type);
	last_message(ch);
}

bool channel_last_words(struct channel *ch, struct err *why)
{
	uint64_t until = clock_now_ns() + 3 * LINGER_MS * NS_PER_MS;
	struct err ignored = ERR_INIT;
	struct rbuf payload;
	uint32_t type;

	/* Some answers, and signs of life, may be on their way before it. */
	while (clock_now_ns() < until) {
		if (receive(ch, &type, &payload, LINGER_MS, &ignored))
			return false;
		if (type == STREAM_ABORT)
			return stream_abort_decode(&payload, why, &ignored) == 0;
	}
	return false;
}
