/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "arm/boot.h"
#include "arm/image.h"

/* Documentation/arch/arm64/booting.rst, "Call the kernel image". */
#define HEADER_TEXT_OFFSET 8
#define HEADER_IMAGE_SIZE  16
#define HEADER_FLAGS	   24
#define HEADER_MAGIC	   56
#define HEADER_PE	   60

/* EFI zboot: an EFI program that unpacks the kernel it carries. */
#define ZBOOT_TYPE	  4
#define ZBOOT_OFFSET	  8
#define ZBOOT_SIZE	  12
#define ZBOOT_COMPRESSION 24
#define ZBOOT_HEADER	  56

/* No guest has more memory than this; a header that asks for more is damaged. */
#define IMAGE_SIZE_MAX (1ull << 40)

#define WANTED                                                                                       \
	"what is needed is an arm64 Image as in arch/arm64/boot, plain or gzip'd (Image, Image.gz, " \
	"vmlinuz.efi)"

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static bool has(const uint8_t *head, size_t len, size_t at, const char *magic, size_t magic_len)
{
	return at <= len && magic_len <= len - at && !memcmp(head + at, magic, magic_len);
}

/* What people give by mistake. */
static const struct {
	uint16_t at;
	uint8_t len;
	char magic[8];
	const char *what;
} mistakes[] = {
	{0, 4, "\177ELF", "an ELF file (a vmlinux, or a program)"},
	{514, 4, "HdrS", "a bzImage, a kernel for x86"},
	{0x24, 4, "\x18\x28\x6f\x01", "a zImage, a kernel for 32-bit Arm"},
	{56, 4, "RSC\x05", "a kernel for RISC-V"},
	{0, 4, "\xd0\x0d\xfe\xed", "a device tree or a FIT image"},
	{0, 4, "\x27\x05\x19\x56", "a U-Boot uImage"},
	{0, 8, "ANDROID!", "an Android boot image"},
	{0, 6,
	 "\xfd"
	 "7zXZ",
	 "an xz file"},
	{0, 4, "\x28\xb5\x2f\xfd", "a zstd file"},
	{0, 3, "BZh", "a bzip2 file"},
	{0, 4, "\x04\x22\x4d\x18", "an lz4 file"},
	{0, 4, "\x02\x21\x4c\x18", "an lz4 file"},
	{0, 3, "\x5d\0\0", "an lzma file"},
	{0, 4, "\x89LZO", "an lzop file"},
	{0, 5, "07070", "a cpio archive (an initrd?)"},
	{0, 4, "PK\x03\x04", "a zip file"},
	{0, 7, "!<arch>", "an archive (a Debian package?)"},
	{257, 5, "ustar", "a tar file"},
	{0, 4, "QFI\xfb", "a qcow2 disk image"},
	{0, 2, "MZ", "an EFI program that is no arm64 kernel"},
	{510, 2, "\x55\xaa", "a disk image"},
};

static bool is_text(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i < len && i < 256; i++)
		if (head[i] != '\t' && head[i] != '\n' && head[i] != '\r' &&
		    (head[i] < 0x20 || head[i] == 0x7f))
			return false;
	return true;
}

static const char *looks_like(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		if (has(head, len, mistakes[i].at, mistakes[i].magic, mistakes[i].len))
			return mistakes[i].what;
	if (is_text(head, len))
		return "text";
	return NULL;
}

