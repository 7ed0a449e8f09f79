/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for the records of state that are arm64's own, vCPU, interrupt controller, ITS, clock and compatibility, and
 * for those of devices, as `lkvm restore` takes them: decoded, checked, given to KVM. That code knows KVM by arm64's headers
 * alone, which fuzz.mk puts in front of this machine's; KVM itself is made up here (ioctl() is wrapped), and refuses now and
 * then what it likes.
 *
 * The first byte is the machine: bit 0 a second vCPU, bits 2:1 the interrupt controller, bit 3 memory tags, bits 7:4 what KVM
 * refuses. The second is what follows: 0 records as in a file, whose checksums are made right here; else one payload, for
 * a record of that type.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arm/compat.h"
#include "arm/machine.h"
#include "arm/state.h"
#include "arm/vcpu.h"
#include "hw/rtc.h"
#include "hw/uart.h"
#include "hw/vmgenid.h"
#include "migrate/state.h"
#include "state/checksum.h"
#include "state/record.h"
#include "vm/vm.h"

#define CNTFRQ	 1000000000 /* that of the corpus */
#define GPA	 0x1030000
#define GPA_SIZE 65536
#define MAX_OUT	 (1 << 20)
#define FAKE_FD	 1000 /* no descriptor of ours */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

static struct fuzz_machine {
	struct vm vm;
	struct arch_machine board;
	struct vcpu vcpus[2];
	unsigned int mood; /* KVM's, 0: it takes all */
	uint64_t given[2]; /* to the vCPUs: KVM_SET_VCPU_EVENTS and MP_STATE */
} m;

static void must(bool what)
{
	if (!what)
		abort();
}

/* --- KVM --- */

static bool dislikes(uint64_t what)
{
	return m.mood && (what * 0x9e3779b97f4a7c15ull >> 32) % 16 == m.mood;
}

static uint64_t sink;

/* As the kernel does it: so many bytes from there, or to there. */
static int one_reg(const struct kvm_one_reg *reg, bool set)
{
	size_t size = 1ul << ((reg->id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
	uint8_t *bytes = (uint8_t *)(uintptr_t)reg->addr;

	if (dislikes(reg->id + set)) {
		errno = set ? EINVAL : ENOENT;
		return -1;
	}
	for (size_t i = 0; set && i < size; i++)
		sink += bytes[i];
	if (!set)
		memset(bytes, (int)(reg->id & 0xff), size);
	return 0;
}

static int device_attr(const struct kvm_device_attr *attr)
{
	bool wide = attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ||
		    attr->group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS;

	if (dislikes(attr->attr ^ attr->group)) {
		errno = EINVAL;
		return -1;
	}
	if (attr->group != KVM_DEV_ARM_VGIC_GRP_CTRL)
		for (int i = 0; i < (wide ? 8 : 4); i++)
			sink += ((const uint8_t *)(uintptr_t)attr->addr)[i];
	return 0;
}

static int mp_state(const struct kvm_mp_state *state)
{
	must(state->mp_state == KVM_MP_STATE_RUNNABLE || state->mp_state == KVM_MP_STATE_STOPPED);
	return 0;
}

/* All registers that a vCPU cannot be without, and those of MTE. */
static int reg_list(struct kvm_reg_list *list)
{
	static const uint64_t ids[] = {
		KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc),
		ARM64_SYS_REG(3, 0, 1, 0, 5),
		ARM64_SYS_REG(3, 0, 1, 0, 6),
		ARM64_SYS_REG(3, 0, 5, 6, 0),
		ARM64_SYS_REG(3, 0, 5, 6, 1),
	};
	uint64_t n = sizeof(ids) / sizeof(ids[0]), room = list->n;

	list->n = n;
	if (room < n) {
		errno = E2BIG;
		return -1;
	}
	memcpy(list->reg, ids, sizeof(ids));
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case KVM_GET_ONE_REG:
	case KVM_SET_ONE_REG:
		return one_reg(arg, request == KVM_SET_ONE_REG);
	case KVM_GET_REG_LIST:
		return reg_list(arg);
	case KVM_SET_DEVICE_ATTR:
		return device_attr(arg);
	case KVM_SET_MP_STATE:
		m.given[fd - FAKE_FD] |= 1;
		return mp_state(arg);
	case KVM_SET_VCPU_EVENTS:
		m.given[fd - FAKE_FD] |= 2;
		return 0;
	case KVM_CREATE_VM:
	case KVM_CREATE_VCPU:
		return m.mood == 1 ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
	case KVM_CHECK_EXTENSION:
		return dislikes((uintptr_t)arg) ? 0 : 44;
	case KVM_CREATE_DEVICE:
	case KVM_ARM_PREFERRED_TARGET:
	case KVM_ARM_VCPU_INIT:
	case KVM_SET_USER_MEMORY_REGION:
		return dislikes(request) ? -1 : 0;
	}
	return __real_ioctl(fd, request, arg);
}

