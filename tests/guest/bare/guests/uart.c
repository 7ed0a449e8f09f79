/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The 16550A by its data sheet (National Semiconductor PC16550D): registers, FIFOs, loopback, and its interrupts as the
 * interrupt controller sees them. In loopback nothing can be printed: each test restores the UART and returns.
 */
#include "bare.h"

#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

#define IER_RDI	 1
#define IER_THRI 2
#define IER_RLSI 4
#define IER_MSI	 8
#define LSR_DR	 0x01
#define LSR_OE	 0x02
#define LSR_IDLE 0x60
#define MCR_LOOP 0x10

static uint64_t uart;
static uint32_t irq;

static uint8_t get(unsigned int reg)
{
	return in8(uart + reg);
}

static void set(unsigned int reg, uint8_t value)
{
	out8(uart + reg, value);
}

static void restore(void)
{
	set(IER, 0);
	set(LCR, 3);
	set(MCR, 0xb);
	set(FCR, 7);
	(void)get(LSR);
	(void)get(MSR);
	(void)get(RBR);
	(void)get(IIR);
}

static void loopback(bool fifos, uint8_t fcr)
{
	set(FCR, fifos ? 1 : 0);
	set(MCR, MCR_LOOP | 0xb);
	if (fifos)
		set(FCR, fcr | 7);
	(void)get(LSR);
	(void)get(MSR);
}

/* Each bit of a register can be set and cleared. */
static bool holds(unsigned int reg, uint8_t mask)
{
	for (unsigned int i = 0; i < 256; i++) {
		set(reg, (uint8_t)i);
		if (get(reg) != (i & mask))
			return false;
	}
	return true;
}

static bool divisor(void)
{
	bool good;

	set(IER, IER_MSI);
	set(LCR, 0x83);
	set(0, 0x34);
	set(1, 0x12);
	good = get(0) == 0x34 && get(1) == 0x12;
	set(LCR, 3);
	good = good && get(IER) == IER_MSI;
	set(LCR, 0x83);
	good = good && get(0) == 0x34 && get(1) == 0x12;
	set(0, 1);
	set(1, 0);
	restore();
	return good;
}

static bool fifo_bits(void)
{
	bool good;

	set(FCR, 0);
	good = get(IIR) == 0x01;
	set(FCR, 1);
	good = good && get(IIR) == 0xc1;
	set(FCR, 0xc8); /* without bit 0 the others do nothing */
	good = good && get(IIR) == 0x01;
	restore();
	return good;
}

/* MSR shows our own outputs: RTS as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD. */
static bool modem_lines(void)
{
	static const struct {
		uint8_t mcr, msr;
	} wires[] = {{0, 0}, {2, 0x10}, {1, 0x20}, {4, 0x40}, {8, 0x80}, {0xf, 0xf0}};
	bool good = true;

	for (unsigned int i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		set(MCR, MCR_LOOP | wires[i].mcr);
		good = good && (get(MSR) & 0xf0) == wires[i].msr;
	}
	restore();
	return good;
}

/* Changes are told once; RI only when it ends. */
static bool modem_deltas(void)
{
	bool good;

	set(MCR, MCR_LOOP);
	(void)get(MSR);
	good = (get(MSR) & 0xf) == 0;
	set(MCR, MCR_LOOP | 2);
	good = good && (get(MSR) & 0xf) == 1 && (get(MSR) & 0xf) == 0;
	set(MCR, MCR_LOOP | 2 | 4);
	good = good && (get(MSR) & 0xf) == 0;
	set(MCR, MCR_LOOP | 2);
	good = good && (get(MSR) & 0xf) == 4;
	set(MCR, MCR_LOOP | 1);
	good = good && (get(MSR) & 0xf) == 3;
	restore();
	return good;
}

