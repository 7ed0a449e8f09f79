#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Live migration to a host that lacks what the guest needs: no MTE, GICv2, no SVE, 40 address bits.
exec "$(dirname "$0")/suite" --name two-hosts-unlike --set cases-two-unlike --peer 6.12 --peer-bed --no-mte --peer-bed --gic \
	--peer-bed 2 --peer-bed --qemu --peer-bed -cpu --peer-bed --qemu --peer-bed cortex-a76 "$@"
