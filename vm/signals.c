/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vm/vm.h"

static void signal_ready(struct event_source *source, uint32_t events)
{
	struct vm *vm = source->ctx;
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCONT)
		vm_finish(vm, VM_END_STOP, NULL);
	else if (vm->serial[0])
		chardev_resumed(vm->serial[0]);
}

static bool is_ignored(int number)
{
	struct sigaction now;

	return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int vm_signals_open(struct vm *vm, struct err *err)
{
	sigset_t heard, blocked;
	int rc;

	sigemptyset(&heard);
	sigaddset(&heard, SIGTERM);
	sigaddset(&heard, SIGCONT);
	/* One that is blocked reaches a signalfd even though it is ignored. */
	if (!is_ignored(SIGINT))
		sigaddset(&heard, SIGINT);
	if (!is_ignored(SIGHUP))
		sigaddset(&heard, SIGHUP);
	blocked = heard;
	sigaddset(&blocked, VCPU_SIGNAL); /* for vCPU threads alone */
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);

	vm->signals.fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
	if (vm->signals.fd < 0)
		return err_sys(err, -errno, "signalfd");
	vm->signals.ready = signal_ready;
	vm->signals.ctx = vm;
	rc = event_add(&vm->loop, &vm->signals, EPOLLIN);
	return rc ? err_sys(err, rc, "signalfd") : 0;
}

void vm_signals_close(struct vm *vm)
{
	if (vm->signals.fd < 0)
		return;
	event_remove(&vm->loop, &vm->signals);
	close(vm->signals.fd);
	vm->signals.fd = -1;
}
