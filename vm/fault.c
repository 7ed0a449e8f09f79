/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "vm/vm.h"

/* Room for a signal frame with SVE registers of 2048 bits (about 10 KiB) and the handler. */
#define FAULT_STACK 0x8000

struct fault_context {
	struct vm *vm;
};

static size_t put_text(char *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(at, text, len);
	return len;
}

static size_t put_hex(char *at, uint64_t value)
{
	size_t n = 0;

	at[n++] = '0';
	at[n++] = 'x';
	for (int shift = 60; shift >= 0; shift -= 4)
		if (value >> shift || !shift)
			at[n++] = "0123456789abcdef"[value >> shift & 15];
	return n;
}

static void handle_fault(int signal_number, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	const struct fault_context *fc = uc->uc_stack.ss_sp;
	struct sigaction original = {.sa_handler = SIG_DFL};
	/* By kill(2) or its like: there is no address in it, and it does not come again by itself. */
	const bool sent = info->si_code <= 0;
	char line[256];
	uint64_t gpa;
	size_t n = 0;

	if (!sent && fc && mem_host_to_gpa(&fc->vm->mem, info->si_addr, &gpa)) {
		n += put_text(line + n, "\r\nlkvm: ");
		n += put_text(line + n, "guest memory at ");
		n += put_hex(line + n, gpa);
		n += put_text(line + n,
			      signal_number == SIGBUS
				      ? " was lost by the host; the guest cannot go on\r\n"
				      : " is not mapped any more; the guest cannot go on\r\n");
		if (write(fc->vm->log.fd, line, n) < 0)
			n = 0;
		_exit(fc->vm->memory_exit_code);
	}
	/* Returning runs the same instruction again, now with the default action. */
	sigaction(signal_number, &original, NULL);
	if (sent)
		(void)raise(signal_number);
}

int fault_install(struct err *err)
{
	struct sigaction action = {.sa_sigaction = handle_fault,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, NULL) < 0 || sigaction(SIGSEGV, &action, NULL) < 0)
		return err_sys(err, -errno, "fault handler");
	return 0;
}

int fault_thread_init(struct vm *vm, struct err *err)
{
	stack_t stack = {.ss_size = FAULT_STACK};
	struct fault_context *fc;

	stack.ss_sp =
		mmap(NULL, FAULT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return err_sys(err, -errno, "fault handler's stack");
	fc = stack.ss_sp;
	fc->vm = vm;
	if (sigaltstack(&stack, NULL) < 0) {
		int rc = -errno;

		munmap(stack.ss_sp, FAULT_STACK);
		return err_sys(err, rc, "fault handler's stack");
	}
	return 0;
}

void fault_thread_release(void)
{
	stack_t off = {.ss_flags = SS_DISABLE}, old;

	if (sigaltstack(&off, &old) == 0 && !(old.ss_flags & SS_DISABLE))
		munmap(old.ss_sp, old.ss_size);
}