static bool loop_fifo(void)
{
	bool good;

	loopback(true, 0);
	good = !(get(LSR) & LSR_DR);
	for (uint8_t i = 0; i < 16; i++)
		set(THR, (uint8_t)(i * 17));
	for (uint8_t i = 0; i < 16; i++)
		good = good && (get(LSR) & (LSR_DR | LSR_OE)) == LSR_DR && get(RBR) == i * 17;
	good = good && (get(LSR) & (LSR_DR | LSR_IDLE)) == LSR_IDLE;
	restore();
	return good;
}

/* One more than fits: the FIFO keeps what it has, and the loss is told once. */
static bool overrun(bool fifos)
{
	uint8_t fits = fifos ? 16 : 1;
	bool good;

	loopback(fifos, 0);
	for (uint8_t i = 0; i <= fits; i++)
		set(THR, (uint8_t)(i + 1));
	good = get(LSR) & LSR_OE;
	good = good && !(get(LSR) & LSR_OE);
	if (fifos)
		for (uint8_t i = 0; i < fits; i++)
			good = good && get(RBR) == i + 1;
	restore();
	return good;
}

static bool fifo_reset(void)
{
	bool good;

	loopback(true, 0);
	set(THR, 'x');
	set(THR, 'y');
	good = get(LSR) & LSR_DR;
	set(FCR, 3);
	good = good && !(get(LSR) & LSR_DR);
	restore();
	return good;
}

/* --- interrupts: what IIR said each time, while the cause was removed --- */
static volatile uint8_t seen[16];
static volatile uint32_t seen_n;

static void hook(struct cpu *cpu, uint32_t intid)
{
	uint8_t iir = get(IIR) & 0x0f;

	(void)cpu;
	if (intid != irq) {
		gic_disable(intid);
		return;
	}
	seen[seen_n++ & 15] = iir;
	if (iir == 0x6)
		(void)get(LSR);
	if (iir == 0x4 || iir == 0xc)
		while (get(LSR) & LSR_DR)
			(void)get(RBR);
	if (iir == 0x0)
		(void)get(MSR);
	if (seen_n > 8) /* it does not end */
		gic_disable(irq);
}

static bool one_more(void *n)
{
	return seen_n > *(uint32_t *)n;
}

/* That interrupt comes once and not again. */
static bool comes(uint8_t iir)
{
	uint32_t before = 0;
	bool good;

	irqs_on();
	good = wait_until(one_more, &before, 2000);
	delay_us(2000);
	irqs_off();
	good = good && seen_n == 1 && seen[0] == iir;
	seen_n = 0;
	return good;
}

static bool silent(void)
{
	irqs_on();
	delay_us(5000);
	irqs_off();
	return !seen_n;
}

static bool thre_interrupt(void)
{
	bool good = silent();

	/* The transmitter is empty: enabling tells it at once, and reading IIR takes it back. */
	set(IER, IER_THRI);
	good = good && comes(2);
	good = good && silent();
	set(IER, 0);
	set(IER, IER_THRI);
	good = good && get(IIR) == 0xc2 && get(IIR) == 0xc1;
	good = good && silent();
	set(IER, 0);
	loopback(true, 0);
	set(IER, IER_THRI);
	(void)get(IIR);
	set(THR, 'a');
	good = good && comes(2);
	restore();
	return good;
}

static bool rx_interrupt(void)
{
	bool good;

	loopback(true, 0x80); /* trigger at 8 */
	set(IER, IER_RDI);
	for (unsigned int i = 0; i < 8; i++)
		set(THR, 'a');
	good = comes(4);
	/* Below the trigger it is the time-out that tells. */
	set(THR, 'a');
	good = good && comes(0xc);
	restore();
	return good;
}

static bool no_fifo_rx_interrupt(void)
{
	bool good;

	loopback(false, 0);
	set(IER, IER_RDI);
	set(THR, 'a');
	good = get(IIR) == 0x04 && comes(4);
	restore();
	return good;
}

