# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 1800
# A guest counts on its serial console while someone types to it, and moves: no character is lost, doubled or out of order on
# either side, in either direction; what was typed ahead moves with it. Its counter goes on by the time it stood still.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

times=3
[ "$FULL" = 0 ] || times=20
plan $((2 + 4 * times + 10))

# Each destination has the input of the first: whoever runs reads it.
mkfifo "$W/in"
export IN="$W/in"
exec 4<>"$W/in"

typed=0
# types N: so many more characters, of 62 that follow each other.
types()
{
	awk -v from=$typed -v n="$1" 'BEGIN {
		keys = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		for (i = from; i < from + n; i++) printf "%s", substr(keys, i % 62 + 1, 1) }' >&4
	typed=$((typed + $1))
}

# The first so many of those have come, in order, each once; the last line may be under way.
heard()
{
	tr -d '\r' <"$W/all" | awk -v n="$1" '
		BEGIN { keys = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" }
		/^K .$/ { if (substr($0, 3) != substr(keys, i % 62 + 1, 1)) { print "key", i, "is", $0; exit 2 } i++ }
		!/^(K .|N [0-9]+|key k|monitor BOOTED)?$/ { if (!odd) odd = NR ": " $0; odd_at = NR }
		END { if (odd && odd_at != NR) { print "line", odd; exit 2 }
			if (i < n) { print "heard", i + 0, "of", n; exit 1 } }'
}

# What all of them have said so far.
said()
{
	# shellcheck disable=SC2086 # words
	cat $outs >"$W/all"
	"$@"
}

s=m0
outs=$W/m0.out
vm m0 -f "$B/monitor" -c 1 -m 64 --mte
wait_for 15 says m0.out 'monitor BOOTED'
printf k >&4
check "it counts" counts_on m0
types 40
check "it hears what is typed" wait_for 20 said heard $typed
n=0
while [ $n -lt $times ]; do
	n=$((n + 1))
	d=m$n
	incoming $d "unix:$W/$d.mig"
	# More than the FIFO holds, and than it answers while it moves.
	types 400
	check "move $n: moves" migrate $s "unix:$W/$d.mig" --downtime $((100 * n))
	outs="$outs $W/$d.out"
	check "move $n: its source ends" ends $s 20 0
	s=$d
	types 60
	check "move $n: each key came once, in order" wait_for 60 said heard $typed
	check "move $n: each number came once, in order" said counted "$W/all"
done

# --- the guest's counter goes on by the time that it stands still: what docs/migration-protocol.md says ---
ctl pause $s
d=clock
outs="$outs $W/$d.out"
incoming $d "unix:$W/$d.mig"
check "paused for a while: moves" migrate $s "unix:$W/$d.mig"
ended $s 20
usleep 500000
check "is paused there" listed $d paused
resume $d
check "counts on" counts_on $d
check "each number and key came once, in order" said heard $typed
printf '\004' >&4
ctl stop $d >out
ended $d 20

IN=
vm t0 -k "$B/bare/saved.img" -p test=clock -c 1 -m 64
wait_for 20 says t0.out '^clock '
incoming t1 "unix:$W/t1.mig"
left=$(now)
check "a guest that tells the time: moves" migrate t0 "unix:$W/t1.mig"
wait_for 10 says t1.out '^clock '
took=$((($(now) - left) / 100 + 1))
check "it stood still no longer than the move took" within "$(jump t0.out t1.out 2)" 0 $((took * 1000000))
check "nor by the RTC" within "$(jump t0.out t1.out 3)" 0 $((took + 1))
incoming t2 "unix:$W/t2.mig"
left=$(now)
check "kept paused: moves" migrate t1 "unix:$W/t2.mig" --keep-paused
sleep 3
resume t2
wait_for 10 says t2.out '^clock '
took=$((($(now) - left) / 100 + 1))
check "kept paused: the time that passed is in its counter" within "$(jump t1.out t2.out 2)" 3000000 $((took * 1000000))
check "kept paused: and in the RTC" within "$(jump t1.out t2.out 3)" 2 $((took + 1))
ctl stop t2 >out
ended t2 20
