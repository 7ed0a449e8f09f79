/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupt controller state. Which registers there are, and the order in which they are written, is one table for each
 * kind of controller; saving walks it, and a loaded list must be a part of it in the same order: a file can give values,
 * never addresses of its own.
 *
 * Offsets: Arm IHI 0069 (GICv3) chapter 12, IHI 0048 (GICv2) chapter 4. Order: devices/arm-vgic-v3.rst: GICD_IIDR first,
 * configuration before pending, PROPBASER and PENDBASER before GICR_CTLR. A controller that was just created has zeroes
 * where the ISxxxR registers are, so setting bits is enough. GICR_CTLR and GITS_CTLR switch on what lives in RAM: they are
 * written when that is loaded, after all others.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/gic.h"
#include "arm/state.h"
#include "arm/vcpu.h"
#include "vm/vm.h"

#define MAX_GIC_REGS (1u << 18) /* 512 vCPUs have about 30,000 */

struct reg_run {
	uint32_t group;
	uint32_t first; /* offset, or encoding of a system register */
	uint32_t count; /* registers, `step` apart */
	uint8_t step;
	bool per_vcpu; /* once a vCPU */
	bool may_lack; /* depends on the number of priority bits */
};

#define DIST   KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define REDIST KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define CPUIF  KVM_DEV_ARM_VGIC_GRP_CPU_REGS
#define SYSREG KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define LEVEL  KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
#define ITS    KVM_DEV_ARM_VGIC_GRP_ITS_REGS

#define SPI_WORDS \
	(GIC_INTIDS / 32 - 1) /* words of one bit a SPI; the first word is SGIs and PPIs */
#define SYS(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

static const struct reg_run v3_runs[] = {
	{DIST, 0x0008, 1, 4, false, false},	    /* GICD_IIDR: the ABI of what follows */
	{DIST, 0x0000, 1, 4, false, false},	    /* GICD_CTLR */
	{REDIST, 0x0014, 1, 4, true, false},	    /* GICR_WAKER */
	{REDIST, 0x0070, 4, 4, true, false},	    /* GICR_PROPBASER, GICR_PENDBASER in halves */
	{REDIST, 0x0000, 1, 4, true, false},	    /* GICR_CTLR */
	{REDIST, 0x10080, 1, 4, true, false},	    /* GICR_IGROUPR0 */
	{REDIST, 0x10c00, 2, 4, true, false},	    /* GICR_ICFGR0, 1 */
	{REDIST, 0x10400, 8, 4, true, false},	    /* GICR_IPRIORITYR0..7 */
	{REDIST, 0x10100, 1, 4, true, false},	    /* GICR_ISENABLER0 */
	{DIST, 0x0084, SPI_WORDS, 4, false, false}, /* GICD_IGROUPR */
	{DIST, 0x0c08, SPI_WORDS * 2, 4, false, false},	   /* GICD_ICFGR */
	{DIST, 0x0420, SPI_WORDS * 8, 4, false, false},	   /* GICD_IPRIORITYR */
	{DIST, 0x6100, SPI_WORDS * 64, 4, false, false},   /* GICD_IROUTER in halves */
	{DIST, 0x0104, SPI_WORDS, 4, false, false},	   /* GICD_ISENABLER */
	{LEVEL, 0, 1, 32, true, false},			   /* lines of SGIs and PPIs */
	{LEVEL, 32, SPI_WORDS, 32, false, false},	   /* lines of SPIs */
	{REDIST, 0x10200, 1, 4, true, false},		   /* GICR_ISPENDR0: the latch alone */
	{REDIST, 0x10300, 1, 4, true, false},		   /* GICR_ISACTIVER0 */
	{DIST, 0x0204, SPI_WORDS, 4, false, false},	   /* GICD_ISPENDR */
	{DIST, 0x0304, SPI_WORDS, 4, false, false},	   /* GICD_ISACTIVER */
	{SYSREG, SYS(3, 0, 12, 12, 5), 1, 1, true, false}, /* ICC_SRE_EL1 */
	{SYSREG, SYS(3, 0, 12, 12, 4), 1, 1, true, false}, /* ICC_CTLR_EL1 */
	{SYSREG, SYS(3, 0, 12, 12, 6), 2, 1, true, false}, /* ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1 */
	{SYSREG, SYS(3, 0, 4, 6, 0), 1, 1, true, false},   /* ICC_PMR_EL1 */
	{SYSREG, SYS(3, 0, 12, 8, 3), 1, 1, true, false},  /* ICC_BPR0_EL1 */
	{SYSREG, SYS(3, 0, 12, 12, 3), 1, 1, true, false}, /* ICC_BPR1_EL1 */
	{SYSREG, SYS(3, 0, 12, 8, 4), 4, 1, true, true},   /* ICC_AP0R0_EL1..3 */
	{SYSREG, SYS(3, 0, 12, 9, 0), 4, 1, true, true},   /* ICC_AP1R0_EL1..3 */
};

