/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The signals of a process that runs a VM. They are heard by the event loop; no handler runs.
 *
 * SIGTERM, SIGINT and SIGHUP end the VM in good order. The last two do not where whoever started the program ignores them,
 * as nohup(1) does, and a shell without job control for what it starts in the background. After SIGCONT the terminal is
 * looked at. SIGPIPE and SIGXFSZ are ignored: how much a guest prints must not end the VMM, the write fails instead.
 */
#ifndef LKVM_VM_SIGNALS_H
#define LKVM_VM_SIGNALS_H

#include "util/err.h"

struct vm;

/* Before there are other threads, which inherit what is blocked here. The loop is open. */
int vm_signals_open(struct vm *vm, struct err *err);
/* They stay blocked: the process is about to end. Allowed before vm_signals_open() when vm->signals.fd is -1. */
void vm_signals_close(struct vm *vm);

#endif
