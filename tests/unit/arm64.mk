# SPDX-License-Identifier: GPL-2.0-only
#
# Programs for arm64 that test or measure the tag engine: static, so that they run under user-mode QEMU and in the bed
# alike. Debian's cmocka for arm64 is a shared library only; they speak TAP by tests/tap.h instead.
# Included by the top Makefile, which sets CC, TARGET_FLAGS, LKVM_CPPFLAGS, LKVM_CFLAGS, B and Q, and builds
# $(B)/obj/%.o.
# Targets: arm64-tests builds them, check-arm64 runs what needs no KVM, bench-tags prints figures from the bed.

ARM64_B := $(B)/arm64
ARM64_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard arm/tags*.c) arm/mte.c vm/presence.c state/tagcode.c state/checksum.c util/err.c util/share.c \
	util/buf.c)
ARM64_UNIT_SRCS := $(sort $(wildcard tests/unit/*/arm64/test_*.c))
ARM64_UNIT := $(addprefix $(ARM64_B)/,$(notdir $(ARM64_UNIT_SRCS:.c=)))
ARM64_PROGS := $(ARM64_UNIT) $(ARM64_B)/tagwalk $(ARM64_B)/bench-tags

$(foreach s,$(ARM64_UNIT_SRCS),$(eval $(ARM64_B)/$(notdir $(s:.c=)): $(s)))
$(ARM64_B)/tagwalk: tests/system/tagwalk.c
$(ARM64_B)/bench-tags: bench/tags/tags.c

# A KVM made up in front of the real one.
$(ARM64_B)/test_tags_ioctl $(ARM64_B)/test_state_gic $(ARM64_B)/test_state_vcpu: ARM64_LDFLAGS := -Wl,--wrap=ioctl
$(ARM64_B)/test_state_gic: $(B)/obj/arm/state-gic.o
$(ARM64_B)/test_state_vcpu: $(B)/obj/arm/state-vcpu.o
$(ARM64_B)/test_mte: ARM64_LDFLAGS := -Wl,--wrap=ioctl,--wrap=getauxval,--wrap=mmap,--wrap=munmap

$(ARM64_PROGS): $(ARM64_OBJS)
	@mkdir -p $(@D)
	$(call say,CCLD,$@)$(CC) $(LKVM_CPPFLAGS) $(CPPFLAGS) $(LKVM_CFLAGS) $(CFLAGS) -MMD -MP -MF $@.d \
		-static-pie $(ARM64_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o,$^) -pthread

.PHONY: arm64-tests check-arm64 qemu-user-ok bench-tags
arm64-tests: $(ARM64_PROGS)

# tests/system/cases/tagwalk.sh runs them in L1.
system-programs: $(ARM64_PROGS)

# A native machine needs no emulator; without MTE the tests say so and are skipped.
QEMU_USER ?= qemu-aarch64
ifeq ($(shell uname -m),aarch64)
ARM64_EXEC :=
else
ARM64_EXEC := $(QEMU_USER) -cpu max
check-arm64: qemu-user-ok
endif

# Before version 8 QEMU gave all granules of a page one tag.
qemu-user-ok:
	@command -v $(QEMU_USER) >/dev/null || { \
		echo "check-arm64: no $(QEMU_USER): run tools/setup check" >&2; exit 1; }
	@v=$$($(QEMU_USER) --version | sed -n '1s/.*version \([0-9]*\).*/\1/p'); [ "$${v:-0}" -ge 8 ] || { \
		echo "check-arm64: $(QEMU_USER) is version $${v:-unknown}, whose memory tags cannot be" \
			"trusted: 8 or later is needed, run tools/setup check" >&2; exit 1; }

check-arm64: $(ARM64_UNIT) ## unit tests for arm64, under user-mode QEMU elsewhere
	$(Q)prove --exec '$(ARM64_EXEC)' $(ARM64_UNIT)

bench-tags: $(ARM64_B)/bench-tags ## what reading and writing tags costs, in instructions
	$(Q)tools/bed --icount -- $(ARM64_B)/bench-tags

-include $(ARM64_PROGS:=.d)
