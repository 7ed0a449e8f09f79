# SPDX-License-Identifier: GPL-2.0-only
#
# Unit tests on the machine that compiles, with AddressSanitizer and UndefinedBehaviorSanitizer.
# Included by the top Makefile, which has set before: B, Q, say, HOSTCC, and
#   UNIT_SRCS     the sources that compile natively, such as util/*.c
#   UNIT_FOREIGN  tests in tests/unit/ that do not (arm64 only), if there are any
# Targets: unit builds the tests, check-unit runs them.

UNIT_B := $(B)/unit

UNIT_CPPFLAGS := -D_GNU_SOURCE -DLKVM_VERSION=\"$(VERSION)\" -Iinclude -Itests/unit -I$(UNIT_B)/include
UNIT_CFLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
# libfdt by its run-time name: libfdt-dev is there for one architecture at a time, and the cross build
# has it. Its headers are the same for all.
UNIT_LIBS := -lcmocka -l:libfdt.so.1 -lz -lzstd -pthread

UNIT_OBJS := $(UNIT_SRCS:%.c=$(UNIT_B)/obj/%.o)
UNIT_TEST_SRCS := $(filter-out $(UNIT_FOREIGN),$(sort $(wildcard tests/unit/*/test_*.c)))
UNIT_TESTS := $(UNIT_TEST_SRCS:tests/unit/%.c=$(UNIT_B)/%)

# A leak, an overflow or undefined behaviour ends the test, not with a printed remark alone.
UNIT_ENV := ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	CMOCKA_MESSAGE_OUTPUT=TAP

# The missing library is named with its Debian package.
$(UNIT_B)/.libs-found:
	@mkdir -p $(@D)
	@for lib in cmocka:libcmocka-dev :libfdt.so.1:libfdt1 z:zlib1g-dev zstd:libzstd-dev ssl:libssl-dev; do \
		echo 'int main(void) { return 0; }' | \
		$(HOSTCC) -x c - -o $(@D)/.try -l"$${lib%:*}" 2>/dev/null || { \
		echo "lkvm: $${lib##*:} is missing on this machine for the unit tests:" \
			"apt-get install $${lib##*:}, or run tools/setup" >&2; exit 1; }; done
	@rm -f $(@D)/.try
	@touch $@

$(UNIT_OBJS): $(UNIT_B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,HOSTCC,$@)$(HOSTCC) $(UNIT_CPPFLAGS) $(UNIT_CFLAGS) -MMD -MP -c -o $@ $<

# The filter for this machine's system calls.
$(UNIT_B)/include/util/confine-filter.h: $(B)/confine-gen
	@mkdir -p $(@D)
	$(call say,GEN,$@)$(B)/confine-gen $(shell uname -m) > $@.new && mv $@.new $@

$(UNIT_B)/obj/util/confine.o: $(UNIT_B)/include/util/confine-filter.h

# Anew each time, so that no object of a source that is gone stays inside.
$(UNIT_B)/libunit.a: $(UNIT_OBJS)
	@rm -f $@
	$(call say,AR,$@)ar crs $@ $^

$(UNIT_TESTS): $(UNIT_B)/%: tests/unit/%.c $(UNIT_B)/libunit.a $(UNIT_B)/.libs-found
	@mkdir -p $(@D)
	$(call say,HOSTLD,$@)$(HOSTCC) $(UNIT_CPPFLAGS) $(UNIT_CFLAGS) -MMD -MP -MF $@.d -o $@ $< \
		$(UNIT_B)/libunit.a $(UNIT_LIBS)

.PHONY: unit check-unit
unit: $(UNIT_TESTS)

check-unit: unit ## unit tests of this machine
	$(Q)$(UNIT_ENV) prove --exec '' $(UNIT_TESTS)

# Found beside the test that starts it.
UNIT_TLS := tls/main.c tls/relay.c tls/psk.c util/confine.c util/err.c util/io.c
$(UNIT_B)/migrate/lkvm-tls: $(UNIT_TLS) $(wildcard include/tls/*.h) $(UNIT_B)/include/util/confine-filter.h $(UNIT_B)/.libs-found
	@mkdir -p $(@D)
	$(call say,HOSTLD,$@)$(HOSTCC) $(UNIT_CPPFLAGS) -std=gnu11 -O1 -g -Wall -Wextra -Werror -o $@ $(UNIT_TLS) -lssl -lcrypto

$(UNIT_B)/migrate/test_tls: $(UNIT_B)/migrate/lkvm-tls
$(UNIT_B)/migrate/test_tls: UNIT_LIBS += -lssl -lcrypto

-include $(UNIT_OBJS:.o=.d) $(UNIT_TESTS:=.d)
