# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 1800
# At every border of a message, either way: the line is cut; at full length the source or the destination is killed there as
# well. Afterwards exactly one guest runs, which has counted every number once. Then a line that is slow, and a destination that
# has no memory left.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

most=40 # messages each way; a guest with next to no memory needs fewer
s=m0
code=0

# killed_at DIRECTION N SIDE: the line stands still there, and that side is killed. $reached is empty if the move was over before.
killed_at()
{
	local side

	reached=
	next && line $d "border-stall-$1" "$2" || return 1
	(
		migrate $s "unix:$W/$d.line" >"$W/out" 2>&1
		echo $? >"$W/$d.code"
	) </dev/null >/dev/null 2>&1 &
	wait_for 30 stalled_or_over || return 1
	says "$W/$d.line.out" stalled >/dev/null || return 0
	reached=1
	side=$d
	[ "$3" = destination ] || side=$s
	kill -9 "$(pid "$side")"
	ended "$side" 20
	"$B/lkvm" list >"$W/log" 2>&1 # takes away what the dead one left
}

stalled_or_over()
{
	says "$W/$d.line.out" stalled || [ -s "$W/$d.code" ]
}

# The destination was killed: the source runs on, or asks; it is told that none runs there. Behind the last message it was the
# guest that was killed.
source_left()
{
	wait_for 40 test -s "$W/$d.code" || return 1
	if is "$(cat "$W/$d.code")" 0 >/dev/null; then
		ends $s 20 0 || return 1
		s=n$moves
		start_one
		return
	fi
	wait_for 10 source_settled || return 1
	! is_state $s paused >/dev/null || ctl resume $s || return 1
	counts_on $s
}

source_settled()
{
	case "$(state_of $s)" in
	running | paused) ;;
	*) false ;;
	esac
}

# The source was killed: the destination has got COMMIT and runs, or ends. A guest that is gone starts anew.
destination_left()
{
	wait_for 40 test -s "$W/$d.code" || return 1
	wait_for 40 destination_settled || return 1
	if is_state $d running >/dev/null; then
		s=$d
	else
		is_state $d gone && ends_in_vain $d && not says "$W/$d.out" '^N ' || return 1
		s=n$moves
		start_one
	fi
	counts_on $s
}

destination_settled()
{
	case "$(state_of $d)" in
	running | gone) ;;
	*) false ;;
	esac
}

start_one()
{
	: >all
	mkfifo "$W/$s.in"
	IN=$W/$s.in vm $s -f "$B/monitor" -c 1 -m 64 --mte
	wait_for 15 says $s.out 'monitor BOOTED' && keys $s c && counts_on $s
}

# borders DIRECTION: a cut at each of them, until one is behind the last message.
borders()
{
	local n=0

	while [ $n -le $most ]; do
		over "border-cut-$1" $n >log
		one_runs || return 1
		[ $code != 0 ] || break
		echo "$1 $n: one runs"
		n=$((n + 1))
	done
	# The last cut comes with the last message, and hurts nobody; there are some before it.
	[ $n -ge "$2" ] && [ $n -lt $most ]
}

# kills DIRECTION SIDE
kills()
{
	local n=0

	while [ $n -le $most ]; do
		killed_at "$1" $n "$2" || return 1
		if [ -z "$reached" ]; then
			one_runs || return 1
			break
		fi
		if [ "$2" = destination ]; then source_left; else destination_left; fi || return 1
		echo "$1 $n: $2 killed, one or none is left"
		n=$((n + 1))
	done
	[ $n -ge "$3" ] && [ $n -lt $most ]
}

plan $((1 + 2 + 4 * FULL + 4))
check "a guest that counts" start_one
check "cut at each border of what goes up" borders up 6

check "cut at each border of what comes down" borders down 3

if [ "$FULL" = 1 ]; then
	for side in destination source; do
		check "$side killed at each border of what goes up" kills up $side 6
		check "$side killed at each border of what comes down" kills down $side 3
	done
fi
over slow-up 4096 >log
check "a line that is slow: moves" is "$code" 0
check "a line that is slow: one runs" one_runs

# --- a destination that has no memory left: a guest of 64 MiB needs more than that ---
moves=$((moves + 1))
d=m$moves
mkfifo "$W/$d.in"
(
	ulimit -v 60000
	IN=$W/$d.in incoming "$d" "unix:$W/$d.mig"
)
check "no memory there: refused, and why" sh -c "! '$B/lkvm' migrate '$CASE-$s' 'unix:$W/$d.mig' >out 2>&1 &&
	grep 'the destination: .*Cannot allocate memory' out"
check "no memory there: the guest runs on" stayed
ctl stop $s
ended $s 20
