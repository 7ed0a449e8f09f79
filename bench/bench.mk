# SPDX-License-Identifier: GPL-2.0-only
#
# What lkvm costs; docs/figures.md. Included by the top Makefile.

bench: ## what lkvm costs, beside other VMMs (some minutes; BENCH_ARGS="--no-qemu" ...)
	$(Q)tools/setup build bed
	$(Q)$(MAKE) --no-print-directory $(B)/lkvm
	$(Q)bench/run $(BENCH_ARGS)
	$(Q)$(MAKE) --no-print-directory bench-tags bench-snapshot bench-migrate

bench-lazy: ## how long a restore takes until the guest answers, eager and lazy, small and large
	$(Q)tools/setup build bed
	$(Q)$(MAKE) --no-print-directory $(B)/lkvm system-programs
	$(Q)bench/lazy

bench-snapshot: ## what a save and a restore cost a page, and how long --live stops the guest
	$(Q)tools/setup build bed
	$(Q)$(MAKE) --no-print-directory $(B)/lkvm system-programs
	$(Q)bench/snapshot

bench-migrate: ## how long a migration takes, and how long the guest stands still
	$(Q)tools/setup build bed
	$(Q)$(MAKE) --no-print-directory $(B)/lkvm
	$(Q)bench/migrate

.PHONY: bench bench-lazy bench-snapshot bench-migrate
