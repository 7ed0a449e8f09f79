/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that is saved and restored. Each test sets up a state, prints "ready" and waits for a key, which only the restored
 * guest is given; then it says what it finds. test= on the command line:
 *   regs    every register it can write, a pattern in each. ptimer=1: the physical timer's too; pmu=1: the PMU's too
 *   irqs    interrupts of each kind pending or active, a timer about to fire, CPUs off and waiting (at least 3 CPUs)
 *   uart    bytes in both of the UART's FIFOs: lines=N lines that count, then what was typed
 *   clock   prints "clock MICROSECONDS RTC-SECONDS" all the time; never ends
 */
#include "its.h"
#include "mte.h"

#define RBR	0
#define IER	1
#define FCR	2
#define LSR	5
#define LSR_DR	0x01
#define LSR_THR 0x20

#define SPI_PENDING 45
#define SPI_ACTIVE  46
#define PPI_PENDING 20
#define SGI_PENDING 5
#define SGI_WAKE    1
#define PPI_TIMER   27

static bool has_key(void *ctx)
{
	(void)ctx;
	return in8(board.uart[0] + LSR) & LSR_DR;
}

/* --- registers --- */

#define ZCR_EL1 "s3_0_c1_c2_0"
#define KEY(n)	"s3_0_c2_c" #n

/* name, encoding, bits that may be set. What reads back after the write is what has to come back after the restore. */
#define REGISTERS(r)                                                                               \
	r("tpidr_el0", ~0ull) r("tpidrro_el0", ~0ull) r("par_el1", ~0ull) r("afsr0_el1", ~0ull) r( \
		"afsr1_el1", ~0ull) r("far_el1", ~0ull) r("esr_el1", ~0ull) r("elr_el1", ~0ull)    \
		r("spsr_el1", 0xf00003c0ull) r("sp_el0", ~0ull) r("contextidr_el1", ~0ull) r(      \
			"amair_el1", ~0ull) r("cntkctl_el1", 0x3ffull) r("cntv_cval_el0", ~0ull)   \
			r("cntv_ctl_el0", 2ull) r("csselr_el1", 2ull)                              \
				r("ttbr1_el1", 0xfffffffff000ull) r("mdscr_el1", 0x1000ull) r(     \
					"dbgbvr0_el1", 0xfffffffffffcull) r("dbgbvr1_el1",         \
									    0xfffffffffffcull)     \
					r("dbgbcr0_el1", 0x1e6ull) r("dbgbcr1_el1", 0x1e4ull) r(   \
						"dbgwvr0_el1", 0xfffffffffffcull)                  \
						r("dbgwvr1_el1",                                   \
						  0xfffffffffffcull) r("dbgwcr0_el1", 0x1feull)    \
							r("dbgwcr1_el1", 0x1e6ull)                 \
								r("fpcr", 0x7c00000ull)            \
									r("fpsr", 0x800009full)
#define REGISTERS_PAUTH(r)                                                                  \
	r(KEY(1_0), ~0ull) r(KEY(1_1), ~0ull) r(KEY(1_2), ~0ull) r(KEY(1_3), ~0ull)         \
		r(KEY(2_0), ~0ull) r(KEY(2_1), ~0ull) r(KEY(2_2), ~0ull) r(KEY(2_3), ~0ull) \
			r(KEY(3_0), ~0ull) r(KEY(3_1), ~0ull)
#define REGISTERS_MTE(r)    r(GCR_EL1, 0xa5a5ull) r(TFSR_EL1, 3ull) r(TFSRE0_EL1, 1ull)
#define REGISTERS_PTIMER(r) r("cntp_cval_el0", ~0ull) r("cntp_ctl_el0", 2ull)
#define REGISTERS_PMU(r)                                                            \
	r("pmccntr_el0", ~0ull) r("pmselr_el0", 0x1ull) r("pmuserenr_el0", 0xfull)  \
		r("pmccfiltr_el0", 0xe0000000ull) r("pmevcntr0_el0", 0xffffffffull) \
			r("pmintenset_el1", 0x80000001ull)

#define REGS_MAX 80

static uint64_t want[REGS_MAX];

static uint64_t pattern(uint32_t i)
{
	return (i + 3) * 0x9e3779b97f4a7c15ull;
}

static void wrote(uint32_t i, uint64_t value)
{
	if (i >= REGS_MAX)
		bail_out("too many registers");
	want[i] = value;
}

static void same(const char *name, uint64_t was, uint64_t is)
{
	ok(was == is, "%s: 0x%lx%s", name, is, was == is ? "" : " and not what was written");
	if (was != is)
		print("# it was 0x%lx\n", was);
}

