/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>

#include "state/checksum.h"
#include "state/record.h"

#define LENGTH_AT 12 /* in the header */
#define CHECKSUM  8  /* bytes after the payload */

size_t record_begin(struct wbuf *out, enum record_type type, uint16_t version, uint16_t flags,
		    uint32_t instance)
{
	size_t start = out->len;

	wbuf_u32(out, type);
	wbuf_u16(out, version);
	wbuf_u16(out, flags);
	wbuf_u32(out, instance);
	wbuf_u32(out, 0);
	return start;
}

void record_end(struct wbuf *out, size_t start)
{
	size_t len;

	if (out->error)
		return;
	len = out->len - start - RECORD_HEADER;
	if (len > RECORD_MAX_PAYLOAD) {
		out->error = -E2BIG;
		return;
	}
	wbuf_patch_u32(out, start + LENGTH_AT, (uint32_t)len);
	wbuf_u64(out, checksum(out->data + start, RECORD_HEADER + len));
}

const char *record_type_name(uint32_t type)
{
	static const char *const names[] = {
		[RECORD_END] = "end",	  [RECORD_COMPAT] = "compat", [RECORD_CONFIG] = "config",
		[RECORD_VCPU] = "vcpu",	  [RECORD_GIC] = "gic",	      [RECORD_ITS] = "its",
		[RECORD_CLOCK] = "clock", [RECORD_DEVICE] = "device", [RECORD_CONTROL] = "control",
	};

	if (type >= sizeof(names) / sizeof(names[0]) || !names[type])
		return "unknown";
	return names[type];
}

/*
 * The header's fields are believed for the message alone until the checksum holds. The length is bounded by what is
 * there, so that nothing is allocated or read for a length that is a lie.
 */
int record_next(struct rbuf *in, struct record *rec, struct err *err)
{
	size_t start = in->pos;
	const uint8_t *bytes;
	struct rbuf r = *in;
	uint32_t length;

	*rec = (struct record){.offset = start};
	if (in->error)
		return err_set(err, -EBADMSG, "record at offset %zu: after an error", start);
	if (rbuf_left(in) < RECORD_HEADER + CHECKSUM)
		return err_set(err, -EBADMSG,
			       "record at offset %zu: cut short, %zu bytes are left where at least "
			       "%d are needed",
			       start, rbuf_left(in), RECORD_HEADER + CHECKSUM);

	bytes = in->data + start;
	rec->type = rbuf_u32(&r);
	rec->version = rbuf_u16(&r);
	rec->flags = rbuf_u16(&r);
	rec->instance = rbuf_u32(&r);
	length = rbuf_u32(&r);
	if (length > RECORD_MAX_PAYLOAD)
		return err_set(err, -EBADMSG,
			       "%s record at offset %zu: %" PRIu32
			       " bytes of payload, more than the %u that a record may have",
			       record_type_name(rec->type), start, length, RECORD_MAX_PAYLOAD);
	if (length > rbuf_left(&r) - CHECKSUM)
		return err_set(err, -EBADMSG,
			       "%s record at offset %zu: cut short, %" PRIu32
			       " bytes of payload where %zu are left",
			       record_type_name(rec->type), start, length,
			       rbuf_left(&r) - CHECKSUM);
	rbuf_init(&rec->payload, bytes + RECORD_HEADER, length);
	r.pos += length;
	if (rbuf_u64(&r) != checksum(bytes, RECORD_HEADER + length))
		return err_set(err, -EBADMSG, "%s record at offset %zu: the checksum is wrong",
			       record_type_name(rec->type), start);

	if (rec->flags & ~RECORD_MUST)
		return err_set(err, -EBADMSG,
			       "%s record at offset %zu: flags 0x%x, of which this program knows "
			       "0x%x",
			       record_type_name(rec->type), start, rec->flags, RECORD_MUST);
	if (rec->type == RECORD_END && length)
		return err_set(err, -EBADMSG,
			       "%s record at offset %zu: it has %" PRIu32 " bytes of payload",
			       record_type_name(rec->type), start, length);
	in->pos = r.pos;
	return rec->type != RECORD_END;
}

int record_unknown(const struct record *rec, struct err *err)
{
	if (!(rec->flags & RECORD_MUST))
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "%s record at offset %" PRIu64 " (type %" PRIu32 ", version %u, instance "
		       "%" PRIu32 ") must be understood, and this program does not know it",
		       record_type_name(rec->type), rec->offset, rec->type, rec->version,
		       rec->instance);
}
