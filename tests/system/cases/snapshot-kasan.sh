# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 1500
# A kernel that checks every tag is saved in the middle of work, restored, and goes on; each time from the last restored
# one. The control: without tags it is dead at once.
. /share/tests/system/snapshot-lib.sh

times=3
[ "$FULL" = 0 ] || times=10
more=4
[ "$FULL" = 0 ] || more=100
plan $((3 * (1 + 4 * times) + 4))

for cpus in 1 2 4; do
	linux "g$cpus-0" -c $cpus -m 128 --mte -- "/tests/storm $((cpus + 1))"
	check "$cpus vCPU(s): the storm is on" wait_for 60 has_lines "g$cpus-0" storm 3
	i=0
	while [ $i -lt $times ]; do
		from=g$cpus-$i
		i=$((i + 1))
		to=g$cpus-$i
		how=--stop
		[ $((i % 2)) = 0 ] || how=--live
		check "$cpus vCPU(s), snapshot $i $how" snapshot "$from" "$W/snap" $how
		[ $how = --stop ] || ctl stop "$from"
		check "$cpus vCPU(s), the one before ends" ends "$from" 20 0
		restore "$to" "$W/snap"
		check "$cpus vCPU(s), restore $i: goes on" goes_on "$to" storm $more 60
		check "$cpus vCPU(s), restore $i: without a report" unharmed "$to"
	done
	if [ $cpus = 2 ]; then
		check "control: a snapshot without its tags" snapshot "$to" "$W/bare" --drop-tags
		restore bare "$W/bare"
		check "control: its kernel reports it" wait_for 40 says bare.out 'BUG: KASAN|Kernel panic|Oops'
		check "control: it ends" ended bare 20
		rm -f "$W/bare"
		check "the one that was saved goes on" goes_on "$to" storm 2 60
	fi
	ctl stop "$to"
	ended "$to" 20
	rm -f "$W/snap"
done