/* --- in place of arm/vcpu.c, arm/gic.c and arm/mte.c --- */

int arm_get_reg(struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	(void)vcpu, (void)id, (void)value;
	return -ENOENT;
}

uint64_t arm_vcpu_mpidr(struct vcpu *vcpu)
{
	return vcpu->index;
}

uint32_t arm_cntfrq(void)
{
	return CNTFRQ;
}

uint64_t arm_cntvct(void)
{
	return 1;
}

const char *gic_kind_name(enum fdt_gic kind)
{
	static const char *const names[] = {"gicv2", "gicv2m", "gicv3", "gicv3-its"};

	must(kind <= FDT_GICV3_ITS);
	return names[kind];
}

int mte_check_host(int kvm_fd, struct err *err)
{
	(void)kvm_fd;
	return m.mood == 2 ? err_set(err, -EOPNOTSUPP, "no tags here") : 0;
}

int arch_tags_by_kvm(struct vm *vm, bool kvm, struct err *err)
{
	(void)vm, (void)kvm, (void)err;
	return 0;
}

/* --- the machine; its devices are real ones --- */

static void set_line(void *ctx, uint32_t number, bool level)
{
	(void)ctx, (void)number, (void)level;
}

static void no_quit(void *ctx)
{
	(void)ctx;
}

static void add(struct device *dev)
{
	must(!device_register(&m.vm.devices, dev, NULL));
}

static void build(void)
{
	const struct irq_line line = {.set = set_line};
	const struct mem_spec spec = {.name = "vmgenid", .gpa = GPA, .size = GPA_SIZE};
	int in = dup(0), out = dup(1), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct chardev *console;
	struct device *dev;

	vm_config_init(&m.vm.config);
	m.vm.vcpus = m.vcpus;
	m.vm.machine = &m.board;
	for (uint32_t i = 0; i < 2; i++)
		m.vcpus[i] = (struct vcpu){.vm = &m.vm, .index = i, .fd = FAKE_FD + (int)i};
	m.board.gic.fd = FAKE_FD + 2;
	log_init(&m.vm.log, null, LOG_ERROR);
	device_list_init(&m.vm.devices);
	must(!event_loop_init(&m.vm.loop, NULL) && !mem_init(&m.vm.mem, NULL));
	mem_use_vm(&m.vm.mem, FAKE_FD);
	must(!mem_add(&m.vm.mem, &spec, NULL));
	dup2(null, 0);
	dup2(null, 1);
	must(!chardev_open_stdio(&m.vm.loop, &m.vm.log, no_quit, NULL, &console, NULL));
	dup2(in, 0);
	dup2(out, 1);
	must(!uart_create("uart0", console, &line, &m.vm.log, &dev, NULL));
	add(dev);
	must(!rtc_create("rtc", &m.vm.loop, &line, rtc_host_now, &dev, NULL));
	add(dev);
	must(!vmgenid_create("vmgenid", &m.vm.mem, GPA, &line, &dev, NULL));
	add(dev);
}