#define WRITE(reg, bits)                     \
	write_reg(reg, pattern(i) & (bits)); \
	isb();                               \
	wrote(i, read_reg(reg));             \
	i++;
#define COMPARE(reg, bits) same(reg, want[i], read_reg(reg)), i++;
#define COUNT(reg, bits)   +1

/*
 * Patterns in x2 to x30 while it waits for a key; x0 and x1 hold the wait itself. What they are then is stored at @out.
 */
void saved_spin(uint64_t *out, uint64_t lsr);
__asm__("	.text\n"
	"saved_spin:\n"
	"	stp	x19, x20, [sp, #-112]!\n"
	"	stp	x21, x22, [sp, #16]\n"
	"	stp	x23, x24, [sp, #32]\n"
	"	stp	x25, x26, [sp, #48]\n"
	"	stp	x27, x28, [sp, #64]\n"
	"	stp	x29, x30, [sp, #80]\n"
	"	str	x0, [sp, #96]\n"
	"	.irp	n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30\n"
	"	mov	x\\n, #\\n\n"
	"	movk	x\\n, #0xabcd, lsl #16\n"
	"	movk	x\\n, #(0xc000 + \\n), lsl #48\n"
	"	.endr\n"
	"1:	ldrb	w0, [x1]\n"
	"	tbz	w0, #0, 1b\n"
	"	ldr	x0, [sp, #96]\n"
	"	.irp	n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30\n"
	"	str	x\\n, [x0, #(8 * \\n)]\n"
	"	.endr\n"
	"	ldp	x21, x22, [sp, #16]\n"
	"	ldp	x23, x24, [sp, #32]\n"
	"	ldp	x25, x26, [sp, #48]\n"
	"	ldp	x27, x28, [sp, #64]\n"
	"	ldp	x29, x30, [sp, #80]\n"
	"	ldp	x19, x20, [sp], #112\n"
	"	ret\n");

/* All vector registers, from or to memory: q0 to q31, or z0 to z31 with p0 to p15 behind and the FFR last. */
void saved_load_q(const void *from);
void saved_store_q(void *to);
void saved_load_z(const void *from, const void *predicates);
void saved_store_z(void *to, void *predicates);
#define ALL   "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define ALL_P "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
__asm__("	.text\n"
	"	.arch	armv8.2-a+sve\n"
	"saved_load_q:\n"
	"	.irp	n, " ALL "\n"
	"	ldr	q\\n, [x0, #(16 * \\n)]\n"
	"	.endr\n"
	"	ret\n"
	"saved_store_q:\n"
	"	.irp	n, " ALL "\n"
	"	str	q\\n, [x0, #(16 * \\n)]\n"
	"	.endr\n"
	"	ret\n"
	"saved_load_z:\n"
	"	ldr	p0, [x1, #16, mul vl]\n"
	"	wrffr	p0.b\n"
	"	.irp	n, " ALL "\n"
	"	ldr	z\\n, [x0, #\\n, mul vl]\n"
	"	.endr\n"
	"	.irp	n, " ALL_P "\n"
	"	ldr	p\\n, [x1, #\\n, mul vl]\n"
	"	.endr\n"
	"	ret\n"
	"saved_store_z:\n"
	"	.irp	n, " ALL "\n"
	"	str	z\\n, [x0, #\\n, mul vl]\n"
	"	.endr\n"
	"	.irp	n, " ALL_P "\n"
	"	str	p\\n, [x1, #\\n, mul vl]\n"
	"	.endr\n"
	"	rdffr	p0.b\n"
	"	str	p0, [x1, #16, mul vl]\n"
	"	ret\n"
	"	.arch	armv8-a\n");

static uint64_t vector_bytes(void)
{
	uint64_t vl;

	__asm__ volatile(".arch armv8.2-a+sve\n\trdvl %0, #1\n\t.arch armv8-a" : "=r"(vl));
	return vl;
}

static bool has_sve(void)
{
	return read_reg("id_aa64pfr0_el1") >> 32 & 15;
}

static bool has_pauth(void)
{
	/* ID_AA64ISAR1_EL1: APA, API; ID_AA64ISAR2_EL1: APA3. */
	return (read_reg("id_aa64isar1_el1") & 0xff0) || (read_reg("s3_0_c0_c6_2") >> 12 & 15);
}

#define VECTORS 8192 /* 32 of 2048 bits */
#define PREDS	1024

