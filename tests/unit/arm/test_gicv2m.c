/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "arm/gicv2m.h"
#include "vm/device.h"

/* Arm's GICv2m specification: registers of the frame. */
#define MSI_TYPER  0x008
#define MSI_SETSPI 0x040

#define FIRST 64
#define COUNT 32

/* What the interrupt controller was told, as text: "+64 -64". */
static void told(void *ctx, uint32_t number, bool level)
{
	char *text = ctx;
	size_t len = strlen(text);

	(void)snprintf(text + len, 64 - len, " %c%u", level ? '+' : '-', number);
}

struct fixture {
	struct device_list list;
	struct device *dev;
	char told[64];
};

static void begin(struct fixture *x)
{
	struct irq_line line = {.set = told, .ctx = x->told};

	memset(x, 0, sizeof(*x));
	device_list_init(&x->list);
	assert_int_equal(gicv2m_create("gicv2m", &line, FIRST, COUNT, &x->dev, NULL), 0);
	assert_int_equal(device_register(&x->list, x->dev, NULL), 0);
}

/* As the bus does it. */
static void put(struct fixture *x, uint64_t offset, unsigned int len, uint64_t value)
{
	x->told[0] = '\0';
	device_lock(x->dev);
	x->dev->ops->write(x->dev, offset, len, value);
	device_unlock(x->dev);
}

static uint64_t get(struct fixture *x, uint64_t offset, unsigned int len)
{
	uint64_t value;

	device_lock(x->dev);
	value = x->dev->ops->read(x->dev, offset, len);
	device_unlock(x->dev);
	return value;
}

static void a_message_is_an_edge(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	put(&x, MSI_SETSPI, 4, FIRST);
	assert_string_equal(x.told, " +64 -64");
	put(&x, MSI_SETSPI, 2, FIRST + COUNT - 1);
	assert_string_equal(x.told, " +95 -95");
	device_list_release(&x.list);
}

/* SPIs of others, and numbers that are none, stay untouched. */
static void only_its_own(void **state)
{
	static const uint64_t numbers[] = {
		0, FIRST - 1, FIRST + COUNT, 0x10000 + FIRST, 0x100000000ull + FIRST, UINT64_MAX};
	struct fixture x;

	(void)state;
	begin(&x);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		put(&x, MSI_SETSPI, 4, numbers[i]);
		assert_string_equal(x.told, "");
	}
	put(&x, MSI_SETSPI, 8, FIRST);
	assert_string_equal(x.told, "");
	for (uint64_t offset = 0; offset < 0x1000; offset++)
		if (offset != MSI_SETSPI) {
			put(&x, offset, 4, FIRST);
			assert_string_equal(x.told, "");
		}
	device_list_release(&x.list);
}

static void says_what_it_has(void **state)
{
	struct fixture x;

	(void)state;
	begin(&x);
	assert_true(get(&x, MSI_TYPER, 4) == (FIRST << 16 | COUNT));
	for (unsigned int len = 1; len <= 8; len *= 2)
		for (uint64_t offset = 0; offset < 0x1000; offset++)
			if (len != 4 || (offset != MSI_TYPER && offset != 0xfcc))
				assert_true(get(&x, offset, len) == 0);
	device_list_release(&x.list);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_message_is_an_edge),
	cmocka_unit_test(only_its_own),
	cmocka_unit_test(says_what_it_has),
};

UNIT_MAIN(tests)
