/* SPDX-License-Identifier: GPL-2.0-only */
/* VMGenID in the device tree: Linux's binding rng/microsoft,vmgenid.yaml. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include <libfdt.h>

#include "arm/fdt.h"

static const uint64_t mpidr[1];
static uint8_t tree[FDT_ROOM];

static struct fdt_desc board(void)
{
	return (struct fdt_desc){
		.mpidr = mpidr,
		.cpus = 1,
		.ram = {0x80000000, 0x10000000},
		.gic = FDT_GICV3,
		.gic_dist = {0x3fff0000, 0x10000},
		.gic_redist = {0x3ffd0000, 0x20000},
		.psci_version = 0x10000,
		.vmgenid = {0x1060000, 16},
		.vmgenid_irq = 39,
	};
}

static uint32_t cell(int node, const char *name, unsigned int n)
{
	int len;
	const fdt32_t *cells = fdt_getprop(tree, node, name, &len);

	assert_non_null(cells);
	assert_true(len > (int)(4 * n));
	return fdt32_ld(cells + n);
}

static void as_the_binding_says(void **state)
{
	static const uint32_t reg[] = {0, 0x1060000, 0, 16}, interrupts[] = {0, 39 - 32, 1};
	struct fdt_desc d = board();
	struct err err = ERR_INIT;
	size_t size;
	int node;

	(void)state;
	assert_int_equal(fdt_build(&d, tree, sizeof(tree), &size, &err), 0);
	node = fdt_path_offset(tree, "/rng@1060000");
	assert_true(node >= 0);
	assert_int_equal(fdt_node_check_compatible(tree, node, "microsoft,vmgenid"), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(cell(node, "reg", i), reg[i]);
	for (unsigned int i = 0; i < 3; i++) /* an SPI, an edge */
		assert_int_equal(cell(node, "interrupts", i), interrupts[i]);
}

static void or_not_at_all(void **state)
{
	struct fdt_desc d = board();
	struct err err = ERR_INIT;
	size_t size;

	(void)state;
	d.vmgenid.size = 0;
	d.vmgenid_irq = 0;
	assert_int_equal(fdt_build(&d, tree, sizeof(tree), &size, &err), 0);
	assert_int_equal(fdt_node_offset_by_compatible(tree, -1, "microsoft,vmgenid"),
			 -FDT_ERR_NOTFOUND);
	d = board();
	d.vmgenid_irq = 31; /* no SPI */
	assert_int_equal(fdt_build(&d, tree, sizeof(tree), &size, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "description is wrong"));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(as_the_binding_says),
	cmocka_unit_test(or_not_at_all),
};

UNIT_MAIN(tests)
