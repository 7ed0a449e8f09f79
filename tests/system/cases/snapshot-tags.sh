# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# A program that knows each of its tags and bytes, changes them from several threads, and has wrong pointers told, in each
# mode of checking. Saved while it works, restored, it finds all as it left it.
. /share/tests/system/snapshot-lib.sh

mib=6
times=2
modes=mixed # a thread in each mode
[ "$FULL" = 0 ] || mib=64
[ "$FULL" = 0 ] || times=5
[ "$FULL" = 0 ] || modes="sync async asymm mixed"
plan $(($(echo "$modes" | wc -w) * (1 + 4 * times) + 3))

for mode in $modes; do
	last=$mode-0
	linux "$last" -c 2 -m $((112 + mib)) --mte -- "/tests/tagpattern $mib 3 $mode"
	check "$mode: the program works" wait_for 60 has_lines "$last" tagpattern 1
	i=0
	while [ $i -lt $times ]; do
		i=$((i + 1))
		to=$mode-$i
		how=
		[ $((i % 2)) = 0 ] || how='--compress zstd:1 --threads 2'
		# shellcheck disable=SC2086 # words
		check "$mode, snapshot $i${how:+ $how}" snapshot $last snap --live $how
		# What was saved is a moment of the past by now; the VM it is of goes on.
		check "$mode, after snapshot $i: all of it is right, and goes on" goes_on "$last" tagpattern 1 60
		ctl stop "$last"
		ended "$last" 20
		restore "$to" snap --threads 2
		check "$mode, restore $i: all of it is right" goes_on "$to" tagpattern 2 60
		check "$mode, restore $i: without a report" unharmed "$to"
		last=$to
	done
	if [ "$mode" = mixed ]; then
		check "control: a snapshot without its tags" snapshot "$last" bare --drop-tags --stop
		ended "$last" 20
		restore bare bare
		check "control: something notices" fallen bare tagpattern
		ctl stop bare || :
		check "control: it ends" ended bare 20
	else
		ctl stop "$last"
		ended "$last" 20
	fi
	rm -f snap bare
done