struct vectors {
	uint64_t vl; /* bytes; 0: no SVE */
	uint8_t *in, *in_p, *out, *out_p;
};

static void vectors_fill(struct vectors *v)
{
	v->in = alloc(VECTORS, 64);
	v->out = alloc(VECTORS, 64);
	v->in_p = alloc(PREDS, 64);
	v->out_p = alloc(PREDS, 64);
	for (uint32_t i = 0; i < VECTORS; i++)
		v->in[i] = (uint8_t)(i * 7 + 1 + i / 256);
	for (uint32_t i = 0; i < PREDS; i++)
		v->in_p[i] = (uint8_t)(i * 13 + 5);
	if (has_sve()) {
		write_reg("cpacr_el1", 3ull << 20 | 3ull << 16);
		isb();
		write_reg(ZCR_EL1, 0xf);
		isb();
		v->vl = vector_bytes();
		/* Bytes of the first-fault register are a run of ones, then zeroes (Arm ARM, FFR). */
		for (uint32_t i = 0; i < v->vl / 8; i++)
			v->in_p[16 * (v->vl / 8) + i] = i < v->vl / 16 ? 0xff : 0;
		saved_load_z(v->in, v->in_p);
	} else {
		saved_load_q(v->in);
	}
}

/* Where they differ, or -1. */
static int32_t difference(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (a[i] != b[i])
			return (int32_t)i;
	return -1;
}

static void vectors_check(struct vectors *v)
{
	int32_t at;

	if (v->vl)
		saved_store_z(v->out, v->out_p);
	else
		saved_store_q(v->out);
	at = difference(v->in, v->out, 32 * (v->vl ? v->vl : 16));
	ok(at < 0, "32 vector registers of %lu bits", v->vl ? v->vl * 8 : 128);
	if (at >= 0)
		print("# byte %d is 0x%x, was 0x%x\n", at, v->out[at], v->in[at]);
	if (!v->vl) {
		skip(2, "no SVE");
		return;
	}
	ok(difference(v->in_p, v->out_p, 17 * (v->vl / 8)) < 0, "predicates and FFR");
	ok(vector_bytes() == v->vl && read_reg(ZCR_EL1) == 0xf, "vector length");
}

/* Tags that IRG gives when they come from the seed alone (GCR_EL1.RRND 0). */
static void irg_some(uint64_t *tags, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		tags[i] = tag_of(irg(0, 0));
}

static uint64_t irg_before[8], irg_after[4];

static void mte_begin(void)
{
	write_reg(GCR_EL1, 1);
	write_reg(RGSR_EL1, 0x123405ull);
	isb();
	irg_some(irg_before, 8);
	write_reg(RGSR_EL1, 0x123405ull);
	isb();
	irg_some(irg_before, 4);
}

static void mte_check(uint64_t tco, uint64_t rgsr)
{
	bool good = true;

	ok(tco == TCO_BIT, "PSTATE.TCO");
	same(RGSR_EL1, rgsr, read_reg(RGSR_EL1));
	write_reg(GCR_EL1, 1);
	isb();
	irg_some(irg_after, 4);
	for (uint32_t i = 0; i < 4; i++)
		good = good && irg_after[i] == irg_before[4 + i];
	ok(good, "IRG goes on where it was: %lx %lx %lx %lx", irg_after[0], irg_after[1],
	   irg_after[2], irg_after[3]);
}

/*
 * Stolen time (Arm DEN 0057): where KVM counts for this CPU how long it had to wait. A count that no run comes to by itself is put
 * there, which KVM goes on from.
 */
#define PV_TIME_FEATURES 0xc5000020u
#define PV_TIME_ST	 0xc5000021u
#define STOLEN		 8 /* ns, in the structure */
#define A_YEAR		 (1ull << 55)

static uint64_t stolen_at(void)
{
	int64_t at = -1;

	if (!hvc(PV_TIME_FEATURES, PV_TIME_ST, 0, 0))
		at = hvc(PV_TIME_ST, 0, 0, 0);
	return at > 0 ? (uint64_t)at + STOLEN : 0;
}

#define ALWAYS (0 REGISTERS(COUNT))

