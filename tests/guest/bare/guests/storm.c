/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All CPUs at once: trapped accesses to the UART, interrupts to each other, CPU_OFF and CPU_ON, for rounds=N (default
 * 20) of each CPU. end=off or end=reset: the machine ends while the others still go on.
 */
#include "bare.h"

#define SGI	 5
#define ACCESSES 100
#define UART_LCR 3
#define UART_SCR 7
#define SCRATCH	 0xa5

static volatile uint32_t rounds_done[CPUS_MAX];
static volatile uint32_t wrong[CPUS_MAX];
static volatile bool for_ever;

static uint32_t any(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % below;
}

static void hammer(struct cpu *cpu, uint32_t *seed)
{
	for (unsigned int i = 0; i < ACCESSES; i++) {
		switch (any(seed, 4)) {
		case 0:
			wrong[cpu->index] += in8(board.uart[0] + UART_SCR) != SCRATCH;
			break;
		case 1:
			out8(board.uart[0] + UART_SCR, SCRATCH);
			break;
		case 2:
			wrong[cpu->index] += in8(board.uart[0] + UART_LCR) != 3;
			break;
		default:
			gic_send_sgi(any(seed, board.cpus), SGI);
		}
	}
}

/* One round, and off. */
static void round_run(struct cpu *cpu)
{
	uint32_t seed = (uint32_t)now_us() + cpu->index;

	gic_cpu_init();
	gic_enable(SGI, 0x80, true);
	irqs_on();
	do
		hammer(cpu, &seed);
	while (for_ever);
	irqs_off();
	rounds_done[cpu->index]++;
}

static bool is_off(const struct cpu *cpu)
{
	return hvc(PSCI_AFFINITY_INFO, cpu->mpidr, 0, 0) == 1;
}

static void last_words(const char *end)
{
	uint32_t seed = 1;

	for_ever = true;
	for (uint32_t i = 1; i < board.cpus; i++) {
		cpu_wait_off(i, 20000);
		cpu_start(i, round_run);
	}
	for (unsigned int i = 0; i < 20; i++)
		hammer(&cpus[0], &seed);
	irqs_off();
	print("# %s in full flight\n", end);
	hvc(!strcmp(end, "reset") ? PSCI_SYSTEM_RESET : PSCI_SYSTEM_OFF, 0, 0, 0);
}

void guest_main(void)
{
	uint32_t rounds = (uint32_t)word_number("rounds", 20), seed = 42, refused = 0, mistakes = 0;
	uint32_t sgis = 0;
	uint64_t deadline = now_us() + 300000000;
	bool all = false;
	char text[16];
	const char *end = word("end", text, sizeof(text), NULL);

	plan(4);
	out8(board.uart[0] + UART_LCR, 3);
	out8(board.uart[0] + UART_SCR, SCRATCH);
	gic_init();
	gic_cpu_init();
	gic_enable(SGI, 0x80, true);
	irqs_on();
	while (!all && now_us() < deadline) {
		all = true;
		for (uint32_t i = 1; i < board.cpus; i++) {
			if (rounds_done[i] < rounds) {
				all = false;
				if (is_off(&cpus[i]) && cpu_start(i, round_run) != PSCI_SUCCESS)
					refused++;
			}
		}
		hammer(&cpus[0], &seed);
	}
	for (uint32_t i = 1; i < board.cpus; i++)
		all = cpu_wait_off(i, 20000) && all;
	irqs_off();
	for (uint32_t i = 0; i < board.cpus; i++) {
		mistakes += wrong[i];
		sgis += cpus[i].irqs[SGI];
	}
	ok(all, "%u CPUs did %u rounds each", board.cpus, rounds);
	ok(!refused, "each CPU that was off could be turned on (%u could not)", refused);
	ok(!mistakes, "each register read was right (%u were not)", mistakes);
	ok(sgis > 0, "%u interrupts came", sgis);
	if (end)
		last_words(end);
}
