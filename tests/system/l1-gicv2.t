#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host with a GICv2.
exec "$(dirname "$0")/suite" --kernel 6.12 --name gicv2 --short-cpus 1 --gic 2 --set cases-gicv2 "$@"
