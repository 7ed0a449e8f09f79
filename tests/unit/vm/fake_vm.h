/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM for the tests of the control socket: a real event loop and server, and in place of vm.c, vcpu.c and arm/ the
 * functions below, which keep account of what was asked of them in the vm itself. Include once a program.
 */
#ifndef LKVM_TESTS_FAKE_VM_H
#define LKVM_TESTS_FAKE_VM_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "vm/arch.h"
#include "vm/control-wire.h"
#include "vm/vm.h"

/* Before struct vm, so that a fake finds it. */
struct fake_vm {
	struct vm vm;
	struct vcpu vcpus[4];
	pthread_t thread;
	bool threaded;
	uint32_t registers; /* how many a vCPU has */
	bool registers_fail;
	_Atomic bool stubborn; /* does not end when told */
	char sysrq;
	_Atomic uint32_t finished;
	_Atomic bool unpaused_read; /* registers were read without the barrier */
};

static inline struct fake_vm *fake_of(struct vm *vm)
{
	return (struct fake_vm *)vm; /* its first member */
}

void vm_finish(struct vm *vm, enum vm_end end, const struct err *why)
{
	(void)why;
	pthread_mutex_lock(&vm->lock);
	if (vm->end == VM_END_NONE || (vm->end == VM_END_RESET && end == VM_END_STOP))
		vm->end = end;
	pthread_mutex_unlock(&vm->lock);
	fake_of(vm)->finished++;
	if (!fake_of(vm)->stubborn && vm->end_kick.source.fd >= 0)
		event_kick(&vm->end_kick);
}

void vm_pause(struct vm *vm)
{
	vm->pauses++;
}

int vm_pause_for(struct vm *vm, unsigned int ms)
{
	(void)ms;
	if (vm->let_go) /* a vCPU waits for memory */
		return -EAGAIN;
	vm_pause(vm);
	return 0;
}

void vm_resume(struct vm *vm)
{
	vm->pauses--;
}

int vm_user_pause(struct vm *vm)
{
	if (vm->user_paused)
		return -EALREADY;
	vm_pause(vm);
	vm->user_paused = true;
	return 0;
}

int vm_user_resume(struct vm *vm)
{
	if (!vm->user_paused)
		return -EALREADY;
	vm->user_paused = false;
	vm_resume(vm);
	return 0;
}

uint64_t vcpu_count(const struct vcpu *vcpu, enum vcpu_count kind)
{
	return vcpu->counts[kind];
}

int arch_vcpu_registers(struct vcpu *vcpu, arch_reg_fn emit, void *ctx, struct err *err)
{
	struct fake_vm *f = fake_of(vcpu->vm);
	char name[32], value[32];

	if (!vcpu->vm->pauses)
		f->unpaused_read = true;
	for (uint32_t i = 0; i < f->registers; i++) {
		(void)snprintf(name, sizeof(name), "x%u", i);
		(void)snprintf(value, sizeof(value), "%08x%08x", vcpu->index, i);
		emit(ctx, name, value);
	}
	return f->registers_fail ? err_set(err, -EIO, "x9: no luck") : 0;
}

int arch_sysrq(struct vm *vm, char key, struct err *err)
{
	if (key == '9')
		return err_set(err, -ENODEV, "this VM has no console");
	fake_of(vm)->sysrq = key;
	return 0;
}

void *gpa_ptr(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	(void)access;
	for (unsigned int i = 0; i < mem->n; i++)
		if (gpa == mem->banks[i].spec.gpa && len <= mem->banks[i].spec.size)
			return mem->banks[i].host;
	return NULL;
}

static inline void fake_kicked(struct event_kick *kick)
{
	event_stop(kick->loop);
}

