/* SPDX-License-Identifier: GPL-2.0-only */
/* GICv2 (Arm IHI 0048) and GICv3 (Arm IHI 0069), one security state, group 1 where there is a choice. */
#include "bare.h"

#define GICD_CTLR	0x000
#define GICD_IGROUPR	0x080
#define GICD_ISENABLER	0x100
#define GICD_ICENABLER	0x180
#define GICD_ISPENDR	0x200
#define GICD_ICPENDR	0x280
#define GICD_IPRIORITYR 0x400
#define GICD_ITARGETSR	0x800
#define GICD_ICFGR	0xc00
#define GICD_SGIR	0xf00
#define GICD_IROUTER	0x6000
#define GICD_RWP	(1u << 31)

#define GICC_CTLR 0x00
#define GICC_PMR  0x04
#define GICC_IAR  0x0c
#define GICC_EOIR 0x10

#define GICR_TYPER  0x08
#define GICR_WAKER  0x14
#define GICR_SGI    0x10000 /* from here on as in the distributor */
#define GICR_STRIDE 0x20000

#define ICC_PMR	    "s3_0_c4_c6_0"
#define ICC_IAR1    "s3_0_c12_c12_0"
#define ICC_EOIR1   "s3_0_c12_c12_1"
#define ICC_SRE	    "s3_0_c12_c12_5"
#define ICC_IGRPEN1 "s3_0_c12_c12_7"
#define ICC_SGI1R   "s3_0_c12_c11_5"

void (*irq_hook)(struct cpu *cpu, uint32_t intid);

static bool v3(void)
{
	return board.gic == GIC_V3;
}

/* Where the registers of that interrupt are: SGIs and PPIs are each CPU's own. */
static uint64_t frame_of(uint32_t intid)
{
	if (v3() && intid < 32)
		return this_cpu()->gicr + GICR_SGI;
	return board.gic_dist.base;
}

static void set_bit(uint32_t intid, uint64_t reg)
{
	out32(frame_of(intid) + reg + intid / 32 * 4, 1u << intid % 32);
}

static bool get_bit(uint32_t intid, uint64_t reg)
{
	return in32(frame_of(intid) + reg + intid / 32 * 4) >> intid % 32 & 1;
}

void gic_init(void)
{
	uint64_t d = board.gic_dist.base;

	if (!v3()) {
		out32(d + GICD_CTLR, 1);
		return;
	}
	/* Affinity routing, then both groups that there may be. */
	out32(d + GICD_CTLR, 1u << 4);
	while (in32(d + GICD_CTLR) & GICD_RWP)
		;
	out32(d + GICD_CTLR, 1u << 4 | 3);
}

/* The redistributor whose affinity is ours. */
static void find_redist(struct cpu *cpu)
{
	uint64_t aff = (cpu->mpidr >> 32 & 0xff) << 24 | (cpu->mpidr & 0xffffff);

	for (uint64_t at = board.gic_redist.base;
	     at < board.gic_redist.base + board.gic_redist.size; at += GICR_STRIDE) {
		uint64_t typer = in64(at + GICR_TYPER);

		if (typer >> 32 == aff) {
			cpu->gicr = at;
			return;
		}
		if (typer & 1 << 4)
			break;
	}
	bail_out("CPU %u has no redistributor", cpu->index);
}

void gic_cpu_init(void)
{
	struct cpu *cpu = this_cpu();

	if (!v3()) {
		out32(board.gic_redist.base + GICC_PMR, 0xff);
		out32(board.gic_redist.base + GICC_CTLR, 1);
		return;
	}
	find_redist(cpu);
	out32(cpu->gicr + GICR_WAKER, in32(cpu->gicr + GICR_WAKER) & ~2u);
	while (in32(cpu->gicr + GICR_WAKER) & 4)
		;
	out32(cpu->gicr + GICR_SGI + GICD_IGROUPR, ~0u);
	write_reg(ICC_SRE, read_reg(ICC_SRE) | 7);
	isb();
	write_reg(ICC_PMR, 0xff);
	write_reg(ICC_IGRPEN1, 1);
	isb();
}

void gic_priority_mask(uint8_t mask)
{
	if (v3())
		write_reg(ICC_PMR, mask);
	else
		out32(board.gic_redist.base + GICC_PMR, mask);
	dsb();
	isb();
}

void gic_take(struct cpu *cpu)
{
	uint32_t iar, intid;

	iar = v3() ? (uint32_t)read_reg(ICC_IAR1) : in32(board.gic_redist.base + GICC_IAR);
	intid = v3() ? iar & 0xffffff : iar & 0x3ff;
	dsb();
	if (intid >= 1020 && intid < 8192) {
		cpu->spurious++;
		return;
	}
	cpu->last_irq = intid;
	if (intid >= 8192)
		cpu->lpis++;
	else if (intid < IRQS_MAX)
		cpu->irqs[intid]++;
	if (irq_hook)
		irq_hook(cpu, intid);
	else if (intid >= 16 && intid < 1020)
		gic_disable(intid);
	if (v3())
		write_reg(ICC_EOIR1, iar);
	else
		out32(board.gic_redist.base + GICC_EOIR, iar);
	isb();
}

void gic_enable(uint32_t intid, uint8_t priority, bool edge)
{
	uint64_t f = frame_of(intid), cfg = f + GICD_ICFGR + intid / 16 * 4;
	uint32_t bit = 2u << intid % 16 * 2;

	out8(f + GICD_IPRIORITYR + intid, priority);
	if (intid >= 32) {
		out32(cfg, edge ? in32(cfg) | bit : in32(cfg) & ~bit);
		/* An interrupt may come up as edge-triggered, and have latched what its level was then. */
		if (!edge)
			set_bit(intid, GICD_ICPENDR);
		gic_route(intid, 0);
		if (v3())
			out32(f + GICD_IGROUPR + intid / 32 * 4,
			      in32(f + GICD_IGROUPR + intid / 32 * 4) | 1u << intid % 32);
	}
	set_bit(intid, GICD_ISENABLER);
}

void gic_route(uint32_t intid, uint32_t cpu)
{
	if (v3())
		out64(board.gic_dist.base + GICD_IROUTER + 8 * intid, cpus[cpu].mpidr);
	else
		out8(board.gic_dist.base + GICD_ITARGETSR + intid, (uint8_t)(1u << cpu));
}

void gic_disable(uint32_t intid)
{
	set_bit(intid, GICD_ICENABLER);
}

bool gic_is_enabled(uint32_t intid)
{
	return get_bit(intid, GICD_ISENABLER);
}

void gic_set_pending(uint32_t intid, bool pending)
{
	set_bit(intid, pending ? GICD_ISPENDR : GICD_ICPENDR);
}

bool gic_is_pending(uint32_t intid)
{
	return get_bit(intid, GICD_ISPENDR);
}

void gic_send_sgi(uint32_t cpu, uint32_t intid)
{
	uint64_t aff = cpus[cpu].mpidr;

	dsb();
	if (!v3()) {
		out32(board.gic_dist.base + GICD_SGIR, 1u << (16 + cpu) | intid);
		return;
	}
	/* Aff3, Aff2, the interrupt, Aff1, and a bit for Aff0 (0 to 15 in KVM). */
	write_reg(ICC_SGI1R, (aff >> 32 & 0xff) << 48 | (aff >> 16 & 0xff) << 32 |
				     (uint64_t)intid << 24 | (aff >> 8 & 0xff) << 16 |
				     1ull << (aff & 0xf));
	isb();
}