/* GICv2: registers of SGIs and PPIs are banked, so words 0 are a vCPU's. Lines are set again by the devices. */
static const struct reg_run v2_runs[] = {
	{DIST, 0x0008, 1, 4, false, false}, /* GICD_IIDR */
	{DIST, 0x0000, 1, 4, false, false}, /* GICD_CTLR */
	{DIST, 0x0080, 1, 4, true, false},  /* GICD_IGROUPR0 */
	{DIST, 0x0084, SPI_WORDS, 4, false, false},
	{DIST, 0x0c00, 2, 4, true, false}, /* GICD_ICFGR0, 1 */
	{DIST, 0x0c08, SPI_WORDS * 2, 4, false, false},
	{DIST, 0x0400, 8, 4, true, false}, /* GICD_IPRIORITYR0..7 */
	{DIST, 0x0420, SPI_WORDS * 8, 4, false, false},
	{DIST, 0x0820, SPI_WORDS * 8, 4, false, false}, /* GICD_ITARGETSR of SPIs */
	{DIST, 0x0100, 1, 4, true, false},		/* GICD_ISENABLER0 */
	{DIST, 0x0104, SPI_WORDS, 4, false, false},
	{DIST, 0x0200, 1, 4, true, false}, /* GICD_ISPENDR0 */
	{DIST, 0x0204, SPI_WORDS, 4, false, false},
	{DIST, 0x0f20, 4, 4, true, false}, /* GICD_SPENDSGIR: SGIs by source */
	{DIST, 0x0300, 1, 4, true, false}, /* GICD_ISACTIVER0 */
	{DIST, 0x0304, SPI_WORDS, 4, false, false},
	{CPUIF, 0x0000, 3, 4, true, false}, /* GICC_CTLR, PMR, BPR */
	{CPUIF, 0x001c, 1, 4, true, false}, /* GICC_ABPR */
	{CPUIF, 0x00d0, 4, 4, true, true},  /* GICC_APR0..3 */
};

/* devices/arm-vgic-its.rst: CBASER first (it clears the two pointers), tables, then CTLR. */
static const struct reg_run its_runs[] = {
	{ITS, 0x0004, 1, 8, false, false}, /* GITS_IIDR: the layout of the tables */
	{ITS, 0x0080, 1, 8, false, false}, /* GITS_CBASER */
	{ITS, 0x0090, 1, 8, false, false}, /* GITS_CREADR */
	{ITS, 0x0088, 1, 8, false, false}, /* GITS_CWRITER */
	{ITS, 0x0100, 8, 8, false, false}, /* GITS_BASER0..7 */
	{ITS, 0x0000, 1, 8, false, false}, /* GITS_CTLR: after the tables */
};

#define GITS_CTLR 0
#define GICR_CTLR 0

/* Makes KVM read guest memory, or act on what is in it. */
static bool needs_ram(uint32_t group, uint64_t attr)
{
	return (group == REDIST && (uint32_t)attr == GICR_CTLR) ||
	       (group == ITS && attr == GITS_CTLR);
}

static void runs_of(enum fdt_gic kind, const struct reg_run **runs, uint32_t *n)
{
	bool v3 = kind == FDT_GICV3 || kind == FDT_GICV3_ITS;

	*runs = v3 ? v3_runs : v2_runs;
	*n = v3 ? sizeof(v3_runs) / sizeof(v3_runs[0]) : sizeof(v2_runs) / sizeof(v2_runs[0]);
}

/* KVM names a vCPU by its affinity packed in 32 bits on GICv3, by its number on GICv2. */
static uint64_t vcpu_attr(const struct vm *vm, enum fdt_gic kind, uint32_t vcpu)
{
	uint64_t mpidr;

	if (kind == FDT_GICV2 || kind == FDT_GICV2M)
		return (uint64_t)vcpu << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
	mpidr = arm_vcpu_mpidr(&vm->vcpus[vcpu]);
	return (mpidr >> 8 & 0xff000000ull) << 32 | (mpidr & 0xffffff) << 32;
}

