# SPDX-License-Identifier: GPL-2.0-only
# lkvm: `make` builds build/lkvm for arm64, `make demo` and `make check` need nothing but a fresh Debian 12.
# `make help` lists the targets; V=1 shows the commands.

VERSION := 0.1.0

# --- which compiler ---------------------------------------------------------------------------------------------
ifeq ($(shell uname -m),aarch64)
CROSS_COMPILE ?=
else
CROSS_COMPILE ?= aarch64-linux-gnu-
endif
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
HOSTCC ?= gcc
STRIP  ?= $(CROSS_COMPILE)strip
NM     ?= $(CROSS_COMPILE)nm
# clang is one compiler for all targets and has to be told.
ifneq (,$(findstring clang,$(CC)))
TARGET_FLAGS := --target=aarch64-linux-gnu
endif

V ?= 0
Q  = $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

# --- what -------------------------------------------------------------------------------------------------------
PREFIX ?= /usr/local
STATIC ?= 1
B      := build

SRCS := main.c $(wildcard cli*.c builtin-*.c) $(wildcard util/*.c state/*.c vm/*.c hw/*.c arm/*.c migrate/*.c)
OBJS := $(SRCS:%.c=$(B)/obj/%.o)

# --- how --------------------------------------------------------------------------------------------------------
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
HARDEN   := -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
# Small: what is mapped of it is most of what a VM costs beside its guest. What runs once a page is fast instead.
OPT      ?= -Os -g
FAST     := arm/tags-ldg arm/tags state/tagcode state/checksum vm/presence migrate/ram-save migrate/ram-load migrate/ram-pages \
	migrate/ram-send migrate/ram-receive
LKVM_CPPFLAGS := -D_GNU_SOURCE -DLKVM_VERSION=\"$(VERSION)\" -Iinclude
# Made at build time; the unit tests have their own, for this machine.
GEN_CPPFLAGS  := -I$(B)/include
# Nothing here unwinds its stack, and the tables for it would be mapped: a debugger has its own.
SMALL    := -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables
LKVM_CFLAGS   := -std=gnu11 $(TARGET_FLAGS) $(OPT) $(WARN) $(HARDEN) $(SMALL)
LKVM_LDFLAGS  := $(TARGET_FLAGS) -Wl,--gc-sections -Wl,-z,relro,-z,now $(if $(filter 1,$(STATIC)),-static-pie,-pie)
LIBS     := -lfdt -lz -lzstd -pthread

all: $(B)/lkvm $(B)/lkvm-tls ## build/lkvm and lkvm-tls, static unless STATIC=0

$(B)/lkvm: $(OBJS) $(B)/.link.$(STATIC)
	$(call say,LINK,$@)$(CC) $(LKVM_LDFLAGS) $(LDFLAGS) -o $@ $(OBJS) $(LIBS)

# --- TLS for migrations, a program of its own: the library is four times as large as all else ---------------------
TLS_OBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tls/*.c)) $(addprefix $(B)/obj/util/,confine.o err.o io.o)
$(B)/lkvm-tls: $(TLS_OBJS) $(B)/.link.$(STATIC)
	$(call say,LINK,$@)$(CC) $(LKVM_LDFLAGS) -Wl,--no-warnings $(LDFLAGS) -o $@ $(TLS_OBJS) -lssl -lcrypto -pthread

# A change of STATIC relinks.
$(B)/.link.%:
	@mkdir -p $(B); rm -f $(B)/.link.*; touch $@

$(B)/obj/%.o: %.c Makefile $(B)/.libs-found
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(LKVM_CPPFLAGS) $(GEN_CPPFLAGS) $(CPPFLAGS) $(LKVM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The system calls of the sandbox, as constant tables: libseccomp is needed here, not where lkvm runs.
$(B)/confine-gen: tools/confine-gen.c $(B)/.libs-found
	$(call say,HOSTCC,$@)$(HOSTCC) -D_GNU_SOURCE -std=gnu11 -O1 -Wall -Wextra -o $@ $< -lseccomp

$(B)/include/util/confine-filter.h: $(B)/confine-gen
	@mkdir -p $(@D)
	$(call say,GEN,$@)$(B)/confine-gen aarch64 > $@.new && mv $@.new $@

$(B)/obj/util/confine.o: $(B)/include/util/confine-filter.h

$(FAST:%=$(B)/obj/%.o): LKVM_CFLAGS += -O2

-include $(OBJS:.o=.d) $(TLS_OBJS:.o=.d)

# The first missing piece is named with its Debian package, before forty files fail over it.
ARCH_SUFFIX := $(if $(CROSS_COMPILE),:arm64)
$(B)/.libs-found:
	@mkdir -p $(B)
	@command -v $(firstword $(CC)) >/dev/null || { \
		echo "lkvm: no compiler $(CC): apt-get install $(if $(CROSS_COMPILE),gcc-aarch64-linux-gnu libc6-dev-arm64-cross,gcc libc6-dev), or run tools/setup build" >&2; exit 1; }
	@echo '#include <libfdt.h>' | $(CC) $(TARGET_FLAGS) $(CPPFLAGS) -E -o /dev/null - 2>/dev/null || { \
		echo "lkvm: libfdt is missing: apt-get install libfdt-dev$(ARCH_SUFFIX), or run tools/setup build" >&2; exit 1; }
	@echo '#include <zlib.h>' | $(CC) $(TARGET_FLAGS) $(CPPFLAGS) -E -o /dev/null - 2>/dev/null || { \
		echo "lkvm: zlib is missing: apt-get install zlib1g-dev$(ARCH_SUFFIX), or run tools/setup build" >&2; exit 1; }
	@echo '#include <zstd.h>' | $(CC) $(TARGET_FLAGS) $(CPPFLAGS) -E -o /dev/null - 2>/dev/null || { \
		echo "lkvm: zstd is missing: apt-get install libzstd-dev$(ARCH_SUFFIX), or run tools/setup build" >&2; exit 1; }
	@echo '#include <openssl/ssl.h>' | $(CC) $(TARGET_FLAGS) $(CPPFLAGS) -E -o /dev/null - 2>/dev/null || { \
		echo "lkvm: libssl is missing: apt-get install libssl-dev$(ARCH_SUFFIX), or run tools/setup build" >&2; exit 1; }
	@echo '#include <seccomp.h>' | $(HOSTCC) -E -o /dev/null - 2>/dev/null || { \
		echo "lkvm: libseccomp is missing on this machine: apt-get install libseccomp-dev, or run tools/setup build" >&2; exit 1; }
	@touch $@

# --- documents made from the option tables, on the machine that compiles ------------------------------------------
DOCGEN_SRCS := tools/docgen.c $(wildcard cli*.c) vm/config.c $(filter-out util/confine.c,$(wildcard util/*.c))
$(B)/docgen: $(DOCGEN_SRCS) $(wildcard include/*.h include/util/*.h include/vm/config.h include/migrate/snapshot.h)
	@mkdir -p $(B)
	$(call say,HOSTCC,$@)$(HOSTCC) $(LKVM_CPPFLAGS) -std=gnu11 -O1 -Wall -o $@ $(DOCGEN_SRCS)

$(B)/lkvm.1 $(B)/lkvm.bash: $(B)/docgen docs/lkvm.1.in
	$(call say,GEN,$@)$(B)/docgen $(if $(filter %.1,$@),man,completion) > $@.new && mv $@.new $@

docs: $(B)/lkvm.1 $(B)/lkvm.bash ## man page and bash completion, from the option tables

install: $(B)/lkvm $(B)/lkvm-tls docs ## to $(DESTDIR)$(PREFIX): program, man page, completion
	install -D -m 755 $(B)/lkvm $(DESTDIR)$(PREFIX)/bin/lkvm
	install -D -m 755 $(B)/lkvm-tls $(DESTDIR)$(PREFIX)/libexec/lkvm/lkvm-tls
	install -D -m 644 $(B)/lkvm.1 $(DESTDIR)$(PREFIX)/share/man/man1/lkvm.1
	install -D -m 644 $(B)/lkvm.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lkvm

# --- tests --------------------------------------------------------------------------------------------------------
# What has no arm64 in it is tested on this machine, under ASan and UBSan.
UNIT_SRCS := $(wildcard cli*.c util/*.c state/*.c hw/*.c vm/*.c) \
	arm/fdt.c arm/boot.c arm/image.c arm/gunzip.c arm/gicv2m.c \
	$(addprefix migrate/,ram-save.c ram-load.c tag-copy.c lazy.c lazy-plan.c control.c control-migrate.c state.c \
	ram-pages.c ram-send.c ram-receive.c channel.c transport.c transport-tls.c transport-hall.c transport-door.c throttle.c late-map.c \
	source-late.c destination.c destination-late.c destination-channels.c snapshot.c saver.c) tls/psk.c
-include tests/unit/unit.mk
-include tests/unit/arm64.mk
-include tests/fuzz/fuzz.mk
-include tests/guest/bare/bare.mk
-include tests/check.mk
-include bench/bench.mk

# --- for those who change the code --------------------------------------------------------------------------------
FORMAT_FILES = $(shell git ls-files -co --exclude-standard '*.c' '*.h')
format: ## clang-format over the tree
	$(Q)clang-format -i $(FORMAT_FILES)

lint: ## layers, globals, banned calls, formatting ...
	$(Q)prove $(wildcard tests/lint/*.t)

compile_commands.json: $(SRCS) Makefile ## for editors and clang-tidy
	$(Q){ echo '['; sep=; for f in $(SRCS); do \
		printf '%s{"directory":"%s","file":"%s","command":"%s"}\n' "$$sep" '$(CURDIR)' "$$f" \
			'$(subst ",\",$(subst \,\\,$(CC) $(LKVM_CPPFLAGS) $(GEN_CPPFLAGS) $(LKVM_CFLAGS) -c)) '"$$f"; sep=,; \
	done; echo ']'; } > $@

clean:
	rm -rf $(B) compile_commands.json

help: ## this list
	@grep -hE '^[a-z_./()$$-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 24

.PHONY: all docs install format lint clean help
.DELETE_ON_ERROR:
