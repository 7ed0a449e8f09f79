/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/vm.h"
#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vm/control.h"
#include "vm/signals.h"

static void finish_kicked(struct event_kick *kick)
{
	struct vm *vm = kick->ctx;

	/* Several may finish a run, and a late one's kick is heard in the next. */
	if (vm->end != VM_END_NONE)
		event_stop(kick->loop);
}

static void user_quit(void *ctx)
{
	vm_finish(ctx, VM_END_STOP, NULL);
}

static int open_kvm(struct vm *vm, struct err *err)
{
	int version;

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0 && errno == ENOENT)
		return err_set(
			err, -ENOENT,
			"/dev/kvm is missing: this host has no KVM (or its kernel did not start at EL2)");
	if (vm->kvm_fd < 0 && errno == EACCES)
		return err_set(
			err, -EACCES,
			"/dev/kvm: permission denied; join the group that owns it (usually kvm)");
	if (vm->kvm_fd < 0)
		return err_sys(err, -errno, "/dev/kvm");
	version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(err, -EPROTO, "/dev/kvm: API version %d, this program knows %d",
			       version, KVM_API_VERSION);
	return 0;
}

static uint32_t default_cpus(const struct vm *vm)
{
	int max = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	return vm_config_default_cpus(&vm->config, max > 0 && max < online ? max : online);
}

static int open_serial(struct vm *vm, struct err *err)
{
	for (unsigned int i = 0; i < VM_MAX_UARTS; i++) {
		int rc = 0;

		if (vm->config.tty[i])
			rc = chardev_open_pty(&vm->loop, &vm->log, &vm->serial[i], err);
		else if (!i)
			rc = chardev_open_stdio(&vm->loop, &vm->log, user_quit, vm, &vm->serial[i],
						err);
		if (rc) {
			err_prefix(err, "uart%u", i);
			return rc;
		}
	}
	return 0;
}

static void init_fields(struct vm *vm, const struct vm_config *config)
{
	memset(vm, 0, sizeof(*vm));
	vm->config = *config;
	if (config->name)
		snprintf(vm->name, sizeof(vm->name), "%s", config->name);
	else
		snprintf(vm->name, sizeof(vm->name), "guest-%d", (int)getpid());
	log_init(&vm->log, STDERR_FILENO, config->log_level);
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	vm->kvm_fd = vm->fd = vm->signals.fd = vm->end_kick.source.fd = vm->loop.epfd = -1;
	vm->mem.vm_fd = vm->passed_fd = -1;
	vm->started_ns = clock_now_ns();
	device_list_init(&vm->devices);
}

/*
 * The serial ports before memory: the terminal's watcher is a fork. The name last, so that a VM that can be seen is one
 * that can be asked.
 */
static int init(struct vm *vm, bool trial, struct err *err)
{
	int rc = open_kvm(vm, err);

	if (!rc && !vm->config.cpus)
		vm->config.cpus = default_cpus(vm);
	if (!rc)
		rc = event_loop_init(&vm->loop, err);
	if (!rc)
		rc = event_kick_init(&vm->end_kick, &vm->loop, finish_kicked, vm, err);
	if (!rc && !trial)
		rc = vm_signals_open(vm, err);
	if (!rc)
		rc = open_serial(vm, err);
	if (!rc)
		rc = mem_init(&vm->mem, err);
	if (!rc && !trial)
		rc = control_server_open(vm, &vm->control, err);
	if (rc)
		vm_release(vm);
	return rc;
}

int vm_init(struct vm *vm, const struct vm_config *config, struct err *err)
{
	init_fields(vm, config);
	return init(vm, false, err);
}

int vm_init_trial(struct vm *vm, const struct vm_config *config, struct err *err)
{
	init_fields(vm, config);
	vm->config.tty[0] = true; /* not on the terminal of who asks */
	vm->log.level = LOG_ERROR;
	return init(vm, true, err);
}

void vm_release(struct vm *vm)
{
	if (vm->control)
		control_server_close(vm->control);
	for (unsigned int i = 0; i < VM_MAX_UARTS; i++)
		if (vm->serial[i])
			chardev_close(vm->serial[i]);
	mem_release(&vm->mem);
	vm_signals_close(vm);
	if (vm->end_kick.source.fd >= 0)
		event_kick_release(&vm->end_kick);
	if (vm->loop.epfd >= 0)
		event_loop_release(&vm->loop);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
}

