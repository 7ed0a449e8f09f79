/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the checksums of a spoiled snapshot file right again, as a stranger would: what stands behind them is what is to
 * be tried. Offsets and lengths in the file are followed as far as they lead into it.
 */
#ifndef LKVM_TESTS_SNAP_RESIGN_H
#define LKVM_TESTS_SNAP_RESIGN_H

#include <stdint.h>
#include <string.h>

#include "state/checksum.h"
#include "state/record.h"
#include "state/snapfile-layout.h"

/* Offsets in the header, docs/snapshot-format.md. */
enum {
	AT_VERSION = 8,
	AT_LENGTH = 12,
	AT_FLAGS = 16,
	AT_PAGE_SIZE = 24,
	AT_CHUNK_PAGES = 28,
	AT_UUID = 32,
	AT_PARENT = 48,
	AT_FILE_SIZE = 64,
	AT_DATA_BYTES = 72,
	AT_TAG_BYTES = 80,
	AT_COMPAT = 88, /* offset, length */
	AT_STATE = 104,
	AT_RAM = 120,
	AT_INDEX = 136, /* offset, entries */
	AT_INDEX_SUM = 152,
	AT_NBANKS = 160,
	AT_ZERO = 164,
	AT_BANK = 168, /* name[16], address, size */
	/* in an entry of the index */
	AT_CODEC = 2,
	AT_CHUNK = 4,
	AT_HERE = 8,
	AT_ABSENT = 16,
	AT_DATA_OFF = 24,
	AT_TAG_OFF = 32,
	AT_DATA_LEN = 40,
	AT_TAG_LEN = 44,
	AT_DATA_SUM = 48,
	AT_TAG_SUM = 56,
};

static inline uint64_t get_le(const uint8_t *p, unsigned int width)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < width; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static inline void set_le(uint8_t *p, unsigned int width, uint64_t v)
{
	for (unsigned int i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline int inside(uint64_t off, uint64_t len, size_t size)
{
	return off <= size && len <= size - off;
}

static inline void resign_records(uint8_t *bytes, uint64_t off, uint64_t len, size_t size)
{
	if (!inside(off, len, size))
		return;
	while (len >= RECORD_HEADER + 8) {
		uint64_t payload = get_le(bytes + off + 12, 4);

		if (payload > len - RECORD_HEADER - 8)
			return;
		payload += RECORD_HEADER;
		set_le(bytes + off + payload, 8, checksum(bytes + off, payload));
		off += payload + 8;
		len -= payload + 8;
	}
}

static inline void resign(uint8_t *bytes, size_t size)
{
	uint64_t index, n;

	if (size < SNAP_HEADER)
		return;
	resign_records(bytes, get_le(bytes + AT_COMPAT, 8), get_le(bytes + AT_COMPAT + 8, 8), size);
	resign_records(bytes, get_le(bytes + AT_STATE, 8), get_le(bytes + AT_STATE + 8, 8), size);

	index = get_le(bytes + AT_INDEX, 8);
	n = get_le(bytes + AT_INDEX + 8, 8);
	if (n <= size / SNAP_ENTRY && inside(index, n * SNAP_ENTRY, size)) {
		for (uint64_t i = 0; i < n; i++) {
			uint8_t *e = bytes + index + i * SNAP_ENTRY;
			uint64_t off = get_le(e + AT_DATA_OFF, 8), len = get_le(e + AT_DATA_LEN, 4);

			if (len && inside(off, len, size))
				set_le(e + AT_DATA_SUM, 8, checksum(bytes + off, len));
			off = get_le(e + AT_TAG_OFF, 8);
			len = get_le(e + AT_TAG_LEN, 4);
			if (len && inside(off, len, size))
				set_le(e + AT_TAG_SUM, 8, checksum(bytes + off, len));
		}
		set_le(bytes + AT_INDEX_SUM, 8, checksum(bytes + index, n * SNAP_ENTRY));
	}
	set_le(bytes + SNAP_HEADER_SUM, 8, checksum(bytes, SNAP_HEADER_SUM));
}

#endif
