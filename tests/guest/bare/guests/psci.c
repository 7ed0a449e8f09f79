/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PSCI (Arm DEN0022) call by call, with wrong arguments too. It ends with SYSTEM_OFF. Other ends, by the command line:
 *   test=off                        SYSTEM_OFF at once
 *   test=reset, test=reset2         checks that all is as at power-on, prints "boot", makes a mess and resets; with
 *   [until=SECONDS]                 until= it powers off as soon as the RTC shows that time, with TAP
 *   test=spin                       no end
 */
#include "bare.h"

static uint32_t dirt = 0x1234;

static int64_t features(uint32_t function)
{
	return hvc(PSCI_FEATURES, function, 0, 0);
}

static int64_t affinity(uint64_t mpidr, uint64_t level)
{
	return hvc(PSCI_AFFINITY_INFO, mpidr, level, 0);
}

static void information(void)
{
	static const uint32_t there[] = {
		PSCI_VERSION,	   PSCI_CPU_SUSPEND,   PSCI_CPU_OFF,
		PSCI_CPU_ON,	   PSCI_AFFINITY_INFO, PSCI_SYSTEM_OFF,
		PSCI_SYSTEM_RESET, PSCI_FEATURES,      PSCI_MIGRATE_INFO_TYPE,
	};
	uint64_t version = (uint64_t)hvc(PSCI_VERSION, 0, 0, 0);
	bool good = true;

	ok(version >= 0x10000 && version < 0x20000, "the version is %lu.%lu", version >> 16,
	   version & 0xffff);
	for (unsigned int i = 0; i < sizeof(there) / sizeof(there[0]); i++)
		good = good && features(there[i]) >= 0;
	ok(good, "it has what it must have");
	ok(features(PSCI_SYSTEM_RESET2) == (version > 0x10000 ? 0 : PSCI_NOT_SUPPORTED),
	   "SYSTEM_RESET2 with version 1.1");
	ok(features(0x84000077) == PSCI_NOT_SUPPORTED, "a function that is none is not there");
	ok(hvc(0x84000077, 0, 0, 0) == PSCI_NOT_SUPPORTED, "nor can it be called");
	ok(hvc(0xffffffff, ~0ull, ~0ull, ~0ull) == PSCI_NOT_SUPPORTED, "nor one of nobody");
	ok(hvc(0x80000000, 0, 0, 0) >= 0x10001, "the calling convention is 1.1 or later");
	ok(hvc(PSCI_MIGRATE_INFO_TYPE, 0, 0, 0) == 2, "no trusted system wants to migrate");
	ok(hvc(PSCI_MIGRATE, 0, 0, 0) == PSCI_NOT_SUPPORTED, "MIGRATE is not there");
}

static void affinity_info(void)
{
	uint64_t self = cpus[0].mpidr;
	bool good = true;

	ok((read_reg("mpidr_el1") & 0xff00ffffff) == self, "MPIDR_EL1 is what the tree says");
	ok(affinity(self, 0) == 0, "this CPU is on");
	for (uint32_t i = 1; i < board.cpus; i++)
		good = good && affinity(cpus[i].mpidr, 0) == 1;
	ok(good, "the %u others are off", board.cpus - 1);
	ok(affinity(self, 1) == 0 && affinity(self, 2) == 0 && affinity(self, 3) == 0,
	   "so are its levels 1 to 3 on");
	ok(affinity(self, 4) == PSCI_INVALID_PARAMETERS, "a level 4 is refused");
	ok(affinity(0x7f00ffff0f, 0) == PSCI_INVALID_PARAMETERS, "a CPU that is none is refused");
	ok(hvc(0x84000004, self, 0, 0) == 0, "the 32-bit call gives the same");
}

static volatile uint32_t ran[CPUS_MAX];

static void run_once(struct cpu *cpu)
{
	if ((read_reg("mpidr_el1") & 0xff00ffffff) == cpu->mpidr && this_cpu() == cpu &&
	    read_reg("currentel") == 4)
		ran[cpu->index]++;
}

static volatile bool leave;

static void run_until(struct cpu *cpu)
{
	ran[cpu->index]++;
	while (!leave)
		;
}

static bool has_run(void *ctx)
{
	return *(volatile uint32_t *)ctx;
}

static void cpu_on_wrong(void)
{
	uint64_t entry = (uint64_t)(uintptr_t)_start;

	ok(hvc(PSCI_CPU_ON, cpus[0].mpidr, entry, 0) == PSCI_ALREADY_ON, "CPU_ON: this CPU is on");
	ok(hvc(PSCI_CPU_ON, 0x7f00ffff0f, entry, 0) == PSCI_INVALID_PARAMETERS,
	   "CPU_ON: a CPU that is none");
	ok(hvc(PSCI_CPU_ON, cpus[0].mpidr | 1ull << 31, entry, 0) == PSCI_INVALID_PARAMETERS,
	   "CPU_ON: bits that must be zero");
}

