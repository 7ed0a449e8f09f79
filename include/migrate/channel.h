/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A migration's connection: whole messages of state/stream.h, one way and the other. Every wait ends: after CHANNEL_STALL_MS
 * without a byte (-ETIMEDOUT), at channel_cancel() (-ECANCELED), or at the end of the line (-EPIPE, -ENODATA).
 *
 * One thread uses a channel at a time; channel_cancel() is for any thread.
 */
#ifndef LKVM_MIGRATE_CHANNEL_H
#define LKVM_MIGRATE_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "state/stream.h"
#include "util/buf.h"
#include "util/err.h"

#define CHANNEL_STALL_MS     30000
#define CHANNEL_ALIVE_MS     5000
#define CHANNEL_ALIVE_MAX_MS 600000 /* an answer comes no later, however often ALIVE does */

struct channel {
	int rfd, wfd;  /* ours; one descriptor may be both */
	int cancelled; /* eventfd */
	uint32_t out_number, in_number;
	uint32_t page_size; /* once it is known: bounds what may come */
	bool brief; /* the source's: what comes is short, and a message is there within the time for a byte */
	bool torn; /* a message was sent in part: nothing can follow it */
	/*
	 * The destination's: ALIVE is sent when bytes come, but nothing else was sent for CHANNEL_ALIVE_MS. What the source has sent
	 * may be on its way for long, in buffers, while it waits for an answer.
	 */
	bool tells;
	unsigned int stall_ms, alive_max_ms; /* as named above; tests have less time */
	uint64_t said_ns;		     /* the last message was sent then */
	uint64_t until_ns;		     /* the message that comes must be there; 0: no limit */
	uint64_t rate;			     /* bytes a second that are sent at most; 0: no limit */
	uint64_t sent_bytes, received_bytes, rate_since_ns, rate_bytes;
	struct wbuf out, in; /* the message being sent, and the last one that came */
};

/* Takes the descriptors, also on error. */
int channel_open(struct channel *ch, int rfd, int wfd, struct err *err);
void channel_close(struct channel *ch);
void channel_cancel(struct channel *ch);
void channel_hang_up(struct channel *ch); /* closes the descriptors, nothing else */
void channel_limit(struct channel *ch, uint64_t rate);

/* Sends our hello and waits for the other. */
int channel_hello(struct channel *ch, struct err *err);

/* The payload of a message is appended to what this returns; channel_send() sends it. */
struct wbuf *channel_begin(struct channel *ch, enum stream_type type);
int channel_send(struct channel *ch, struct err *err);
int channel_send_empty(struct channel *ch, enum stream_type type, struct err *err);

/* With @tells: ALIVE, if it is due. */
int channel_alive(struct channel *ch, struct err *err);

/* Bytes that are no message, in front of all. */
int channel_send_bytes(struct channel *ch, const void *bytes, size_t len, struct err *err);

/* channel_cancel() of @other is one of this too. */
int channel_follow(struct channel *ch, const struct channel *other, struct err *err);

/* channel_receive() that waits as long as nobody cancels it. */
int channel_receive_late(struct channel *ch, uint32_t *type, struct rbuf *payload, struct err *err);

/* The next message, checked; its payload stays until the next call. */
int channel_receive(struct channel *ch, uint32_t *type, struct rbuf *payload, struct err *err);

/*
 * Until with @line a message begins to come (CHANNEL_LINE), one of @fds can be read (its bit, 1 << i; a negative one never
 * can), or @ms are over: 0. With @line also -ECANCELED.
 */
#define CHANNEL_LINE	 0x100
#define CHANNEL_POLL_MAX 2
int channel_poll(struct channel *ch, bool line, const int *fds, unsigned int n, int ms,
		 struct err *err);

/*
 * The last words: ABORT, then waits a moment for the other side to have heard them. Also after channel_cancel(); for a line
 * that is broken it does nothing.
 */
void channel_abort(struct channel *ch, int code, const char *why);
/* The same with a message that has no payload. */
void channel_farewell(struct channel *ch, enum stream_type type);

/*
 * After a failed send: the reason that the other side gave, if it did. True: @why is that.
 */
bool channel_last_words(struct channel *ch, struct err *why);

#endif