/* Line status comes before data, data before the transmitter, that before the modem. */
static bool priorities(void)
{
	bool good;

	loopback(true, 0);
	for (unsigned int i = 0; i < 17; i++)
		set(THR, 'a');
	set(MCR, MCR_LOOP);
	set(IER, 0xf);
	good = (get(IIR) & 0xf) == 6;
	(void)get(LSR);
	good = good && (get(IIR) & 0xf) == 4;
	while (get(LSR) & LSR_DR)
		(void)get(RBR);
	good = good && (get(IIR) & 0xf) == 2;
	good = good && (get(IIR) & 0xf) == 0;
	(void)get(MSR);
	good = good && (get(IIR) & 0xf) == 1;
	good = good && silent();
	restore();
	return good;
}

static bool status_interrupts(void)
{
	bool good;

	loopback(true, 0);
	for (unsigned int i = 0; i < 17; i++)
		set(THR, 'a');
	set(IER, IER_RLSI);
	good = comes(6);
	restore();
	loopback(true, 0);
	set(IER, IER_MSI);
	set(MCR, MCR_LOOP);
	good = good && comes(0);
	restore();
	return good;
}

/* The line stays up until the cause is gone, and goes down with it. */
static bool level(void)
{
	bool good;

	gic_disable(irq);
	loopback(true, 0);
	good = !gic_is_pending(irq);
	set(IER, IER_RDI);
	set(THR, 'a');
	good = good && gic_is_pending(irq);
	(void)get(RBR);
	good = good && !gic_is_pending(irq);
	restore();
	gic_enable(irq, 0x80, false);
	return good;
}

/* Accesses no driver makes: any value, but no abort. */
static bool odd_accesses(void)
{
	try_begin();
	for (unsigned int at = 0; at < 0x1000; at += 8)
		(void)in64(uart + at);
	for (unsigned int at = 8; at < 0x1000; at += 4) {
		(void)in32(uart + at);
		out32(uart + at, ~0u);
	}
	for (unsigned int at = 0; at < 8; at += 2)
		(void)in16(uart + at);
	restore();
	return !try_end();
}

void guest_main(void)
{
	uint8_t first_iir, first_ier;

	uart = board.uart[0];
	irq = board.uart_irq[0];
	first_iir = get(IIR);
	first_ier = get(IER);
	restore();
	plan(22);
	ok(first_ier == 0, "no interrupt is enabled after reset");
	ok((first_iir & 0xf) == 1, "none is told");
	ok((get(LSR) & LSR_IDLE) == LSR_IDLE, "the transmitter is idle");
	ok(holds(SCR, 0xff), "the scratch register holds a byte");
	{
		bool good = holds(LCR, 0xff);

		restore();
		ok(good, "the line control register holds a byte");
	}
	irqs_off();
	{
		bool good = holds(IER, 0x0f);

		restore();
		ok(good, "the interrupt enable register has four bits");
	}
	ok(divisor(), "the divisor latch is behind DLAB");
	ok(fifo_bits(), "IIR shows whether FIFOs are on");
	ok(modem_lines(), "loopback connects the modem lines");
	ok(modem_deltas(), "changes of modem lines are told once");
	ok(loop_fifo(), "sixteen bytes go through the FIFO");
	ok(overrun(true), "the seventeenth is an overrun");
	ok(overrun(false), "without FIFOs the second is");
	ok(fifo_reset(), "the receive FIFO can be cleared");

	gic_init();
	gic_cpu_init();
	irq_hook = hook;
	gic_enable(irq, 0x80, false);
	ok(thre_interrupt(), "interrupt: transmitter empty");
	ok(rx_interrupt(), "interrupt: data, at the trigger and below it");
	ok(no_fifo_rx_interrupt(), "interrupt: data without FIFOs");
	ok(status_interrupts(), "interrupts: overrun, modem lines");
	ok(priorities(), "the interrupts have their order");
	ok(level(), "the line is a level");
	ok(odd_accesses(), "wide accesses do no harm");
	irqs_on();
	delay_us(2000);
	irqs_off();
	ok(!seen_n, "nothing is left pending");
}