typedef int (*reg_fn)(void *ctx, const struct reg_run *run, uint32_t group, uint64_t attr);

/* Calls @fn for every register of the table, in order. @vm may be NULL where no run is a vCPU's. */
static int walk(const struct vm *vm, enum fdt_gic kind, const struct reg_run *runs, uint32_t n,
		reg_fn fn, void *ctx)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t vcpus = runs[i].per_vcpu ? vm->config.cpus : 1;

		for (uint32_t v = 0; v < vcpus; v++) {
			uint64_t attr = vm ? vcpu_attr(vm, kind, runs[i].per_vcpu ? v : 0) : 0;

			for (uint32_t r = 0; r < runs[i].count; r++) {
				int rc = fn(ctx, &runs[i], runs[i].group,
					    attr | (runs[i].first + r * runs[i].step));

				if (rc)
					return rc;
			}
		}
	}
	return 0;
}

/* 32-bit registers are passed as such. */
static bool is_wide(uint32_t group)
{
	return group == SYSREG || group == ITS;
}

static int access_reg(int fd, unsigned long request, uint32_t group, uint64_t attr, uint64_t *value)
{
	uint32_t narrow = *value;
	struct kvm_device_attr one = {
		.group = group,
		.attr = attr,
		.addr = is_wide(group) ? (uintptr_t)value : (uintptr_t)&narrow,
	};

	if (ioctl(fd, request, &one) < 0)
		return -errno;
	if (!is_wide(group))
		*value = narrow;
	return 0;
}

static int control(int fd, uint64_t attr, const char *what, struct err *err)
{
	struct kvm_device_attr one = {.group = KVM_DEV_ARM_VGIC_GRP_CTRL, .attr = attr};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &one) < 0 ? err_sys(err, -errno, "%s", what) : 0;
}

struct saver {
	int fd;
	struct wbuf *out;
	struct err *err;
	uint32_t n;
};

static int save_reg(void *ctx, const struct reg_run *run, uint32_t group, uint64_t attr)
{
	struct saver *s = ctx;
	uint64_t value = 0;
	int rc = access_reg(s->fd, KVM_GET_DEVICE_ATTR, group, attr, &value);

	if (rc && run->may_lack)
		return 0;
	if (rc)
		return err_sys(s->err, rc, "register group %u attribute 0x%" PRIx64, group, attr);
	wbuf_u32(s->out, group);
	wbuf_u64(s->out, attr);
	wbuf_u64(s->out, value);
	s->n++;
	return 0;
}

static int save_runs(const struct vm *vm, int fd, enum fdt_gic kind, const struct reg_run *runs,
		     uint32_t n, struct wbuf *out, struct err *err)
{
	struct saver s = {.fd = fd, .out = out, .err = err};
	size_t at = out->len;
	int rc;

	wbuf_u32(out, 0);
	rc = walk(vm, kind, runs, n, save_reg, &s);
	wbuf_patch_u32(out, at, s.n);
	return rc;
}

int gic_state_save(struct vm *vm, const struct gic *gic, struct wbuf *out, struct err *err)
{
	bool v3 = gic->kind == FDT_GICV3 || gic->kind == FDT_GICV3_ITS;
	const struct reg_run *runs;
	uint32_t n;
	int rc;

	/* The pending bits of LPIs live in guest memory, and KVM keeps newer ones of its own. */
	rc = v3 ? control(gic->fd, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, "pending tables", err) : 0;
	if (rc)
		return rc;
	wbuf_u8(out, gic->kind);
	runs_of(gic->kind, &runs, &n);
	return save_runs(vm, gic->fd, gic->kind, runs, n, out, err);
}

int its_state_save(const struct gic *gic, struct wbuf *out, struct err *err)
{
	int rc = control(gic->its_fd, KVM_DEV_ARM_ITS_SAVE_TABLES, "ITS tables", err);

	if (rc)
		return rc;
	wbuf_u8(out, gic->kind);
	return save_runs(NULL, gic->its_fd, gic->kind, its_runs,
			 sizeof(its_runs) / sizeof(its_runs[0]), out, err);
}

struct matcher {
	const struct gic_state *state;
	uint32_t next;
};

static int match_reg(void *ctx, const struct reg_run *run, uint32_t group, uint64_t attr)
{
	struct matcher *m = ctx;
	const struct gic_reg *reg = &m->state->regs[m->next];

	if (m->next < m->state->nregs && reg->group == group && reg->attr == attr)
		m->next++;
	else if (!run->may_lack)
		return -EBADMSG;
	return 0;
}

