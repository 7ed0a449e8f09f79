# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 900
# Post-copy.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh
plan 7

worker p0 -c 2 -m 64 --mte
check "somebody waits" incoming p1 "unix:$W/p1.mig"
check "moves" migrate p0 "unix:$W/p1.mig" --postcopy-after 0
check "the source ends" ends p0 20 0
check "goes on" goes_on p1 "$WORK" 2 60
check "somebody waits" incoming p2 "unix:$W/p2.mig"
check "moves" migrate p1 "unix:$W/p2.mig" --postcopy
check "goes on" goes_on p2 "$WORK" 2 60
ctl stop p2
