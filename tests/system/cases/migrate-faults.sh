# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# shellcheck disable=SC2086,SC2154 # names without blanks, set by who sources the other file
# limit: 3600
# A line that is cut, or changes a bit, at places known and at random ones; a user who changes his mind; processes that are
# killed: afterwards one guest runs, which has counted every number once.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

random=6
loops=3
[ "$FULL" = 0 ] || loops=200
[ "$FULL" = 0 ] || random=50
plan $((6 + 2 * 4 + 4 + 11 + random + 38 + 7 * FULL))
chance=$$
s=m0

# Sets $drawn, 0 to $1 - 1.
draw()
{
	chance=$(((chance * 1103515245 + 12345) % 2147483648))
	drawn=$((chance / 65536 % $1))
}

# held NAME: how many descriptors and threads it has, and KiB mapped of guest memory.
held()
{
	echo "$(ls "/proc/$(pid "$1")/fd" | wc -l) $(ls "/proc/$(pid "$1")/task" | wc -l) $(awk '/^Size:/ { kib = $2 } /^VmFlags:.* mt/ { sum += kib } END { print sum }' "/proc/$(pid "$1")/smaps")"
}

# slow: a migration that takes long, in the background; files slow.out, slow.code, slow.pid.
slow()
{
	next || return 1
	rm -f slow.code slow.out slow.pid
	(
		"$B/lkvm" migrate "$CASE-$s" "unix:$W/$d.mig" --bandwidth 20K --json >slow.out 2>&1 &
		echo $! >slow.pid
		code=0
		wait $! || code=$?
		echo $code >slow.code
	) </dev/null >/dev/null 2>&1 &
	wait_for 10 says slow.out '"phase": ?"copying"'
}

# after TEXT: three tests: the client knows, the destination has ended, one runs.
after()
{
	check "$1: the client is told" wait_for 20 test -s slow.code
	check "$1: one runs" one_runs
	check "$1: it is the source" is_state $s running
}

: >all
IN=$W/$s.in
mkfifo "$IN"
vm $s -f "$B/monitor" -c 1 -m 64 --mte
check "a guest that counts" wait_for 15 says $s.out 'monitor BOOTED'
keys $s c
check "it counts" counts_on $s

# --- a whole one, and what is seen of its bytes ---
over cut-up 999999999999 >log
check "a whole one moves" is "$code" 0
check "a whole one: one runs, no number is lost" one_runs
up=$(sed -n 's/^up \([0-9]*\) .*/\1/p' $d.line.out)
check "a whole one: its bytes are counted" test "$up" -gt 5000

holds=$(held $s)
first=$holds # it is a destination as well

# --- cut: within the hello, behind it, within the offer, within the first pages; and so the answers ---
for n in 8 16 300 3000; do
	over cut-up $n >log
	check "cut $n bytes up: the user is told" is "$code" 1
	check "cut $n bytes up: one runs" one_runs
done
check "cut within the hello: the other side waits on" says m2.err 'sent away, and still waiting: who connected has closed the line'
for n in 10 16 40 60; do
	over cut-down $n >log
	check "cut $n bytes down: one runs" one_runs
done
check "no descriptor, thread or mapping is left of those" is "$(held $s)" "$holds"

# --- the open window: a paused guest, of whose migration each byte is known ---
ctl pause $s >log
over cut-up 999999999999 >log
up=$(sed -n 's/^up \([0-9]*\) .*/\1/p' $d.line.out)
check "a paused guest moves, and is paused there" wait_for 10 is_state $d paused
check "its source ends" ends $s 20 0
cat $s.out >>all
s=$d
if [ "$FULL" = 1 ]; then
	# All of it fits into the sockets: for longer than 30 s the source hears no answer, but that bytes come in.
	began=$(date +%s)
	over slow-up $((up / 4500 + 1)) >log
	check "a slow line: moves" is "$code" 0
	check "a slow line: was slow" test $(($(date +%s) - began)) -gt 35
	check "a slow line: its source ends" ends $s 20 0
	cat $s.out >>all
	s=$d
