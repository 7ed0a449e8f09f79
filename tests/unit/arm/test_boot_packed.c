/* SPDX-License-Identifier: GPL-2.0-only */
#include "boot_guest.h"

static void gzipped(void **state)
{
	struct guest *g = *state;
	/* Longer than a piece and than the input buffer, and of no round size. */
	size_t len = 19 * MIB + 4097, packed;
	uint8_t *image = make_image(len, 0x80000, 21 * MIB), *gz = pack(image, len, &packed);

	store(KERNEL(g), gz, packed);
	store(INITRD(g), "initrd", 6);
	loads(g, INITRD(g));
	assert_int_equal(g->layout.entry, RAM + 0x80000);
	assert_int_equal(g->layout.fdt, RAM + 22 * MIB);
	assert_memory_equal(ram(g, RAM + 0x80000), image, len);
	is_zero(g, RAM + 0x80000 + len, g->layout.initrd);
	assert_memory_equal(ram(g, g->layout.initrd), "initrd\0", 7);
	free(image);
	free(gz);
}

/* Up to the last byte of the room before the device tree, and not one more. */
static void gzipped_exactly(void **state)
{
	struct guest *g = *state;
	size_t packed;

	for (size_t len = 4 * MIB - 1; len <= 4 * MIB + 1; len++) {
		uint8_t *image = make_image(len, 0, 4 * MIB), *gz = pack(image, len, &packed);

		new_ram(g, FULL);
		store(KERNEL(g), gz, packed);
		if (len <= 4 * MIB) {
			loads(g, NULL);
			assert_memory_equal(ram(g, RAM), image, len);
		} else {
			refuses(g, NULL, -EINVAL,
				"it unpacks to more than the 4194304 bytes of memory that its "
				"header asks for");
		}
		is_zero(g, RAM + 4 * MIB, RAM + FULL);
		free(image);
		free(gz);
	}
	/* Shorter than the head that is looked at; as long as it; with less room than it. */
	for (size_t len = 64; len <= 8192; len *= 2) {
		uint8_t *image = make_image(len, 2 * MIB - 4096, len < 4096 ? len : 4096);
		uint8_t *gz = pack(image, len, &packed);

		new_ram(g, FULL);
		store(KERNEL(g), gz, packed);
		if (len <= 4096) {
			loads(g, NULL);
			assert_memory_equal(ram(g, RAM + 2 * MIB - 4096), image, len);
		} else {
			refuses(g, NULL, -EINVAL,
				"it unpacks to more than the 4096 bytes of memory that its header "
				"asks for");
		}
		is_zero(g, RAM + 2 * MIB, RAM + FULL);
		free(image);
		free(gz);
	}
}

static void several_members_and_padding(void **state)
{
	struct guest *g = *state;
	size_t len = MIB, a, b, empty;
	uint8_t *image = make_image(len, 0, 2 * MIB), *one = pack(image, 100, &a),
		*two = pack(image + 100, len - 100, &b), *none = pack(image, 0, &empty),
		*all = calloc(1, 2 * MIB);

	assert_non_null(all);
	memcpy(all, one, a);
	memcpy(all + a, none, empty);
	memcpy(all + a + empty, two, b);
	store(KERNEL(g), all, a + empty + b);
	loads(g, NULL);
	assert_memory_equal(ram(g, RAM), image, len);

	/* Zeros behind it, across the border of the input buffer. */
	for (size_t pad = 1; pad <= 300000; pad += 299999) {
		new_ram(g, FULL);
		store(KERNEL(g), all, a + empty + b + pad);
		loads(g, NULL);
		assert_memory_equal(ram(g, RAM), image, len);
	}
	all[a + empty + b + 200000] = 'x';
	store(KERNEL(g), all, a + empty + b + 300000);
	{
		char want[256];

		(void)snprintf(want, sizeof(want),
			       "there is something else behind its gzip data, from offset %zu on",
			       a + empty + b + 200000);
		refuses(g, NULL, -EINVAL, want);
	}
	/* A member behind padding is no member. */
	memset(all, 0, 2 * MIB);
	memcpy(all, one, a);
	memcpy(all + a + 1, two, b);
	store(KERNEL(g), all, a + 1 + b);
	{
		char want[256];

		(void)snprintf(want, sizeof(want),
			       "there is something else behind its gzip data, from offset %zu on",
			       a + 1);
		refuses(g, NULL, -EINVAL, want);
	}
	/* Not even where it starts with a new buffer of input. */
	memset(all, 0, 2 * MIB);
	memcpy(all, one, a);
	memcpy(all + 131072, two, b);
	store(KERNEL(g), all, 131072 + b);
	refuses(g, NULL, -EINVAL,
		"there is something else behind its gzip data, from offset 131072 on");
	free(image);
	free(one);
	free(two);
	free(none);
	free(all);
}