/* A machine of two vCPUs that is up, without a server or loop. */
static inline void fake_init(struct fake_vm *f, const char *name)
{
	memset(f, 0, sizeof(*f));
	(void)snprintf(f->vm.name, sizeof(f->vm.name), "%s", name);
	pthread_mutex_init(&f->vm.lock, NULL);
	f->vm.config.cpus = 2;
	f->vm.config.mem_size = 256ull << 20;
	f->vm.config.mte = true;
	f->vm.vcpus = f->vcpus;
	f->vm.boots = 1;
	f->vm.started_ns = clock_now_ns();
	f->vm.end_kick.source.fd = -1;
	f->vm.loop.epfd = -1;
	log_init(&f->vm.log, STDERR_FILENO, LOG_ERROR);
	f->registers = 3;
	for (uint32_t i = 0; i < 4; i++) {
		f->vcpus[i].vm = &f->vm;
		f->vcpus[i].index = i;
		for (int kind = 0; kind < COUNT_KINDS; kind++)
			f->vcpus[i].counts[kind] = 1000 * i + (uint64_t)kind + 1;
	}
}

static inline int fake_open(struct fake_vm *f, const struct control_limits *limits, struct err *err)
{
	int rc = event_loop_init(&f->vm.loop, err);

	if (!rc)
		rc = event_kick_init(&f->vm.end_kick, &f->vm.loop, fake_kicked, NULL, err);
	if (!rc)
		rc = limits ? control_server_open_limits(&f->vm, limits, &f->vm.control, err)
			    : control_server_open(&f->vm, &f->vm.control, err);
	return rc;
}

static inline void fake_release(struct fake_vm *f)
{
	if (f->vm.control)
		control_server_close(f->vm.control);
	f->vm.control = NULL;
	if (f->vm.end_kick.source.fd >= 0)
		event_kick_release(&f->vm.end_kick);
	if (f->vm.loop.epfd >= 0)
		event_loop_release(&f->vm.loop);
	pthread_mutex_destroy(&f->vm.lock);
}

static inline void *fake_thread(void *arg)
{
	struct fake_vm *f = arg;

	(void)event_run(&f->vm.loop, NULL);
	control_server_close(f->vm.control);
	f->vm.control = NULL;
	return NULL;
}

/* Runs in a thread of its own until it is told to stop, by whatever way. */
static inline int fake_start(struct fake_vm *f, const char *name,
			     const struct control_limits *limits)
{
	struct err err = ERR_INIT;
	int rc;

	fake_init(f, name);
	rc = fake_open(f, limits, &err);
	if (rc) {
		fprintf(stderr, "# %s\n", err.msg);
		fake_release(f);
		return rc;
	}
	f->threaded = pthread_create(&f->thread, NULL, fake_thread, f) == 0;
	return f->threaded ? 0 : -EAGAIN;
}

static inline void fake_join(struct fake_vm *f)
{
	if (f->threaded)
		pthread_join(f->thread, NULL);
	fake_release(f);
}

static inline void fake_end(struct fake_vm *f)
{
	event_kick(&f->vm.end_kick);
	fake_join(f);
}

/* --- A folder for sockets: XDG_RUNTIME_DIR --- */

#define FAKE_DIR 32

static inline int fake_dir_make(char dir[FAKE_DIR])
{
	(void)snprintf(dir, FAKE_DIR, "/tmp/lkvm-test-XXXXXX");
	if (!mkdtemp(dir) || setenv("XDG_RUNTIME_DIR", dir, 1) < 0)
		return -errno;
	return 0;
}

static inline void fake_dir_empty(const char *path)
{
	char file[512];
	struct dirent *d;
	DIR *dir = opendir(path);

	while (dir && (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", path, d->d_name);
		if (unlink(file) < 0)
			(void)rmdir(file);
	}
	if (dir)
		closedir(dir);
}

static inline void fake_dir_remove(const char dir[FAKE_DIR])
{
	char path[FAKE_DIR + 8];

	(void)snprintf(path, sizeof(path), "%s/lkvm", dir);
	fake_dir_empty(path);
	fake_dir_empty(dir);
	(void)rmdir(dir);
	unsetenv("XDG_RUNTIME_DIR");
}

#endif
