/* SPDX-License-Identifier: GPL-2.0-only */
/* vm/vm.c and vm/vcpu.c with their threads, over a KVM_RUN made up here: the pause barrier, and how a run ends. */
#include "unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vm/arch.h"
#include "vm/vm.h"

#define CPUS   4
#define FD     5000 /* of vCPU 0; no real one */
#define PAUSES 200
#define PORT   0x1000

enum guest {
	GUEST_COMPUTES, /* stays in KVM_RUN until it is kicked */
	GUEST_STORES,	/* leaves it all the time, for the device */
	GUEST_FAILS,	/* KVM_RUN fails with fail_with */
	GUEST_EXITS,	/* with a reason that is the architecture's */
};

/* What the made-up kernel and device see. */
static struct world {
	struct vm vm;
	struct vcpu vcpus[CPUS];
	enum guest guest;
	int fail_with;
	_Atomic int in_kernel, in_device;
	_Atomic int open_accesses; /* left by KVM_EXIT_MMIO, completed by the next KVM_RUN */
	_Atomic uint64_t work;	   /* of the guest */
	struct device dev;
	struct event_timer timer;
	unsigned int step;
	unsigned int wrong; /* things that the barrier should have prevented */
} w;

/* --- the made-up kernel --- */

static int kvm_run(struct vcpu *vcpu)
{
	const struct timespec moment = {.tv_nsec = 20000};
	struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_MMIO)
		w.open_accesses--;
	run->exit_reason = KVM_EXIT_UNKNOWN;
	if (w.guest == GUEST_FAILS && vcpu->index == 1) {
		errno = w.fail_with;
		return -1;
	}
	if (w.guest == GUEST_EXITS && vcpu->index == 1) {
		run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
		return 0;
	}
	while (!__atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST)) {
		w.work++;
		if (w.guest == GUEST_STORES) {
			w.open_accesses++;
			run->exit_reason = KVM_EXIT_MMIO;
			run->mmio.phys_addr = PORT;
			run->mmio.len = 4;
			run->mmio.is_write = true;
			return 0;
		}
		nanosleep(&moment, NULL);
	}
	errno = EINTR;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int rc;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request != KVM_RUN)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	w.in_kernel++;
	rc = kvm_run(&w.vcpus[fd - FD]);
	w.in_kernel--;
	return rc;
}

/* --- the made-up architecture and device --- */

int arch_vcpu_exit(struct vcpu *vcpu, struct err *err)
{
	return err_set(err, -EIO, "exit %u", vcpu->run->exit_reason);
}

int arch_vcpu_registers(struct vcpu *vcpu, arch_reg_fn emit, void *ctx, struct err *err)
{
	(void)vcpu, (void)emit, (void)ctx, (void)err;
	return 0;
}

int arch_sysrq(struct vm *vm, char key, struct err *err)
{
	(void)vm, (void)key, (void)err;
	return 0;
}

static uint64_t dev_read(struct device *dev, uint64_t offset, unsigned int len)
{
	(void)dev, (void)offset, (void)len;
	return 0;
}

static void dev_write(struct device *dev, uint64_t offset, unsigned int len, uint64_t value)
{
	(void)dev, (void)offset, (void)len, (void)value;
	w.in_device++;
	sched_yield();
	w.in_device--;
}

static const struct device_ops ops = {.read = dev_read, .write = dev_write};

/* --- a VM of which only the running is real --- */

static void kicked(struct event_kick *kick)
{
	if (w.vm.end != VM_END_NONE)
		event_stop(kick->loop);
}

static void begin(enum guest guest)
{
	struct err err = ERR_INIT;

	alarm(120); /* what hangs is killed, and so fails */
	memset(&w, 0, sizeof(w));
	w.guest = guest;
	w.vm.config.cpus = CPUS;
	w.vm.vcpus = w.vcpus;
	w.vm.kvm_fd = w.vm.fd = -1;
	pthread_mutex_init(&w.vm.lock, NULL);
	pthread_cond_init(&w.vm.changed, NULL);
	log_init(&w.vm.log, STDERR_FILENO, LOG_ERROR);
	bus_init(&w.vm.bus, &w.vm.log);
	w.dev.name = "port";
	w.dev.ops = &ops;
	pthread_mutex_init(&w.dev.lock, NULL);
	assert_int_equal(bus_add(&w.vm.bus, PORT, 4, &w.dev, &err), 0);
	assert_int_equal(event_loop_init(&w.vm.loop, &err), 0);
	assert_int_equal(event_kick_init(&w.vm.end_kick, &w.vm.loop, kicked, &w.vm, &err), 0);
	for (uint32_t i = 0; i < CPUS; i++) {
		w.vcpus[i].vm = &w.vm;
		w.vcpus[i].index = i;
		w.vcpus[i].fd = FD + (int)i;
		w.vcpus[i].run = calloc(1, 4096);
		assert_non_null(w.vcpus[i].run);
	}
}

/* Runs it with a call every millisecond on the loop's thread. */
static enum vm_end run(void (*each)(struct event_timer *))
{
	struct err err = ERR_INIT;
	enum vm_end end;

	if (each) {
		assert_int_equal(event_timer_init(&w.timer, &w.vm.loop, each, NULL, &err), 0);
		event_timer_arm(&w.timer, 1000000);
	}
	end = vm_run(&w.vm);
	if (each)
		event_timer_release(&w.timer);
	assert_int_equal(w.vm.running, 0);
	return end;
}

static void finished(void)
{
	for (uint32_t i = 0; i < CPUS; i++)
		free(w.vcpus[i].run);
	event_kick_release(&w.vm.end_kick);
	event_loop_release(&w.vm.loop);
	pthread_cond_destroy(&w.vm.changed);
	pthread_mutex_destroy(&w.vm.lock);
	pthread_mutex_destroy(&w.dev.lock);
	alarm(0);
}

