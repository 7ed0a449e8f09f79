/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/throttle.h"

#include "vm/vm.h"

/* Long against what a pause takes, short against what a user or a watchdog of the guest's notices. */
#define PERIOD_NS 100000000ull
#define FIRST	  20

static void expired(struct event_timer *timer)
{
	struct throttle *t = timer->ctx;
	uint64_t still = PERIOD_NS * t->percent / 100;

	if (t->holding) {
		vm_resume(t->vm);
		event_timer_arm(&t->timer, PERIOD_NS - still);
	} else {
		vm_pause(t->vm);
		event_timer_arm(&t->timer, still);
	}
	t->holding = !t->holding;
}

int throttle_init(struct throttle *t, struct vm *vm, struct err *err)
{
	*t = (struct throttle){.vm = vm};
	return event_timer_init(&t->timer, &vm->loop, expired, t, err);
}

void throttle_set(struct throttle *t, unsigned int percent)
{
	t->percent = percent;
	if (percent) {
		event_timer_arm(&t->timer, 0);
		return;
	}
	event_timer_disarm(&t->timer);
	if (t->holding)
		vm_resume(t->vm);
	t->holding = false;
}

void throttle_release(struct throttle *t)
{
	throttle_set(t, 0);
	event_timer_release(&t->timer);
}

/* Each takes a third of what is left to the guest. */
unsigned int throttle_more(unsigned int percent)
{
	if (!percent)
		return FIRST;
	percent += (100 - percent + 2) / 3;
	return percent < THROTTLE_MAX ? percent : THROTTLE_MAX;
}
