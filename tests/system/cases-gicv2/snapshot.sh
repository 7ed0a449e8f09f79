# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Saved and restored on a host whose interrupt controller is a GICv2: interrupts of each kind, registers, and a kernel.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/bare.sh

plan 19

for chip in gicv2 gicv2m; do
	saved $chip "test=irqs ms=1500" -c 3 -m 64 --mte --irqchip $chip
	goes_well $chip "test=irqs, $chip" --clock keep
done
saved regs "test=regs" -c 1 -m 64 --mte
goes_well regs "test=regs"
check "info names it" sh -c "'$B/lkvm' snapshot info gicv2m.snap | grep -q gicv2m"
check "--check has nothing against it" "$B/lkvm" snapshot info gicv2m.snap --check

# From a host with the other one; docs/snapshot-format.md has the place. It is refused before any memory is read.
damaged v3 gicv2m.snap
for chip in 2:gicv3 3:gicv3-its; do
	check "of a machine with a ${chip#*:}" "$B/spoil" needs v3 14 1 "${chip%:*}"
	check "is refused by name, nothing is started" cannot_run v3 "^the guest has a ${chip#*:}, this host cannot give one\$" 'for the reasons above'
done

linux k -c 2 -m 128 --mte -- "/tests/storm 3 $REST"
check "a kernel in a storm" wait_for 60 has_lines k storm 2
check "is saved" snapshot k k.snap --stop
ended k 20
restore l k.snap
check "goes on" goes_on l storm 2 60
check "without a report" unharmed l
ctl stop l
ended l 20
