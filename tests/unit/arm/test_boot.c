/* SPDX-License-Identifier: GPL-2.0-only */
#include "boot_guest.h"

#define SLOT (128 << 10) /* what the device tree may take before an initrd */

static void plain(void **state)
{
	struct guest *g = *state;
	size_t len = 5 * MIB + 123;
	uint8_t *image = make_image(len, 0, 7 * MIB), *initrd = malloc(3 * MIB + 1);

	assert_non_null(initrd);
	noise(initrd, 3 * MIB + 1, 7);
	store(KERNEL(g), image, len);
	store(INITRD(g), initrd, 3 * MIB + 1);
	loads(g, INITRD(g));
	assert_int_equal(g->layout.entry, RAM);
	assert_int_equal(g->layout.fdt, RAM + 8 * MIB);
	assert_int_equal(g->layout.fdt_room, SLOT);
	assert_int_equal(g->layout.initrd, RAM + 8 * MIB + SLOT);
	assert_int_equal(g->layout.initrd_size, 3 * MIB + 1);
	assert_memory_equal(ram(g, RAM), image, len);
	is_zero(g, RAM + len, RAM + 8 * MIB + SLOT);
	assert_memory_equal(ram(g, RAM + 8 * MIB + SLOT), initrd, 3 * MIB + 1);
	is_zero(g, RAM + 11 * MIB + SLOT + 1, RAM + FULL);
	free(image);
	free(initrd);
}

static void text_offset(void **state)
{
	struct guest *g = *state;
	uint8_t *image = make_image(MIB, 0x80000, 2 * MIB - 0x80000);

	store(KERNEL(g), image, MIB);
	loads(g, NULL);
	assert_int_equal(g->layout.entry, RAM + 0x80000);
	assert_int_equal(g->layout.fdt, RAM + 2 * MIB);
	assert_int_equal(g->layout.initrd, 0);
	assert_int_equal(g->layout.initrd_size, 0);
	is_zero(g, RAM, RAM + 0x80000);
	assert_memory_equal(ram(g, RAM + 0x80000), image, MIB);
	/* One byte more and the device tree moves on. */
	put(image + 16, 2 * MIB - 0x80000 + 1, 8);
	store(KERNEL(g), image, MIB);
	loads(g, NULL);
	assert_int_equal(g->layout.fdt, RAM + 4 * MIB);
	free(image);
}

static void odd_base(void **state)
{
	struct guest *g = *state;
	uint8_t *image = make_image(MIB, 0, 2 * MIB);

	store(KERNEL(g), image, MIB);
	g->layout.ram_base = RAM + 0x1000;
	g->layout.ram_size = FULL - 0x1000;
	loads(g, NULL);
	assert_int_equal(g->layout.entry, RAM + 2 * MIB);
	assert_int_equal(g->layout.fdt, RAM + 4 * MIB);
	free(image);
}

/* The -m that a message names does it, and 2 MiB less does not. */
static void ram_too_small(void **state)
{
	struct guest *g = *state;
	uint8_t *image = make_image(MIB, 0x80000, 30 * MIB);
	struct err err;
	char want[512];

	store(KERNEL(g), image, MIB);
	new_ram(g, 32 * MIB);
	assert_int_equal(load(g, NULL, &err), -ENOMEM);
	(void)snprintf(
		want, sizeof(want),
		"guest memory is too small: kernel '%s' needs 32 MiB, the device tree 2; use "
		"-m 34 or more",
		KERNEL(g));
	assert_string_equal(err.msg, want);
	new_ram(g, 34 * MIB);
	loads(g, NULL);

	store_hole(INITRD(g), 5 * MIB + 1);
	new_ram(g, 38 * MIB);
	assert_int_equal(load(g, INITRD(g), &err), -ENOMEM);
	(void)snprintf(want, sizeof(want),
		       "guest memory is too small: kernel '%s' needs 32 MiB, the device tree 2, "
		       "initrd '%s' 6; use -m 40 or more",
		       KERNEL(g), INITRD(g));
	assert_string_equal(err.msg, want);
	new_ram(g, 40 * MIB);
	loads(g, INITRD(g));

	/* An initrd of 4 TiB. */
	store_hole(INITRD(g), 1ull << 42);
	assert_int_equal(load(g, INITRD(g), &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "use -m 4194338 or more"));
	/* A header that asks for 1 TiB. */
	put(image + 16, 1ull << 40, 8);
	store(KERNEL(g), image, MIB);
	assert_int_equal(load(g, NULL, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "use -m 1048580 or more"));
	is_zero(g, RAM + 34 * MIB, RAM + 40 * MIB);
	free(image);
}