/* Cut anywhere, changed anywhere: never accepted, never more than the room written. */
static void gzip_damaged(void **state)
{
	struct guest *g = *state;
	size_t len = 300000, packed;
	uint8_t *image = make_image(len, 0, 2 * MIB), *gz = pack(image, len, &packed);
	unsigned int seed = 3;
	struct err err;

	for (size_t cut = 2; cut < packed; cut += cut < 40 || cut > packed - 20 ? 1 : 17321) {
		store(KERNEL(g), gz, cut);
		refuses(g, NULL, -EINVAL,
			"its gzip data ends in the middle: the file is cut short");
	}
	for (unsigned int i = 0; i < 300; i++) {
		/* Most of a gzip header is of no consequence. */
		size_t where = i < 8 ? packed - 1 - i : 10 + (size_t)rand_r(&seed) % (packed - 10);

		gz[where] ^= (uint8_t)(1u << rand_r(&seed) % 8);
		store(KERNEL(g), gz, packed);
		assert_int_not_equal(load(g, NULL, &err), 0);
		assert_true(strlen(err.msg) > strlen(KERNEL(g)) + 20);
		free(gz);
		gz = pack(image, len, &packed);
	}
	is_zero(g, RAM + 2 * MIB, RAM + FULL);
	gz[3] |= 0x80;
	store(KERNEL(g), gz, packed);
	assert_int_equal(load(g, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "damaged near offset"));
	free(image);
	free(gz);
}

