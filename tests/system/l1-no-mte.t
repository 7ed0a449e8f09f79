#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host without MTE, SVE and PMU.
exec "$(dirname "$0")/suite" --kernel 6.12 --name no-mte --short-cpus 1 --no-mte --cpu sve=off,pmu=off --set cases-no-mte "$@"