int vm_open(struct vm *vm, unsigned long type, struct err *err)
{
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, type);
	if (vm->fd < 0)
		return err_sys(err, -errno, "KVM cannot create a VM");
	bus_init(&vm->bus, &vm->log);
	device_list_init(&vm->devices);
	mem_use_vm(&vm->mem, vm->fd);
	vm->vcpus = calloc(vm->config.cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return err_set(err, -ENOMEM, "no memory for %u vCPUs", vm->config.cpus);
	for (uint32_t i = 0; i < vm->config.cpus; i++)
		vm->vcpus[i].fd = -1;
	return 0;
}

void vm_close(struct vm *vm)
{
	device_list_release(&vm->devices);
	for (uint32_t i = 0; vm->vcpus && i < vm->config.cpus; i++)
		vcpu_release(&vm->vcpus[i]);
	free(vm->vcpus);
	vm->vcpus = NULL;
	mem_use_vm(&vm->mem, -1);
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
}

static void stop_threads(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->stopping = true;
	for (uint32_t i = 0; i < vm->config.cpus; i++)
		vcpu_kick(&vm->vcpus[i]);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	if (vm->let_go)
		vm->let_go(vm);
	for (uint32_t i = 0; i < vm->config.cpus; i++)
		if (vm->vcpus[i].started)
			pthread_join(vm->vcpus[i].thread, NULL);
}

enum vm_end vm_run(struct vm *vm)
{
	struct err err = ERR_INIT;
	int rc = 0;

	vm->end = VM_END_NONE;
	vm->stopping = false;
	vm->running = 0;
	vm->boots++;
	for (uint32_t i = 0; i < vm->config.cpus && !rc; i++)
		rc = vcpu_start(&vm->vcpus[i], &err);
	if (!rc)
		rc = event_run(&vm->loop, &err);
	if (rc)
		vm_finish(vm, VM_END_ERROR, &err);
	stop_threads(vm);
	for (unsigned int i = 0; i < VM_MAX_UARTS; i++)
		if (vm->serial[i])
			chardev_drain(vm->serial[i]);
	return vm->end;
}

void vm_finish(struct vm *vm, enum vm_end end, const struct err *why)
{
	pthread_mutex_lock(&vm->lock);
	if (vm->end == VM_END_NONE || (vm->end == VM_END_RESET && end == VM_END_STOP)) {
		vm->end = end;
		if (why)
			vm->end_err = *why;
	}
	pthread_mutex_unlock(&vm->lock);
	event_kick(&vm->end_kick);
}

void vm_pause_begin(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->pauses++;
	for (uint32_t i = 0; vm->vcpus && i < vm->config.cpus; i++)
		vcpu_kick(&vm->vcpus[i]);
	pthread_mutex_unlock(&vm->lock);
}

/* The wait is bounded by the vCPUs alone: one that waits in the kernel for a page is waited for. */
void vm_pause(struct vm *vm)
{
	vm_pause_begin(vm);
	pthread_mutex_lock(&vm->lock);
	while (vm->running)
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
}

int vm_pause_for(struct vm *vm, unsigned int ms)
{
	uint64_t ns = clock_now_ns() + ms * 1000000ull;
	const struct timespec until = {.tv_sec = (time_t)(ns / 1000000000),
				       .tv_nsec = (long)(ns % 1000000000)};
	bool parked;

	if (!vm->let_go) {
		vm_pause(vm);
		return 0;
	}
	vm_pause_begin(vm);
	pthread_mutex_lock(&vm->lock);
	while (vm->running &&
	       pthread_cond_clockwait(&vm->changed, &vm->lock, CLOCK_MONOTONIC, &until) == 0)
		;
	parked = !vm->running;
	pthread_mutex_unlock(&vm->lock);
	if (!parked)
		vm_resume(vm);
	return parked ? 0 : -EAGAIN;
}

void vm_resume(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->pauses--;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

void vm_hold_serial(struct vm *vm, bool hold)
{
	for (unsigned int i = 0; i < VM_MAX_UARTS; i++)
		if (vm->serial[i] && (hold || !vm->serial_held))
			chardev_hold(vm->serial[i], hold);
}

int vm_user_pause(struct vm *vm)
{
	if (vm->user_paused)
		return -EALREADY;
	if (vm->let_go)
		vm_pause_begin(vm);
	else
		vm_pause(vm);
	vm->user_paused = true;
	return 0;
}

int vm_user_resume(struct vm *vm)
{
	if (!vm->user_paused)
		return -EALREADY;
	vm->user_paused = false;
	if (vm->serial_held) {
		vm->serial_held = false;
		vm_hold_serial(vm, false);
	}
	vm_resume(vm);
	return 0;
}
