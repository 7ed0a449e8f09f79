/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that writes a snapshot: a fork of the VM that has its memory and nothing else to do. It talks to the VM
 * through a pipe, in messages of bounded size, and ends. For migrate/snapshot.c alone.
 */
#ifndef LKVM_MIGRATE_SAVER_H
#define LKVM_MIGRATE_SAVER_H

#include <stdint.h>
#include <sys/types.h>

#include "migrate/snapshot.h"
#include "vm/memory.h"

#define SAVER_MESSAGE_MAX 1024

struct saver_input {
	const struct snapshot_request *req;
	struct mem *mem;
	const struct mem_sidecar
		*tags; /* what mem->sidecar is to be in the child, if not what it is; or NULL */
	struct wbuf compat, state;
	uint8_t uuid[16];
};

enum saver_kind { SAVER_PROGRESS = 1, SAVER_RESULT = 2 };

struct saver_message {
	uint8_t kind;
	uint64_t done, total; /* SAVER_PROGRESS: bytes of memory */
	int rc;		      /* SAVER_RESULT, and what follows */
	struct err err;
	uint64_t file_bytes, data_bytes, tag_bytes;
};

/* Whole message at the start of @bytes: true, and its length in *@used. */
bool saver_message_decode(const uint8_t *bytes, size_t have, struct saver_message *msg,
			  size_t *used);

/* In the child of process @vm, whose end ends it too. Does not return. */
_Noreturn void saver_main(const struct saver_input *input, pid_t vm, int pipe);

/* What a child that was killed may have left. One that is not dead yet may leave it later. */
void saver_clean(const struct snapshot_request *req, pid_t child);

#endif
