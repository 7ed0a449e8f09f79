/* SPDX-License-Identifier: GPL-2.0-only */
/* GICv3 ITS and LPIs (Arm IHI 0069, chapter 5), one collection for each CPU. */
#ifndef LKVM_TESTS_BARE_ITS_H
#define LKVM_TESTS_BARE_ITS_H

#include "bare.h"

#define LPI_FIRST 8192
#define LPI_COUNT 64

/* After gic_cpu_init() of the boot CPU. */
void its_init(void);
/* On each CPU that is to take LPIs. */
void its_cpu_init(void);
void its_map_device(uint32_t device);
void its_map_event(uint32_t device, uint32_t event, uint32_t lpi, uint32_t cpu);
/* In the property table, and told to the redistributors. */
void its_enable(uint32_t device, uint32_t event, uint32_t lpi, uint8_t priority, bool enabled);
void its_move(uint32_t device, uint32_t event, uint32_t cpu);
void its_discard(uint32_t device, uint32_t event);
void its_int(uint32_t device, uint32_t event);
void its_clear(uint32_t device, uint32_t event);

#endif
