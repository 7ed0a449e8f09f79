/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two ways behind arm/tags.h, for arm/tags.c alone, the tests and the bench: no checks of ranges, whole host
 * pages, packed tags as in state/tagcode.h.
 */
#ifndef LKVM_ARM_TAGS_WAYS_H
#define LKVM_ARM_TAGS_WAYS_H

#include <stddef.h>
#include <stdint.h>

#include "state/tagcode.h"
#include "util/err.h"

/*
 * arm/tags-ldg.c. Nothing can fail here: 0 is returned so that a caller can pass it on. @dc_block is 0, or a power of
 * two that is no larger than a page. @len is not 0.
 */
int ldg_read(const uint8_t *p, size_t len, uint8_t *packed);
int ldg_write(uint8_t *p, size_t len, const uint8_t *packed);
int ldg_fill(uint8_t *p, size_t len, unsigned int tag, size_t dc_block);
int ldg_clear(uint8_t *p, size_t len, unsigned int tag, size_t dc_block);
int ldg_write_runs(uint8_t *p, const struct tag_shape *shape, size_t dc_block);

/* arm/tags-ioctl.c */
int ioctl_read(int vm_fd, uint64_t gpa, uint64_t len, uint8_t *packed, struct err *err);
int ioctl_write(int vm_fd, uint64_t gpa, uint64_t len, const uint8_t *packed, struct err *err);
int ioctl_fill(int vm_fd, uint64_t gpa, uint64_t len, unsigned int tag, struct err *err);

#endif