static void files_that_are_none(void **state)
{
	struct guest *g = *state;
	uint8_t *image = make_image(MIB, 0, 2 * MIB);
	struct err err;
	char want[256];

	refuses(g, NULL, -ENOENT, "No such file or directory");
	store(KERNEL(g), image, MIB);
	assert_int_equal(load(g, "/no/such/initrd", &err), -ENOENT);
	assert_string_equal(err.msg, "initrd '/no/such/initrd': No such file or directory");
	assert_int_equal(load(g, "/tmp", &err), -EINVAL);
	assert_string_equal(err.msg, "initrd '/tmp' is a folder; give a regular file");
	assert_int_equal(load(g, "/dev/null", &err), -EINVAL);
	assert_string_equal(err.msg, "initrd '/dev/null' is a device; give a regular file");
	store(INITRD(g), "", 0);
	assert_int_equal(load(g, INITRD(g), &err), -EINVAL);
	(void)snprintf(want, sizeof(want), "initrd '%s' is empty", INITRD(g));
	assert_string_equal(err.msg, want);
	/* Nobody writes to it: opening must not wait. */
	assert_int_equal(unlink(INITRD(g)), 0);
	assert_int_equal(mkfifo(INITRD(g), 0600), 0);
	assert_int_equal(load(g, INITRD(g), &err), -EINVAL);
	(void)snprintf(want, sizeof(want), "initrd '%s' is a pipe; give a regular file", INITRD(g));
	assert_string_equal(err.msg, want);
	is_zero(g, RAM, RAM + FULL);

	store(KERNEL(g), "", 0);
	assert_int_equal(load(g, NULL, &err), -EINVAL);
	(void)snprintf(want, sizeof(want), "kernel '%s' is empty", KERNEL(g));
	assert_string_equal(err.msg, want);
	free(image);
}

static void wrong_kernels(void **state)
{
	struct guest *g = *state;
	uint8_t *image = make_image(3 * MIB, 0, 2 * MIB);
	struct err err;

	store(KERNEL(g), "\177ELF\2\1\1", 8);
	assert_int_equal(load(g, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "it looks like an ELF file"));
	store(KERNEL(g), image, 63);
	assert_int_equal(load(g, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "it has 63 bytes only"));
	store(KERNEL(g), image, 3 * MIB);
	refuses(g, NULL, -EINVAL,
		"it has 3145728 bytes, more than the 2097152 bytes of memory that its header asks "
		"for");
	put(image + 16, 0, 8);
	store(KERNEL(g), image, 3 * MIB);
	refuses(g, NULL, -EINVAL,
		"its header does not say how much memory it needs: a kernel before Linux 3.17 "
		"cannot be booted");
	free(image);
	is_zero(g, RAM, RAM + FULL);
}

/* An Image with an EFI stub tells how long it must be. */
static void plain_cut_short(void **state)
{
	struct guest *g = *state;
	uint8_t *image = make_image(MIB, 0, 2 * MIB);

	memcpy(image, "MZ", 2);
	put(image + 60, 64, 4);
	memset(image + 64, 0, 24 + 40);
	memcpy(image + 64, "PE\0\0", 4);
	put(image + 64 + 6, 1, 2);
	put(image + 64 + 24 + 16, MIB - 4096, 4);
	put(image + 64 + 24 + 20, 4096, 4);
	store(KERNEL(g), image, MIB - 1);
	refuses(g, NULL, -EINVAL,
		"it is cut short: it has 1048575 bytes, and by its section table 1048576");
	store(KERNEL(g), image, MIB);
	loads(g, NULL);
	/* A signature may follow. */
	assert_int_equal(truncate(KERNEL(g), MIB + 2000), 0);
	loads(g, NULL);
	free(image);
}

static void firmware(void **state)
{
	struct guest *g = *state;
	uint8_t *bytes = malloc(3 * MIB);
	struct err err = ERR_INIT;

	assert_non_null(bytes);
	noise(bytes, 3 * MIB, 5);
	store(KERNEL(g), bytes, 3 * MIB);
	assert_int_equal(boot_load_firmware(&g->mem, KERNEL(g), 0, &g->layout, &err), 0);
	assert_int_equal(g->layout.entry, RAM);
	assert_int_equal(g->layout.fdt, RAM + FULL - 2 * MIB);
	assert_int_equal(g->layout.initrd, 0);
	assert_int_equal(g->layout.initrd_size, 0);
	assert_memory_equal(ram(g, RAM), bytes, 3 * MIB);
	is_zero(g, RAM + 3 * MIB, RAM + FULL);

	/* To the last byte below the device tree; then one more, and the tree goes below. */
	new_ram(g, FULL);
	assert_int_equal(
		boot_load_firmware(&g->mem, KERNEL(g), RAM + FULL - 5 * MIB, &g->layout, &err), 0);
	assert_int_equal(g->layout.entry, RAM + FULL - 5 * MIB);
	assert_int_equal(g->layout.fdt, RAM + FULL - 2 * MIB);
	assert_memory_equal(ram(g, RAM + FULL - 5 * MIB), bytes, 3 * MIB);
	assert_int_equal(
		boot_load_firmware(&g->mem, KERNEL(g), RAM + FULL - 5 * MIB + 4, &g->layout, &err),
		0);
	assert_int_equal(g->layout.fdt, RAM + FULL - 8 * MIB);
	assert_int_equal(
		boot_load_firmware(&g->mem, KERNEL(g), RAM + FULL - 3 * MIB, &g->layout, &err), 0);
	assert_int_equal(g->layout.entry, RAM + FULL - 3 * MIB);
	assert_int_equal(g->layout.fdt, RAM + FULL - 6 * MIB);
	free(bytes);
}