/* --- what is tried --- */

/* The checksums of @in's records, as far as they can be found. */
static void sign(uint8_t *in, size_t size)
{
	size_t at = 0;

	while (size - at >= RECORD_HEADER + 8) {
		uint32_t length = in[at + 12] | in[at + 13] << 8 | in[at + 14] << 16 |
				  (uint32_t)in[at + 15] << 24;
		uint64_t sum;

		if (length > size - at - RECORD_HEADER - 8)
			return;
		sum = checksum(in + at, RECORD_HEADER + length);
		for (int i = 0; i < 8; i++)
			in[at + RECORD_HEADER + length + i] = sum >> 8 * i & 0xff;
		at += RECORD_HEADER + length + 8;
	}
}

/* A machine that was given all has been given something for each of its vCPUs; what is refused is said. */
static void load(const struct wbuf *state, bool advance)
{
	struct state_options options = {.clock_advance = advance};
	struct state_loading *loading = NULL;
	struct err err = ERR_INIT;
	struct wbuf reasons;
	int rc;

	memset(m.given, 0, sizeof(m.given));
	wbuf_init(&reasons, MAX_OUT);
	rc = state_prepare(&m.vm, state, &options, &reasons, &loading, &err);
	if (rc) {
		must(err.msg[0] || reasons.len);
	} else {
		must(!reasons.len && m.given[0] == 3);
		must(m.vm.config.cpus == 1 || m.given[1] == 3);
		rc = state_commit(loading, &err);
		must(!rc || err.msg[0]);
	}
	wbuf_release(&reasons);
}

static void one(uint32_t type, const uint8_t *bytes, size_t size)
{
	struct wbuf state;
	size_t at;

	wbuf_init(&state, MAX_OUT);
	at = record_begin(&state, type, 1, RECORD_MUST, 0);
	wbuf_bytes(&state, bytes, size);
	record_end(&state, at);
	at = record_begin(&state, RECORD_END, 1, RECORD_MUST, 0);
	record_end(&state, at);
	load(&state, false);
	wbuf_release(&state);
}

static void compat(const uint8_t *bytes, size_t size)
{
	struct err err = ERR_INIT;
	struct wbuf reasons, again;
	struct compat c;
	struct rbuf in;
	int rc;

	wbuf_init(&reasons, MAX_OUT);
	wbuf_init(&again, MAX_OUT);
	rbuf_init(&in, bytes, size);
	if (!compat_decode(&in, &c, &err)) {
		compat_encode(&c, &again);
		must(again.len == size); /* but for what a terminal could take for a command */
	}
	rbuf_init(&in, bytes, size);
	rc = arch_compat_check(FAKE_FD, &in, &reasons, &err);
	must(rc >= 0 || err.msg[0]);
	must(rc <= 0 || (reasons.len && reasons.data[reasons.len - 1] == '\n'));
	for (size_t i = 0; i < reasons.len; i++)
		must(reasons.data[i] == '\n' || (reasons.data[i] >= ' ' && reasons.data[i] <= '~'));
	wbuf_release(&reasons);
	wbuf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wbuf state;

	if (size < 2)
		return 0;
	if (!m.vm.machine)
		build();
	m.vm.config.cpus = 1 + (data[0] & 1);
	m.board.gic.kind = data[0] >> 1 & 3;
	m.board.gic.its_fd = m.board.gic.kind == FDT_GICV3_ITS ? FAKE_FD + 3 : -1;
	m.vm.config.mte = data[0] >> 3 & 1;
	m.mood = data[0] >> 4;
	if (data[1] == RECORD_COMPAT) {
		compat(data + 2, size - 2);
	} else if (data[1]) {
		one(data[1], data + 2, size - 2);
	} else {
		wbuf_init(&state, MAX_OUT);
		wbuf_bytes(&state, data + 2, size - 2);
		if (!state.error)
			sign(state.data, state.len);
		if (!state.error)
			load(&state, size & 1);
		wbuf_release(&state);
	}
	return 0;
}
