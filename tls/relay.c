/* SPDX-License-Identifier: GPL-2.0-only */
#include "tls/relay.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#define PIECE	  16384 /* a record of TLS */
#define LINGER_MS 5000	/* for the other side's end, when all was said */
#define STALL_MS  30000 /* for room for the rest, when nobody here listens any more */

struct way {
	uint8_t data[PIECE];
	size_t at, len;
	bool ended;  /* no more comes in */
	bool passed; /* and the other side was told that */
};

struct relay {
	SSL *ssl;
	int net, plain;
	struct way up, down;
	short net_events, plain_events; /* what to wait for */
	bool moved;
};

/* What a call of the library is waiting for; false: it failed. */
static bool waits(struct relay *r, int result)
{
	switch (SSL_get_error(r->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		r->net_events |= POLLIN;
		return true;
	case SSL_ERROR_WANT_WRITE:
		r->net_events |= POLLOUT;
		return true;
	default:
		return false;
	}
}

static void take_plain(struct relay *r)
{
	struct way *w = &r->up;
	ssize_t n;

	if (w->ended || w->len)
		return;
	n = recv(r->plain, w->data, sizeof(w->data), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		r->plain_events |= POLLIN;
		return;
	}
	r->moved = true;
	w->at = 0;
	w->len = n > 0 ? (size_t)n : 0;
	w->ended = n <= 0;
}

static bool give_tls(struct relay *r)
{
	struct way *w = &r->up;
	int n;

	if (w->len) {
		n = SSL_write(r->ssl, w->data + w->at, (int)w->len);
		if (n <= 0)
			return waits(r, n);
		r->moved = true;
		w->at += (size_t)n;
		w->len -= (size_t)n;
	} else if (w->ended && !w->passed) {
		n = SSL_shutdown(r->ssl);
		if (n < 0)
			return waits(r, n);
		w->passed = r->moved = true;
	}
	return true;
}

static bool take_tls(struct relay *r)
{
	struct way *w = &r->down;
	int n;

	if (w->ended || w->len)
		return true;
	n = SSL_read(r->ssl, w->data, sizeof(w->data));
	if (n > 0) {
		w->at = 0;
		w->len = (size_t)n;
		r->moved = true;
		return true;
	}
	if (SSL_get_error(r->ssl, n) != SSL_ERROR_ZERO_RETURN)
		return waits(r, n);
	w->ended = r->moved = true;
	return true;
}

static void give_plain(struct relay *r)
{
	struct way *w = &r->down;
	ssize_t n;

	if (w->len) {
		n = send(r->plain, w->data + w->at, w->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			r->plain_events |= POLLOUT;
			return;
		}
		r->moved = true;
		if (n < 0) { /* nobody hears it any more, nor what else may come */
			w->len = 0;
			w->ended = w->passed = true;
		} else {
			w->at += (size_t)n;
			w->len -= (size_t)n;
		}
	} else if (w->ended && !w->passed) {
		shutdown(r->plain, SHUT_WR);
		w->passed = r->moved = true;
	}
}

/* One look at all four; false: the line is broken. */
static bool step(struct relay *r)
{
	r->net_events = r->plain_events = 0;
	r->moved = false;
	ERR_clear_error();
	take_plain(r);
	if (!give_tls(r))
		return false;
	ERR_clear_error();
	if (!take_tls(r))
		return false;
	give_plain(r);
	return true;
}

int relay(SSL *ssl, int net, int plain, struct err *err)
{
	static const char cut[] = "the line was cut: it ended without the end that TLS has";
	struct relay r = {.ssl = ssl, .net = net, .plain = plain};
	bool gone =
		false; /* nobody is at the plain end; what was said there may still have to go out */

	while (!r.up.passed || !r.down.passed) {
		if (!step(&r))
			/* Who has said all and only waits for the other's end does not miss it. */
			return r.up.passed ? 0 : err_set(err, -ECONNRESET, "%s", cut);
		if (!r.moved) {
			struct pollfd p[2] = {
				{.fd = r.net_events ? net : -1, .events = r.net_events},
				{.fd = gone ? -1 : plain, .events = r.plain_events}};

			int ms = r.up.passed ? LINGER_MS : r.up.ended || gone ? STALL_MS : -1;

			if (poll(p, 2, ms) == 0)
				return 0;
			gone = gone || p[1].revents & (POLLHUP | POLLERR);
		}
	}
	return 0;
}