static void registers(void)
{
	bool pauth = has_pauth(), ptimer = word_is("ptimer", "1"), pmu = word_is("pmu", "1");
	uint32_t i = 0, wrong = 0;
	uint64_t gpr[31], rgsr = 0, tco = 0, stolen = stolen_at();
	struct vectors v = {0};

	plan(ALWAYS + 4 + (stolen ? 1 : 0) + (pauth ? 0 REGISTERS_PAUTH(COUNT) : 0) +
	     (has_mte ? 3 + (0 REGISTERS_MTE(COUNT)) : 0) +
	     (ptimer ? 0 REGISTERS_PTIMER(COUNT) : 0) + (pmu ? 0 REGISTERS_PMU(COUNT) : 0));
	if (has_mte)
		mte_begin();
	if (stolen)
		out64(stolen, A_YEAR);
	print("ready\n");
	REGISTERS(WRITE)
	if (pauth) {
		REGISTERS_PAUTH(WRITE)
	}
	if (has_mte) {
		REGISTERS_MTE(WRITE)
		rgsr = read_reg(RGSR_EL1);
		write_reg(TCO, TCO_BIT);
	}
	if (ptimer) {
		REGISTERS_PTIMER(WRITE)
	}
	if (pmu) {
		REGISTERS_PMU(WRITE)
	}
	vectors_fill(&v);
	write_reg("fpcr", want[ALWAYS - 2]);
	write_reg("fpsr", want[ALWAYS - 1]);
	saved_spin(gpr, board.uart[0] + LSR);
	if (has_mte) {
		tco = read_reg(TCO);
		write_reg(TCO, 0);
	}
	for (uint32_t n = 2; n < 31; n++)
		wrong += gpr[n] != ((0xc000ull + n) << 48 | 0xabcd0000ull | n);
	ok(!wrong, "general registers");
	if (stolen)
		ok(in64(stolen) >= A_YEAR && in64(stolen) < A_YEAR + (1ull << 50),
		   "stolen time goes on from what it was");
	i = 0;
	REGISTERS(COMPARE)
	if (pauth) {
		REGISTERS_PAUTH(COMPARE)
	}
	if (has_mte) {
		REGISTERS_MTE(COMPARE)
		mte_check(tco, rgsr);
	}
	if (ptimer) {
		REGISTERS_PTIMER(COMPARE)
	}
	if (pmu) {
		REGISTERS_PMU(COMPARE)
	}
	vectors_check(&v);
}

/* --- interrupts --- */

static volatile uint32_t waker_up;

static void hook(struct cpu *cpu, uint32_t intid)
{
	(void)cpu;
	if (intid == PPI_TIMER)
		write_reg("cntv_ctl_el0", 0);
	isb();
}

static void off_again(struct cpu *cpu)
{
	(void)cpu;
}

static void waiting(struct cpu *cpu)
{
	gic_cpu_init();
	gic_enable(SGI_WAKE, 0x80, true);
	waker_up = 1;
	irqs_on();
	while (!cpu->irqs[SGI_WAKE])
		wfi();
}

static bool is_up(void *ctx)
{
	(void)ctx;
	return waker_up;
}

struct count {
	volatile uint32_t *what;
	uint32_t want;
};

static bool reached(void *ctx)
{
	const struct count *c = ctx;

	return *c->what >= c->want;
}

/* That counter comes to that value within seconds, and no further. */
static bool comes_to(volatile uint32_t *what, uint32_t value)
{
	struct count c = {what, value};
	bool good;

	irqs_on();
	good = wait_until(reached, &c, 5000);
	delay_us(2000);
	irqs_off();
	return good && *what == value;
}

/* Acknowledges the interrupt that is pending, without ending it. */
static uint32_t acknowledge(void)
{
	uint32_t iar = board.gic == GIC_V3 ? (uint32_t)read_reg("s3_0_c12_c12_0")
					   : in32(board.gic_redist.base + 0x0c);

	dsb();
	return iar;
}

static void end_of(uint32_t iar)
{
	if (board.gic == GIC_V3)
		write_reg("s3_0_c12_c12_1", iar);
	else
		out32(board.gic_redist.base + 0x10, iar);
	isb();
}

static bool pends(void *ctx)
{
	return gic_is_pending(*(uint32_t *)ctx);
}

static void set_up_lpi(void)
{
	its_init();
	its_map_device(1);
	its_map_event(1, 0, LPI_FIRST, 0);
	its_enable(1, 0, LPI_FIRST, 0x80, true);
	its_map_event(1, 1, LPI_FIRST + 1, 0);
	its_enable(1, 1, LPI_FIRST + 1, 0x80, true);
}

