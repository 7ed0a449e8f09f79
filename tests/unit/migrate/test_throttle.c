/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest that is made slower: held for a part of the time, and never in the end. */
#include "unit.h"

#include <string.h>

#include "migrate/throttle.h"
#include "vm/vm.h"

struct fake {
	struct vm vm; /* first: the fakes below find the rest */
	unsigned int pauses, resumes, held;
};

void vm_pause(struct vm *vm)
{
	struct fake *f = (struct fake *)vm;

	f->pauses++;
	f->held++;
	assert_int_equal(f->held, 1);
	if (f->pauses == 4)
		event_stop(&vm->loop);
}

void vm_resume(struct vm *vm)
{
	struct fake *f = (struct fake *)vm;

	f->resumes++;
	assert_int_equal(f->held--, 1);
}

static void test_holds(void **state)
{
	struct err err = ERR_INIT;
	struct throttle t;
	struct fake f;

	(void)state;
	memset(&f, 0, sizeof(f));
	assert_int_equal(event_loop_init(&f.vm.loop, &err), 0);
	assert_int_equal(throttle_init(&t, &f.vm, &err), 0);
	throttle_set(&t, 90);
	assert_int_equal(event_run(&f.vm.loop, &err), 0);
	assert_int_equal(f.pauses, 4);
	assert_int_equal(f.held, 1);
	throttle_set(&t, 0);
	assert_int_equal(f.held, 0);
	assert_int_equal(f.resumes, 4);
	throttle_set(&t, 20);
	throttle_release(&t);
	assert_int_equal(f.held, 0);
	event_loop_release(&f.vm.loop);
}

static void test_steps(void **state)
{
	unsigned int steps = 0;

	(void)state;
	for (unsigned int p = 0; p < THROTTLE_MAX; steps++) {
		unsigned int more = throttle_more(p);

		assert_true(more > p && more <= THROTTLE_MAX);
		p = more;
	}
	assert_true(steps > 5 && steps < 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_steps),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
