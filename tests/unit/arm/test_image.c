/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arm/boot.h"
#include "arm/image.h"

#define WANTED                                                                             \
	"what is needed is an arm64 Image as in arch/arm64/boot, plain or gzip'd (Image, " \
	"Image.gz, vmlinuz.efi)"

static void put(uint8_t *p, uint64_t value, unsigned int bytes)
{
	while (bytes--) {
		*p++ = (uint8_t)value;
		value >>= 8;
	}
}

static void make_header(uint8_t *head, uint64_t text_offset, uint64_t image_size, uint64_t flags)
{
	memset(head, 0, IMAGE_HEADER);
	put(head, 0x14000010, 4);
	put(head + 8, text_offset, 8);
	put(head + 16, image_size, 8);
	put(head + 24, flags, 8);
	memcpy(head + 56, "ARM\x64", 4);
}

static void header_fields(void **state)
{
	static const uint32_t sizes[] = {0, 4096, 16384, 65536};
	struct err err = ERR_INIT;
	struct image_header h;
	enum image_kind kind;
	uint8_t head[IMAGE_HEADER];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		/* Bit 0: big-endian, which the boot protocol allows. */
		make_header(head, 0x80000, 0x1234567, i << 1 | 9);
		assert_int_equal(image_probe(head, sizeof(head), &kind, &err), 0);
		assert_int_equal(kind, IMAGE_PLAIN);
		assert_int_equal(image_header_parse(head, sizeof(head), &h, &err), 0);
		assert_int_equal(h.text_offset, 0x80000);
		assert_int_equal(h.image_size, 0x1234567);
		assert_int_equal(h.flags, i << 1 | 9);
		assert_int_equal(h.page_size, sizes[i]);
	}
	assert_string_equal(err.msg, "");
}

static void header_refused(void **state)
{
	struct err err = ERR_INIT;
	struct image_header h = {.flags = 77};
	uint8_t head[IMAGE_HEADER];

	(void)state;
	make_header(head, 0, 0, 0);
	assert_int_equal(image_header_parse(head, sizeof(head), &h, &err), -EINVAL);
	assert_string_equal(err.msg, "its header does not say how much memory it needs: a kernel "
				     "before Linux 3.17 cannot be booted");
	make_header(head, 0, (1ull << 40) + 1, 0);
	assert_int_equal(image_header_parse(head, sizeof(head), &h, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "damaged: it asks for 1099511627777 bytes"));
	make_header(head, UINT64_MAX, 4096, 0);
	assert_int_equal(image_header_parse(head, sizeof(head), &h, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "at offset 18446744073709551615"));
	make_header(head, 0, 63, 0);
	assert_int_equal(image_header_parse(head, sizeof(head), &h, &err), -EINVAL);
	assert_string_equal(err.msg, "its header is damaged: it asks for 63 bytes of memory");
	make_header(head, 0, 4096, 0);
	head[59] = 'd' + 1;
	assert_int_equal(image_header_parse(head, sizeof(head), &h, &err), -EINVAL);
	assert_string_equal(err.msg, "it has no arm64 Image header");
	assert_int_equal(h.flags, 77);
}

/* Every length of a cut header, in memory of just that length. */
static void header_cut_short(void **state)
{
	struct err err = ERR_INIT;
	struct image_header h;
	enum image_kind kind;
	uint8_t head[IMAGE_HEADER];

	(void)state;
	make_header(head, 0, 4096, 0);
	for (size_t len = 0; len < sizeof(head); len++) {
		uint8_t *cut = malloc(len ? len : 1);

		memcpy(cut, head, len);
		assert_int_equal(image_probe(cut, len, &kind, &err), -EINVAL);
		assert_non_null(strstr(err.msg, WANTED));
		assert_int_equal(image_header_parse(cut, len, &h, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "it is cut short: "));
		free(cut);
	}
	assert_int_equal(image_probe(head, 0, &kind, &err), -EINVAL);
	assert_string_equal(err.msg, "it is empty; " WANTED);
	assert_int_equal(image_probe(head, 63, &kind, &err), -EINVAL);
	assert_string_equal(err.msg, "it has 63 bytes only; " WANTED);
}

