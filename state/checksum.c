/* SPDX-License-Identifier: GPL-2.0-only */
#include <endian.h>
#include <string.h>

#include "state/checksum.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32 /* asm/hwcap.h */
#define HWCAP_CRC32 (1 << 7)
#endif
#define HW_CODE
#elif defined(__x86_64__)
#define HW_CODE
#endif

#define PAIR 16 /* one word for each CRC */

static uint64_t word_at(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return le64toh(w);
}

/* CRC32C bit by bit would be the polynomial 0x82f63b78; this is its table for four bits. */
static const uint32_t nibble_table[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t table_word(uint32_t crc, uint64_t w)
{
	w ^= crc;
	for (unsigned int i = 0; i < 16; i++)
		w = w >> 4 ^ nibble_table[w & 15];
	return (uint32_t)w;
}

static void table_pairs(uint32_t crc[2], const uint8_t *p, size_t n)
{
	for (; n; n--, p += PAIR) {
		crc[0] = table_word(crc[0], word_at(p));
		crc[1] = table_word(crc[1], word_at(p + 8));
	}
}

#ifdef HW_CODE
static bool hw_there(void)
{
#ifdef __aarch64__
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
#else
	return __builtin_cpu_supports("sse4.2");
#endif
}

#ifdef __aarch64__
/* Arm ARM C6.2: CRC32CX takes the word from its lowest byte on. Compilers leave each load alone: paired by hand. */
#define HW_PAIR                             \
	"ldp	%[t], %[u], [%[p], #\\at]\n\t" \
	"crc32cx	%w[a], %w[a], %[t]\n\t"    \
	"crc32cx	%w[b], %w[b], %[u]\n\t"

static void hw_pairs(uint32_t crc[2], const uint8_t *p, size_t n)
{
	uint32_t a = crc[0], b = crc[1];
	uint64_t t, u;

	for (; n >= 16; n -= 16, p += 16 * PAIR)
		__asm__(".arch_extension crc\n\t"
			".irp at, 0,16,32,48,64,80,96,112,128,144,160,176,192,208,224,240\n\t" HW_PAIR
			".endr"
			: [a] "+r"(a), [b] "+r"(b), [t] "=&r"(t), [u] "=&r"(u)
			: [p] "r"(p), "m"(*(const uint8_t(*)[16 * PAIR]) p));
	for (; n; n--, p += PAIR)
		__asm__(".arch_extension crc\n\t"
			".irp at, 0\n\t" HW_PAIR ".endr"
			: [a] "+r"(a), [b] "+r"(b), [t] "=&r"(t), [u] "=&r"(u)
			: [p] "r"(p), "m"(*(const uint8_t(*)[PAIR])p));
	crc[0] = a;
	crc[1] = b;
}
#else
static __attribute__((target("sse4.2"))) void hw_pairs(uint32_t crc[2], const uint8_t *p, size_t n)
{
	uint64_t a = crc[0], b = crc[1];

	for (; n; n--, p += PAIR) {
		a = __builtin_ia32_crc32di(a, word_at(p));
		b = __builtin_ia32_crc32di(b, word_at(p + 8));
	}
	crc[0] = (uint32_t)a;
	crc[1] = (uint32_t)b;
}
#endif
#else
static bool hw_there(void)
{
	return false;
}
#define hw_pairs table_pairs
#endif

void checksum_init(struct checksum *c)
{
	*c = (struct checksum){.crc = {0xffffffff, 0xffffffff}, .hw = hw_there()};
}

static void pairs(struct checksum *c, const uint8_t *p, size_t n)
{
	if (c->hw)
		hw_pairs(c->crc, p, n);
	else
		table_pairs(c->crc, p, n);
}

void checksum_add(struct checksum *c, const void *data, size_t len)
{
	size_t rest = len % PAIR;
	const uint8_t *p = data;

	pairs(c, p, len / PAIR);
	if (rest) {
		uint8_t last[PAIR] = {0};

		memcpy(last, p + len - rest, rest);
		if (rest > 8)
			pairs(c, last, 1);
		else
			c->crc[0] = table_word(c->crc[0], word_at(last));
	}
	c->len += len;
}

uint64_t checksum_end(struct checksum *c)
{
	return table_word(c->crc[0], c->len) | (uint64_t)table_word(c->crc[1], c->len) << 32;
}

uint64_t checksum(const void *data, size_t len)
{
	struct checksum c;

	checksum_init(&c);
	checksum_add(&c, data, len);
	return checksum_end(&c);
}
