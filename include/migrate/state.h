/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All state of a VM but its RAM, as records (docs/snapshot-format.md): the same for snapshot and migration.
 */
#ifndef LKVM_MIGRATE_STATE_H
#define LKVM_MIGRATE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "vm/config.h"

struct vm;

#define STATE_REASONS_MAX (1 << 16) /* bytes of lines about why a host cannot take a machine */

/* The VM is paused. @compat: one RECORD_COMPAT; @state: all the others up to RECORD_END. */
int state_save(struct vm *vm, struct wbuf *compat, struct wbuf *state, struct err *err);

/* What a destination has to know before any state: one RECORD_COMPAT; a RECORD_CONFIG and RECORD_END. The VM is paused. */
int state_offer(struct vm *vm, struct wbuf *compat, struct wbuf *config, struct err *err);

/* The configuration among @state's records: what to build. @name has room for a VM's name. */
int state_config(const struct wbuf *state, struct vm_config *config, char name[VM_NAME_MAX + 1],
		 struct err *err);

struct state_options {
	bool clock_advance; /* else the guest's time stood still while it was away */
	bool copy;	    /* others may go on from the same state: devices are told (VMGenID) */
	bool paused;	    /* out: the user had paused it */
};

/*
 * Into the machine that was built, in two steps. The first comes before RAM is read: it decodes and checks all of @state,
 * which must stay until the second, and gives KVM whatever it may refuse. Each thing that it refuses is a line in @reasons,
 * and -EOPNOTSUPP the result. The second comes when RAM is loaded. options->paused is known after the first.
 */
struct state_loading;
int state_prepare(struct vm *vm, const struct wbuf *state, struct state_options *options,
		  struct wbuf *reasons, struct state_loading **out, struct err *err);
/* @loading is gone after it, whatever it returns. */
int state_commit(struct state_loading *loading, struct err *err);
void state_abandon(struct state_loading *loading);

/* Both at once, RAM loaded; the first of the reasons is the text. */
int state_load(struct vm *vm, const struct wbuf *state, struct state_options *options,
	       struct err *err);

/*
 * Asks this host about @compat. 0, or -EOPNOTSUPP with one line a reason in @reasons, or -EBADMSG.
 */
int state_compat_check(int kvm_fd, const struct wbuf *compat, struct wbuf *reasons,
		       struct err *err);

#endif
