/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guest starts with in memory: kernel Image (plain, gzip'd, or a gzip EFI zboot), initrd, or a flat firmware.
 * Rules: Documentation/arch/arm64/booting.rst. Files are hostile: header first, sizes bounded by RAM, read straight
 * into guest memory through the gate.
 */
#ifndef LKVM_ARM_BOOT_H
#define LKVM_ARM_BOOT_H

#include <stdint.h>

#include "util/err.h"
#include "vm/memory.h"

struct boot_layout {
	uint64_t ram_base, ram_size;
	uint64_t entry;	   /* PC of vCPU 0 */
	uint64_t fdt;	   /* 2 MiB-aligned */
	uint64_t fdt_room; /* bytes that are free there, at most FDT_ROOM */
	uint64_t initrd;   /* 0 when there is none */
	uint64_t initrd_size;
};

/* The header of an arm64 Image (64 bytes), decoded from hostile bytes. */
struct image_header {
	uint64_t text_offset;
	uint64_t image_size; /* memory it needs from text_offset on, .bss included */
	uint64_t flags;
	uint32_t page_size; /* of the kernel, from flags: 4096, 16384, 65536, or 0 unspecified */
};

enum image_kind { IMAGE_PLAIN, IMAGE_GZIP, IMAGE_ZBOOT_GZIP };

/*
 * What the first bytes of a file are; -EINVAL with a line that says what it looks like instead (ELF vmlinux, bzImage,
 * big zboot of another compression, a device tree, text) and what would be right.
 */
int image_probe(const uint8_t *head, size_t len, enum image_kind *kind, struct err *err);
int image_header_parse(const uint8_t *head, size_t len, struct image_header *header,
		       struct err *err);

/*
 * @layout->ram_base and ram_size are given; the rest is filled. The kernel's page size comes back in *@page_size.
 * -ENOMEM when RAM is too small: the text says how much -m would do.
 */
int boot_load_kernel(struct mem *mem, const char *kernel, const char *initrd,
		     struct boot_layout *layout, uint32_t *page_size, struct err *err);
int boot_load_firmware(struct mem *mem, const char *path, uint64_t address,
		       struct boot_layout *layout, struct err *err);
/* A file into a bank that starts at @gpa (flash): at most @size bytes, the rest stays zero. */
int boot_load_flat(struct mem *mem, const char *path, uint64_t gpa, uint64_t size, struct err *err);

#endif
