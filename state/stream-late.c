/* SPDX-License-Identifier: GPL-2.0-only */
/* The messages of post-copy. */
#include <errno.h>

#include "state/stream.h"

void stream_missing_encode(struct wbuf *out, uint64_t first, const uint64_t *words, size_t n)
{
	wbuf_u64(out, first);
	for (size_t i = 0; i < n; i++)
		wbuf_u64(out, words[i]);
}

int stream_missing_decode(struct rbuf *in, uint64_t pages, uint64_t from, uint64_t *first,
			  size_t *n, struct err *err)
{
	uint64_t words = (pages + 63) / 64;
	struct rbuf look;

	*first = rbuf_u64(in);
	*n = rbuf_left(in) / 8;
	if (in->error || !*n || rbuf_left(in) % 8 || *first < from || *first >= words ||
	    *n > words - *first)
		return err_set(err, -EBADMSG, "the message missing is malformed");
	look = *in;
	for (size_t i = 0; i + 1 < *n; i++)
		(void)rbuf_u64(&look);
	/* No page is behind the bank's end. */
	if (*first + *n == words && pages % 64 && rbuf_u64(&look) >> pages % 64)
		return err_set(err, -EBADMSG, "the message missing names a page behind the end");
	return 0;
}

void stream_request_encode(struct wbuf *out, const uint64_t *page, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wbuf_u64(out, page[i]);
}

int stream_request_decode(struct rbuf *in, uint64_t pages, uint64_t page[STREAM_REQUEST_PAGES],
			  size_t *n, struct err *err)
{
	bool ok = true;

	*n = rbuf_left(in) / 8;
	if (!*n || *n > STREAM_REQUEST_PAGES)
		return err_set(err, -EBADMSG, "the message request is malformed");
	for (size_t i = 0; i < *n; i++) {
		page[i] = rbuf_u64(in);
		ok = ok && page[i] < pages;
	}
	return rbuf_done(in) || !ok ? err_set(err, -EBADMSG,
					      "the message request names a page that is not there")
				    : 0;
}

int stream_rejoin_decode(struct rbuf *in, uint8_t id[16], struct err *err)
{
	rbuf_bytes(in, id, 16);
	return stream_nothing_decode(in, err);
}
