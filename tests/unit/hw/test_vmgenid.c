/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "hw/vmgenid.h"

#define GPA 0x1030000

static uint8_t page[VMGENID_SIZE + 1]; /* and a byte that is nobody's */
static char line
	[16]; /* what happened to it: '1' set, '0' cleared, 'x' before the new number was there */
static uint8_t before[VMGENID_SIZE];
static bool no_memory;

/* In place of the gate of vm/memory.c. */
void *gpa_ptr(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	assert_null(mem);
	assert_int_equal(gpa, GPA);
	assert_int_equal(len, VMGENID_SIZE);
	assert_int_equal(access, MEM_WRITE);
	return no_memory ? NULL : page;
}

static void set_line(void *ctx, uint32_t number, bool level)
{
	bool shown = memcmp(page, before, VMGENID_SIZE) != 0;

	assert_null(ctx);
	assert_int_equal(number, 37);
	line[strlen(line)] = !shown ? 'x' : level ? '1' : '0';
}

static struct device *create(void)
{
	const struct irq_line irq = {.set = set_line, .number = 37};
	struct device *dev;

	memset(page, 0, sizeof(page));
	memset(line, 0, sizeof(line));
	assert_int_equal(vmgenid_create("vmgenid", NULL, GPA, &irq, &dev, NULL), 0);
	memcpy(before, page, VMGENID_SIZE);
	return dev;
}

static bool is_zero(const uint8_t *p)
{
	static const uint8_t zero[VMGENID_SIZE];

	return !memcmp(p, zero, VMGENID_SIZE);
}

static void each_machine_has_its_own(void **state)
{
	struct device *one = create(), *other;
	uint8_t first[VMGENID_SIZE];

	(void)state;
	memcpy(first, page, VMGENID_SIZE);
	assert_false(is_zero(first));
	other = create();
	assert_memory_not_equal(first, page, VMGENID_SIZE);
	assert_int_equal(page[VMGENID_SIZE], 0);
	assert_string_equal(line, ""); /* nobody has seen another one */
	one->ops->release(one);
	other->ops->release(other);
}

static void a_copy_is_told(void **state)
{
	struct device *dev = create();

	(void)state;
	dev->ops->copied(dev);
	assert_memory_not_equal(page, before, VMGENID_SIZE);
	assert_false(is_zero(page));
	assert_string_equal(line, "10"); /* an edge, after the number has changed */
	dev->ops->release(dev);
}

/* Moved, not copied: it keeps its number, wherever it was built. */
static void a_moved_one_is_not(void **state)
{
	struct device *dev = create(), *there;
	uint8_t number[VMGENID_SIZE];
	struct wbuf out;
	struct rbuf in;

	(void)state;
	memcpy(number, page, VMGENID_SIZE);
	wbuf_init(&out, 4096);
	state_encode(dev->state_desc, dev->state, &out);
	assert_int_equal(out.len, VMGENID_SIZE);
	there = create();
	assert_memory_not_equal(page, number, VMGENID_SIZE);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(state_decode(there->state_desc, there->state, &in, NULL), 0);
	there->ops->loaded(there);
	assert_memory_equal(page, number, VMGENID_SIZE);
	assert_string_equal(line, "");
	wbuf_release(&out);
	dev->ops->release(dev);
	there->ops->release(there);
}

static void state_is_whole(void **state)
{
	struct device *dev = create();

	(void)state;
	assert_int_equal(state_desc_check(dev->state_desc, NULL), 0);
	dev->ops->release(dev);
}

static void without_memory(void **state)
{
	const struct irq_line irq = {.set = set_line, .number = 37};
	struct err err = ERR_INIT;
	struct device *dev;

	(void)state;
	no_memory = true;
	assert_int_equal(vmgenid_create("vmgenid", NULL, GPA, &irq, &dev, &err), -EFAULT);
	assert_string_equal(err.msg, "vmgenid: no memory at 0x1030000");
	no_memory = false;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_machine_has_its_own), cmocka_unit_test(a_copy_is_told),
	cmocka_unit_test(a_moved_one_is_not),	    cmocka_unit_test(state_is_whole),
	cmocka_unit_test(without_memory),
};

UNIT_MAIN(tests)
