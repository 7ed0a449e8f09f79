# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# A host without MTE, SVE and PMU restores what needs none of them, and refuses what does, with each reason, before any memory
# is read.
. /share/tests/system/snapshot-lib.sh

plan 10

vm g -k "$B/bare/saved.img" -p test=clock -c 1 -m 64
check "the guest is up" wait_for 20 says g.out '^clock '
check "a snapshot" snapshot g good --stop
ended g 20
check "control: --check has nothing against it" "$B/lkvm" snapshot info good --check
restore r good
check "control: it goes on here" goes_on r clock 3 20
ctl stop r
ended r 20

# docs/snapshot-format.md and arm/compat.h have the places: MTE 12, PMU 15, SVE 24.
damaged tags
check "with tags" "$B/spoil" needs tags 12 1 3
check "is refused, by name" cannot_run tags "^the guest has memory tags; .*this host's CPU has no MTE" 'for the reasons above'
check "with a PMU, and SVE" sh -c "'$B/spoil' needs tags 15 1 1 && '$B/spoil' needs tags 24 8 1"
check "is refused, all the reasons at once" cannot_run tags '^the guest has memory tags' '^the guest has a PMU' '^the guest has SVE'
check "each on a line" is "$(grep -c '^the guest' err)" 3
check "the file it was made from is still good" "$B/lkvm" snapshot verify good
