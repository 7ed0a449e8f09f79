# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 900
# A program that knows each of its tags and bytes, changes them from several threads, and has wrong pointers told, in each
# mode of checking. Saved while it works, restored, it finds all as it left it.
. /share/tests/system/snapshot-lib.sh

mib=8
sync=2
others=1
[ "$FULL" = 0 ] || mib=64
[ "$FULL" = 0 ] || sync=5
[ "$FULL" = 0 ] || others=5
plan $((3 + 3 * sync + 6 * others + 3))

for mode in sync async asymm; do
	times=$others
	[ $mode != sync ] || times=$sync
	linux "$mode-0" -c 2 -m $((128 + mib)) --mte -- "/tests/tagpattern $mib 3 $mode"
	check "$mode: the program works" wait_for 60 has_lines "$mode-0" tagpattern 1
	i=0
	while [ $i -lt $times ]; do
		from=$mode-$i
		i=$((i + 1))
		to=$mode-$i
		how=
		[ $((i % 2)) = 0 ] || how='--compress zstd:1 --threads 2'
		# shellcheck disable=SC2086 # words
		check "$mode, snapshot $i${how:+ $how}" snapshot "$from" "$W/snap" --live $how
		# What was saved is a moment of the past by now; the VM it is of goes on.
		check "$mode, after snapshot $i: all of it is right, and goes on" goes_on "$from" tagpattern 1 60
		ctl stop "$from"
		ended "$from" 20
		restore "$to" "$W/snap" --threads 2
		check "$mode, restore $i: all of it is right" goes_on "$to" tagpattern 2 60
		unharmed "$to" >harm || check "$mode, restore $i: without a report" unharmed "$to"
	done
	if [ $mode = sync ]; then
		check "control: a snapshot without its tags" snapshot "$to" "$W/bare" --drop-tags --stop
		ended "$to" 20
		restore bare "$W/bare"
		check "control: something notices" wait_for 60 says bare.out 'WRONG|BUG: |Kernel panic|Oops'
		ctl stop bare || :
		check "control: it ends" ended bare 20
	else
		ctl stop "$to"
		ended "$to" 20
	fi
	rm -f "$W/snap" "$W/bare"
done
