/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/device.h"

struct thing {
	struct device dev;
	uint32_t state;
};

static char released[16]; /* the last letters of names, in order of release */

static void release(struct device *dev)
{
	size_t at = strlen(released);

	snprintf(released + at, sizeof(released) - at, "%s", dev->name + strlen(dev->name) - 1);
}

static const struct device_ops ops = {.release = release};

struct plain {
	uint32_t value;
};

static const struct state_field fields[] = {STATE_FIELD(struct plain, value)};
static const struct state_desc desc = {.name = "thing",
				       .version = 1,
				       .nfields = 1,
				       .size = sizeof(struct plain),
				       .fields = fields};

static struct thing with_state(const char *name)
{
	return (struct thing){.dev = {.name = name, .ops = &ops, .state_desc = &desc}};
}

static void registers_and_finds(void **state)
{
	struct thing a = with_state("uart0"), b = with_state("rtc");
	struct device c = {.name = "pvtime", .ops = &ops, .stateless = true};
	struct device_list list;

	(void)state;
	a.dev.state = &a.state;
	b.dev.state = &b.state;
	device_list_init(&list);
	assert_null(device_find(&list, "uart0"));
	assert_int_equal(device_register(&list, &a.dev, NULL), 0);
	assert_int_equal(device_register(&list, &b.dev, NULL), 0);
	assert_int_equal(device_register(&list, &c, NULL), 0);

	assert_ptr_equal(device_find(&list, "uart0"), &a.dev);
	assert_ptr_equal(device_find(&list, "rtc"), &b.dev);
	assert_ptr_equal(device_find(&list, "pvtime"), &c);
	assert_null(device_find(&list, "uart"));
	assert_null(device_find(&list, ""));

	/* In the order of the board table. */
	assert_ptr_equal(list.first, &a.dev);
	assert_ptr_equal(a.dev.next, &b.dev);
	assert_ptr_equal(b.dev.next, &c);
	assert_null(c.next);

	released[0] = 0;
	device_list_release(&list);
	assert_string_equal(released, "ec0"); /* pvtim-e, rt-c, uart-0: the last one first */
	assert_null(list.first);

	/* The list is empty, not broken. */
	assert_int_equal(device_register(&list, &b.dev, NULL), 0);
	assert_ptr_equal(device_find(&list, "rtc"), &b.dev);
	assert_null(device_find(&list, "uart0"));
}

static void refuses(void **state)
{
	struct thing a = with_state("uart0"), b;
	const struct device_ops no_release = {0};
	struct device_list list;
	struct err err = ERR_INIT;

	(void)state;
	device_list_init(&list);

	b = a;
	assert_int_equal(device_register(&list, &b.dev, &err),
			 -EINVAL); /* a description of nothing */
	assert_non_null(strstr(err.msg, "uart0"));

	b.dev.state = &b.state;
	b.dev.state_desc = NULL;
	assert_int_equal(device_register(&list, &b.dev, &err),
			 -EINVAL); /* state that nobody saves */
	b.dev.state = NULL;
	assert_int_equal(device_register(&list, &b.dev, &err),
			 -EINVAL); /* neither state nor mark */
	b.dev.stateless = true;
	b.dev.state_desc = &desc;
	assert_int_equal(device_register(&list, &b.dev, &err), -EINVAL); /* both at once */

	b = a;
	b.dev.state = &b.state;
	b.dev.name = NULL;
	assert_int_equal(device_register(&list, &b.dev, &err), -EINVAL);
	b.dev.name = "";
	assert_int_equal(device_register(&list, &b.dev, &err), -EINVAL);
	b.dev.name = "b";
	b.dev.ops = &no_release;
	assert_int_equal(device_register(&list, &b.dev, &err), -EINVAL);
	assert_null(list.first);

	a.dev.state = &a.state;
	assert_int_equal(device_register(&list, &a.dev, NULL), 0);
	b = with_state("uart0");
	b.dev.state = &b.state;
	assert_int_equal(device_register(&list, &b.dev, &err), -EINVAL); /* the name is taken */
	assert_non_null(strstr(err.msg, "uart0"));
	assert_ptr_equal(device_find(&list, "uart0"), &a.dev);
	assert_null(a.dev.next);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(registers_and_finds),
	cmocka_unit_test(refuses),
};

UNIT_MAIN(tests)
