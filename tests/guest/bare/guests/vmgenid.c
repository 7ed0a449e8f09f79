/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMGenID. Without words: what it is, and that it stays as it is while the machine is only one. keys=1: prints
 *   id HIGH LOW, interrupts N, at the last HIGH LOW
 * at the start and for each key; q ends it. The second pair is the number that was there when the last interrupt came.
 */
#include "bare.h"

#define RBR	0
#define LSR	5
#define LSR_DR	0x01
#define EDGE	1 /* IRQ_TYPE_EDGE_RISING */
#define WAIT_MS 200

struct number {
	uint64_t low, high;
};

static struct number at_interrupt;

static struct number look(void)
{
	return (struct number){in64(board.vmgenid), in64(board.vmgenid + 8)};
}

static bool same(struct number a, struct number b)
{
	return a.low == b.low && a.high == b.high;
}

static void hook(struct cpu *cpu, uint32_t intid)
{
	(void)cpu;
	if (intid == board.vmgenid_irq)
		at_interrupt = look();
}

static bool has_key(void *ctx)
{
	(void)ctx;
	return in8(board.uart[0] + LSR) & LSR_DR;
}

static void answer_keys(const volatile uint32_t *interrupts)
{
	char key;

	do {
		struct number now = look();

		print("id %lx %lx, interrupts %u, at the last %lx %lx\n", now.high, now.low,
		      *interrupts, at_interrupt.high, at_interrupt.low);
		(void)wait_until(has_key, NULL, 600000);
		key = (char)in8(board.uart[0] + RBR);
	} while (key != 'q');
}

void guest_main(void)
{
	const volatile uint32_t *interrupts = &this_cpu()->irqs[board.vmgenid_irq];
	struct number first;

	if (!board.vmgenid)
		bail_out("the device tree has no VMGenID");
	gic_init();
	gic_cpu_init();
	irq_hook = hook;
	gic_enable(board.vmgenid_irq, 0x80, true);
	irqs_on();
	if (word_is("keys", "1")) {
		answer_keys(interrupts);
		power_off();
	}
	plan(5);
	first = look();
	ok(board.vmgenid_flags == EDGE, "its interrupt is an edge");
	ok(first.low && first.high, "a number: %lx %lx", first.high, first.low);
	out64(board.vmgenid, ~first.low);
	ok(same(first, look()), "nobody here can change it");
	delay_us(WAIT_MS * 1000);
	ok(same(first, look()), "it stays");
	ok(!*interrupts, "and there is no interrupt");
}
