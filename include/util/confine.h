/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking rights away from this process, for good: docs/migration-protocol.md, "The sandbox", says which and why. All of it
 * is inherited by threads and children that are made later, and none of it can be taken back.
 */
#ifndef LKVM_UTIL_CONFINE_H
#define LKVM_UTIL_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

/* Closes every descriptor but those in @keep; -1 in it is nothing. */
int confine_descriptors(const int *keep, size_t n, struct err *err);

enum confine_right {
	CONFINE_READ = 1,   /* files, and what is in folders */
	CONFINE_WRITE = 2,  /* files that are there */
	CONFINE_SOCKET = 4, /* make and remove sockets in a folder */
};

struct confine_path {
	const char *path; /* NULL: nothing; one that is not there is left out */
	unsigned int rights;
};

/* Nothing else can be opened from now on (Landlock). -EOPNOTSUPP: this kernel cannot; nothing was done. */
int confine_files(const struct confine_path *paths, size_t n, struct err *err);

/* No capabilities, none to be had by starting a program, and the system calls of tools/confine-gen.c alone: all threads. */
int confine_process(struct err *err);

/* Less than that: the calling thread has no need to open, fork or connect anything. After confine_process(). */
int confine_receiver(struct err *err);

#endif
