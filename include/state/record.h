/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records: how state travels, in a snapshot file and in a migration stream alike. docs/snapshot-format.md has the bytes.
 *
 *   u32 type, u16 version, u16 flags, u32 instance, u32 length, length bytes of payload, u64 checksum of all before it
 *
 * Little-endian, no padding; the checksum is that of state/checksum.h. A reader that does not know a type skips it
 * unless RECORD_MUST is set; a version newer than it knows is refused likewise. Types are given out once and never
 * reused.
 */
#ifndef LKVM_STATE_RECORD_H
#define LKVM_STATE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

#define RECORD_MUST	   1u /* flag: who does not understand it must refuse the whole */
#define RECORD_HEADER	   16
#define RECORD_MAX_PAYLOAD (64u << 20)

enum record_type {
	RECORD_END = 0,	   /* closes a sequence; no payload */
	RECORD_COMPAT = 1, /* what a host must have; readable without the rest */
	RECORD_CONFIG = 2, /* the machine to build */
	RECORD_VCPU = 3,   /* instance: vCPU index */
	RECORD_GIC = 4,	   /* distributor, redistributors, CPU interfaces */
	RECORD_ITS = 5,
	RECORD_CLOCK = 6, /* counter and wall clock at the moment of the pause */
	RECORD_DEVICE =
		7, /* payload: str name, u16 version, fields of its state_desc; instance: place in the board's order */
	RECORD_CONTROL = 8, /* paused or not */
};

/* Opens a record; what is appended to @out until record_end() is its payload. @return value goes to record_end(). */
size_t record_begin(struct wbuf *out, enum record_type type, uint16_t version, uint16_t flags,
		    uint32_t instance);
void record_end(struct wbuf *out, size_t start);

struct record {
	uint32_t type;
	uint16_t version;
	uint16_t flags;
	uint32_t instance;
	struct rbuf payload; /* over the bytes of the input */
	uint64_t offset;     /* of the record in the input, for messages */
};

/*
 * The next record of a sequence. 1: @rec is filled, its checksum holds. 0: it was RECORD_END; what rbuf_left() finds
 * after it does not belong to the sequence. -EBADMSG: cut short, too long, a wrong checksum or an unknown flag; the text
 * names the record's type and offset, and @in has not moved.
 */
int record_next(struct rbuf *in, struct record *rec, struct err *err);

const char *record_type_name(uint32_t type); /* "vcpu", or "unknown" */

/* Skips what may be skipped: 0 if @rec is not RECORD_MUST, else -EOPNOTSUPP with a line that names it. */
int record_unknown(const struct record *rec, struct err *err);

#endif
