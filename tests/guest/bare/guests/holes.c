/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses where nothing is, and ways to access them that no driver uses: a plain load gives all ones, a plain store
 * is ignored, and what the hypervisor cannot take apart (Arm ARM: ISS without a valid syndrome) is an external abort
 * for the guest, which goes on. The VMM must live through all of it. count=N: so many accesses in a row at the end.
 */
#include "bare.h"

static uint64_t holes[16];
static unsigned int holes_n;

static bool reads_ones(uint64_t at)
{
	bool good = true;

	try_begin();
	good = good && in8(at) == 0xff && in8(at + 1) == 0xff && in8(at + 7) == 0xff;
	good = good && in16(at) == 0xffff && in16(at + 6) == 0xffff;
	good = good && in32(at) == ~0u && in32(at + 4) == ~0u;
	good = good && in64(at) == ~0ull;
	return !try_end() && good;
}

/* The width of the register is the hypervisor's work too. */
static bool extends(uint64_t at)
{
	uint64_t b, h, w, sb, sw;

	try_begin();
	__asm__ volatile("ldrb %w0, [%1]" : "=r"(b) : "r"(at) : "memory");
	__asm__ volatile("ldrh %w0, [%1]" : "=r"(h) : "r"(at) : "memory");
	__asm__ volatile("ldr %w0, [%1]" : "=r"(w) : "r"(at) : "memory");
	__asm__ volatile("ldrsb %0, [%1]" : "=r"(sb) : "r"(at) : "memory");
	__asm__ volatile("ldrsb %w0, [%1]" : "=r"(sw) : "r"(at) : "memory");
	__asm__ volatile("ldr xzr, [%0]\n\tldrb wzr, [%0]" ::"r"(at) : "memory");
	/* That a load extends the sign is lost in the syndromes of some emulators (QEMU 10.0). */
	return !try_end() && b == 0xff && h == 0xffff && w == 0xffffffff &&
	       (sb == ~0ull || sb == 0xff) && (sw == 0xffffffff || sw == 0xff);
}

static bool ignores_writes(uint64_t at)
{
	try_begin();
	out8(at, 0);
	out16(at, 0);
	out32(at, 0);
	out64(at, 0);
	__asm__ volatile("str xzr, [%0]\n\tstlr xzr, [%0]" ::"r"(at) : "memory");
	return !try_end() && reads_ones(at);
}

/* What comes back: nothing, or an abort (external, or what this CPU makes of such an access). */
static void report(const char *what, uint32_t faults)
{
	uint64_t esr = this_cpu()->esr;

	if (faults)
		print("#   %s: ESR %08lx\n", what, esr);
	else
		print("#   %s: no abort\n", what);
}