static void cpu_on(void)
{
	bool good = true, again = true, on = true, off = true;

	if (board.cpus < 2) {
		skip(5, "one CPU only");
		return;
	}
	for (uint32_t i = 1; i < board.cpus; i++) {
		good = good && cpu_start(i, run_once) == PSCI_SUCCESS && cpu_wait_off(i, 5000) &&
		       ran[i] == 1;
		again = again && cpu_start(i, run_once) == PSCI_SUCCESS && cpu_wait_off(i, 5000) &&
			ran[i] == 2;
	}
	ok(good, "CPU_ON: each other CPU runs, and turns itself off");
	ok(again, "and once more");
	for (uint32_t i = 1; i < board.cpus; i++) {
		ran[i] = 0;
		good = good && cpu_start(i, run_until) == PSCI_SUCCESS;
	}
	for (uint32_t i = 1; i < board.cpus; i++) {
		on = on && wait_until(has_run, (void *)(uintptr_t)&ran[i], 5000) &&
		     affinity(cpus[i].mpidr, 0) == 0;
		good = good && hvc(PSCI_CPU_ON, cpus[i].mpidr, (uint64_t)(uintptr_t)_start, 0) ==
				       PSCI_ALREADY_ON;
	}
	ok(on, "all together");
	ok(good, "CPU_ON: those that run are on already");
	leave = true;
	for (uint32_t i = 1; i < board.cpus; i++)
		off = off && cpu_wait_off(i, 5000);
	ok(off, "CPU_OFF: all of them");
}

static void cpu_suspend(void)
{
	uint64_t start, us;
	int64_t rc;

	gic_init();
	gic_cpu_init();
	gic_enable(27, 0x80, false);
	start = now_us();
	write_reg("cntv_tval_el0", read_reg("cntfrq_el0") / 20);
	write_reg("cntv_ctl_el0", 1);
	isb();
	do
		rc = hvc(PSCI_CPU_SUSPEND, 0, (uint64_t)(uintptr_t)_start, 0);
	while (rc == PSCI_SUCCESS && !(read_reg("cntv_ctl_el0") & 4));
	us = now_us() - start;
	ok(rc == PSCI_SUCCESS && us >= 50000, "CPU_SUSPEND ends with an interrupt (%lu us)", us);
	write_reg("cntv_ctl_el0", 0);
}

/* --- resets --- */

static uint64_t *far_word(uint64_t i)
{
	return (uint64_t *)(uintptr_t)(free_start() + (i << 20));
}

static uint64_t far_words(void)
{
	return (free_end() - free_start()) >> 20;
}

static uint64_t dirty_words(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < far_words(); i++) {
		n += *far_word(i) != 0;
		if (has_mte) {
			uint64_t tag = (uint64_t)(uintptr_t)far_word(i);

			__asm__ volatile(".arch armv8.5-a+memtag\n ldg %0, [%0]" : "+r"(tag));
			n += tag >> 56 != 0;
		}
	}
	return n;
}

static void as_at_power_on(void)
{
	uint64_t uart = board.uart[0];
	bool off = true;

	ok(dirt == 0x1234, "the image is loaded afresh");
	ok(!dirty_words(), "RAM is empty");
	ok(!in8(uart + 1) && !(in8(uart + 4) & 0x10) && !(in8(uart + 3) & 0x80),
	   "the UART is reset");
	ok(!in32(board.rtc + 0x10) && in32(board.rtc) > 1000000000, "so is the RTC");
	ok(!gic_is_enabled(45) && !gic_is_pending(45), "so is the interrupt controller");
	for (uint32_t i = 1; i < board.cpus; i++)
		off = off && affinity(cpus[i].mpidr, 0) == 1;
	ok(off, "the other CPUs are off");
	ok(!(read_reg("cntv_ctl_el0") & 1), "so is the timer");
}

static void make_a_mess(void)
{
	uint64_t uart = board.uart[0];

	dirt = 0;
	for (uint64_t i = 0; i < far_words(); i++) {
		*far_word(i) = i + 1;
		if (has_mte) {
			uint64_t to = (uint64_t)(uintptr_t)far_word(i);

			__asm__ volatile(
				".arch armv8.5-a+memtag\n stg %0, [%1]" ::"r"(to | 5ull << 56),
				"r"(to)
				: "memory");
		}
	}
	leave = false;
	for (uint32_t i = 1; i < board.cpus; i++)
		cpu_start(i, run_until);
	out32(board.rtc + 0x08, 1000);
	out32(board.rtc + 0x10, 1);
	gic_init();
	gic_cpu_init();
	gic_enable(45, 0x80, true);
	irqs_off();
	gic_set_pending(45, true);
	write_reg("cntv_ctl_el0", 1);
	out8(uart + 1, 0x0f);
	out8(uart + 4, 0x10);
	out8(uart + 3, 0x83);
}

static void resets(uint32_t function)
{
	uint64_t until = word_number("until", 0);

	print("boot\n");
	plan(7);
	as_at_power_on();
	if (!all_passed() || (until && in32(board.rtc) >= until))
		return;
	make_a_mess();
	hvc(function, 0, 0, 0);
	bail_out("back from a reset");
}

void guest_main(void)
{
	if (word_is("test", "off"))
		return;
	if (word_is("test", "reset"))
		resets(PSCI_SYSTEM_RESET);
	else if (word_is("test", "reset2"))
		resets(PSCI_SYSTEM_RESET2);
	if (word_is("test", "reset") || word_is("test", "reset2"))
		return;
	if (word_is("test", "spin"))
		for (;;)
			;

	plan(26);
	information();
	affinity_info();
	cpu_on_wrong();
	cpu_on();
	cpu_suspend();
	/* Reset type 1 is reserved; types of vendors have bit 31. */
	ok(hvc(PSCI_SYSTEM_RESET2, 1, 0, 0) == PSCI_INVALID_PARAMETERS,
	   "SYSTEM_RESET2: a type that is none");
}
