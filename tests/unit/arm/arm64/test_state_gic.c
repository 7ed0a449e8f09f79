/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of GICs and of the ITS: saved from a KVM that is made up (ioctl() is wrapped), decoded, refused where it is not what
 * this machine's controller has, and given back in the order that devices/arm-vgic-v3.rst and arm-vgic-its.rst ask for.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../../../tap.h"
#include "arm/gic.h"
#include "arm/state.h"
#include "arm/vcpu.h"
#include "vm/vm.h"

#define GIC_FD	5
#define ITS_FD	6
#define CPUS	3
#define WRITES	65536
#define REG_LEN 20 /* of a register in the file: group, attribute, value */
#define HEAD	5  /* kind, number of registers */

#define DIST	KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define REDIST	KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define CPUIF	KVM_DEV_ARM_VGIC_GRP_CPU_REGS
#define SYSREG	KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define ITS	KVM_DEV_ARM_VGIC_GRP_ITS_REGS
#define CONTROL KVM_DEV_ARM_VGIC_GRP_CTRL

/* The KVM that answers. */
static struct {
	struct kvm_device_attr writes[WRITES];
	uint64_t values[WRITES];
	unsigned int n;
	bool one_apr; /* of ICC_APnR and GICC_APR there is only the first */
	uint32_t refuse_group;
	uint64_t refuse_attr;
} fake;

static const uint64_t mpidrs[CPUS] = {0, 0x102, 0x300000001};

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, struct kvm_device_attr *one);

uint64_t arm_vcpu_mpidr(struct vcpu *vcpu)
{
	return mpidrs[vcpu->index];
}

int arm_get_reg(struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	(void)vcpu, (void)id, (void)value;
	return -ENOENT;
}

const char *gic_kind_name(enum fdt_gic kind)
{
	static const char *const names[] = {"gicv2", "gicv2m", "gicv3", "gicv3-its"};

	return names[kind];
}

void state_refused(struct wbuf *reasons, const struct err *why)
{
	wbuf_bytes(reasons, why->msg, strlen(why->msg));
	wbuf_bytes(reasons, "\n", 1);
}

static bool wide(uint32_t group)
{
	return group == SYSREG || group == ITS;
}

static uint64_t value_of(uint32_t group, uint64_t attr)
{
	uint64_t v = (attr + 1) * 0x9e3779b97f4a7c15ull ^ group * 0x12345678901ull;

	return wide(group) ? v : (uint32_t)v;
}

static bool is_second_apr(uint32_t group, uint64_t attr)
{
	uint64_t reg = attr & 0xffff;

	return (group == SYSREG &&
		((reg >= 0xc645 && reg <= 0xc647) || (reg >= 0xc649 && reg <= 0xc64b))) ||
	       (group == CPUIF && (uint32_t)attr >= 0xd4);
}

int __wrap_ioctl(int fd, unsigned long request, struct kvm_device_attr *one)
{
	void *at = (void *)(uintptr_t)one->addr;
	uint64_t value = 0;

	if (fd != GIC_FD && fd != ITS_FD)
		return __real_ioctl(fd, request, one);
	errno = EINVAL;
	if ((fd == ITS_FD) != (one->group == ITS) && one->group != CONTROL)
		return -1;
	if (fake.one_apr && is_second_apr(one->group, one->attr))
		return errno = ENXIO, -1;
	if (request == KVM_GET_DEVICE_ATTR) {
		value = value_of(one->group, one->attr);
		memcpy(at, &value, wide(one->group) ? 8 : 4);
		return 0;
	}
	if (fake.refuse_group && one->group == fake.refuse_group && one->attr == fake.refuse_attr)
		return -1;
	if (one->group != CONTROL)
		memcpy(&value, at, wide(one->group) ? 8 : 4);
	if (fake.n == WRITES)
		abort();
	fake.writes[fake.n] = *one;
	fake.values[fake.n++] = value;
	return 0;
}

