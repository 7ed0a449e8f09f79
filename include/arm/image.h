/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel files, byte by byte: what arm/boot.c needs beside image_probe() and image_header_parse() of arm/boot.h. Pure
 * code over hostile bytes; nothing is read past @len.
 */
#ifndef LKVM_ARM_IMAGE_H
#define LKVM_ARM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define IMAGE_HEAD_MAX 4096 /* enough of a file's start for every function here */
#define IMAGE_HEADER   64

/*
 * Where the gzip stream of an EFI zboot image (IMAGE_ZBOOT_GZIP) lies in a file of @file_size bytes.
 * -EINVAL when it would not be inside.
 */
int image_zboot_payload(const uint8_t *head, size_t len, uint64_t file_size, uint64_t *offset,
			uint64_t *size, struct err *err);

/*
 * How long a file must be at least, by the PE section table that an Image with an EFI stub has. 0 when it has none
 * that makes sense: then nothing is known.
 */
uint64_t image_pe_end(const uint8_t *head, size_t len);

#endif
