# SPDX-License-Identifier: GPL-2.0-only
#
# The bare-metal guests. Included by the top Makefile, which sets before
#   CC, TARGET_FLAGS (the compiler for arm64), B (build folder), Q (quiet prefix: @ or nothing)
# Target: guests builds build/guest/NAME.img of each tests/guest/bare/guests/NAME.c.

B ?= build
BARE_DIR := tests/guest/bare
BARE_B := $(B)/guest
BARE_OBJCOPY ?= $(if $(findstring clang,$(CC)),aarch64-linux-gnu-,$(CROSS_COMPILE))objcopy

# Strict alignment: code runs before the MMU is on. General registers: C code leaves vectors alone.
BARE_CFLAGS := $(TARGET_FLAGS) -std=gnu11 -O2 -g -ffreestanding -fno-builtin -fpie -mstrict-align \
	-march=armv8-a -mgeneral-regs-only -mbranch-protection=none -fno-stack-protector \
	-fno-tree-loop-distribute-patterns -fno-asynchronous-unwind-tables -fno-common \
	-U_FORTIFY_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -I$(BARE_DIR)
ifneq (,$(findstring clang,$(CC)))
BARE_CFLAGS := $(filter-out -fno-tree-loop-distribute-patterns,$(BARE_CFLAGS))
else
BARE_CFLAGS += -mno-outline-atomics
endif
BARE_LDFLAGS := $(TARGET_FLAGS) -nostdlib -pie -Wl,--no-dynamic-linker -Wl,-z,notext \
	-Wl,--build-id=none -Wl,--no-warn-rwx-segments -Wl,-T,$(BARE_DIR)/bare.lds

BARE_COMMON := $(patsubst $(BARE_DIR)/%,$(BARE_B)/obj/%.o, \
	$(wildcard $(BARE_DIR)/*.c $(BARE_DIR)/*.S))
BARE_GUESTS := $(patsubst $(BARE_DIR)/guests/%.c,%,$(sort $(wildcard $(BARE_DIR)/guests/*.c)))
BARE_OBJS := $(BARE_COMMON) $(BARE_GUESTS:%=$(BARE_B)/obj/guests/%.c.o)

$(BARE_OBJS): $(BARE_B)/obj/%.o: $(BARE_DIR)/%
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC      $@")
	$(Q)$(CC) $(BARE_CFLAGS) -MMD -MP -c -o $@ $<

$(BARE_GUESTS:%=$(BARE_B)/%.elf): $(BARE_B)/%.elf: $(BARE_B)/obj/guests/%.c.o $(BARE_COMMON) $(BARE_DIR)/bare.lds
	@$(if $(Q),echo "  LD      $@")
	$(Q)$(CC) $(BARE_LDFLAGS) -o $@ $(filter %.o,$^)

$(BARE_GUESTS:%=$(BARE_B)/%.img): $(BARE_B)/%.img: $(BARE_B)/%.elf
	@$(if $(Q),echo "  OBJCOPY $@")
	$(Q)$(BARE_OBJCOPY) -O binary $< $@

.PHONY: guests
guests: $(BARE_GUESTS:%=$(BARE_B)/%.img) ## the bare-metal guests of the tests

-include $(BARE_OBJS:.o=.d)