static const struct {
	unsigned int at;
	unsigned int len;
	const char *bytes;
	const char *words;
} mistakes[] = {
	{0, 4, "\177ELF", "an ELF file (a vmlinux, or a program)"},
	{514, 4, "HdrS", "a bzImage, a kernel for x86"},
	{36, 4, "\x18\x28\x6f\x01", "a zImage, a kernel for 32-bit Arm"},
	{56, 4, "RSC\x05", "a kernel for RISC-V"},
	{0, 4, "\xd0\x0d\xfe\xed", "a device tree or a FIT image"},
	{0, 4, "\x27\x05\x19\x56", "a U-Boot uImage"},
	{0, 8, "ANDROID!", "an Android boot image"},
	{0, 6, "\xfd\x37zXZ\0", "an xz file"},
	{0, 4, "\x28\xb5\x2f\xfd", "a zstd file"},
	{0, 4, "BZh9", "a bzip2 file"},
	{0, 4, "\x04\x22\x4d\x18", "an lz4 file"},
	{0, 4, "\x02\x21\x4c\x18", "an lz4 file"},
	{0, 4, "\x5d\0\0\x80", "an lzma file"},
	{0, 4, "\x89LZO", "an lzop file"},
	{0, 6, "070701", "a cpio archive (an initrd?)"},
	{0, 4, "PK\x03\x04", "a zip file"},
	{0, 8, "!<arch>\n", "an archive (a Debian package?)"},
	{257, 5, "ustar", "a tar file"},
	{0, 4, "QFI\xfb", "a qcow2 disk image"},
	{0, 2, "MZ", "an EFI program that is no arm64 kernel"},
	{510, 2, "\x55\xaa", "a disk image"},
};

static void names_what_it_looks_like(void **state)
{
	struct err err = ERR_INIT;
	enum image_kind kind;
	uint8_t head[1024];
	char want[512];

	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		memset(head, 0, sizeof(head));
		memcpy(head + mistakes[i].at, mistakes[i].bytes, mistakes[i].len);
		assert_int_equal(image_probe(head, sizeof(head), &kind, &err), -EINVAL);
		(void)snprintf(want, sizeof(want), "it looks like %s; " WANTED, mistakes[i].words);
		assert_string_equal(err.msg, want);
	}
	memset(head, 0, sizeof(head));
	assert_int_equal(image_probe(head, sizeof(head), &kind, &err), -EINVAL);
	assert_string_equal(err.msg, "it is not a kernel; " WANTED);
	memset(head, 'x', sizeof(head));
	assert_int_equal(image_probe(head, sizeof(head), &kind, &err), -EINVAL);
	assert_string_equal(err.msg, "it looks like text; " WANTED);
	memcpy(head, "#!/bin/sh\n", 10);
	assert_int_equal(image_probe(head, 10, &kind, &err), -EINVAL);
	assert_string_equal(err.msg, "it looks like text; " WANTED);
	assert_int_equal(image_probe((const uint8_t *)"\x1f\x8b", 2, &kind, &err), 0);
	assert_int_equal(kind, IMAGE_GZIP);
}

static void make_zboot(uint8_t *head, uint32_t offset, uint32_t size, const char *compression)
{
	memset(head, 0, 512);
	memcpy(head, "MZ\0\0zimg", 8);
	put(head + 8, offset, 4);
	put(head + 12, size, 4);
	memcpy(head + 24, compression, strlen(compression));
	put(head + 56, 0x818223cd, 4);
	put(head + 60, 64, 4);
}

