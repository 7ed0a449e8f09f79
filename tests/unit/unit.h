/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cmocka with what it asks to be included first, and a main() that speaks TAP. The exit status is 0 or 1: cmocka's
 * own is the number of failures, and 256 of them would look like none.
 */
#ifndef LKVM_TESTS_UNIT_H
#define LKVM_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UNIT_MAIN(tests)                                               \
	int main(void)                                                 \
	{                                                              \
		cmocka_set_message_output(CM_OUTPUT_TAP);              \
		return cmocka_run_group_tests(tests, NULL, NULL) != 0; \
	}

#endif
