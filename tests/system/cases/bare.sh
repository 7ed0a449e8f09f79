# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The guests without an operating system: what Linux would hide.
# shellcheck source=tests/system/bare.sh
. /share/tests/system/bare.sh

plan $((28 + 8 * FULL))

some=1
secs=2
[ "$FULL" = 0 ] || some=3
[ "$FULL" = 0 ] || secs=6

bare uart "" -c 1 -m 64
bare uart "" -c 1 -m 64 --mte --tty 1
bare rtc "now=$(date +%s)" -c 1 -m 64
bare vmgenid "" -c 1 -m 64 --mte
long bare vmgenid "" -c 1 -m 64
bare holes "" -c 1 -m 64
bare idregs "mte=1" -c 1 -m 64 --mte
long bare idregs "mte=0" -c 1 -m 64
bare idregs "mte=0" -c 1 -m 64 --mem-backend memfd --pmu --sve-max-vl 128
bare idregs "mte=1" -c 2 -m 64 --mte --debug-no-tags
bare irq "gic=3-its" -c 2 -m 64
long bare irq "gic=3-its" -c 1 -m 64 --mte --irqchip gicv3-its
bare irq "gic=3" -c 4 -m 64 --irqchip gicv3
bare psci "" -c 4 -m 64
long bare psci "" -c 1 -m 64 --mte
bare tags "" -c 2 -m 64 --mte
long bare tags "" -c 1 -m 64 --mte --debug-no-seal
case $HOST in
6.1) skip 1 "on Linux $HOST memfd with --mte is refused" ;;
*) bare tags "" -c 2 -m 64 --mte --mem-backend memfd ;;
esac
long bare touch "" -c 1 -m 64 --mte
bare touch "" -c 1 -m 64@0x140000000 --mem-backend memfd
bare touch "full=1 size=8" -c 1 -m 64
bare storm "rounds=$some" -c 16 -m 64 --mte
long bare storm "rounds=9" -c 4 -m 64 --mte
long bare storm "rounds=$some end=off" -c 4 -m 64
bare storm "rounds=$some end=reset" -c 4 -m 64

# SYSTEM_OFF at once; resets until the clock says enough, each of which finds all as at power-on.
vm off -k "$B/bare/psci.img" -p test=off -c 1 -m 64
check "psci test=off: ends well" ends off 20 0
for test in reset reset2; do
	vm $test -k "$B/bare/psci.img" -p "test=$test until=$(($(date +%s) + secs))" -c 2 -m 64 --mte
	check "psci test=$test: ends well" ends $test 60 0
	boots=$(grep -c '^boot' $test.out)
	check "psci test=$test: it did boot again: $boots boots" test "$boots" -ge 2
	check "psci test=$test: each boot finds all as at power-on" is "$(grep -c '^not ok' $test.out)" 0
	# What the last one says, from the start.
	tr -d '\r' <$test.out | awk '/^boot/ { all = "" } { all = all $0 "\n" } END { printf "%s", all }' >$test.tap
	check "psci test=$test, the last boot: $(bare_summary <$test.tap)" bare_judge $test
done

# None was forgotten. Those named here are for other cases.
for image in "$B"/bare/*.img; do
	image=$(basename "$image" .img)
	case $image in
	echo | loop | saved | pattern | golden | '*') ;;
	*) ls "$W" >/dev/null && grep -q "^bare $image \|bare/$image.img" "/share/tests/system/cases/bare.sh" || echo "$image" ;;
	esac
done >forgotten
check "each guest was run" is "$(cat forgotten)" ""
check "control: there are guests" test "$(ls "$B"/bare/*.img | wc -l)" -ge 8