static void stop(void)
{
	vm_finish(&w.vm, VM_END_STOP, NULL);
}

/* --- tests --- */

/* Paused: nobody is in the kernel or in the device, and no access is half done. And work stands still. */
static void pauses(struct event_timer *timer)
{
	uint64_t before;

	vm_pause(&w.vm);
	vm_pause(&w.vm); /* nests */
	vm_resume(&w.vm);
	before = w.work;
	w.wrong += w.in_kernel || w.in_device || w.open_accesses;
	for (int i = 0; i < 100; i++)
		sched_yield();
	w.wrong += w.in_kernel || w.in_device || w.open_accesses || w.work != before;
	vm_resume(&w.vm);
	while (w.work == before) /* control: it goes on */
		sched_yield();
	if (++w.step == PAUSES)
		stop();
	else
		event_timer_arm(timer, w.step % 4 * 10000);
}

static void pause_is_a_barrier(void **state)
{
	(void)state;
	for (enum guest guest = GUEST_COMPUTES; guest <= GUEST_STORES; guest++) {
		begin(guest);
		assert_int_equal(run(pauses), VM_END_STOP);
		assert_int_equal(w.step, PAUSES);
		assert_int_equal(w.wrong, 0);
		assert_true(vcpu_count(&w.vcpus[CPUS - 1], COUNT_RUN) > 1);
		finished();
	}
}

static void pauses_and_stops(struct event_timer *timer)
{
	(void)timer;
	w.wrong += vm_user_resume(&w.vm) != -EALREADY;
	w.wrong += vm_user_pause(&w.vm) != 0;
	w.wrong += vm_user_pause(&w.vm) != -EALREADY;
	stop();
}

static void paused_vm_can_be_stopped(void **state)
{
	(void)state;
	begin(GUEST_STORES);
	assert_int_equal(run(pauses_and_stops), VM_END_STOP);
	assert_int_equal(w.wrong, 0);
	finished();
}

static void starts_paused(struct event_timer *timer)
{
	(void)timer;
	w.wrong += w.work != 0 || !w.vm.user_paused;
	stop();
}

static void boots_paused(void **state)
{
	(void)state;
	begin(GUEST_STORES);
	assert_int_equal(vm_user_pause(&w.vm), 0);
	assert_int_equal(run(starts_paused), VM_END_STOP);
	assert_int_equal(w.wrong, 0);
	finished();
}

/* Which of two reasons stands. */
static void first_reason_stands(void **state)
{
	static const enum vm_end cases[][3] = {
		{VM_END_POWER_OFF, VM_END_STOP, VM_END_POWER_OFF},
		{VM_END_STOP, VM_END_RESET, VM_END_STOP},
		{VM_END_RESET, VM_END_STOP, VM_END_STOP},
		{VM_END_RESET, VM_END_POWER_OFF, VM_END_RESET},
		{VM_END_MEMORY, VM_END_STOP, VM_END_MEMORY},
		{VM_END_MEMORY, VM_END_ERROR, VM_END_MEMORY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err first = {.msg = "first"}, second = {.msg = "second"};

		begin(GUEST_COMPUTES);
		vm_finish(&w.vm, cases[i][0], &first);
		vm_finish(&w.vm, cases[i][1], &second);
		assert_int_equal(w.vm.end, cases[i][2]);
		assert_string_equal(w.vm.end_err.msg,
				    cases[i][2] == cases[i][0] ? "first" : "second");
		finished();
	}
}

/* One vCPU ends, the others with it, and it is said which it was. */
static void one_ends_all(enum guest guest, int error, enum vm_end end, const char *text)
{
	begin(guest);
	w.fail_with = error;
	assert_int_equal(run(NULL), end);
	if (!strstr(w.vm.end_err.msg, text))
		print_error("# \"%s\" is not in \"%s\"\n", text, w.vm.end_err.msg);
	assert_non_null(strstr(w.vm.end_err.msg, text));
	assert_false(w.vm.end_err.usage);
	finished();
}

static void failures_end_it(void **state)
{
	(void)state;
	one_ends_all(GUEST_FAILS, EFAULT, VM_END_MEMORY, "vcpu 1: the host cannot give a page");
	one_ends_all(GUEST_FAILS, EHWPOISON, VM_END_MEMORY, "vcpu 1: ");
	one_ends_all(GUEST_FAILS, EIO, VM_END_ERROR, "vcpu 1: KVM_RUN: Input/output error");
	one_ends_all(GUEST_EXITS, 0, VM_END_ERROR, "vcpu 1: exit 17");
}

/* That is the user's mistake, and no vCPU has run: exit code 2. */
static void no_such_host_cpu(void **state)
{
	(void)state;
	begin(GUEST_STORES);
	w.vm.config.vcpu_affinity = "1023";
	assert_int_equal(run(NULL), VM_END_ERROR);
	assert_non_null(strstr(w.vm.end_err.msg, "--vcpu-affinity 1023: none of these host CPUs"));
	assert_true(w.vm.end_err.usage);
	assert_int_equal(w.work, 0);
	finished();
	/* Control. */
	one_ends_all(GUEST_FAILS, EIO, VM_END_ERROR, "KVM_RUN");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(pause_is_a_barrier), cmocka_unit_test(paused_vm_can_be_stopped),
	cmocka_unit_test(boots_paused),	      cmocka_unit_test(first_reason_stands),
	cmocka_unit_test(failures_end_it),    cmocka_unit_test(no_such_host_cpu),
};

UNIT_MAIN(tests)
