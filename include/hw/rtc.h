/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PL031 real-time clock (Arm DDI 0224C): seconds since 1970 from the host's CLOCK_REALTIME plus an offset that the
 * guest sets through RTCLR, and an alarm through RTCMR with its interrupt.
 */
#ifndef LKVM_HW_RTC_H
#define LKVM_HW_RTC_H

#include "util/err.h"
#include "vm/device.h"
#include "vm/event.h"
#include "vm/irq.h"

#define RTC_MMIO_SIZE 0x1000

/* @now gives seconds since 1970 (a test supplies its own); @irq is copied. */
int rtc_create(const char *name, struct event_loop *loop, const struct irq_line *irq,
	       uint64_t (*now)(void), struct device **out, struct err *err);
uint64_t rtc_host_now(void);

#endif
