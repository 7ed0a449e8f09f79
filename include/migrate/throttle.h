/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes a guest slower, so that it writes less than the line takes: of each period its vCPUs stand still for a part, by the
 * same pause as ever. Loop thread only.
 */
#ifndef LKVM_MIGRATE_THROTTLE_H
#define LKVM_MIGRATE_THROTTLE_H

#include <stdbool.h>

#include "util/err.h"
#include "vm/event.h"

#define THROTTLE_MAX 99

struct vm;

struct throttle {
	struct vm *vm;
	struct event_timer timer;
	unsigned int percent; /* of the time in which the guest stands still */
	bool holding;
};

int throttle_init(struct throttle *t, struct vm *vm, struct err *err);
/* 0: none. The guest is let go at once when it is held. */
void throttle_set(struct throttle *t, unsigned int percent);
void throttle_release(struct throttle *t);

/* The next step up from @percent; THROTTLE_MAX is the last. */
unsigned int throttle_more(unsigned int percent);

#endif
