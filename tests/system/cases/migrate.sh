# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 600
# A guest under load moves from one lkvm to another and back, and takes its tags along.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

plan 6

linux g0 -c 2 -m 128 --mte -- '/tests/storm 3'
check "the storm is on" wait_for 60 has_lines g0 storm 3
check "somebody waits" incoming g1 "unix:$W/g1.mig"
check "moves" migrate g0 "unix:$W/g1.mig"
cat "$W/check" >>/share/build/system/migrate.log
check "the source ends" ends g0 20 0
check "goes on" goes_on g1 storm 4 60
check "without a report" unharmed g1
ctl stop g1
ended g1 20
cat g1.err >>/share/build/system/migrate.log
