/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the CPU says of itself, and what it has of MTE. mte=1 on the command line: there must be MTE, with its system
 * registers; mte=0: there must be none, the registers are undefined and tag instructions do nothing. The values of
 * all identification registers are printed.
 */
#include "mte.h"

static uint32_t undefined;

/* Reads one, or counts that it cannot be read. */
#define TRY_READ(name)                  \
	({                              \
		uint64_t r_ = 0;        \
		try_begin();            \
		r_ = read_reg(name);    \
		undefined += try_end(); \
		r_;                     \
	})

#define SHOW(title, name) print("# %s %016lx\n", title, TRY_READ(name))

static void show_all(void)
{
	SHOW("MIDR_EL1", "midr_el1");
	SHOW("MPIDR_EL1", "mpidr_el1");
	SHOW("REVIDR_EL1", "revidr_el1");
	SHOW("ID_AA64PFR0_EL1", "s3_0_c0_c4_0");
	SHOW("ID_AA64PFR1_EL1", "s3_0_c0_c4_1");
	SHOW("ID_AA64PFR2_EL1", "s3_0_c0_c4_2");
	SHOW("ID_AA64ZFR0_EL1", "s3_0_c0_c4_4");
	SHOW("ID_AA64SMFR0_EL1", "s3_0_c0_c4_5");
	SHOW("ID_AA64DFR0_EL1", "s3_0_c0_c5_0");
	SHOW("ID_AA64DFR1_EL1", "s3_0_c0_c5_1");
	SHOW("ID_AA64ISAR0_EL1", "s3_0_c0_c6_0");
	SHOW("ID_AA64ISAR1_EL1", "s3_0_c0_c6_1");
	SHOW("ID_AA64ISAR2_EL1", "s3_0_c0_c6_2");
	SHOW("ID_AA64MMFR0_EL1", "s3_0_c0_c7_0");
	SHOW("ID_AA64MMFR1_EL1", "s3_0_c0_c7_1");
	SHOW("ID_AA64MMFR2_EL1", "s3_0_c0_c7_2");
	SHOW("ID_AA64MMFR3_EL1", "s3_0_c0_c7_3");
	SHOW("CTR_EL0", "ctr_el0");
	SHOW("DCZID_EL0", "dczid_el0");
}

/* That access is undefined, as the Arm ARM says of a register that is not there. */
#define IS_UNDEFINED(access)                                             \
	({                                                               \
		try_begin();                                             \
		access;                                                  \
		try_end() == 1 && ESR_EC(this_cpu()->esr) == EC_UNKNOWN; \
	})

#define HAS_REGISTER(reg)                   \
	({                                  \
		uint64_t old_;              \
		bool good_;                 \
		try_begin();                \
		old_ = read_reg(reg);       \
		write_reg(reg, 1);          \
		isb();                      \
		good_ = read_reg(reg) == 1; \
		write_reg(reg, old_);       \
		!try_end() && good_;        \
	})

static void with_mte(void)
{
	uint64_t at = (uint64_t)(uintptr_t)alloc(4096, 4096);

	ok(has_mte, "ID_AA64PFR1_EL1 has MTE");
	ok(HAS_REGISTER(RGSR_EL1), "RGSR_EL1 is there");
	ok(HAS_REGISTER(GCR_EL1), "GCR_EL1 is there");
	ok(HAS_REGISTER(TFSR_EL1), "TFSR_EL1 is there");
	ok(HAS_REGISTER(TFSRE0_EL1), "TFSRE0_EL1 is there");
	stg(at, 5);
	ok(ldg(at) == 5 && ldg(at + 16) == 0, "a tag that is stored is a tag that is read");
}

static void without_mte(void)
{
	uint64_t at = (uint64_t)(uintptr_t)alloc(4096, 4096), sctlr;
	bool good;

	/* FEAT_MTE alone (1) would be instructions without tags in memory; KVM hides that too. */
	ok((read_reg("id_aa64pfr1_el1") >> 8 & 0xf) == 0, "ID_AA64PFR1_EL1 has no MTE");
	ok(IS_UNDEFINED((void)read_reg(RGSR_EL1)) && IS_UNDEFINED(write_reg(RGSR_EL1, 1)),
	   "RGSR_EL1 is undefined");
	ok(IS_UNDEFINED((void)read_reg(GCR_EL1)) && IS_UNDEFINED(write_reg(GCR_EL1, 1)),
	   "GCR_EL1 is undefined");
	ok(IS_UNDEFINED((void)read_reg(TFSR_EL1)) && IS_UNDEFINED(write_reg(TFSR_EL1, 1)),
	   "TFSR_EL1 is undefined");
	ok(IS_UNDEFINED((void)read_reg(TFSRE0_EL1)) && IS_UNDEFINED(write_reg(TFSRE0_EL1, 1)),
	   "TFSRE0_EL1 is undefined");
	/* GMID_EL1, a constant, is left readable by KVM (seen up to Linux 6.12). */

	/* SCTLR_EL1.ATA and checks that are switched on change nothing. */
	sctlr = read_reg("sctlr_el1");
	write_reg("sctlr_el1", sctlr | 1ull << 43 | 1ull << SCTLR_TCF_SHIFT);
	isb();
	out64(at, 0x123456789abcdef0);
	try_begin();
	stg(at, 5);
	st2g(at + 32, 6);
	dc_gva(tagged(at + 64, 7));
	stgm(at + 256, ~0ull);
	good = !ldgm(at + 256) && !ldg(at + 256);
	good = good && !ldg(at) && !ldg(at + 32) && !ldg(at + 48) && !ldg(at + 64);
	good = good && in64(tagged(at, 3)) == 0x123456789abcdef0;
	good = good && in64(at) == 0x123456789abcdef0;
	if (try_end())
		/* An emulator or CPU without the instructions at all. */
		good = ESR_EC(this_cpu()->esr) == EC_UNKNOWN && in64(at) == 0x123456789abcdef0;
	write_reg("sctlr_el1", sctlr);
	isb();
	ok(good, "tag stores do nothing, and nothing is checked");
}

void guest_main(void)
{
	bool mte = word_is("mte", "1");

	plan(9);
	if (!mte && !word_is("mte", "0"))
		bail_out("say mte=0 or mte=1");
	show_all();
	ok(!undefined, "every identification register can be read (%u cannot)", undefined);
	ok((read_reg("id_aa64mmfr0_el1") >> 28 & 0xf) != 0xf, "there are pages of 4 KiB");
	ok(read_reg("currentel") == 4, "this is EL1");
	if (mte)
		with_mte();
	else
		without_mte();
}