fi
over type-cut-up 0x108 >log # COMMIT
check "COMMIT lacks its last byte: a user is asked" says log "stays paused here.*lkvm stop $CASE-$s.*lkvm resume $CASE-$s"
check "COMMIT lacks its last byte: the destination ends" ends $d 20 1
check "COMMIT lacks its last byte: the source is paused" is_state $s paused
over type-cut-down 0x109 >log # RUNNING
check "the answer lacks its last byte: a user is asked" says log "stays paused here.*lkvm stop $CASE-$s.*lkvm resume $CASE-$s"
check "the answer lacks its last byte: the destination has it" is_state $d paused
check "the answer lacks its last byte: the source is paused" is_state $s paused
ctl stop $s >log
check "the source is stopped, as was said" ends $s 20 0
cat $s.out >>all
s=$d
check "the destination is resumed" resume $s
check "it counts on" counts_on $s
check "no number is lost" counted all $s.out

# --- at random ---
n=0
while [ $n -lt $random ]; do
	n=$((n + 1))
	draw 32768
	at=$drawn
	draw 32768
	at=$(((at * 32768 + drawn) % up))
	how=cut-up
	[ $((n % 3)) != 0 ] || how=flip-up
	over $how $at >log
	check "$how at $at: one runs" one_runs
done

# --- a user, or a host, that ends it ---
slow
kill -INT "$(cat slow.pid)"
after "Ctrl-C"
slow
ctl migrate $s --cancel
after "--cancel"
slow
kill -9 "$(cat slow.pid)"
after "kill -9 of the client"
slow
kill -9 "$(pid $d)"
check "kill -9 of the destination: the client is told" wait_for 20 test -s slow.code
check "kill -9 of the destination: it ends" ended $d 20
check "kill -9 of the destination: the source runs on" counts_on $s
"$B/lkvm" list >log 2>&1 # takes away what the dead one left
if [ "$FULL" = 1 ]; then
	for how in stall-up stall-down; do
		over $how 100 >log
		check "$how: is found out" says log 'stood still for 30 s|closed the line'
		check "$how: one runs" one_runs
	done
fi
slow
ctl stop $d
check "lkvm stop of the destination: the client is told" wait_for 20 test -s slow.code
check "lkvm stop of the destination: it ends" ends $d 20 0
check "lkvm stop of the destination: the source runs on" counts_on $s
check "control: --cancel of none is refused" not ctl migrate $s --cancel

slow
kill -9 "$(pid $s)"
check "kill -9 of the source: the client is told" wait_for 20 test -s slow.code
check "kill -9 of the source: the destination ends" ends $d 20 1
check "kill -9 of the source: it says why" says $d.err 'the other side has closed the line'
ended $s 20
"$B/lkvm" list >log 2>&1

# --- a guest that does not wait for it ---
monitor r0 --mte
s=r0
slow
keys r0 r
check "the guest resets: the client is told" wait_for 20 says slow.out 'the guest has ended or reset meanwhile'
check "the guest resets: boots again" wait_for 20 sh -c "[ \$(grep -c 'monitor BOOTED' r0.out) = 2 ]"
check "the guest resets: the destination ends" ends $d 20 1
keys r0 t
check "a guest that writes all the time" wait_for 10 says r0.out 'key t'
next
check "--timeout: gives up" not migrate r0 "unix:$W/$d.mig" --bandwidth 1M --timeout 2
check "--timeout: the destination ends" ends $d 20 1
next
migrate r0 "unix:$W/$d.mig" --bandwidth 1M --timeout 1 >log 2>&1 || :
check "--timeout: says how long it would take" says log 'after 1 s the guest would still have to stand still for [0-9]+ ms'
check "--timeout: the guest runs on" is_state r0 running
next
check "--timeout with switch: moves" migrate r0 "unix:$W/$d.mig" --bandwidth 1M --timeout 1:switch
check "--timeout with switch: the source ends" ends r0 20 0
s=$d
next
check "--auto-converge: moves" migrate $s "unix:$W/$d.mig" --bandwidth 4M --downtime 10 --auto-converge --json
cp check log
check "--auto-converge: slows the guest down" says log '"throttle_percent": ?(47|65|77|85|90)'
ended $s 20
s=$d
keys $s x # a key ends the writing, the next one counts
wait_for 10 says $s.out 'key x'
keys $s c
counts_on $s

# --- to and fro ---
rounds()
{
	local n=0

	while [ $n -lt $loops ]; do
		n=$((n + 1))
		next && migrate $s "unix:$W/$d.mig" && ends $s 20 0 || return 1
		rm -f "$s".*
		s=$d
	done
}
: >all
check "$loops times to and fro" rounds
check "$loops times: it counts on" counts_on $s
check "$loops times: as many descriptors, threads and mapped memory as the first" is "$(held $s)" "$first"
ctl stop $s >log
check "the last one ends" ends $s 20 0
check "nothing is left" is "$(ls /run/lkvm)" ''
