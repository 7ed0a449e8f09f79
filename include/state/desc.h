/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State is a table: what the guest can change in a device is a plain struct of fixed-width fields, and one
 * state_desc names each of them. Snapshot and migration walk the table; nothing else knows how to save a device.
 *
 * Kinds of field: STATE_LOAD is saved and loaded. STATE_SAME is an invariant: saved, and on load compared with what
 * the machine was built with. Host resources (pointers, descriptors) are not in the struct at all.
 * Wire: each field in table order, little-endian, arrays element by element, no padding.
 */
#ifndef LKVM_STATE_DESC_H
#define LKVM_STATE_DESC_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

enum state_kind { STATE_LOAD, STATE_SAME };

struct state_field {
	const char *name;
	uint32_t offset;
	uint8_t width; /* of one element: 1, 2, 4 or 8 */
	uint8_t kind;
	uint16_t count; /* elements */
};

struct state_desc {
	const char *name;
	uint16_t version;
	uint16_t nfields;
	uint32_t size; /* of the struct; test_state checks that the fields cover it once */
	const struct state_field *fields;
	/*
	 * Decides whether decoded values can be a state of this device at all (an index within its ring, a reserved
	 * bit clear). May be NULL. Never touches the device.
	 */
	int (*check)(const void *state, struct err *err);
};

#define STATE_FIELD_(type, member, n, k)                                              \
	{                                                                             \
		.name = #member, .offset = offsetof(type, member),                    \
		.width = sizeof(((type *)0)->member) / (n), .kind = (k), .count = (n) \
	}
#define STATE_FIELD(type, member)     STATE_FIELD_(type, member, 1, STATE_LOAD)
#define STATE_ARRAY(type, member, n)  STATE_FIELD_(type, member, n, STATE_LOAD)
#define STATE_INVARIANT(type, member) STATE_FIELD_(type, member, 1, STATE_SAME)

void state_encode(const struct state_desc *desc, const void *state, struct wbuf *out);

/*
 * Decodes @in into scratch, compares the invariants with @state, runs the check, and only then copies to @state.
 * -EBADMSG for what is malformed or refused, with the field named; @state is untouched then. @in holds this state and
 * nothing else: bytes left over are refused.
 */
int state_decode(const struct state_desc *desc, void *state, struct rbuf *in, struct err *err);

/* 0 if the fields cover each byte of the struct exactly once, else -EINVAL with the first byte that they do not. */
int state_desc_check(const struct state_desc *desc, struct err *err);

#endif