static int decode_list(struct rbuf *in, struct gic_state *state, struct err *err)
{
	uint32_t n;

	memset(state, 0, sizeof(*state));
	state->kind = rbuf_u8(in);
	n = rbuf_u32(in);
	if (in->error || state->kind > FDT_GICV3_ITS || n > MAX_GIC_REGS ||
	    rbuf_left(in) != n * 20ull)
		return err_set(err, -EBADMSG, "malformed");
	state->regs = calloc(n, sizeof(*state->regs));
	if (!state->regs && n)
		return err_set(err, -ENOMEM, "no memory for %u registers", n);
	for (state->nregs = 0; state->nregs < n; state->nregs++) {
		struct gic_reg *reg = &state->regs[state->nregs];

		reg->group = rbuf_u32(in);
		reg->attr = rbuf_u64(in);
		reg->value = rbuf_u64(in);
	}
	return 0;
}

static int check_list(const struct vm *vm, const struct reg_run *runs, uint32_t n,
		      struct gic_state *state, struct err *err)
{
	struct matcher m = {.state = state};

	if (walk(vm, state->kind, runs, n, match_reg, &m) == 0 && m.next == state->nregs)
		return 0;
	if (m.next < state->nregs)
		err_set(err, -EBADMSG,
			"register group %u attribute 0x%" PRIx64
			" is not this controller's, or out of turn",
			state->regs[m.next].group, state->regs[m.next].attr);
	else
		err_set(err, -EBADMSG, "registers are missing after the first %u", m.next);
	gic_state_release(state);
	return -EBADMSG;
}

int gic_state_decode(struct rbuf *in, const struct vm *vm, const struct gic *gic,
		     struct gic_state *state, struct err *err)
{
	const struct reg_run *runs;
	uint32_t n;
	int rc = decode_list(in, state, err);

	if (rc)
		return rc;
	if (state->kind != gic->kind) {
		gic_state_release(state);
		return err_set(err, -EOPNOTSUPP, "it is of a %s, this machine has a %s",
			       gic_kind_name(state->kind), gic_kind_name(gic->kind));
	}
	runs_of(state->kind, &runs, &n);
	return check_list(vm, runs, n, state, err);
}

int its_state_decode(struct rbuf *in, struct gic_state *state, struct err *err)
{
	int rc = decode_list(in, state, err);

	return rc ? rc
		  : check_list(NULL, its_runs, sizeof(its_runs) / sizeof(its_runs[0]), state, err);
}

static int apply_reg(int fd, const struct gic_reg *reg, struct err *err)
{
	uint64_t value = reg->value;
	int rc = access_reg(fd, KVM_SET_DEVICE_ATTR, reg->group, reg->attr, &value);

	return rc ? err_sys(err, rc,
			    "register group %u attribute 0x%" PRIx64
			    ": this host refuses 0x%" PRIx64,
			    reg->group, reg->attr, reg->value)
		  : 0;
}

/* Those that need RAM, or those that do not. */
static int apply_some(int fd, const struct gic_state *state, bool ram, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < state->nregs && !rc; i++)
		if (needs_ram(state->regs[i].group, state->regs[i].attr) == ram)
			rc = apply_reg(fd, &state->regs[i], err);
	return rc;
}

static int apply_first(int fd, const struct gic_state *state, const char *what,
		       struct wbuf *reasons)
{
	struct err why = ERR_INIT;

	if (!apply_some(fd, state, false, &why))
		return 0;
	err_prefix(&why, "%s", what);
	state_refused(reasons, &why);
	return -EOPNOTSUPP;
}

int gic_state_apply(const struct gic *gic, const struct gic_state *state, struct wbuf *reasons)
{
	return apply_first(gic->fd, state, gic_kind_name(gic->kind), reasons);
}

int gic_state_start(const struct gic *gic, const struct gic_state *state, struct err *err)
{
	return apply_some(gic->fd, state, true, err);
}

int its_state_apply(const struct gic *gic, const struct gic_state *state, struct wbuf *reasons)
{
	return apply_first(gic->its_fd, state, "ITS", reasons);
}

int its_state_start(const struct gic *gic, const struct gic_state *state, struct err *err)
{
	int rc = control(gic->its_fd, KVM_DEV_ARM_ITS_RESTORE_TABLES, "ITS tables", err);

	return rc ? rc : apply_some(gic->its_fd, state, true, err);
}

void gic_state_release(struct gic_state *state)
{
	free(state->regs);
	state->regs = NULL;
	state->nregs = 0;
}
