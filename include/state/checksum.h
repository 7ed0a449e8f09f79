/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checksum of snapshot files and streams: 64 bits, made of two CRC32C (Castagnoli) side by side, because the
 * CPUs that have MTE have an instruction for it: about 830 instructions for a page of 4096 bytes, where XXH3-64 with NEON takes
 * 2,500 to 4,200 and a copy of the page 530.
 *
 * The bytes are taken as little-endian words of 64 bits, the last one filled up with zeros. Words 0, 2, 4 ... go into
 * the low CRC, words 1, 3, 5 ... into the high one; both start at 0xffffffff and are not inverted at the end. Last, the
 * number of bytes goes into both as one more word.
 */
#ifndef LKVM_STATE_CHECKSUM_H
#define LKVM_STATE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checksum {
	uint32_t crc[2];
	uint64_t len;
	bool hw; /* the CPU has the instruction; without it the same result takes fifty times as long */
};

void checksum_init(struct checksum *c);
/* Every piece but the last is a multiple of 16 bytes. */
void checksum_add(struct checksum *c, const void *data, size_t len);
uint64_t checksum_end(struct checksum *c);

uint64_t checksum(const void *data, size_t len);

#endif
