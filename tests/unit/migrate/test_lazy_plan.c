/* SPDX-License-Identifier: GPL-2.0-only */
/* What is read when, and what a fault asks for. */
#include "lazy_file.h"

#include "migrate/lazy-plan.h"

#define PAGE 4096u

static struct snap_chain chain;

static int setup(void **state)
{
	struct lazy_plan *plan = calloc(1, sizeof(*plan));
	struct err err = ERR_INIT;

	assert_non_null(plan);
	file_chain(&chain, PAGE);
	assert_int_equal(lazy_plan_init(plan, &chain, 0, &err), 0);
	*state = plan;
	return 0;
}

static int teardown(void **state)
{
	lazy_plan_release(*state);
	free(*state);
	snap_chain_close(&chain);
	return 0;
}

/* Reads the chunk that is next, as the server does. */
static uint64_t read_next(struct lazy_plan *plan)
{
	uint64_t chunk = UINT64_MAX;

	assert_true(lazy_plan_next(plan, &chunk));
	lazy_plan_done(plan, chunk, snap_chain_present(&chain, 0, chunk));
	return chunk;
}

static void test_ahead(void **state)
{
	struct lazy_plan *plan = *state;
	uint64_t chunk;

	assert_int_equal(plan->missing, FILE_HERE);
	assert_int_equal(read_next(plan), 0);
	assert_int_equal(plan->missing, FILE_HERE - 3);
	assert_int_equal(read_next(plan), 2);
	assert_int_equal(read_next(plan), 5);
	assert_int_equal(plan->missing, 0);
	assert_false(lazy_plan_next(plan, &chunk));
}

/* Looking does not read; after a fault it goes on behind it, and comes back for what it left out. */
static void test_behind_a_fault(void **state)
{
	struct lazy_plan *plan = *state;
	uint64_t chunk;

	assert_true(lazy_plan_next(plan, &chunk));
	assert_int_equal(chunk, 0);
	assert_true(lazy_plan_next(plan, &chunk));
	assert_int_equal(chunk, 0);
	lazy_plan_done(plan, 2, snap_chain_present(&chain, 0, 2));
	assert_int_equal(read_next(plan), 5);
	assert_int_equal(read_next(plan), 0);
	assert_false(lazy_plan_next(plan, &chunk));
}

static void test_last_first(void **state)
{
	struct lazy_plan *plan = *state;

	lazy_plan_done(plan, 5, snap_chain_present(&chain, 0, 5));
	assert_int_equal(read_next(plan), 0);
	assert_int_equal(read_next(plan), 2);
	assert_int_equal(plan->missing, 0);
}

static void test_faults(void **state)
{
	struct lazy_plan *plan = *state;

	for (unsigned int page = 0; page < FILE_PAGES; page++)
		assert_int_equal(lazy_plan_wants(plan, page), file_has(page));
	lazy_plan_done(plan, 2, snap_chain_present(&chain, 0, 2));
	for (unsigned int page = 0; page < FILE_PAGES; page++)
		assert_int_equal(lazy_plan_wants(plan, page), file_has(page) && page / 64 != 2);
}

static void test_next_with_content(void **state)
{
	uint64_t chunk = 99;

	(void)state;
	assert_true(snap_chain_next(&chain, 0, 0, &chunk));
	assert_int_equal(chunk, 0);
	assert_true(snap_chain_next(&chain, 0, 1, &chunk));
	assert_int_equal(chunk, 2);
	assert_true(snap_chain_next(&chain, 0, 2, &chunk));
	assert_int_equal(chunk, 2);
	assert_true(snap_chain_next(&chain, 0, 3, &chunk));
	assert_int_equal(chunk, 5);
	assert_false(snap_chain_next(&chain, 0, 6, &chunk));
	assert_false(snap_chain_next(&chain, 0, 1ull << 32, &chunk));
	assert_false(snap_chain_next(&chain, 1, 0, &chunk));
	assert_false(snap_chain_next(&chain, 1u << 16, 0, &chunk));
	assert_int_equal(chunk, 5);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_ahead, setup, teardown),
	cmocka_unit_test_setup_teardown(test_behind_a_fault, setup, teardown),
	cmocka_unit_test_setup_teardown(test_last_first, setup, teardown),
	cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
	cmocka_unit_test_setup_teardown(test_next_with_content, setup, teardown),
};

UNIT_MAIN(tests)
