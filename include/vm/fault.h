/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SIGBUS and SIGSEGV in the VMM itself, when it touches guest memory that the host took away (a poisoned page, a
 * mapping that is gone): one line that names the guest address, and an exit code of its own. Any other fault is a bug
 * and dies of its signal as usual.
 *
 * The handler finds its VM without a global: at the lowest address of the thread's alternate signal stack, which the
 * kernel reports in ucontext.uc_stack. No lock, no allocation, no stdio in it.
 */
#ifndef LKVM_VM_FAULT_H
#define LKVM_VM_FAULT_H

#include "util/err.h"

struct vm;

/* Once for the process, before the first thread. */
int fault_install(struct err *err);

/*
 * On each thread that touches guest memory, on that thread. The stack lives until fault_thread_release(), or the end
 * of the process, which comes with vm->memory_exit_code.
 */
int fault_thread_init(struct vm *vm, struct err *err);
void fault_thread_release(void);

#endif
