/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/arch.h"
#include "vm/fault.h"
#include "vm/vm.h"

#ifndef KVM_EXIT_MEMORY_FAULT /* Linux 6.8; {u64 flags, u64 gpa, u64 size} */
#define KVM_EXIT_MEMORY_FAULT 39
#endif

/* The thread needs little: no buffer lives on its stack, and each page touched is the user's. */
#define VCPU_STACK 0x20000

static void got_kick(int signal_number)
{
	(void)signal_number; /* interrupting the ioctl is all it is for */
}

int vcpu_create(struct vcpu *vcpu, struct vm *vm, uint32_t index, struct err *err)
{
	int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->fd = size < 0 ? -1 : ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return err_sys(err, -errno, "vcpu %u: KVM cannot create it", index);
	vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return err_sys(err, -errno, "vcpu %u: cannot map its run area", index);
	}
	return 0;
}

void vcpu_release(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, ioctl(vcpu->vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0));
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, VCPU_SIGNAL);
}

uint64_t vcpu_count(const struct vcpu *vcpu, enum vcpu_count kind)
{
	return __atomic_load_n(&vcpu->counts[kind], __ATOMIC_RELAXED);
}

static void count(struct vcpu *vcpu, enum vcpu_count kind)
{
	__atomic_store_n(&vcpu->counts[kind], vcpu->counts[kind] + 1, __ATOMIC_RELAXED);
}

/*
 * Where a thread learns what is asked of it. Clearing immediate_exit under the lock cannot lose a kick: whoever kicks
 * holds the lock and has changed what is looked at here before. Returns false when the thread is to end.
 */
static bool checkpoint(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	bool go_on;

	pthread_mutex_lock(&vm->lock);
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (vm->pauses && !vm->stopping) {
		vm->running--;
		pthread_cond_broadcast(&vm->changed);
		while (vm->pauses && !vm->stopping)
			pthread_cond_wait(&vm->changed, &vm->lock);
		vm->running++;
	}
	go_on = !vm->stopping;
	pthread_mutex_unlock(&vm->lock);
	return go_on;
}

/* KVM could not give the guest a page. What the kernel's list of mappings says is more than its exit does. */
static void memory_lost(struct vcpu *vcpu)
{
	struct err why = ERR_INIT;
	char text[256];
	uint64_t fault[3]; /* flags, gpa, size */

	if (mem_explain_fault(&vcpu->vm->mem, text, sizeof(text))) {
		err_set(&why, -EFAULT, "vcpu %u: %s; the guest cannot go on", vcpu->index, text);
	} else if (vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		memcpy(fault, vcpu->run->padding, sizeof(fault));
		err_set(&why, -EFAULT,
			"vcpu %u: the host cannot give guest memory at 0x%llx; the guest cannot go on",
			vcpu->index, (unsigned long long)fault[1]);
	} else {
		err_set(&why, -EFAULT,
			"vcpu %u: the host cannot give a page of guest memory (out of memory?); the "
			"guest cannot go on",
			vcpu->index);
	}
	vm_finish(vcpu->vm, VM_END_MEMORY, &why);
}

static void run_failed(struct vcpu *vcpu, int error)
{
	struct err why = ERR_INIT;

	if (error == EFAULT || error == EHWPOISON) {
		memory_lost(vcpu);
		return;
	}
	err_sys(&why, -error, "vcpu %u: KVM_RUN", vcpu->index);
	vm_finish(vcpu->vm, VM_END_ERROR, &why);
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	count(vcpu, COUNT_MMIO);
	if (run->mmio.len > sizeof(run->mmio.data))
		return; /* KVM splits wider ones */
	if (run->mmio.is_write)
		bus_write(&vcpu->vm->bus, run->mmio.phys_addr, run->mmio.len, run->mmio.data);
	else
		bus_read(&vcpu->vm->bus, run->mmio.phys_addr, run->mmio.len, run->mmio.data);
}

/* Returns false when this thread has nothing more to do. */
static bool handle_other_exit(struct vcpu *vcpu)
{
	struct err why = ERR_INIT;
	int rc;

	count(vcpu, COUNT_OTHER);
	rc = arch_vcpu_exit(vcpu, &why);
	if (rc >= 0)
		return rc == 0;
	err_prefix(&why, "vcpu %u", vcpu->index);
	vm_finish(vcpu->vm, VM_END_ERROR, &why);
	return false;
}

static void run(struct vcpu *vcpu)
{
	bool go_on = checkpoint(vcpu);

	while (go_on) {
		int rc = ioctl(vcpu->fd, KVM_RUN, 0);

		count(vcpu, COUNT_RUN);
		if (rc == 0 && vcpu->run->exit_reason == KVM_EXIT_MMIO) {
			handle_mmio(vcpu);
		} else if (rc == 0) {
			go_on = handle_other_exit(vcpu);
		} else if (errno == EINTR || errno == EAGAIN) {
			count(vcpu, COUNT_INTERRUPT);
			go_on = checkpoint(vcpu);
		} else {
			run_failed(vcpu, errno);
			go_on = false;
		}
	}
}

static int set_affinity(const struct vm *vm, struct err *err)
{
	uint64_t cpus[VM_CPU_SET / 64];

	if (!vm->config.vcpu_affinity)
		return 0;
	if (vm_cpu_list_parse(vm->config.vcpu_affinity, cpus, err))
		return -EINVAL;
	if (sched_setaffinity(0, sizeof(cpus), (const cpu_set_t *)cpus) < 0) {
		err->usage = vm->boots == 1; /* all vCPUs fail here alike: nothing was started */
		return err_sys(err, -errno,
			       "--vcpu-affinity %s: none of these host CPUs can be had",
			       vm->config.vcpu_affinity);
	}
	return 0;
}

static void *thread_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vm *vm = vcpu->vm;
	struct err why = ERR_INIT;
	char name[16];
	sigset_t kick;

	snprintf(name, sizeof(name), "vcpu-%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	sigemptyset(&kick);
	sigaddset(&kick, VCPU_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	if (set_affinity(vm, &why) == 0 && fault_thread_init(vm, &why) == 0)
		run(vcpu);
	else
		vm_finish(vm, VM_END_ERROR, &why);
	fault_thread_release();

	pthread_mutex_lock(&vm->lock);
	vm->running--;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, struct err *err)
{
	struct sigaction action = {.sa_handler = got_kick}; /* no SA_RESTART */
	struct vm *vm = vcpu->vm;
	pthread_attr_t attr;
	int rc;

	sigaction(VCPU_SIGNAL, &action, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK);
	pthread_mutex_lock(&vm->lock);
	rc = pthread_create(&vcpu->thread, &attr, thread_main, vcpu);
	if (!rc) {
		vcpu->started = true;
		vm->running++;
	}
	pthread_mutex_unlock(&vm->lock);
	pthread_attr_destroy(&attr);
	return rc ? err_sys(err, -rc, "vcpu %u: cannot start its thread", vcpu->index) : 0;
}
