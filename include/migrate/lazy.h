/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Restore that runs the guest at once: a thread brings the chunks that somebody waits for, and all others behind them
 * (vm/memory-lazy.h). docs/snapshot.md, "Lazy restore".
 *
 * What cannot be brought in ends the process at once, with a line in the log and vm->memory_exit_code: whoever waits for
 * that page, vCPU or thread of ours, can neither be called back nor be given another content.
 */
#ifndef LKVM_MIGRATE_LAZY_H
#define LKVM_MIGRATE_LAZY_H

#include <stdbool.h>

#include "state/snapchain.h"
#include "util/err.h"

struct vm;
struct lazy;

/*
 * The machine is built with RAM of MEM_LAZY, ram_load() has compared the banks. State is loaded after it: KVM reads tables
 * of its interrupt controller from RAM. Takes @chain over (it has no files afterwards) and @uffd, from mem_lazy_open(), when
 * it succeeds; it is vm->lazy then. Without @prefetch only what somebody waits for is brought. Loop thread.
 */
int lazy_start(struct vm *vm, struct snap_chain *chain, int uffd, bool prefetch, struct err *err);

/* All of it from now on, as with @prefetch. mem_is_filling() tells when it is there. NULL is allowed. */
void lazy_want_all(struct lazy *lazy);

/*
 * Before the machine is released, with no vCPU thread left: ends the service of vm->lazy, if there is one, whether all
 * memory came or not. What did not come is lost: the memory is of no use but for a boot, which empties it. Loop thread.
 */
void lazy_stop(struct vm *vm);

#endif