static void zip_bomb(void **state)
{
	struct guest *g = *state;
	size_t len = 512 * MIB, packed;
	uint8_t *image = mmap(NULL, len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		*head = make_image(64, 0, 3 * MIB), *gz;

	assert_true(image != MAP_FAILED);
	memcpy(image, head, 64);
	gz = pack(image, len, &packed);
	assert_true(packed < 4 * MIB);
	store(KERNEL(g), gz, packed);
	refuses(g, NULL, -EINVAL,
		"it unpacks to more than the 3145728 bytes of memory that its header asks for");
	is_zero(g, RAM + 64, RAM + FULL);
	munmap(image, len);
	free(head);
	free(gz);
}

static void gzip_of_something_else(void **state)
{
	struct guest *g = *state;
	size_t len, len2;
	uint8_t *image = make_image(MIB, 0, 2 * MIB), *gz, *gz2;
	struct err err;
	char want[256];

	gz = pack((const uint8_t *)"hello, world\n", 13, &len);
	store(KERNEL(g), gz, len);
	assert_int_equal(load(g, NULL, &err), -EINVAL);
	(void)snprintf(want, sizeof(want), "kernel '%s': unpacked: it looks like text; ",
		       KERNEL(g));
	assert_memory_equal(err.msg, want, strlen(want));
	free(gz);
	gz = pack((const uint8_t *)"", 0, &len);
	store(KERNEL(g), gz, len);
	assert_int_equal(load(g, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "unpacked: it is empty; "));
	free(gz);
	gz = pack(image, MIB, &len);
	gz2 = pack(gz, len, &len2);
	store(KERNEL(g), gz2, len2);
	refuses(g, NULL, -EINVAL, "unpacked: it is packed twice");
	put(image + 16, 0, 8);
	free(gz);
	gz = pack(image, MIB, &len);
	store(KERNEL(g), gz, len);
	refuses(g, NULL, -EINVAL,
		"its header does not say how much memory it needs: a kernel before Linux 3.17 "
		"cannot be booted");
	is_zero(g, RAM, RAM + FULL);
	free(gz);
	free(gz2);
	free(image);
}

static void zboot(void **state)
{
	struct guest *g = *state;
	size_t len = 2 * MIB + 5, packed;
	uint8_t *image = make_image(len, 0, 4 * MIB), *gz = pack(image, len, &packed),
		*file = malloc(0x1000 + packed + 5000);

	assert_non_null(file);
	noise(file, 0x1000 + packed + 5000, 9);
	memcpy(file, "MZ\0\0zimg", 8);
	put(file + 8, 0x1000, 4);
	put(file + 12, packed, 4);
	memcpy(file + 24, "gzip", 5);
	memcpy(file + 0x1000, gz, packed);
	/* What follows the payload is the EFI program's. */
	store(KERNEL(g), file, 0x1000 + packed + 5000);
	loads(g, NULL);
	assert_memory_equal(ram(g, RAM), image, len);
	assert_int_equal(g->layout.fdt, RAM + 4 * MIB);

	store(KERNEL(g), file, 0x1000 + packed);
	loads(g, NULL);
	store(KERNEL(g), file, 0x1000 + packed - 1);
	{
		char want[256];

		(void)snprintf(want, sizeof(want),
			       "it is cut short: it has %zu bytes, and by its EFI zboot header the "
			       "kernel ends at %zu",
			       0x1000 + packed - 1, 0x1000 + packed);
		refuses(g, NULL, -EINVAL, want);
	}
	put(file + 12, packed - 9, 4);
	store(KERNEL(g), file, 0x1000 + packed);
	refuses(g, NULL, -EINVAL, "its gzip data ends in the middle: the file is cut short");
	memcpy(file + 24, "zstd", 5);
	store(KERNEL(g), file, 0x1000 + packed);
	refuses(g, NULL, -EINVAL,
		"it is an EFI zboot image compressed with 'zstd', of which lkvm knows gzip only; "
		"build the kernel with CONFIG_KERNEL_GZIP, or give arch/arm64/boot/Image");
	free(image);
	free(gz);
	free(file);
}

/* Whole files with random changes at the front: an answer or a line, and RAM's borders kept. */
static void random_kernels(void **state)
{
	struct guest *g = *state;
	size_t len = 20000, packed;
	uint8_t *image = make_image(len, 0, 2 * MIB), *gz = pack(image, len, &packed);
	unsigned int seed = 11;
	struct err err;

	new_ram(g, 16 * MIB);
	for (unsigned int i = 0; i < 1500; i++) {
		const uint8_t *from = i & 1 ? image : gz;
		size_t size = i & 1 ? len : packed, front = i & 2 ? 64 : size;
		uint8_t copy[32768];

		memcpy(copy, from, size);
		for (unsigned int n = (unsigned int)rand_r(&seed) % 5; n; n--)
			copy[(size_t)rand_r(&seed) % front] = (uint8_t)rand_r(&seed);
		store(KERNEL(g), copy, i & 4 ? size : 1 + (size_t)rand_r(&seed) % size);
		err.msg[0] = 0;
		g->layout.ram_base = RAM;
		g->layout.ram_size = 16 * MIB;
		if (boot_load_kernel(&g->mem, KERNEL(g), NULL, &g->layout, &(uint32_t){0}, &err))
			assert_true(err.msg[0]);
		else
			assert_true(g->layout.fdt + 2 * MIB <= RAM + 16 * MIB);
	}
	free(image);
	free(gz);
}

static const struct CMUnitTest tests[] = {
	TEST(gzipped),	    TEST(gzipped_exactly), TEST(several_members_and_padding),
	TEST(gzip_damaged), TEST(zip_bomb),	   TEST(gzip_of_something_else),
	TEST(zboot),	    TEST(random_kernels),
};

UNIT_MAIN(tests)
