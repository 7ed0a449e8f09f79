# SPDX-License-Identifier: GPL-2.0-only
#
# What runs the tests, and the test bed for people. Included by the top Makefile. docs/testing.md says what is what.

# --- programs of the system tests: helpers in L1, and their bare-metal guest --------------------------------------
SYSTEM_B        := $(B)/system
SYSTEM_HELPERS  := $(addprefix $(SYSTEM_B)/,ptyrun inject hostile slowcat memdump spoil badline failcall)
SYSTEM_PROGRAMS := $(SYSTEM_HELPERS) $(SYSTEM_B)/monitor.img
OBJCOPY         ?= $(CROSS_COMPILE)objcopy
ifeq ($(origin OBJCOPY),default)
OBJCOPY         := $(CROSS_COMPILE)objcopy
endif

$(SYSTEM_B)/spoil: tests/unit/state/snap-resign.h $(B)/obj/state/checksum.o
$(SYSTEM_HELPERS): $(SYSTEM_B)/%: tests/system/%.c $(B)/.libs-found
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(LKVM_CPPFLAGS) -Itests/unit/state -std=gnu11 $(TARGET_FLAGS) -O2 $(WARN) -static -o $@ \
		$(filter %.c %.o,$^)

# Linked to the start of RAM, where it runs without an MMU: no unaligned access, no vectors.
$(SYSTEM_B)/monitor.img: tests/system/guest/monitor.c $(B)/.libs-found
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -std=gnu11 $(TARGET_FLAGS) -O2 $(WARN) -ffreestanding -fno-stack-protector -fno-pic \
		-fno-builtin -mstrict-align -mgeneral-regs-only -mcmodel=large -nostdlib -static \
		-Wl,--build-id=none -Wl,--section-start=.start=0x80000000 -Wl,-Ttext=0x80001000 -Wl,-e,_start \
		-o $@.elf $< && $(OBJCOPY) -O binary -R .comment $@.elf $@

system-programs: $(SYSTEM_PROGRAMS)

.PHONY: system-programs

# --- the levels: one prove, one closing line ----------------------------------------------------------------------
CHECK_B := $(B)/check

# Programs that need something in front of them, as tests that prove can start.
CHECK_ARM64 := $(ARM64_UNIT:$(ARM64_B)/%=$(CHECK_B)/arm64-%.t)
CHECK_FUZZ  := $(CHECK_B)/fuzz.t
$(CHECK_ARM64): $(CHECK_B)/arm64-%.t: $(ARM64_B)/% | qemu-user-ok
	@mkdir -p $(@D); printf '#!/bin/sh\nexec %s %s\n' '$(ARM64_EXEC)' '$<' > $@; chmod +x $@
$(CHECK_FUZZ): $(FUZZ_TARGETS)
	@mkdir -p $(@D); printf '#!/bin/sh\nexec bash tests/fuzz/run-fuzz %s\n' '$(FUZZ_TARGETS)' > $@; chmod +x $@

# The long ones first; three at a time on two processors, since each waits now and then.
QUICK_TESTS  := $(CHECK_ARM64) $(addprefix tests/system/,cli.t golden.t) tests/build/install.t tests/build/apt.t $(sort $(wildcard tests/lint/*.t)) $(UNIT_TESTS)
BUILD_TESTS  := tests/build/compilers.t
SYSTEM_TESTS := $(addprefix tests/system/,l1-6.12.t l1-6.12-snapshot.t l1-6.12-migrate.t l1-6.1.t two-hosts.t l1-gicv2.t l1-no-mte.t demo.t bed.t)
MORE_TESTS   := $(addprefix tests/system/,l1-7.2.t l1-6.12-16k.t snapshot-across.t two-hosts-same.t two-hosts-7.2.t two-hosts-unlike.t)

PROVE := $(UNIT_ENV) prove -j3 --exec ''

check-quick: ## what needs no emulated machine, in under a minute
	$(Q)tools/setup build check
	$(Q)$(MAKE) --no-print-directory -j2 all unit $(CHECK_ARM64)
	$(Q)$(PROVE) $(QUICK_TESTS)

check: ## every test but those of check-all
	$(Q)tools/setup build check bed testkernel
	$(Q)tools/testkernel >/dev/null
	$(Q)$(MAKE) --no-print-directory -j2 all unit system-programs guests $(CHECK_ARM64) $(CHECK_FUZZ)
	$(Q)FUZZ_TOTAL=$(FUZZ_TOTAL) $(PROVE) $(SYSTEM_TESTS) $(BUILD_TESTS) $(CHECK_FUZZ) $(QUICK_TESTS)

check-all: ## and the newest host kernel, another page size, everything at full length
	$(Q)tools/setup build check bed testkernel
	$(Q)tools/testkernel >/dev/null
	$(Q)$(MAKE) --no-print-directory -j2 all unit system-programs guests $(CHECK_ARM64) $(CHECK_FUZZ)
	$(Q)FULL=1 FUZZ_TOTAL=$(FUZZ_SECONDS) $(PROVE) $(SYSTEM_TESTS) $(MORE_TESTS) $(BUILD_TESTS) $(CHECK_FUZZ) $(QUICK_TESTS)

# --- the test bed for people --------------------------------------------------------------------------------------
demo: ## from nothing to a guest that meets SEGV_MTESERR
	$(Q)tools/demo

shell: ## the same, and leaves you at the guest's prompt
	$(Q)tools/demo --shell

testkernel: ## the KASAN_HW_TAGS kernel of the guests
	$(Q)tools/setup testkernel
	$(Q)tools/testkernel

.PHONY: check-quick check check-all demo shell testkernel
