/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The destination of a live migration. docs/migration-protocol.md tells the whole way.
 *
 *   destination_meet()    before there is a VM: hello, the source's offer, whether this host fits
 *   destination_start()   the machine is built: accepts, and receives on a thread of its own; vm_run() may be called, the
 *                         guest stands still until the source has committed
 *   destination_leave()   after vm_run(), before the machine is released
 *   destination_close()   the source hears why if it was not told that the guest runs
 */
#ifndef LKVM_MIGRATE_DESTINATION_H
#define LKVM_MIGRATE_DESTINATION_H

#include <stdbool.h>

#include "util/err.h"
#include "vm/config.h"

struct vm;
struct destination;

/*
 * Takes the descriptors, also on error. @config is what to build; its name is in @name. What this host lacks is in
 * destination_reasons(), a line each, and the source has heard it.
 */
int destination_open(int rfd, int wfd, struct destination **out, struct err *err);
int destination_meet(struct destination *d, int kvm_fd, struct vm_config *config,
		     char name[VM_NAME_MAX + 1], struct err *err);
const char *destination_reasons(const struct destination *d); /* or "" */

/* @running (or NULL) is called on a thread of its own, when the guest runs and the source was told. */
int destination_start(struct destination *d, struct vm *vm, void (*running)(void *ctx), void *ctx,
		      struct err *err);
void destination_leave(struct destination *d);
/*
 * Post-copy whose line was lost: goes on over @fd, which it takes, also on error. -ENOENT: there is nothing to go on with.
 * Loop thread.
 */
int destination_join(struct destination *d, int fd, struct err *err);
/* @why: what went wrong before or besides this, or NULL. */
void destination_close(struct destination *d, const struct err *why);

#endif
