/* SPDX-License-Identifier: GPL-2.0-only */
/* What several connections of one migration say to find each other. */
#include <errno.h>
#include <string.h>

#include "state/stream.h"

#define MAGIC "LKVMCHAN"

void stream_channels_encode(struct wbuf *out, unsigned int n, const uint8_t id[16])
{
	wbuf_u8(out, (uint8_t)n);
	wbuf_bytes(out, id, 16);
}

int stream_channels_decode(struct rbuf *in, unsigned int *n, uint8_t id[16], struct err *err)
{
	*n = rbuf_u8(in);
	rbuf_bytes(in, id, 16);
	if (rbuf_done(in) || *n < 2 || *n > STREAM_CHANNELS_MAX)
		return err_set(err, -EBADMSG, "the number of connections is malformed");
	return 0;
}

void stream_attach_encode(struct wbuf *out, unsigned int number, const uint8_t id[16])
{
	wbuf_bytes(out, MAGIC, 8);
	wbuf_u32(out, number);
	wbuf_u32(out, 0);
	wbuf_bytes(out, id, 16);
}

int stream_attach_decode(const uint8_t bytes[STREAM_ATTACH], unsigned int n, const uint8_t id[16],
			 unsigned int *number, struct err *err)
{
	uint8_t differs = 0;
	struct rbuf in;

	rbuf_init(&in, bytes + 8, STREAM_ATTACH - 8);
	*number = rbuf_u32(&in);
	differs = memcmp(bytes, MAGIC, 8) || rbuf_u32(&in) || !*number || *number >= n;
	/* The time it takes says nothing about how much of a guess was right. */
	for (unsigned int i = 0; i < 16; i++)
		differs |= bytes[16 + i] ^ id[i];
	return differs ? err_set(err, -EACCES, "a connection that is none of this migration") : 0;
}
