/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads a gzip stream (RFC 1952) that lies in part of a file: several members one after the other are one content,
 * zero bytes behind the last are padding, anything else there is an error. Checksums are verified. Memory is bounded
 * whatever the file says; how much comes out is the caller's to bound, by how much it asks for.
 */
#ifndef LKVM_ARM_GUNZIP_H
#define LKVM_ARM_GUNZIP_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct gunzip;

/* @fd stays the caller's and must outlive the reader. @offset + @size must not wrap. */
int gunzip_open(int fd, uint64_t offset, uint64_t size, struct gunzip **out, struct err *err);
void gunzip_close(struct gunzip *g); /* NULL is allowed */

/* Fills @buf as far as there is content: *@got is less than @len at the end only, and 0 from then on. */
int gunzip_read(struct gunzip *g, void *buf, size_t len, size_t *got, struct err *err);

#endif