static void firmware_refused(void **state)
{
	struct guest *g = *state;
	struct err err = ERR_INIT;
	char want[512];

#define REFUSED(address, code, text, ...)                                                         \
	do {                                                                                      \
		(void)snprintf(want, sizeof(want), text, ##__VA_ARGS__);                          \
		assert_int_equal(                                                                 \
			boot_load_firmware(&g->mem, KERNEL(g), address, &g->layout, &err), code); \
		assert_string_equal(err.msg, want);                                               \
	} while (0)

	REFUSED(0, -ENOENT, "firmware '%s': No such file or directory", KERNEL(g));
	store(KERNEL(g), "", 0);
	REFUSED(0, -EINVAL, "firmware '%s' is empty", KERNEL(g));
	store_hole(KERNEL(g), 3 * MIB);
	REFUSED(RAM + 2, -EINVAL, "firmware address 0x80000002 is not a multiple of 4");
	REFUSED(RAM - 4, -EINVAL,
		"firmware address 0x7ffffffc is not in guest memory (0x80000000 to 0x83ffffff)");
	REFUSED(RAM + FULL, -EINVAL,
		"firmware address 0x84000000 is not in guest memory (0x80000000 to 0x83ffffff)");
	REFUSED(UINT64_MAX - 3, -EINVAL,
		"firmware address 0xfffffffffffffffc is not in guest memory (0x80000000 to "
		"0x83ffffff)");
	REFUSED(RAM + FULL - 2 * MIB, -ENOMEM,
		"firmware '%s' has 3145728 bytes, guest memory from 0x83e00000 on 2097152; use -m 68 "
		"or more",
		KERNEL(g));
	store_hole(KERNEL(g), FULL - 2 * MIB + 1);
	REFUSED(0, -ENOMEM,
		"firmware '%s' leaves no 2 MiB of guest memory for the device tree; use -m 66 or "
		"more",
		KERNEL(g));
	/* The advice is right. */
	new_ram(g, 66 * MIB);
	assert_int_equal(boot_load_firmware(&g->mem, KERNEL(g), 0, &g->layout, &err), 0);
#undef REFUSED
}

static void flat(void **state)
{
	struct guest *g = *state;
	struct err err = ERR_INIT;
	char want[256];

	store(KERNEL(g), "flash", 5);
	assert_int_equal(boot_load_flat(&g->mem, KERNEL(g), RAM + MIB, 5, &err), 0);
	assert_memory_equal(ram(g, RAM + MIB), "flash\0", 6);
	is_zero(g, RAM, RAM + MIB);
	(void)snprintf(want, sizeof(want), "flash '%s' has 5 bytes, its room is 4 bytes",
		       KERNEL(g));
	assert_int_equal(boot_load_flat(&g->mem, KERNEL(g), RAM, 4, &err), -EINVAL);
	assert_string_equal(err.msg, want);
	(void)snprintf(want, sizeof(want), "flash '%s': no guest memory for 5 bytes at 0x1000",
		       KERNEL(g));
	assert_int_equal(boot_load_flat(&g->mem, KERNEL(g), 0x1000, 5, &err), -EFAULT);
	assert_string_equal(err.msg, want);
	is_zero(g, RAM, RAM + MIB);
	assert_int_equal(boot_load_flat(&g->mem, "/", RAM, 4, &err), -EINVAL);
	assert_string_equal(err.msg, "flash '/' is a folder; give a regular file");
}

static const struct CMUnitTest tests[] = {
	TEST(plain),
	TEST(text_offset),
	TEST(odd_base),
	TEST(ram_too_small),
	TEST(files_that_are_none),
	TEST(wrong_kernels),
	TEST(plain_cut_short),
	TEST(firmware),
	TEST(firmware_refused),
	TEST(flat),
};

UNIT_MAIN(tests)