static void zboot(void **state)
{
	struct err err = ERR_INIT;
	enum image_kind kind;
	uint8_t head[512];
	uint64_t offset, size;

	(void)state;
	make_zboot(head, 0x1000, 0x2000, "gzip");
	assert_int_equal(image_probe(head, sizeof(head), &kind, &err), 0);
	assert_int_equal(kind, IMAGE_ZBOOT_GZIP);
	assert_int_equal(image_zboot_payload(head, 512, 0x3000, &offset, &size, &err), 0);
	assert_int_equal(offset, 0x1000);
	assert_int_equal(size, 0x2000);

	assert_int_equal(image_zboot_payload(head, 512, 0x2fff, &offset, &size, &err), -EINVAL);
	assert_string_equal(err.msg, "it is cut short: it has 12287 bytes, and by its EFI zboot "
				     "header the kernel ends at 12288");
	make_zboot(head, 0x1000, 0xfffff100, "gzip");
	assert_int_equal(image_zboot_payload(head, 512, 0x3000, &offset, &size, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ends at 4294967552"));
	make_zboot(head, 55, 0x2000, "gzip");
	assert_int_equal(image_zboot_payload(head, 512, 0x3000, &offset, &size, &err), -EINVAL);
	assert_string_equal(err.msg, "its EFI zboot header is damaged: 8192 bytes of kernel at "
				     "offset 55");
	make_zboot(head, 0x1000, 0, "gzip");
	assert_int_equal(image_zboot_payload(head, 512, 0x3000, &offset, &size, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "damaged: 0 bytes"));
	assert_int_equal(image_zboot_payload(head, 55, 0x3000, &offset, &size, &err), -EINVAL);
	assert_string_equal(err.msg, "it is cut short: an EFI zboot header of 55 bytes");

	make_zboot(head, 0x1000, 0x2000, "zstd22");
	assert_int_equal(image_probe(head, sizeof(head), &kind, &err), -EINVAL);
	assert_string_equal(
		err.msg, "it is an EFI zboot image compressed with 'zstd22', of which lkvm knows "
			 "gzip only; build the kernel with CONFIG_KERNEL_GZIP, or give "
			 "arch/arm64/boot/Image");
	make_zboot(head, 0x1000, 0x2000, "gzip\n\033[31m and much more than fits");
	assert_int_equal(image_probe(head, sizeof(head), &kind, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "'gzip??[31m and '"));
	make_zboot(head, 0x1000, 0x2000, "gzip");
	assert_int_equal(image_probe(head, 55, &kind, &err), -EINVAL);
	assert_string_equal(err.msg, "it is cut short: an EFI zboot header of 55 bytes");
}

/* An Image with two sections, as with an EFI stub. */
static void make_pe(uint8_t *head)
{
	memset(head, 0, 1024);
	make_header(head, 0, 0x100000, 0xa);
	memcpy(head, "MZ", 2);
	put(head + 60, 0x40, 4);
	memcpy(head + 0x40, "PE\0\0\x64\xaa", 6);
	put(head + 0x46, 2, 2);
	put(head + 0x54, 160, 2);
	/* Sections at 0x40 + 24 + 160. */
	put(head + 248 + 16, 0x8000, 4);
	put(head + 248 + 20, 0x10000, 4);
	put(head + 288 + 16, 0x4000, 4);
	put(head + 288 + 20, 0x8000, 4);
}

static void pe_end(void **state)
{
	uint8_t head[1024];

	(void)state;
	make_pe(head);
	assert_int_equal(image_pe_end(head, sizeof(head)), 0x18000);
	put(head + 288 + 20, 0xffffffff, 4);
	assert_int_equal(image_pe_end(head, sizeof(head)), 0x100003fff);
	/* Where the table is not all there, nothing is known. */
	make_pe(head);
	assert_int_equal(image_pe_end(head, 328), 0x18000);
	assert_int_equal(image_pe_end(head, 327), 0);
	put(head + 0x46, 0xffff, 2);
	assert_int_equal(image_pe_end(head, sizeof(head)), 0);
	make_pe(head);
	put(head + 60, 0xffffffff, 4);
	assert_int_equal(image_pe_end(head, sizeof(head)), 0);
	make_pe(head);
	put(head + 60, 1001, 4);
	assert_int_equal(image_pe_end(head, sizeof(head)), 0);
	make_pe(head);
	head[0x41] = 0;
	assert_int_equal(image_pe_end(head, sizeof(head)), 0);
	make_pe(head);
	head[0] = 0;
	assert_int_equal(image_pe_end(head, sizeof(head)), 0);
}

/* Whatever the bytes: an answer or a line, and no access outside, for which ASan watches. */
static void random_bytes(void **state)
{
	unsigned int seed = 1, answers = 0;

	(void)state;
	for (unsigned int round = 0; round < 40000; round++) {
		size_t len = (size_t)rand_r(&seed) % 700;
		uint8_t whole[1024], *head = malloc(len ? len : 1);
		struct err err = ERR_INIT;
		struct image_header h;
		enum image_kind kind;
		uint64_t offset, size;

		if (round & 1)
			make_pe(whole);
		else
			make_zboot(whole, 0x1000, 0x2000, round & 2 ? "gzip" : "xzkern");
		memcpy(head, whole, len);
		for (unsigned int n = (unsigned int)rand_r(&seed) % 8; n && len; n--)
			head[(size_t)rand_r(&seed) % len] = (uint8_t)rand_r(&seed);

		if (image_probe(head, len, &kind, &err) == 0)
			answers++;
		else
			assert_true(err.msg[0]);
		err.msg[0] = 0;
		if (image_header_parse(head, len, &h, &err))
			assert_true(err.msg[0]);
		else
			assert_true(h.image_size >= 64 && h.image_size <= 1ull << 40);
		if (image_zboot_payload(head, len, 0x3000, &offset, &size, &err) == 0)
			assert_true(size && offset + size <= 0x3000);
		assert_true(image_pe_end(head, len) < 1ull << 33);
		free(head);
	}
	assert_in_range(answers, 5000, 39000);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(header_fields),
	cmocka_unit_test(header_refused),
	cmocka_unit_test(header_cut_short),
	cmocka_unit_test(names_what_it_looks_like),
	cmocka_unit_test(zboot),
	cmocka_unit_test(pe_end),
	cmocka_unit_test(random_bytes),
};

UNIT_MAIN(tests)
