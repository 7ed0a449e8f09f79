/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket's requests about snapshots: one is started, asked after, and perhaps cancelled. Who starts one keeps
 * asking: a snapshot that nobody asks after for SNAPSHOT_LEASE_SECONDS is cancelled, so a client that was killed leaves
 * nothing behind. docs/control-protocol.md has the bytes.
 */
#ifndef LKVM_MIGRATE_CONTROL_H
#define LKVM_MIGRATE_CONTROL_H

#include "migrate/snapshot.h"

/* Longer than a busy machine keeps a client from asking, which it does ten times a second. */
#define SNAPSHOT_LEASE_SECONDS 30

enum snapshot_phase { SNAPSHOT_NONE, SNAPSHOT_RUNNING, SNAPSHOT_DONE, SNAPSHOT_FAILED };

struct snapshot_status {
	uint8_t phase;
	uint64_t done, total; /* bytes of guest memory */
	int rc;		      /* SNAPSHOT_FAILED, with its text */
	struct err err;
	struct snapshot_result result; /* SNAPSHOT_DONE */
};

void snapshot_status_encode(const struct snapshot_status *status, struct wbuf *out);
int snapshot_status_decode(struct rbuf *in, struct snapshot_status *status);

/* Answers such requests for @vm from now on, until migrate_control_close(), which cancels what runs. */
struct migrate_control;
int migrate_control_open(struct vm *vm, struct migrate_control **out, struct err *err);
void migrate_control_close(struct migrate_control *mc);
/*
 * The vCPUs have ended and the machine is about to be released: a migration of it ends, and a snapshot whose memory the next
 * boot would empty.
 */
void migrate_control_leave(struct migrate_control *mc);

#endif
