/* SPDX-License-Identifier: GPL-2.0-only */
/* Start, CPUs, PSCI, exceptions, time. */
#include "bare.h"

#define STACK 16384

struct cpu cpus[CPUS_MAX];
static uint8_t stacks[CPUS_MAX][STACK] __attribute__((aligned(16)));

extern uint8_t secondary[], call_returns[];
void bare_start(const void *fdt);
void bare_secondary(struct cpu *cpu);
void bare_exception(uint64_t kind, struct frame *frame);

struct cpu *this_cpu(void)
{
	return (struct cpu *)(uintptr_t)read_reg("tpidr_el1");
}

int64_t hvc(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	__asm__ volatile("hvc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			   "x15", "x16", "x17", "memory");
	return (int64_t)x0;
}

void bare_start(const void *fdt)
{
	board_parse(fdt);
	for (uint32_t i = 0; i < board.cpus; i++) {
		cpus[i].stack_top = stacks[i] + STACK;
		cpus[i].index = i;
		cpus[i].mpidr = board.mpidr[i];
	}
	cpus[0].state = CPU_RUNNING;
	write_reg("tpidr_el1", (uint64_t)(uintptr_t)&cpus[0]);
	mmu_init();
	mmu_on();
	if (!board.ram.size || !board.cpus)
		bail_out("no device tree at 0x%lx", (uint64_t)(uintptr_t)fdt);
	guest_main();
	power_off();
}

void bare_secondary(struct cpu *cpu)
{
	write_reg("tpidr_el1", (uint64_t)(uintptr_t)cpu);
	mmu_on();
	cpu->state = CPU_RUNNING;
	cpu->run(cpu);
	irqs_off();
	cpu->state = CPU_OFF;
	dsb();
	hvc(PSCI_CPU_OFF, 0, 0, 0);
	for (;;)
		wfi();
}

int64_t cpu_start(uint32_t index, void (*run)(struct cpu *cpu))
{
	struct cpu *cpu = &cpus[index];

	cpu->run = run;
	cpu->state = CPU_STARTED;
	/* It reads this with its caches off: clean to the point of coherency. */
	for (uint64_t at = (uint64_t)(uintptr_t)cpu; at < (uint64_t)(uintptr_t)(cpu + 1); at += 16)
		__asm__ volatile("dc cvac, %0" ::"r"(at) : "memory");
	dsb();
	return hvc(PSCI_CPU_ON, cpu->mpidr, (uint64_t)(uintptr_t)secondary,
		   (uint64_t)(uintptr_t)cpu);
}

static bool is_off(void *cpu)
{
	return hvc(PSCI_AFFINITY_INFO, ((struct cpu *)cpu)->mpidr, 0, 0) == 1;
}

bool cpu_wait_off(uint32_t index, uint64_t ms)
{
	return wait_until(is_off, &cpus[index], ms);
}

uint64_t now_us(void)
{
	uint64_t count, hz = read_reg("cntfrq_el0");

	isb();
	count = read_reg("cntvct_el0");
	return count / hz * 1000000 + count % hz * 1000000 / hz;
}

bool wait_until(bool (*done)(void *), void *ctx, uint64_t ms)
{
	uint64_t end = now_us() + ms * 1000;

	while (!done(ctx))
		if (now_us() > end)
			return done(ctx);
	return true;
}

void delay_us(uint64_t us)
{
	uint64_t end = now_us() + us;

	while (now_us() < end)
		;
}

void sleep_us(uint64_t us)
{
	uint64_t end = now_us() + us, now, hz = read_reg("cntfrq_el0");

	while ((now = now_us()) < end) {
		write_reg("cntv_cval_el0", read_reg("cntvct_el0") + (end - now) * hz / 1000000 + 1);
		write_reg("cntv_ctl_el0", 1);
		isb();
		wfi();
		write_reg("cntv_ctl_el0", 0);
	}
}

void try_begin(void)
{
	struct cpu *cpu = this_cpu();

	cpu->faults = 0;
	cpu->trying = true;
}

uint32_t try_end(void)
{
	struct cpu *cpu = this_cpu();

	isb();
	cpu->trying = false;
	return cpu->faults;
}

#define KIND_SYNC   4
#define KIND_IRQ    5
#define KIND_SERROR 7

void bare_exception(uint64_t kind, struct frame *frame)
{
	struct cpu *cpu = this_cpu();
	uint64_t esr = read_reg("esr_el1"), far = read_reg("far_el1");

	if (kind == KIND_IRQ) {
		gic_take(cpu);
		return;
	}
	if ((kind == KIND_SYNC || kind == KIND_SERROR) && cpu->trying) {
		cpu->faults++;
		cpu->esr = esr;
		cpu->far = far;
		cpu->elr = frame->elr;
		if (kind == KIND_SERROR)
			return;
		if (ESR_EC(esr) == EC_IABT)
			frame->elr = (uint64_t)(uintptr_t)call_returns;
		else
			frame->elr += 4;
		return;
	}
	bail_out("CPU %u: exception %lu, ESR 0x%lx FAR 0x%lx ELR 0x%lx (image + 0x%lx), LR 0x%lx",
		 cpu->index, kind, esr, far, frame->elr, frame->elr - (uint64_t)(uintptr_t)_start,
		 frame->x[30]);
}
