/* SPDX-License-Identifier: GPL-2.0-only */
/* The clock for durations and deadlines: nobody sets it. */
#ifndef LKVM_UTIL_CLOCK_H
#define LKVM_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC, in nanoseconds. Not the clock of a guest. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