static struct vm *machine(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		abort();
	vm->config.cpus = CPUS;
	vm->vcpus = calloc(CPUS, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		abort();
	for (uint32_t i = 0; i < CPUS; i++)
		vm->vcpus[i].index = i;
	return vm;
}

static struct gic gic_of(enum fdt_gic kind)
{
	return (struct gic){.kind = kind, .fd = GIC_FD, .its_fd = ITS_FD};
}

/* The first write of that register; -1 if there was none. */
static int written(uint32_t group, uint64_t attr)
{
	for (unsigned int i = 0; i < fake.n; i++)
		if (fake.writes[i].group == group && fake.writes[i].attr == attr)
			return (int)i;
	return -1;
}

static uint64_t of_cpu(uint32_t cpu, uint32_t reg)
{
	return (mpidrs[cpu] >> 8 & 0xff000000) << 32 | (mpidrs[cpu] & 0xffffff) << 32 | reg;
}

static struct wbuf saved(struct vm *vm, enum fdt_gic kind)
{
	struct gic gic = gic_of(kind);
	struct err err = ERR_INIT;
	struct wbuf out;

	wbuf_init(&out, 1 << 22);
	if (gic_state_save(vm, &gic, &out, &err))
		abort();
	fake.n = 0;
	return out;
}

static int decoded(struct vm *vm, enum fdt_gic kind, const uint8_t *bytes, size_t len,
		   struct gic_state *state, struct err *err)
{
	struct gic gic = gic_of(kind);
	struct rbuf in;

	rbuf_init(&in, bytes, len);
	return gic_state_decode(&in, vm, &gic, state, err);
}

static bool all_values_right(void)
{
	for (unsigned int i = 0; i < fake.n; i++)
		if (fake.values[i] != value_of(fake.writes[i].group, fake.writes[i].attr))
			return false;
	return true;
}

static void round_trip(struct tap *tap, struct vm *vm, enum fdt_gic kind)
{
	bool v3 = kind == FDT_GICV3 || kind == FDT_GICV3_ITS;
	struct wbuf bytes = saved(vm, kind), reasons;
	struct gic gic = gic_of(kind);
	struct gic_state state = {0};
	struct err err = ERR_INIT;
	unsigned int early, late;
	int rc = decoded(vm, kind, bytes.data, bytes.len, &state, &err);

	wbuf_init(&reasons, 4096);
	tap_ok(tap, !rc && state.nregs == (bytes.len - HEAD) / REG_LEN, "%s: decoded, %u registers",
	       gic_kind_name(kind), state.nregs);
	rc = gic_state_apply(&gic, &state, &reasons);
	early = fake.n;
	tap_ok(tap, !rc && !reasons.len && early + (v3 ? CPUS : 0) == state.nregs,
	       "%s: all are written before RAM but GICR_CTLR", gic_kind_name(kind));
	rc = gic_state_start(&gic, &state, &err);
	late = fake.n - early;
	tap_ok(tap, !rc && late == (v3 ? CPUS : 0), "%s: that one, of each vCPU, after it",
	       gic_kind_name(kind));
	tap_ok(tap, all_values_right(), "%s: each gets its own value", gic_kind_name(kind));
	tap_ok(tap, written(DIST, 8) == 0, "%s: GICD_IIDR is the first", gic_kind_name(kind));
	gic_state_release(&state);
	wbuf_release(&reasons);
	wbuf_release(&bytes);
}

static void order_v3(struct tap *tap, struct vm *vm)
{
	struct wbuf bytes = saved(vm, FDT_GICV3), reasons;
	struct gic gic = gic_of(FDT_GICV3);
	struct gic_state state = {0};
	struct err err = ERR_INIT;
	bool good = !decoded(vm, FDT_GICV3, bytes.data, bytes.len, &state, &err);

	wbuf_init(&reasons, 4096);
	good = good && !gic_state_apply(&gic, &state, &reasons) &&
	       !gic_state_start(&gic, &state, &err);
	for (uint32_t i = 0; i < CPUS; i++) {
		int control = written(REDIST, of_cpu(i, 0));

		good = good && written(REDIST, of_cpu(i, 0x70)) >= 0 &&
		       written(REDIST, of_cpu(i, 0x70)) < control &&
		       written(REDIST, of_cpu(i, 0x7c)) < control &&
		       written(REDIST, of_cpu(i, 0x10c04)) < written(REDIST, of_cpu(i, 0x10200));
	}
	tap_ok(tap, good,
	       "by each vCPU's affinity; PROPBASER, PENDBASER before CTLR, configuration before pending");
	tap_ok(tap, written(DIST, 0xc08) >= 0 && written(DIST, 0xc08) < written(DIST, 0x204),
	       "the same of SPIs");
	gic_state_release(&state);
	wbuf_release(&reasons);
	wbuf_release(&bytes);
}

static void its(struct tap *tap)
{
	static const uint64_t order[] = {0x0004, 0x0080, 0x0090, 0x0088, 0x0100, 0x0138};
	struct gic gic = gic_of(FDT_GICV3_ITS);
	struct wbuf bytes, reasons;
	struct gic_state state = {0};
	struct err err = ERR_INIT;
	struct rbuf in;
	bool good;

	wbuf_init(&bytes, 1 << 16);
	wbuf_init(&reasons, 4096);
	fake.n = 0;
	good = !its_state_save(&gic, &bytes, &err);
	tap_ok(tap, good && fake.n == 1 && fake.writes[0].attr == KVM_DEV_ARM_ITS_SAVE_TABLES,
	       "ITS: its tables are written to RAM first");
	fake.n = 0;
	rbuf_init(&in, bytes.data, bytes.len);
	good = !its_state_decode(&in, &state, &err) && !its_state_apply(&gic, &state, &reasons);
	for (unsigned int i = 0; i + 1 < sizeof(order) / sizeof(order[0]); i++)
		good = good && written(ITS, order[i]) >= 0 &&
		       written(ITS, order[i]) < written(ITS, order[i + 1]);
	tap_ok(tap, good && written(ITS, 0) < 0 && all_values_right(),
	       "ITS: CBASER, CREADR, CWRITER, BASERs before RAM, not CTLR");
	fake.n = 0;
	good = !its_state_start(&gic, &state, &err);
	tap_ok(tap,
	       good && fake.n == 2 && fake.writes[0].group == CONTROL &&
		       fake.writes[0].attr == KVM_DEV_ARM_ITS_RESTORE_TABLES &&
		       fake.writes[1].group == ITS && fake.writes[1].attr == 0,
	       "ITS: then its tables, CTLR last");
	gic_state_release(&state);
	wbuf_release(&reasons);
	wbuf_release(&bytes);
}

/* Decoding @bytes is refused with that code and text. */
static bool refuses(struct vm *vm, const uint8_t *bytes, size_t len, int code, const char *text)
{
	struct gic_state state = {0};
	struct err err = ERR_INIT;

	return decoded(vm, FDT_GICV3, bytes, len, &state, &err) == code && strstr(err.msg, text) &&
	       !state.regs;
}

static void hostile(struct tap *tap, struct vm *vm)
{
	struct wbuf bytes = saved(vm, FDT_GICV3);
	uint8_t *copy = malloc(bytes.len + REG_LEN);
	uint32_t n = (bytes.len - HEAD) / REG_LEN;
	bool good = true;

	if (!copy)
		abort();
	for (size_t len = 0; len < bytes.len; len += len < 200 ? 1 : 97)
		good = good && refuses(vm, bytes.data, len, -EBADMSG, "malformed");
	tap_ok(tap, good, "cut anywhere: refused");
	memcpy(copy, bytes.data, bytes.len);
	copy[bytes.len] = 0;
	tap_ok(tap, refuses(vm, copy, bytes.len + 1, -EBADMSG, "malformed"), "a byte more");
	copy[4] = 0xff; /* four thousand million registers */
	tap_ok(tap, refuses(vm, copy, bytes.len, -EBADMSG, "malformed"), "a number too large");
	copy[4] = 0;
	copy[0] = 9;
	tap_ok(tap, refuses(vm, copy, bytes.len, -EBADMSG, "malformed"), "no kind at all");
	copy[0] = FDT_GICV2;
	tap_ok(tap, refuses(vm, copy, bytes.len, -EOPNOTSUPP, "gicv2, this machine has a gicv3"),
	       "another kind");

	good = true;
	for (uint32_t i = 0; i < n; i += 7) {
		memcpy(copy, bytes.data, bytes.len);
		copy[HEAD + i * REG_LEN + 5] ^= 0x40; /* an address that is not the table's */
		good = good && refuses(vm, copy, bytes.len, -EBADMSG, "not this controller's");
	}
	tap_ok(tap, good, "a register that the table does not have, at each place");
	memcpy(copy, bytes.data, bytes.len);
	memcpy(copy + HEAD, bytes.data + HEAD + REG_LEN, REG_LEN);
	memcpy(copy + HEAD + REG_LEN, bytes.data + HEAD, REG_LEN);
	tap_ok(tap, refuses(vm, copy, bytes.len, -EBADMSG, "out of turn"),
	       "two that changed places");
	memcpy(copy, bytes.data, bytes.len);
	n -= 30; /* more than the active priority registers, which may lack */
	memcpy(copy + 1, &n, sizeof(n)); /* little-endian, as this machine */
	tap_ok(tap, refuses(vm, copy, HEAD + n * REG_LEN, -EBADMSG, "missing after the first"),
	       "some are missing at the end");
	free(copy);
	wbuf_release(&bytes);
}

static void few_priorities(struct tap *tap, struct vm *vm, enum fdt_gic kind)
{
	struct wbuf bytes, all = saved(vm, kind);
	struct gic_state state = {0};
	struct err err = ERR_INIT;

	fake.one_apr = true;
	bytes = saved(vm, kind);
	tap_ok(tap, bytes.len < all.len && !decoded(vm, kind, bytes.data, bytes.len, &state, &err),
	       "%s: active priority registers that a host does not have may lack",
	       gic_kind_name(kind));
	fake.one_apr = false;
	gic_state_release(&state);
	wbuf_release(&bytes);
	wbuf_release(&all);
}

static void refused_by_kvm(struct tap *tap, struct vm *vm)
{
	struct wbuf bytes = saved(vm, FDT_GICV3), reasons;
	struct gic gic = gic_of(FDT_GICV3);
	struct gic_state state = {0};
	struct err err = ERR_INIT;
	int rc;

	wbuf_init(&reasons, 4096);
	if (decoded(vm, FDT_GICV3, bytes.data, bytes.len, &state, &err))
		abort();
	fake.refuse_group = DIST;
	fake.refuse_attr = 8;
	rc = gic_state_apply(&gic, &state, &reasons);
	wbuf_u8(&reasons, 0);
	tap_ok(tap,
	       rc == -EOPNOTSUPP && !fake.n &&
		       !strncmp((char *)reasons.data,
				"gicv3: register group 1 attribute 0x8: this host refuses 0x", 58),
	       "a register that KVM refuses is told by number and value, and nothing after it is written");
	fake.refuse_group = 0;
	gic_state_release(&state);
	wbuf_release(&reasons);
	wbuf_release(&bytes);
}

int main(void)
{
	struct tap tap = {0};
	struct vm *vm = machine();

	for (enum fdt_gic kind = FDT_GICV2; kind <= FDT_GICV3_ITS; kind++)
		round_trip(&tap, vm, kind);
	order_v3(&tap, vm);
	its(&tap);
	hostile(&tap, vm);
	few_priorities(&tap, vm, FDT_GICV2);
	few_priorities(&tap, vm, FDT_GICV3);
	refused_by_kvm(&tap, vm);
	free(vm->vcpus);
	free(vm);
	return tap_end(&tap);
}
