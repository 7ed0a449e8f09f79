# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# A user's program that knows each of its tags and bytes, changes them from several threads, and has wrong pointers told, moves
# to and fro: by pre-copy, post-copy and one after the other, over each transport in turn. It finds all as it left it.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

mib=6
times=3
modes=mixed # a thread in each mode
[ "$FULL" = 0 ] || mib=64
[ "$FULL" = 0 ] || times=20
[ "$FULL" = 0 ] || modes="sync async asymm mixed"
plan $(($(echo "$modes" | wc -w) * (1 + 4 * times)))

# Sets $how to the options of the Nth move.
how()
{
	case $(($1 % 3)) in
	0) how= ;;
	1) how='--postcopy-after 0' ;;
	2) how=--postcopy ;;
	esac
	case $(($1 % 4)) in
	2) how="$how --compress zstd" ;;
	3) how="$how --bandwidth 20M" ;;
	esac
}

# waits N: the Nth destination, $to, waits at $at.
waits()
{
	to=$mode-$1
	case $(($1 % 3)) in
	0) incoming "$to" "unix:$W/$to.mig" ;;
	1) incoming "$to" tcp:127.0.0.1:0 ;;
	2) incoming "$to" 'tcp:[::1]:0' ;;
	esac
	at=$(where "$to")
}

cpus=1
for mode in $modes; do
	s=$mode-first
	[ "$modes" != mixed ] || cpus=2
	linux "$s" -c $cpus -m $((112 + mib)) --mte -- "/tests/tagpattern $mib 3 $mode"
	check "$mode, $cpus vCPU(s): the program works" wait_for 60 has_lines "$s" tagpattern 1
	n=0
	while [ $n -lt $times ]; do
		n=$((n + 1))
		how $n
		waits $n
		# shellcheck disable=SC2086 # words
		check "$mode, move $n to ${at%%:*}$how: moves" migrate "$s" "$at" $how
		tail -n 1 check >>"$KEPT/summaries"
		check "$mode, move $n: the source ends" ends "$s" 20 0
		check "$mode, move $n: all of it is right" goes_on "$to" tagpattern 2 60
		check "$mode, move $n: without a report" unharmed "$to"
		rm -f "$s".*
		s=$to
	done
	ctl stop "$s" >log
	ended "$s" 20
	cpus=$((cpus % 4 + 1))
done
