/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One virtual machine. Everything hangs off this struct; there is no other state.
 *
 * Two lifetimes: the host's side (log, loop, memory mappings, character back ends, control socket) lives as long as
 * the process; the machine (KVM's VM, bus, devices, vCPUs) is built anew for every boot of the guest by
 * arch_machine_build() and by nothing else.
 *
 * Threads: the one that called vm_run() runs the event loop; each vCPU has its own. vm->lock guards what both touch:
 * pause, stop, end.
 */
#ifndef LKVM_VM_VM_H
#define LKVM_VM_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/log.h"
#include "vm/bus.h"
#include "vm/chardev.h"
#include "vm/config.h"
#include "vm/device.h"
#include "vm/event.h"
#include "vm/memory.h"
#include "vm/vcpu.h"

enum vm_end {
	VM_END_NONE,	  /* still going */
	VM_END_POWER_OFF, /* the guest's PSCI SYSTEM_OFF */
	VM_END_RESET,	  /* the guest's PSCI SYSTEM_RESET or RESET2 */
	VM_END_STOP,	  /* asked from outside: lkvm stop, Ctrl-a x, SIGTERM, SIGINT, SIGHUP */
	VM_END_MEMORY,	  /* guest memory was taken away or replaced */
	VM_END_ERROR,	  /* the host refused something; text in end_err */
};

/* Where the guest is while a post-copy migration is under way (docs/migration-protocol.md). */
enum vm_shift {
	VM_SHIFT_NONE,
	VM_SHIFT_LEFT,	 /* it runs at the destination, which still gets memory from here */
	VM_SHIFT_KEPT,	 /* the same, but the line was lost */
	VM_SHIFT_BROKEN, /* it is here, but the line over which its memory came was lost */
};

struct control_server;
struct lazy;
struct destination;
struct arch_machine;

struct vm {
	/* The host's side. */
	struct vm_config config; /* checked; cpus and name filled in */
	char name[VM_NAME_MAX + 1];
	struct log log;
	struct event_loop loop;
	struct event_kick end_kick;
	struct event_source signals; /* signalfd: SIGTERM, SIGINT, SIGHUP, SIGCONT */
	int kvm_fd;
	struct mem mem;
	struct chardev *serial[VM_MAX_UARTS];
	struct control_server *control;
	/*
	 * Answers the control requests that vm/ does not know (migrate/control.h), or NULL. Reads all of @payload, appends
	 * the reply's rest to @out.
	 */
	int (*extra)(struct vm *vm, void *ctx, uint16_t type, struct rbuf *payload,
		     struct wbuf *out, struct err *err);
	void *extra_ctx;
	/*
	 * A descriptor that came with the control request that is being answered, or -1. Who keeps it puts -1 here; else it is
	 * closed when the answer is made.
	 */
	int passed_fd;
	bool confined; /* util/confine.h: this process can open nothing that a user names later */
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	uint32_t boots;
	struct lazy *lazy; /* brings RAM in behind a restored guest (migrate/lazy.h), or NULL */
	struct destination *
		arriving; /* the guest came, or comes, from elsewhere (migrate/destination.h), or NULL */
	/*
	 * A vCPU may wait for memory as long as another host likes: to be called when all vCPUs were told to end, and wakes
	 * them. What they find in their memory then is not theirs: they must not run any more. NULL: none waits for long.
	 */
	void (*let_go)(struct vm *vm);
	enum vm_shift shift;  /* loop thread alone */
	int memory_exit_code; /* of the process when guest memory is lost (vm/fault.h) */

	/* The machine; NULL, -1 and 0 between boots. */
	int fd;
	struct bus bus;
	struct device_list devices;
	struct vcpu *vcpus; /* config.cpus of them */
	struct arch_machine *machine;

	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a vCPU parked, or was let go */
	uint32_t pauses;	/* how many hold the guest paused */
	bool user_paused;	/* one of them is the user's */
	bool serial_held;	/* until the user resumes: perhaps another host has what the ports hold */
	bool incoming; /* one is migrate/destination.h's: the guest is not here yet. Loop thread alone */
	bool stopping;	  /* threads are to end */
	uint32_t running; /* threads not parked and not ended */
	enum vm_end end;  /* see vm_finish() */
	struct err end_err;
};

/* Host's side. After -errno nothing is left. @config is copied. */
int vm_init(struct vm *vm, const struct vm_config *config, struct err *err);
/* For a machine that is built and never run: it has no name, and nobody sees it. */
int vm_init_trial(struct vm *vm, const struct vm_config *config, struct err *err);
void vm_release(struct vm *vm);

/* KVM's VM of the given type (arch), empty bus and device list. Called by arch_machine_build(). */
int vm_open(struct vm *vm, unsigned long type, struct err *err);
void vm_close(struct vm *vm); /* devices, vCPUs, VM; threads must have ended */

/*
 * Runs the machine that was built until it ends. Returns how; vm->end_err holds the text for MEMORY and ERROR. All
 * vCPU threads have ended when it returns.
 */
enum vm_end vm_run(struct vm *vm);

/*
 * Ends the run with that reason. Any thread, also a vCPU's. The first caller's reason stands, but a guest's reset does not
 * undo a stop: that one stands also when it comes second.
 */
void vm_finish(struct vm *vm, enum vm_end end, const struct err *why);

/*
 * The barrier. vm_pause() returns when no vCPU is in the kernel and none handles an exit; since it runs on the event
 * loop's thread, no event is being handled either. Pauses nest. Loop thread only.
 */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
/* No vCPU begins to run any more; one that waits for memory parks when it has it. For that alone, not to read state. */
void vm_pause_begin(struct vm *vm);
/* As vm_pause(), but no longer than @ms if vm->let_go is set: -EAGAIN, and it is not paused then. */
int vm_pause_for(struct vm *vm, unsigned int ms);

/* As chardev_hold(), for each serial port; with serial_held they stay held. Loop thread. */
void vm_hold_serial(struct vm *vm, bool hold);

/* The user's own pause, for the control socket: at most one. -EALREADY when it is so already. */
int vm_user_pause(struct vm *vm);
int vm_user_resume(struct vm *vm);

#endif
