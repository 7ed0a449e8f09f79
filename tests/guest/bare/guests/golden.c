/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest in the golden snapshot files (tests/golden, docs/snapshot-format.md). It has a page of each kind that the file
 * format knows, an LPI and an SPI pending, a CPU that is off, and the registers of MTE in use. It says "ready" and obeys keys:
 *   n   makes every second page one of another kind ("now zero" among them), and says "ready" again
 *   c   checks that all is as it was made, as TAP, and powers off
 * What is in a file is this program too: a change here changes nothing for the files that are there.
 */
#include "its.h"
#include "mte.h"

#define RBR	0
#define LSR	5
#define LSR_DR	0x01
#define PAGE	4096u
#define PAGES	10u
#define SPI	45
#define CPU_OFF 1
#define SEED	0x4ac105ull

enum kind { UNIFORM, RUNS, PACKED, TAGS_ALONE, DATA_ALONE, NEITHER, KINDS };

static uint64_t pages;
static uint32_t generation;

static bool has_key(void *ctx)
{
	(void)ctx;
	return in8(board.uart[0] + LSR) & LSR_DR;
}

static char key(void)
{
	while (!wait_until(has_key, NULL, 600000))
		;
	return (char)in8(board.uart[0] + RBR);
}

static enum kind kind_of(uint32_t page)
{
	return (page + (page & 1 ? 2 * generation : 0)) % KINDS;
}

static uint64_t tag_at(uint32_t page, uint32_t granule)
{
	switch (kind_of(page)) {
	case UNIFORM:
		return 3 + page;
	case RUNS:
		return page + granule / 23;
	case PACKED:
	case TAGS_ALONE:
		return granule * (page + 7) >> 2;
	default:
		return 0;
	}
}

static uint64_t word_at(uint32_t page, uint32_t granule)
{
	enum kind kind = kind_of(page);

	return kind == NEITHER || kind == TAGS_ALONE ? 0 : granule * 0x9e3779b9ull * (page + 1);
}

static void make(uint32_t page)
{
	uint64_t at = pages + (uint64_t)page * PAGE;

	for (uint32_t g = 0; g < PAGE / GRANULE; g++, at += GRANULE) {
		stg(at, tag_at(page, g) & 15);
		store(at, word_at(page, g));
		store(at + 8, 0);
	}
}

static bool is_as_made(uint32_t page)
{
	uint64_t at = pages + (uint64_t)page * PAGE;

	for (uint32_t g = 0; g < PAGE / GRANULE; g++, at += GRANULE)
		if (ldg(at) != (tag_at(page, g) & 15) || load(at) != word_at(page, g) ||
		    load(at + 8))
			return false;
	return true;
}

static void nothing(struct cpu *cpu)
{
	(void)cpu;
}

static bool lpi_came(void *ctx)
{
	return ((struct cpu *)ctx)->lpis && ((struct cpu *)ctx)->irqs[SPI];
}

static void set_up(void)
{
	irq_hook = NULL;
	gic_init();
	gic_cpu_init();
	its_init();
	its_map_device(1);
	its_map_event(1, 0, LPI_FIRST, 0);
	its_enable(1, 0, LPI_FIRST, 0x80, true);
	if (cpu_start(CPU_OFF, nothing) || !cpu_wait_off(CPU_OFF, 5000))
		bail_out("the other CPU does not start");
	gic_enable(SPI, 0x80, true);
	gic_set_pending(SPI, true);
	its_int(1, 0);
	pages = (uint64_t)(uintptr_t)alloc(PAGES * PAGE, PAGE);
	for (uint32_t i = 0; i < PAGES; i++)
		make(i);
	write_reg(GCR_EL1, 1);
	write_reg(RGSR_EL1, SEED);
	write_reg(TFSR_EL1, 1);
	write_reg("tpidr_el0", SEED);
	isb();
}

static void check(void)
{
	struct cpu *cpu = this_cpu();
	uint64_t first, tfsr = read_reg(TFSR_EL1), rgsr = read_reg(RGSR_EL1);

	plan(PAGES + 7);
	for (uint32_t i = 0; i < PAGES; i++)
		ok(is_as_made(i), "page %u, of kind %u", i, kind_of(i));
	ok(tfsr == 1, "TFSR_EL1: a fault is pending");
	ok(rgsr == SEED && read_reg(GCR_EL1) == 1, "RGSR_EL1 and GCR_EL1");
	ok(read_reg("tpidr_el0") == SEED, "TPIDR_EL0");
	first = tag_of(irg(0, 0));
	write_reg(RGSR_EL1, SEED);
	isb();
	ok(first == tag_of(irg(0, 0)), "IRG gives what the seed does");
	ok(!cpu->lpis && !cpu->irqs[SPI], "no interrupt came yet");
	irqs_on();
	ok(wait_until(lpi_came, cpu, 5000), "the LPI and the SPI that were pending come");
	irqs_off();
	ok(hvc(PSCI_AFFINITY_INFO, cpus[CPU_OFF].mpidr, 0, 0) == 1 &&
		   cpu_start(CPU_OFF, nothing) == PSCI_SUCCESS && cpu_wait_off(CPU_OFF, 5000),
	   "the CPU that was off starts");
}

void guest_main(void)
{
	if (!has_mte || !board.its.size || board.cpus < 2)
		bail_out("wants MTE, an ITS and two CPUs");
	set_up();
	for (;;) {
		print("ready\n");
		if (key() == 'c')
			break;
		generation++;
		for (uint32_t i = 0; i < PAGES; i++)
			make(i);
	}
	check();
}