static void interrupts(void)
{
	struct cpu *cpu = this_cpu();
	uint64_t cval, before;
	uint32_t active = SPI_ACTIVE, iar;
	bool lpi = board.its.size;

	plan(13 + (lpi ? 2 : 0));
	if (board.cpus < 3)
		bail_out("3 CPUs are needed");
	irq_hook = hook;
	gic_init();
	gic_cpu_init();
	if (cpu_start(1, off_again) || !cpu_wait_off(1, 5000) || cpu_start(2, waiting) ||
	    !wait_until(is_up, NULL, 5000))
		bail_out("the other CPUs do not start");
	if (lpi)
		set_up_lpi();
	gic_enable(SPI_ACTIVE, 0x40, true);
	gic_set_pending(SPI_ACTIVE, true);
	(void)wait_until(pends, &active, 1000);
	iar = acknowledge();
	if ((iar & 0x3ff) != SPI_ACTIVE)
		bail_out("acknowledged %u", iar);
	gic_enable(SPI_PENDING, 0x80, true);
	gic_set_pending(SPI_PENDING, true);
	gic_enable(PPI_PENDING, 0x80, true);
	gic_set_pending(PPI_PENDING, true);
	gic_enable(SGI_PENDING, 0x80, true);
	gic_send_sgi(0, SGI_PENDING);
	if (lpi)
		its_int(1, 0);
	gic_enable(PPI_TIMER, 0x20, false);
	before = read_reg("cntvct_el0");
	cval = before + word_number("ms", 2000) * read_reg("cntfrq_el0") / 1000;
	write_reg("cntv_cval_el0", cval);
	write_reg("cntv_ctl_el0", 1);
	isb();
	print("ready\n");
	(void)wait_until(has_key, NULL, 600000);

	ok(read_reg("cntvct_el0") > before, "the counter did not go back");
	ok(read_reg("cntv_cval_el0") == cval && (read_reg("cntv_ctl_el0") & 3) == 1,
	   "the timer is still set");
	ok(comes_to(&cpu->irqs[PPI_TIMER], 1) && read_reg("cntvct_el0") >= cval, "and fires, once");
	ok(gic_is_pending(SPI_PENDING) && !cpu->irqs[SPI_PENDING],
	   "an interrupt in progress holds the pending SPI back");
	end_of(iar);
	ok(comes_to(&cpu->irqs[SPI_PENDING], 1), "then the pending SPI comes, once");
	ok(cpu->irqs[SPI_ACTIVE] == 0, "that in progress not again");
	gic_set_pending(SPI_ACTIVE, true);
	ok(comes_to(&cpu->irqs[SPI_ACTIVE], 1), "but when it is made pending");
	ok(cpu->irqs[PPI_PENDING] == 1, "the pending PPI came");
	ok(cpu->irqs[SGI_PENDING] == 1, "the pending SGI came");
	if (lpi) {
		ok(cpu->lpis == 1, "the pending LPI came");
		its_int(1, 1);
		ok(comes_to(&cpu->lpis, 2), "the ITS translates another");
	}
	ok(hvc(PSCI_AFFINITY_INFO, cpus[1].mpidr, 0, 0) == 1, "CPU 1 is off");
	ok(cpu_start(1, off_again) == PSCI_SUCCESS && cpu_wait_off(1, 5000), "it can be turned on");
	ok(hvc(PSCI_AFFINITY_INFO, cpus[2].mpidr, 0, 0) == 0 && !cpus[2].irqs[SGI_WAKE],
	   "CPU 2 is on and waits");
	gic_send_sgi(2, SGI_WAKE);
	ok(cpu_wait_off(2, 5000) && cpus[2].irqs[SGI_WAKE] == 1, "an SGI wakes it");
}

/* --- UART --- */

static void uart(void)
{
	uint32_t n = (uint32_t)word_number("typed", 8), lines = (uint32_t)word_number("lines", 700);
	char typed[65];

	out8(board.uart[0] + FCR, 1); /* FIFOs on */
	out8(board.uart[0] + IER, 1); /* it listens: only then is there input */
	print("ready\n");
	for (uint32_t i = 0; i < lines; i++)
		print("L %05u\n", i);
	for (uint32_t i = 0; i < n && i < 64; i++) {
		(void)wait_until(has_key, NULL, 5000);
		typed[i] = (char)in8(board.uart[0] + RBR);
		typed[i + 1] = 0;
	}
	print("typed %s\n", typed);
}

static void clock(void)
{
	print("ready\n");
	for (;;) {
		print("clock %lu %u\n", now_us(), board.rtc ? in32(board.rtc) : 0);
		delay_us(20000);
	}
}

void guest_main(void)
{
	if (word_is("test", "irqs"))
		interrupts();
	else if (word_is("test", "uart"))
		uart();
	else if (word_is("test", "clock"))
		clock();
	else
		registers();
}
