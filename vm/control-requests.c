/* SPDX-License-Identifier: GPL-2.0-only */
/* What each request of the control socket does. On the loop's thread, so the machine does not come or go meanwhile. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "vm/arch.h"
#include "vm/control-wire.h"
#include "vm/vm.h"

/* Between boots there is nothing to ask. */
static int need_machine(struct vm *vm, struct err *err)
{
	if (vm->vcpus && !vm->incoming)
		return 0;
	return err_set(err, -EAGAIN, "the machine is not up at this moment");
}

static void get_info(struct vm *vm, struct control_info *info)
{
	memset(info, 0, sizeof(*info));
	info->pid = (uint32_t)getpid();
	info->cpus = vm->config.cpus;
	info->memory = vm->config.mem_size;
	info->mte = vm->config.mte;
	(void)snprintf(info->name, sizeof(info->name), "%s", vm->name);
	pthread_mutex_lock(&vm->lock);
	if (vm->end != VM_END_NONE)
		info->state = CONTROL_ENDING;
	else if (!vm->vcpus || vm->incoming)
		info->state = CONTROL_STARTING;
	else if (vm->shift != VM_SHIFT_NONE)
		info->state = vm->shift == VM_SHIFT_LEFT ? CONTROL_LEAVING : CONTROL_RECOVERING;
	else
		info->state = vm->user_paused ? CONTROL_PAUSED : CONTROL_RUNNING;
	pthread_mutex_unlock(&vm->lock);
}

static int do_info(struct vm *vm, struct wbuf *out)
{
	struct control_info info;

	get_info(vm, &info);
	control_info_encode(out, &info);
	return 0;
}

static uint8_t backing(const struct vm *vm)
{
	if (vm->config.lazy)
		return MEM_MEMFD;
	if (vm->config.hugetlbfs)
		return MEM_HUGETLB;
	return vm->config.mem_backend == MEM_BACKEND_MEMFD ? MEM_MEMFD : MEM_ANON;
}

static int do_stat(struct vm *vm, struct wbuf *out)
{
	struct control_memory memory;
	struct control_stat stat = {0};

	get_info(vm, &stat.info);
	stat.uptime_ns = clock_now_ns() - vm->started_ns;
	stat.boots = vm->boots;
	stat.backing = backing(vm);
	if (control_memory_read(vm, &memory))
		memory = (struct control_memory){CONTROL_UNKNOWN, CONTROL_UNKNOWN, CONTROL_UNKNOWN};
	stat.guest_resident = memory.guest_resident;
	stat.own_pss = memory.own_pss;
	stat.own_anonymous = memory.own_anonymous;
	stat.missing = vm->mem.missing * vm->mem.page_size;
	stat.vcpus = vm->vcpus ? vm->config.cpus : 0;
	control_stat_encode(out, &stat);
	for (uint32_t i = 0; i < stat.vcpus; i++)
		for (int kind = 0; kind < COUNT_KINDS; kind++)
			wbuf_u64(out, vcpu_count(&vm->vcpus[i], (enum vcpu_count)kind));
	return 0;
}

static int do_pause(struct vm *vm, bool pause, struct err *err)
{
	int rc = need_machine(vm, err);

	if (rc)
		return rc;
	rc = pause ? vm_user_pause(vm) : vm_user_resume(vm);
	if (rc == -EALREADY)
		return err_set(err, rc, pause ? "is paused already" : "is not paused");
	return rc ? err_sys(err, rc, pause ? "cannot pause" : "cannot resume") : 0;
}

/* Ends the loop soon, not now: the server still sends the reply. */
static int do_stop(struct vm *vm)
{
	vm_finish(vm, VM_END_STOP, NULL);
	return 0;
}

struct registers {
	struct wbuf *out;
	uint32_t n;
};

static void put_register(void *ctx, const char *name, const char *value)
{
	struct registers *regs = ctx;

	wbuf_str(regs->out, name);
	wbuf_str(regs->out, value);
	regs->n++;
}

static int do_registers(struct vm *vm, uint32_t index, struct wbuf *out, struct err *err)
{
	struct registers regs = {.out = out};
	size_t count_at = out->len;
	int rc = need_machine(vm, err);

	if (rc)
		return rc;
	if (index >= vm->config.cpus)
		return err_set(err, -EINVAL, "vcpu %u: this VM has %u, counted from 0", index,
			       vm->config.cpus);
	wbuf_u32(out, 0);
	if (vm_pause_for(vm, 1000))
		return err_set(err, -EAGAIN,
			       "a vCPU waits for memory that is still at the source; try again");
	rc = arch_vcpu_registers(&vm->vcpus[index], put_register, &regs, err);
	vm_resume(vm);
	if (rc)
		err_prefix(err, "vcpu %u", index);
	wbuf_patch_u32(out, count_at, regs.n);
	return rc;
}

static int do_sysrq(struct vm *vm, uint8_t key, struct err *err)
{
	int rc = need_machine(vm, err);

	if (rc)
		return rc;
	if (key < 0x21 || key > 0x7e)
		return err_set(err, -EINVAL, "sysrq 0x%02x: a key is one printable character", key);
	return arch_sysrq(vm, (char)key, err);
}

/* The whole payload is read, and nothing may be left, before anything is done. */
static int dispatch(struct vm *vm, uint16_t type, struct rbuf *r, struct wbuf *out, struct err *err)
{
	uint32_t arg = 0;

	if (vm->extra && type >= CONTROL_SNAPSHOT && type <= CONTROL_MIGRATE_JOIN)
		return vm->extra(vm, vm->extra_ctx, type, r, out, err);
	/* The guest is not here, but may come back: who moves it says. */
	if (vm->extra && (vm->shift == VM_SHIFT_LEFT || vm->shift == VM_SHIFT_KEPT) &&
	    (type == CONTROL_PAUSE || type == CONTROL_RESUME))
		return vm->extra(vm, vm->extra_ctx, type, r, out, err);
	if (type < CONTROL_INFO || type > CONTROL_SYSRQ)
		return err_set(err, -EOPNOTSUPP, "request %u is not known to this VM", type);
	if (type == CONTROL_REGISTERS)
		arg = rbuf_u32(r);
	else if (type == CONTROL_SYSRQ)
		arg = rbuf_u8(r);
	if (rbuf_done(r))
		return err_set(err, -EBADMSG, "request %u has a payload of the wrong length", type);
	switch ((enum control_type)type) {
	case CONTROL_INFO:
		return do_info(vm, out);
	case CONTROL_STAT:
		return do_stat(vm, out);
	case CONTROL_PAUSE:
		return do_pause(vm, true, err);
	case CONTROL_RESUME:
		return do_pause(vm, false, err);
	case CONTROL_STOP:
		return do_stop(vm);
	case CONTROL_REGISTERS:
		return do_registers(vm, arg, out, err);
	case CONTROL_SYSRQ:
		return do_sysrq(vm, (uint8_t)arg, err);
	default:
		break;
	}
	return -EOPNOTSUPP; /* not reached */
}

int control_handle(struct vm *vm, uint16_t type, const void *payload, size_t len, struct wbuf *out)
{
	struct err err = ERR_INIT;
	struct rbuf r;
	int rc;

	rbuf_init(&r, payload, len);
	control_reply_begin(out, type, 0, "");
	rc = dispatch(vm, type, &r, out, &err);
	if (rc)
		control_reply_begin(out, type, rc, err.msg);
	rc = out->error ? out->error : rc;
	(void)control_reply_end(out, type);
	return rc;
}
