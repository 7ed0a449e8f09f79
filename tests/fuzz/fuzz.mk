# SPDX-License-Identifier: GPL-2.0-only
#
# Fuzz targets, on the machine that compiles: clang's libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer.
# Included by the top Makefile, after tests/unit/unit.mk. Each tests/fuzz/fuzz_NAME.c is a target; its inputs are in
# tests/fuzz/corpus/NAME.
# Targets: fuzz-build; check-fuzz, which is short; fuzz, which is long (FUZZ_SECONDS=N for each).

FUZZ_B       := $(B)/fuzz
FUZZ_CC      ?= clang
FUZZ_TOTAL   ?= 40
FUZZ_SECONDS ?= 600

FUZZ_CFLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
FUZZ_SRCS    := $(filter util/% state/% vm/% hw/% migrate/state.c arm/boot.c arm/image.c arm/gunzip.c,$(UNIT_SRCS))
# What knows KVM by arm64's headers, and nothing else of arm64: they are put in front of this machine's.
FUZZ_ARCH    := $(patsubst %.c,$(FUZZ_B)/obj/%.o,arm/compat.c arm/state.c arm/state-clock.c arm/state-gic.c arm/state-vcpu.c)
FUZZ_HEADERS := $(FUZZ_B)/arm64
FUZZ_OBJS    := $(FUZZ_SRCS:%.c=$(FUZZ_B)/obj/%.o)
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(FUZZ_B)/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
$(FUZZ_B)/obj/util/confine.o: $(UNIT_B)/include/util/confine-filter.h

# clang finds its runtime in a package of its own.
$(FUZZ_B)/.clang-found:
	@mkdir -p $(@D)
	@command -v $(FUZZ_CC) >/dev/null || { echo "lkvm: no $(FUZZ_CC) for the fuzz targets:" \
		"apt-get install clang, or run tools/setup check" >&2; exit 1; }
	@echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' | \
		$(FUZZ_CC) -x c - -fsanitize=fuzzer,address,undefined -o $(@D)/.try 2>/dev/null || { \
		echo "lkvm: $(FUZZ_CC) has no libFuzzer here: apt-get install libclang-rt-14-dev," \
			"or run tools/setup check" >&2; exit 1; }
	@rm -f $(@D)/.try
	@touch $@

$(FUZZ_OBJS): $(FUZZ_B)/obj/%.o: %.c $(FUZZ_B)/.clang-found
	@mkdir -p $(@D)
	$(call say,FUZZCC,$@)$(FUZZ_CC) $(UNIT_CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

# Four of them, by name: the C library's own headers of this machine stay in place.
$(FUZZ_HEADERS)/.made:
	@mkdir -p $(@D)/asm
	@kvm=$$(echo '#include <asm/kvm.h>' | $(CC) $(TARGET_FLAGS) -x c -M - | grep -o '/[^ ]*/asm/kvm.h') && \
	for h in kvm ptrace hwcap sve_context; do ln -sf "$${kvm%/*}/$$h.h" $(@D)/asm/; done
	@touch $@

$(FUZZ_ARCH) $(FUZZ_B)/fuzz_arch: UNIT_CPPFLAGS += -I$(FUZZ_HEADERS)
$(FUZZ_ARCH): $(FUZZ_B)/obj/%.o: %.c $(FUZZ_B)/.clang-found $(FUZZ_HEADERS)/.made
	@mkdir -p $(@D)
	$(call say,FUZZCC,$@)$(FUZZ_CC) $(UNIT_CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_B)/fuzz_arch: $(FUZZ_ARCH)
$(FUZZ_B)/fuzz_arch: FUZZ_LDFLAGS := -Wl,--wrap=ioctl

# From the archive a target takes what it does not define itself.
$(FUZZ_B)/libfuzz.a: $(FUZZ_OBJS)
	@rm -f $@
	$(call say,AR,$@)ar crs $@ $^

$(FUZZ_TARGETS): $(FUZZ_B)/%: tests/fuzz/%.c $(FUZZ_B)/libfuzz.a
	$(call say,FUZZLD,$@)$(FUZZ_CC) $(UNIT_CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d \
		$(FUZZ_LDFLAGS) -o $@ $(filter %.c %.o,$^) $(FUZZ_B)/libfuzz.a $(filter-out -lcmocka,$(UNIT_LIBS))

fuzz-build: $(FUZZ_TARGETS)

check-fuzz: fuzz-build ## each fuzz target for some seconds
	$(Q)FUZZ_TOTAL=$(FUZZ_TOTAL) prove --exec bash tests/fuzz/run-fuzz :: $(FUZZ_TARGETS)

fuzz: fuzz-build ## each fuzz target for ten minutes, or FUZZ_SECONDS
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) bash tests/fuzz/run-fuzz $(FUZZ_TARGETS)

.PHONY: fuzz-build check-fuzz fuzz

-include $(FUZZ_OBJS:.o=.d) $(FUZZ_ARCH:.o=.d) $(FUZZ_TARGETS:=.d)
