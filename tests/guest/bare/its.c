/* SPDX-License-Identifier: GPL-2.0-only */
#include "its.h"

#define GITS_CTLR    0x00
#define GITS_TYPER   0x08
#define GITS_CBASER  0x80
#define GITS_CWRITER 0x88
#define GITS_CREADR  0x90
#define GITS_BASER   0x100

#define GICR_CTLR      0x00
#define GICR_TYPER     0x08
#define GICR_PROPBASER 0x70
#define GICR_PENDBASER 0x78

#define VALID	     (1ull << 63)
#define INNER_SHARED (1ull << 10)
#define WRITE_BACK   (7ull << 7) /* inner cacheability of the redistributor's registers */
#define ITS_CACHE    (7ull << 59)
#define ID_BITS	     14 /* LPIs up to 16383 */
#define QUEUE	     0x10000u

#define CMD_MOVI    0x01
#define CMD_INT	    0x03
#define CMD_CLEAR   0x04
#define CMD_SYNC    0x05
#define CMD_MAPD    0x08
#define CMD_MAPC    0x09
#define CMD_MAPTI   0x0a
#define CMD_INV	    0x0c
#define CMD_DISCARD 0x0f

static uint8_t *queue;
static uint32_t queue_at;
static uint8_t *properties;

static bool queue_read(void *ctx)
{
	(void)ctx;
	return in64(board.its.base + GITS_CREADR) == queue_at;
}

static void command(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t *slot = (uint64_t *)(void *)(queue + queue_at);

	slot[0] = a;
	slot[1] = b;
	slot[2] = c;
	slot[3] = 0;
	dsb();
	queue_at = (queue_at + 32) % QUEUE;
	out64(board.its.base + GITS_CWRITER, queue_at);
	if (!wait_until(queue_read, NULL, 2000))
		bail_out("the ITS does not read its command %lx %lx %lx", a, b, c);
}

/* What a collection and SYNC call a CPU: its number, or the address of its redistributor (TYPER.PTA). */
static uint64_t target(uint32_t cpu)
{
	if (in64(board.its.base + GITS_TYPER) >> 19 & 1)
		return cpus[cpu].gicr & ~0xffffull;
	return (in64(cpus[cpu].gicr + GICR_TYPER) >> 8 & 0xffff) << 16;
}

static void make_tables(void)
{
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t reg = board.its.base + GITS_BASER + 8 * i;
		unsigned int type = in64(reg) >> 56 & 7;

		/* Devices and collections, 64 KiB each, as 4 KiB pages. */
		if (type != 1 && type != 4)
			continue;
		out64(reg, VALID | ITS_CACHE | INNER_SHARED |
				   (uint64_t)(uintptr_t)alloc(0x10000, 0x10000) | 15);
	}
}

void its_init(void)
{
	properties = alloc(0x10000, 0x10000);
	for (unsigned int i = 0; i < LPI_COUNT; i++)
		properties[i] = 0xa2; /* disabled */
	queue = alloc(QUEUE, 0x10000);
	queue_at = 0;
	make_tables();
	out64(board.its.base + GITS_CBASER,
	      VALID | ITS_CACHE | INNER_SHARED | (uint64_t)(uintptr_t)queue | (QUEUE / 4096 - 1));
	out64(board.its.base + GITS_CWRITER, 0);
	out32(board.its.base + GITS_CTLR, 1);
	its_cpu_init();
}

void its_cpu_init(void)
{
	struct cpu *cpu = this_cpu();
	uint64_t pending = (uint64_t)(uintptr_t)alloc(0x10000, 0x10000);

	out64(cpu->gicr + GICR_PROPBASER,
	      (uint64_t)(uintptr_t)properties | INNER_SHARED | WRITE_BACK | (ID_BITS - 1));
	/* Bit 62: the table is zero. */
	out64(cpu->gicr + GICR_PENDBASER, pending | INNER_SHARED | WRITE_BACK | 1ull << 62);
	out32(cpu->gicr + GICR_CTLR, in32(cpu->gicr + GICR_CTLR) | 1);
	dsb();
	command(CMD_MAPC, 0, VALID | target(cpu->index) | cpu->index);
	command(CMD_SYNC, 0, target(cpu->index));
}

void its_map_device(uint32_t device)
{
	uint64_t table = (uint64_t)(uintptr_t)alloc(4096, 4096);

	/* 5 bits of event. */
	command(CMD_MAPD | (uint64_t)device << 32, 4, VALID | table);
}

void its_map_event(uint32_t device, uint32_t event, uint32_t lpi, uint32_t cpu)
{
	command(CMD_MAPTI | (uint64_t)device << 32, event | (uint64_t)lpi << 32, cpu);
	command(CMD_SYNC, 0, target(cpu));
}

void its_enable(uint32_t device, uint32_t event, uint32_t lpi, uint8_t priority, bool enabled)
{
	properties[lpi - LPI_FIRST] = (priority & 0xfc) | 2 | enabled;
	dsb();
	command(CMD_INV | (uint64_t)device << 32, event, 0);
	command(CMD_SYNC, 0, target(0));
}

void its_move(uint32_t device, uint32_t event, uint32_t cpu)
{
	command(CMD_MOVI | (uint64_t)device << 32, event, cpu);
	command(CMD_SYNC, 0, target(cpu));
}

void its_discard(uint32_t device, uint32_t event)
{
	command(CMD_DISCARD | (uint64_t)device << 32, event, 0);
	command(CMD_SYNC, 0, target(0));
}

void its_int(uint32_t device, uint32_t event)
{
	command(CMD_INT | (uint64_t)device << 32, event, 0);
}

void its_clear(uint32_t device, uint32_t event)
{
	command(CMD_CLEAR | (uint64_t)device << 32, event, 0);
}
