/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One large job done in pieces by several threads. Each takes the next piece when it is done with one; the caller's thread
 * is number 0, and the only one when no other can be made. After an error no further piece is begun; the first error is
 * the result. Returns when all threads are gone. Nothing is promised of the order of pieces.
 */
#ifndef LKVM_UTIL_SHARE_H
#define LKVM_UTIL_SHARE_H

#include <stdint.h>

#include "util/err.h"

#define SHARE_MAX_THREADS 64

struct work_share {
	unsigned int threads; /* 1..SHARE_MAX_THREADS */
	uint64_t size;	      /* of the whole; any unit */
	uint64_t piece;	      /* > 0; the last one may be shorter */
	int (*work)(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err);
	/*
	 * May be NULL. On each thread but the caller's, around its work: signal stack of vm/fault.h and the like. leave() is
	 * called where enter() succeeded.
	 */
	int (*enter)(void *ctx, unsigned int thread, struct err *err);
	void (*leave)(void *ctx, unsigned int thread);
	void *ctx;
};

int work_share(const struct work_share *share, struct err *err);

#endif