#define ODD(insn, ...)                                                           \
	do {                                                                     \
		uint32_t n_;                                                     \
		try_begin();                                                     \
		__asm__ volatile(".arch armv8.2-a+simd+lse\n\t" insn             \
				 :                                               \
				 : "r"(at), "r"(at + 64)                         \
				 : "memory", "x9", "x10", "x11", ##__VA_ARGS__); \
		n_ = try_end();                                                  \
		report(insn, n_);                                                \
		bad += n_ > 1 || (n_ && ESR_EC(this_cpu()->esr) != EC_DABT);     \
		aborts += n_ == 1;                                               \
	} while (0)

/* One exception at most each, and it is a data abort. */
static void odd_instructions(uint64_t at, const char *where)
{
	uint32_t bad = 0, aborts = 0;

	ODD("ldp x9, x10, [%0]");
	ODD("ldp w9, w10, [%0]");
	ODD("stp x9, x10, [%0]");
	ODD("ldr x9, [%0, #8]");
	ODD("mov x11, %0; ldr x9, [x11], #8");
	ODD("mov x11, %0; str x9, [x11, #8]!");
	ODD("ldxr x9, [%0]");
	ODD("ldaxr w9, [%0]");
	ODD("stxr w9, x10, [%0]");
	ODD("ldxp x9, x10, [%0]");
	ODD("ldar x9, [%0]");
	ODD("stlr x9, [%0]");
	ODD("ldadd x9, x10, [%0]");
	ODD("swp x9, x10, [%0]");
	ODD("cas x9, x10, [%0]");
	ODD("ldaddal w9, w10, [%0]");
	ODD("ldr d0, [%0]");
	ODD("ldr q0, [%0]");
	ODD("str q0, [%0]");
	ODD("ldp q0, q1, [%0]");
	ODD("ld1 {v0.16b}, [%0]");
	ODD("ld4 {v0.8b, v1.8b, v2.8b, v3.8b}, [%0]");
	ODD("st1 {v0.8h}, [%0]");
	ODD("ldtr x9, [%0]");
	ODD("ldnp x9, x10, [%0]");
	ODD("dc zva, %0");
	ODD("dc cvac, %0");
	ODD("dc civac, %0");
	ODD("dc ivac, %0");
	ODD("dc cvau, %0");
	ODD("ic ivau, %0");
	ODD("prfm pldl1keep, [%0]");
	ODD("at s1e1r, %0");
	ok(!bad && aborts > 5, "odd instructions on %s (%u aborts)", where, aborts);
}

static bool fetches(uint64_t at)
{
	try_begin();
	call(at);
	return try_end() == 1 && ESR_EC(this_cpu()->esr) == EC_IABT;
}

/* Loads and stores that begin in one place and end in another. */
static bool across(uint64_t at)
{
	try_begin();
	for (unsigned int i = 1; i < 8; i++) {
		(void)in64(at - i);
		out64(at - i, 0);
		(void)in32(at - i);
		(void)in16(at - 1);
	}
	return try_end() <= 7 * 4;
}

/* A stage 1 walk through an address where no memory is. */
static bool walk(uint64_t table)
{
	uint64_t tcr = read_reg("tcr_el1");
	uint32_t n;

	write_reg("ttbr1_el1", table);
	write_reg("tcr_el1", tcr & ~(1ull << 23));
	isb();
	try_begin();
	(void)in64(0xffff000000001000);
	n = try_end();
	write_reg("tcr_el1", tcr);
	write_reg("ttbr1_el1", 0);
	__asm__ volatile("isb; tlbi vmalle1; dsb sy; isb" ::: "memory");
	return n == 1 && ESR_EC(this_cpu()->esr) == EC_DABT;
}

/* The interrupt controller's own registers, in any width, and its holes. */
static void controller(void)
{
	const struct range frames[] = {board.gic_dist, board.gic_redist, board.its, board.v2m};
	uint32_t aborts = 0;

	for (unsigned int f = 0; f < 4; f++) {
		uint64_t size = frames[f].size;

		if (size > 0x40000)
			size = 0x40000;
		for (uint64_t at = 0; at < size; at += at < 0x1000 ? 64 : 1024) {
			try_begin();
			(void)in8(frames[f].base + at + 1);
			(void)in16(frames[f].base + at + 2);
			(void)in32(frames[f].base + at);
			(void)in64(frames[f].base + at);
			aborts += try_end();
		}
	}
	ok(true, "reads all over the interrupt controller (%u aborts)", aborts);
}

static void add(uint64_t at)
{
	holes[holes_n++] = at;
}

void guest_main(void)
{
	uint64_t uart = board.uart[0], ram_end = board.ram.base + board.ram.size, odd;
	uint64_t count = word_number("count", 2000);
	bool ones = true, extended = true, ignored = true, fetched = true, good;

	plan(14);
	add(0); /* PCI I/O */
	add(0x8000);
	add(0x1009000); /* behind the UARTs */
	add(0x1018000); /* behind the RTC */
	add(0x3000000); /* where virtio devices will be */
	add(0x3ffffff8 & ~0xffffull);
	add(0x40000000); /* PCI configuration space */
	add(0x7ffffff0);
	add(ram_end); /* the first byte behind RAM */
	for (unsigned int i = 0; i < holes_n; i++) {
		uint64_t at = holes[i];

		/* The last one but one is the interrupt controller's, if it is there. */
		if (at >= board.gic_dist.base && at < board.gic_dist.base + board.gic_dist.size)
			continue;
		good = reads_ones(at);
		if (!good)
			print("# at 0x%lx: %lx, ESR %lx\n", at, in64(at), this_cpu()->esr);
		ones = ones && good;
		extended = extended && extends(at);
		ignored = ignored && ignores_writes(at);
		fetched = fetched && fetches(ALIAS + at);
	}
	ok(ones, "loads from a hole give all ones");
	ok(extended, "extended as the instruction says");
	ok(ignored, "stores to it are ignored");
	ok(fetched, "instructions fetched from it are an abort");
	odd = 0x3000000;
	odd_instructions(ALIAS + odd, "a hole");
	odd_instructions(ALIAS + uart + 0x40, "the UART");
	odd_instructions(ALIAS + board.rtc, "the RTC");
	ok(across(ALIAS + uart) && across(ALIAS + uart + 8) && across(ALIAS + board.rtc) &&
		   across(ALIAS + board.rtc + 0x1000),
	   "accesses across the ends of devices");
	/* RAM's last bytes and what is behind. */
	ok(across(ram_end), "accesses across the end of RAM");
	ok(fetches(ALIAS + uart), "instructions fetched from a device are an abort");
	ok(walk(0x3000000), "so is a page table in a hole");
	ok(walk(uart & ~0xfffull), "or in a device");
	controller();

	try_begin();
	for (uint64_t i = 0; i < count; i++) {
		out32(0x3000000 + i * 4, (uint32_t)i);
		(void)in32(0x3000000 + i * 4);
	}
	ok(!try_end(), "%lu accesses in a row", 2 * count);
}
