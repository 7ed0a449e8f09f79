/* SPDX-License-Identifier: GPL-2.0-only */
/* The little of the device tree that a guest needs (Devicetree Specification 0.4, chapter 5). */
#include "bare.h"

#define FDT_BEGIN_NODE 1
#define FDT_END_NODE   2
#define FDT_PROP       3
#define FDT_NOP	       4
#define DEPTH_MAX      8

struct board board;

/* A node on the way down, with what was seen of its properties. */
struct node {
	const char *name;
	const char *compatible;
	const uint32_t *reg;
	const uint32_t *interrupts;
	uint32_t reg_len, compatible_len;
};

static uint32_t be32(const void *p)
{
	return __builtin_bswap32(*(const uint32_t *)p);
}

/* Cell pairs: our tree has two address and two size cells wherever it matters. */
static struct range range_at(const struct node *n, uint32_t index)
{
	const uint32_t *cell = n->reg + 4 * index;

	if (n->reg_len < 16 * (index + 1))
		return (struct range){0, 0};
	return (struct range){(uint64_t)be32(cell) << 32 | be32(cell + 1),
			      (uint64_t)be32(cell + 2) << 32 | be32(cell + 3)};
}

static bool is_a(const struct node *n, const char *compatible)
{
	const char *s = n->compatible;

	while (s && s < n->compatible + n->compatible_len) {
		if (!strcmp(s, compatible))
			return true;
		s += strlen(s) + 1;
	}
	return false;
}

static bool starts(const char *name, const char *with)
{
	while (*with)
		if (*name++ != *with++)
			return false;
	return true;
}

static uint32_t spi(const struct node *n)
{
	return n->interrupts ? 32 + be32(n->interrupts + 1) : 0;
}

static void node_seen(const struct node *n, const struct node *parent)
{
	if (starts(n->name, "memory@")) {
		board.ram = range_at(n, 0);
	} else if (parent && !strcmp(parent->name, "cpus") && starts(n->name, "cpu@")) {
		if (board.cpus < CPUS_MAX)
			board.mpidr[board.cpus++] =
				n->reg_len == 4 ? be32(n->reg)
						: (uint64_t)be32(n->reg) << 32 | be32(n->reg + 1);
	} else if (is_a(n, "arm,gic-v3") || is_a(n, "arm,cortex-a15-gic")) {
		board.gic = is_a(n, "arm,gic-v3") ? GIC_V3 : GIC_V2;
		board.gic_dist = range_at(n, 0);
		board.gic_redist = range_at(n, 1);
	} else if (is_a(n, "arm,gic-v3-its")) {
		board.its = range_at(n, 0);
	} else if (is_a(n, "arm,gic-v2m-frame")) {
		board.v2m = range_at(n, 0);
	} else if (is_a(n, "ns16550a")) {
		if (board.uarts < 4) {
			board.uart[board.uarts] = range_at(n, 0).base;
			board.uart_irq[board.uarts++] = spi(n);
		}
	} else if (is_a(n, "arm,pl031")) {
		board.rtc = range_at(n, 0).base;
		board.rtc_irq = spi(n);
	} else if (is_a(n, "microsoft,vmgenid")) {
		board.vmgenid = range_at(n, 0).base;
		board.vmgenid_irq = spi(n);
		board.vmgenid_flags = n->interrupts ? be32(n->interrupts + 2) : 0;
	}
}

static void prop_seen(struct node *n, const char *name, const void *value, uint32_t len)
{
	if (!strcmp(name, "reg")) {
		n->reg = value;
		n->reg_len = len;
	} else if (!strcmp(name, "compatible")) {
		n->compatible = value;
		n->compatible_len = len;
	} else if (!strcmp(name, "interrupts")) {
		n->interrupts = value;
	} else if (!strcmp(name, "bootargs") && !strcmp(n->name, "chosen")) {
		board.cmdline = value;
	}
}

void board_parse(const void *fdt)
{
	const uint8_t *base = fdt;
	const uint8_t *p = base + be32(base + 8);
	const char *strings = (const char *)base + be32(base + 12);
	struct node stack[DEPTH_MAX];
	int depth = -1;

	board.cmdline = "";
	if (be32(base) != 0xd00dfeed)
		return;
	board.fdt = (struct range){(uint64_t)(uintptr_t)fdt, be32(base + 4)};
	for (;;) {
		uint32_t token = be32(p);

		p += 4;
		if (token == FDT_BEGIN_NODE && depth + 1 < DEPTH_MAX) {
			/*
			 * Properties of a node come before its children, but what a node is can be
			 * told only at its end.
			 */
			stack[++depth] = (struct node){.name = (const char *)p};
			p += (strlen((const char *)p) + 4) & ~3ul;
		} else if (token == FDT_END_NODE && depth >= 0) {
			node_seen(&stack[depth], depth ? &stack[depth - 1] : NULL);
			depth--;
		} else if (token == FDT_PROP && depth >= 0) {
			uint32_t len = be32(p);

			prop_seen(&stack[depth], strings + be32(p + 4), p + 8, len);
			p += 8 + ((len + 3) & ~3u);
		} else if (token != FDT_NOP) {
			return;
		}
	}
}

const char *word(const char *name, char *value, size_t size, const char *absent)
{
	size_t len = strlen(name), n = 0;

	for (const char *p = board.cmdline; *p;) {
		if (starts(p, name) && p[len] == '=') {
			for (p += len + 1; *p && *p != ' ' && n < size - 1; p++)
				value[n++] = *p;
			value[n] = 0;
			return value;
		}
		while (*p && *p != ' ')
			p++;
		while (*p == ' ')
			p++;
	}
	return absent;
}

uint64_t word_number(const char *name, uint64_t absent)
{
	char text[32];
	const char *p = word(name, text, sizeof(text), NULL);
	uint64_t n = 0;

	if (!p)
		return absent;
	for (; *p >= '0' && *p <= '9'; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return n;
}

bool word_is(const char *name, const char *value)
{
	char text[32];

	return !strcmp(word(name, text, sizeof(text), ""), value);
}
