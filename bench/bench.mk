# SPDX-License-Identifier: GPL-2.0-only
#
# What lkvm costs; docs/figures.md. Included by the top Makefile.

bench: ## what lkvm costs, beside other VMMs (some minutes; BENCH_ARGS="--no-qemu" ...)
	$(Q)tools/setup build bed
	$(Q)$(MAKE) --no-print-directory $(B)/lkvm
	$(Q)bench/run $(BENCH_ARGS)
	$(Q)$(MAKE) --no-print-directory bench-tags

bench-lazy: ## how long a restore takes until the guest answers, eager and lazy, small and large
	$(Q)tools/setup build bed
	$(Q)$(MAKE) --no-print-directory $(B)/lkvm system-programs
	$(Q)bench/lazy

.PHONY: bench bench-lazy