/* The name of the compression, made printable: it goes into a message. */
static int probe_zboot(const uint8_t *head, size_t len, enum image_kind *kind, struct err *err)
{
	char name[16] = "";

	if (len < ZBOOT_HEADER)
		return err_set(err, -EINVAL, "it is cut short: an EFI zboot header of %zu bytes",
			       len);
	if (has(head, len, ZBOOT_COMPRESSION, "gzip", 5)) {
		*kind = IMAGE_ZBOOT_GZIP;
		return 0;
	}
	for (size_t i = 0; i < sizeof(name) - 1 && head[ZBOOT_COMPRESSION + i]; i++)
		name[i] = (char)head[ZBOOT_COMPRESSION + i];
	for (char *p = name; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	return err_set(
		err, -EINVAL,
		"it is an EFI zboot image compressed with '%s', of which lkvm knows gzip only; "
		"build the kernel with CONFIG_KERNEL_GZIP, or give arch/arm64/boot/Image",
		name);
}

int image_probe(const uint8_t *head, size_t len, enum image_kind *kind, struct err *err)
{
	const char *what;

	if (!len)
		return err_set(err, -EINVAL, "it is empty; " WANTED);
	if (has(head, len, 0, "\x1f\x8b", 2)) {
		*kind = IMAGE_GZIP;
		return 0;
	}
	if (has(head, len, HEADER_MAGIC, "ARM\x64", 4) && len >= IMAGE_HEADER) {
		*kind = IMAGE_PLAIN;
		return 0;
	}
	if (has(head, len, 0, "MZ", 2) && has(head, len, ZBOOT_TYPE, "zimg", 4))
		return probe_zboot(head, len, kind, err);

	what = looks_like(head, len);
	if (what)
		return err_set(err, -EINVAL, "it looks like %s; " WANTED, what);
	if (len < IMAGE_HEADER)
		return err_set(err, -EINVAL, "it has %zu bytes only; " WANTED, len);
	return err_set(err, -EINVAL, "it is not a kernel; " WANTED);
}

int image_header_parse(const uint8_t *head, size_t len, struct image_header *header,
		       struct err *err)
{
	static const uint32_t page_sizes[] = {0, 4096, 16384, 65536};
	struct image_header h;

	if (len < IMAGE_HEADER)
		return err_set(err, -EINVAL, "it is cut short: %zu bytes of the Image header's %d",
			       len, IMAGE_HEADER);
	if (!has(head, len, HEADER_MAGIC, "ARM\x64", 4))
		return err_set(err, -EINVAL, "it has no arm64 Image header");

	h.text_offset = le64(head + HEADER_TEXT_OFFSET);
	h.image_size = le64(head + HEADER_IMAGE_SIZE);
	h.flags = le64(head + HEADER_FLAGS);
	h.page_size = page_sizes[h.flags >> 1 & 3];
	if (!h.image_size)
		return err_set(err, -EINVAL,
			       "its header does not say how much memory it needs: a kernel before "
			       "Linux 3.17 cannot be booted");
	if (h.image_size > IMAGE_SIZE_MAX || h.text_offset > IMAGE_SIZE_MAX)
		return err_set(err, -EINVAL,
			       "its header is damaged: it asks for %" PRIu64
			       " bytes of memory at offset %" PRIu64,
			       h.image_size, h.text_offset);
	if (h.image_size < IMAGE_HEADER)
		return err_set(err, -EINVAL,
			       "its header is damaged: it asks for %" PRIu64 " bytes of memory",
			       h.image_size);
	*header = h;
	return 0;
}

int image_zboot_payload(const uint8_t *head, size_t len, uint64_t file_size, uint64_t *offset,
			uint64_t *size, struct err *err)
{
	uint64_t at, n;

	if (len < ZBOOT_HEADER)
		return err_set(err, -EINVAL, "it is cut short: an EFI zboot header of %zu bytes",
			       len);
	at = le32(head + ZBOOT_OFFSET);
	n = le32(head + ZBOOT_SIZE);
	if (at < ZBOOT_HEADER || !n)
		return err_set(err, -EINVAL,
			       "its EFI zboot header is damaged: %" PRIu64
			       " bytes of kernel at offset %" PRIu64,
			       n, at);
	if (at + n > file_size)
		return err_set(err, -EINVAL,
			       "it is cut short: it has %" PRIu64
			       " bytes, and by its EFI zboot header the kernel ends at %" PRIu64,
			       file_size, at + n);
	*offset = at;
	*size = n;
	return 0;
}

/* Microsoft PE/COFF specification: COFF file header, and section headers behind the optional one. */
#define COFF_HEADER	 24 /* with the signature */
#define COFF_SECTIONS	 6
#define COFF_OPTIONAL	 20
#define SECTION_SIZE	 40
#define SECTION_RAW_SIZE 16
#define SECTION_RAW	 20

uint64_t image_pe_end(const uint8_t *head, size_t len)
{
	uint64_t end = 0;
	size_t pe, table;
	unsigned int n;

	if (len < IMAGE_HEADER || !has(head, len, 0, "MZ", 2))
		return 0;
	pe = le32(head + HEADER_PE);
	if (pe > len || len - pe < COFF_HEADER || !has(head, len, pe, "PE\0\0", 4))
		return 0;
	n = le16(head + pe + COFF_SECTIONS);
	table = pe + COFF_HEADER + le16(head + pe + COFF_OPTIONAL);
	if (table > len || (len - table) / SECTION_SIZE < n)
		return 0;
	for (const uint8_t *s = head + table; n; n--, s += SECTION_SIZE) {
		uint64_t raw_end = (uint64_t)le32(s + SECTION_RAW) + le32(s + SECTION_RAW_SIZE);

		if (raw_end > end)
			end = raw_end;
	}
	return end;
}
