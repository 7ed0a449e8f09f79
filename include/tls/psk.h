/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of pre-shared keys as psktool(1) writes them and QEMU reads them: a line IDENTITY:KEY each, the key in hexadecimal.
 * Empty lines and those that begin with # are nothing. Whoever can read such a file can be either side.
 */
#ifndef LKVM_TLS_PSK_H
#define LKVM_TLS_PSK_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define PSK_IDENTITY_MAX 128
#define PSK_KEY_MIN	 16
#define PSK_KEY_MAX	 64
#define PSK_KEYS_MAX	 64
#define PSK_FILE_MAX	 (PSK_KEYS_MAX * (PSK_IDENTITY_MAX + 2 * PSK_KEY_MAX + 2))

struct psk {
	char identity[PSK_IDENTITY_MAX + 1];
	uint8_t key[PSK_KEY_MAX];
	size_t len;
};

struct psks {
	struct psk all[PSK_KEYS_MAX];
	size_t n; /* at least 1 */
};

/* The whole text, which it leaves as it is. @name is for messages, which never hold a key. -EINVAL. */
int psk_parse(const char *name, const char *text, size_t len, struct psks *out, struct err *err);

/* -EPERM when others than its owner can read or write the file, or its owner is neither this user nor root. */
int psk_load(const char *path, struct psks *out, struct err *err);

/* The key of that identity, or NULL. */
const struct psk *psk_find(const struct psks *psks, const void *identity, size_t len);

/* Nothing of the keys is left in memory. */
void psk_wipe(struct psks *psks);

#endif
