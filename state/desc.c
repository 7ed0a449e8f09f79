/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "state/desc.h"

/* One element of a field, between its place in the struct and a number. */
static uint64_t load(const void *at, uint8_t width)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (width) {
	case 1:
		return *(const uint8_t *)at;
	case 2:
		memcpy(&v16, at, sizeof(v16));
		return v16;
	case 4:
		memcpy(&v32, at, sizeof(v32));
		return v32;
	default:
		memcpy(&v64, at, sizeof(v64));
		return v64;
	}
}

static void store(void *at, uint8_t width, uint64_t v)
{
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	switch (width) {
	case 1:
		memcpy(at, &v8, sizeof(v8));
		break;
	case 2:
		memcpy(at, &v16, sizeof(v16));
		break;
	case 4:
		memcpy(at, &v32, sizeof(v32));
		break;
	default:
		memcpy(at, &v, sizeof(v));
		break;
	}
}

static void put(struct wbuf *out, uint8_t width, uint64_t v)
{
	switch (width) {
	case 1:
		wbuf_u8(out, (uint8_t)v);
		break;
	case 2:
		wbuf_u16(out, (uint16_t)v);
		break;
	case 4:
		wbuf_u32(out, (uint32_t)v);
		break;
	default:
		wbuf_u64(out, v);
		break;
	}
}

static uint64_t get(struct rbuf *in, uint8_t width)
{
	switch (width) {
	case 1:
		return rbuf_u8(in);
	case 2:
		return rbuf_u16(in);
	case 4:
		return rbuf_u32(in);
	default:
		return rbuf_u64(in);
	}
}

void state_encode(const struct state_desc *desc, const void *state, struct wbuf *out)
{
	for (unsigned int i = 0; i < desc->nfields; i++) {
		const struct state_field *f = &desc->fields[i];
		const uint8_t *at = (const uint8_t *)state + f->offset;

		for (unsigned int n = 0; n < f->count; n++, at += f->width)
			put(out, f->width, load(at, f->width));
	}
}

static int decode_field(const struct state_desc *desc, const struct state_field *f,
			const uint8_t *state, uint8_t *scratch, struct rbuf *in, struct err *err)
{
	for (unsigned int n = 0; n < f->count; n++) {
		size_t at = f->offset + (size_t)n * f->width;
		uint64_t v = get(in, f->width);

		if (in->error)
			return err_set(err, -EBADMSG, "%s: the state ends within field %s",
				       desc->name, f->name);
		if (f->kind == STATE_SAME && v != load(state + at, f->width))
			return err_set(err, -EBADMSG,
				       "%s: field %s is 0x%" PRIx64 " in the state, but 0x%" PRIx64
				       " in this machine",
				       desc->name, f->name, v, load(state + at, f->width));
		store(scratch + at, f->width, v);
	}
	return 0;
}

int state_decode(const struct state_desc *desc, void *state, struct rbuf *in, struct err *err)
{
	uint8_t *scratch = malloc(desc->size);
	int rc = 0;

	if (!scratch)
		return err_sys(err, -ENOMEM, "%s", desc->name);
	memcpy(scratch, state, desc->size);

	for (unsigned int i = 0; !rc && i < desc->nfields; i++)
		rc = decode_field(desc, &desc->fields[i], state, scratch, in, err);
	if (!rc && rbuf_done(in))
		rc = err_set(err, -EBADMSG, "%s: bytes are left over after the last field",
			     desc->name);
	if (!rc && desc->check && desc->check(scratch, err)) {
		err_prefix(err, "%s", desc->name);
		rc = -EBADMSG;
	}
	if (!rc)
		memcpy(state, scratch, desc->size);
	free(scratch);
	return rc;
}

static bool is_width(uint8_t width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

int state_desc_check(const struct state_desc *desc, struct err *err)
{
	uint8_t *covered = calloc(desc->size ? desc->size : 1, 1);
	int rc = 0;

	if (!covered)
		return err_sys(err, -ENOMEM, "%s", desc->name);

	for (unsigned int i = 0; !rc && i < desc->nfields; i++) {
		const struct state_field *f = &desc->fields[i];
		uint64_t end = f->offset + (uint64_t)f->width * f->count;

		if (!f->name || !is_width(f->width) || !f->count || f->kind > STATE_SAME)
			rc = err_set(err, -EINVAL,
				     "%s: field %u (%s) has no name, width, count or kind",
				     desc->name, i, f->name ? f->name : "?");
		else if (end > desc->size)
			rc = err_set(err, -EINVAL, "%s: field %s reaches past the end, byte %u",
				     desc->name, f->name, desc->size);
		for (uint64_t at = f->offset; !rc && at < end; at++)
			if (covered[at]++)
				rc = err_set(err, -EINVAL,
					     "%s: byte %" PRIu64 " is covered twice, by %s too",
					     desc->name, at, f->name);
	}
	for (uint32_t at = 0; !rc && at < desc->size; at++)
		if (!covered[at])
			rc = err_set(err, -EINVAL, "%s: byte %u is in no field", desc->name, at);
	free(covered);
	return rc;
}
