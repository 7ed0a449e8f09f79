/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PL031 (Arm DDI 0224): time, setting it, alarm and its interrupt. now=SECONDS on the command line is the host's
 * time at the start: the clock must be near it.
 */
#include "bare.h"

#define RTC_DR	 0x00
#define RTC_MR	 0x04
#define RTC_LR	 0x08
#define RTC_CR	 0x0c
#define RTC_IMSC 0x10
#define RTC_RIS	 0x14
#define RTC_MIS	 0x18
#define RTC_ICR	 0x1c

static uint32_t get(unsigned int reg)
{
	return in32(board.rtc + reg);
}

static void set(unsigned int reg, uint32_t value)
{
	out32(board.rtc + reg, value);
}

static bool changed(void *from)
{
	return get(RTC_DR) != *(uint32_t *)from;
}

static volatile uint32_t alarms, alarm_at;

static void hook(struct cpu *cpu, uint32_t intid)
{
	(void)cpu;
	if (intid == board.rtc_irq) {
		alarms++;
		alarm_at = get(RTC_DR);
		set(RTC_ICR, 1);
	} else {
		gic_disable(intid);
	}
}

static bool alarmed(void *ctx)
{
	(void)ctx;
	return alarms;
}

static void identify(void)
{
	static const uint8_t id[] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
	bool good = true;

	for (unsigned int i = 0; i < 8; i++)
		if (i != 2) /* has the revision in its upper half */
			good = good && get(0xfe0 + 4 * i) == id[i];
	ok(good && (get(0xfe8) & 0xf) == 4, "the identification is a PL031's");
}

static void ticking(void)
{
	uint32_t from = get(RTC_DR), then;
	uint64_t us;

	ok(wait_until(changed, &from, 3000), "the clock goes");
	us = now_us();
	then = get(RTC_DR);
	ok(then == from + 1, "by one second");
	wait_until(changed, &then, 3000);
	us = now_us() - us;
	ok(us > 700000 && us < 1300000, "in one second (%lu us)", us);
}

void guest_main(void)
{
	uint64_t host = word_number("now", 0);
	uint32_t time = get(RTC_DR), at;

	plan(22);
	ok(board.rtc && board.rtc_irq >= 32, "the device tree has an RTC");
	identify();
	if (host)
		ok(time >= host && time < host + 120, "it has the host's time (%u)", time);
	else
		skip(1, "no now=SECONDS on the command line");
	ok(get(RTC_CR) & 1, "it is on");
	ok(!get(RTC_IMSC) && !get(RTC_RIS) && !get(RTC_MIS), "no alarm after reset");
	ticking();

	set(RTC_CR, 0);
	at = get(RTC_DR);
	ok(get(RTC_CR) & 1 && wait_until(changed, &at, 3000), "once on, it stays on");

	set(RTC_LR, 1000);
	at = get(RTC_DR);
	ok(at == 1000 || at == 1001, "it can be set (%u)", at);
	ok(get(RTC_LR) == 1000, "and knows to what");
	set(RTC_LR, 0xfffffffe);
	at = get(RTC_DR);
	ok(at == 0xfffffffe || at == 0xffffffff, "to the end of time");
	delay_us(2500000);
	ok(get(RTC_DR) < 10, "which is followed by its start");

	/* The alarm, polled. */
	set(RTC_LR, 5000);
	set(RTC_MR, 5001);
	ok(get(RTC_MR) == 5001, "an alarm can be set");
	delay_us(2200000);
	ok(get(RTC_RIS) == 1 && get(RTC_MIS) == 0, "it is told, but masked");
	set(RTC_IMSC, 1);
	ok(get(RTC_MIS) == 1, "and not masked any more");
	set(RTC_ICR, 1);
	ok(get(RTC_RIS) == 0 && get(RTC_MIS) == 0, "and cleared");

	/* With the interrupt. */
	gic_init();
	gic_cpu_init();
	irq_hook = hook;
	gic_enable(board.rtc_irq, 0x80, false);
	irqs_on();
	set(RTC_LR, 8000);
	set(RTC_MR, 8002);
	delay_us(500000);
	ok(!alarms, "no interrupt before the time");
	ok(wait_until(alarmed, NULL, 4000), "an interrupt at the time");
	ok(alarm_at == 8002, "exactly (%u)", alarm_at);
	delay_us(1500000);
	ok(alarms == 1, "once (%u)", alarms);
	set(RTC_IMSC, 0);
	set(RTC_MR, get(RTC_DR) + 1);
	delay_us(2200000);
	ok(alarms == 1 && get(RTC_RIS) == 1, "and not when it is masked");
	irqs_off();
}
