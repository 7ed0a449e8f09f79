# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# What goes wrong while a snapshot is written leaves the VM running, the old file whole, and nothing behind.
. /share/tests/system/snapshot-lib.sh

kills=1
[ "$FULL" = 0 ] || kills=20
plan $((3 * 3 * kills + 3 * 3 + 21 + 5 * kills + (FULL == 0 ? 0 : 1)))
mkdir s
chance=$$

# Sets $random, 0 to $1 - 1.
draw()
{
	chance=$(((chance * 1103515245 + 12345) % 2147483648))
	random=$((chance / 65536 % $1))
}

saver()
{
	grep -s -l '^lkvm-save$' /proc/[0-9]*/comm | sed -n '1s,/proc/\([0-9]*\)/.*,\1,p'
}

has_saver()
{
	[ -n "$(saver)" ]
}

# The file is what it was, or the new one, whole.
whole()
{
	[ "$(md5sum <s/f)" = "$old" ] || "$B/lkvm" snapshot verify s/f
}

# slow NAME OPTION...: a snapshot that takes more than a second, in the background; files slow.out, slow.code, slow.pid. With
# $minutes it takes minutes: it must not end by itself.
minutes='--rate 1M'
slow()
{
	rm -f slow.code slow.out slow.pid
	old=$(md5sum <s/f)
	(
		name=$1
		shift
		"$B/lkvm" snapshot "$CASE-$name" s/f --rate 100M "$@" >slow.out 2>&1 &
		echo $! >slow.pid
		code=0
		wait $! || code=$?
		echo $code >slow.code
	) </dev/null >/dev/null 2>&1 &
	wait_for 10 has_saver
}

slow_ended()
{
	wait_for 20 test -s slow.code
}

# Some time of that second.
a_while()
{
	draw 1000000
	usleep $random
}

# after TEXT: three tests: nothing is left, the old file is whole, the VM goes on.
after()
{
	check "$1: nothing is left" wait_for 10 nothing_left
	check "$1: the old file is whole" whole
	check "$1: the VM goes on" goes_on g "$WORK" 1 60
}

nothing_left()
{
	no_saver && no_litter s
}

worker g -c 2 -m 128 --mte
check "a first snapshot" snapshot g s/f

# --- killed at any moment ---
i=0
while [ $i -lt $kills ]; do
	i=$((i + 1))
	slow g --live
	a_while
	kill -9 "$(saver)" 2>/dev/null
	slow_ended
	after "kill -9 $i of the saving process"
	slow g --live
	a_while
	kill -9 "$(cat slow.pid)" 2>/dev/null
	after "kill -9 $i of the client"
	slow g
	a_while
	kill -INT "$(cat slow.pid)" 2>/dev/null
	slow_ended
	after "Ctrl-C $i"
done

# shellcheck disable=SC2086 # two words
slow g --live $minutes
kill -9 "$(saver)" 2>/dev/null
slow_ended
check "a killed saving process: exit code 1" is "$(cat slow.code)" 1
check "a killed saving process: is told" says slow.out 'killed by signal 9'
# shellcheck disable=SC2086 # two words
slow g --live $minutes
check "two at once: the second is refused" not snapshot g s/second
"$B/lkvm" snapshot "$CASE-g" s/second >out 2>&1 || :
check "two at once: says so" says out 'a snapshot of this VM is being made'
kill -INT "$(cat slow.pid)"
slow_ended
check "Ctrl-C: exit code 1" is "$(cat slow.code)" 1
if [ "$FULL" = 1 ]; then
	# Only that nobody asks after it ends it.
	# shellcheck disable=SC2086 # two words
	slow g --live $minutes
	kill -9 "$(cat slow.pid)"
	check "the client killed: cancelled when nobody asked for half a minute" wait_for 40 nothing_left
fi

# --- a disk that dies: EIO (5) from a call of the saving process ---
# dies CALL N TEXT RATE: at that rate the call is yet to come when the process has been found.
dies()
{
	local had

	had=$(ls -A s)
	slow g --live --rate "$4"
	check "$3: the call fails" timeout 60 "$B/failcall" "$1" "$2" 5 "$(saver)"
	slow_ended
	check "$3: told, with the file" both slow.out 's/f' 'Input/output error'
	check "$3: the old file is as it was, and nothing is left" is "$(md5sum <s/f) $(ls -A s)" "$old $had"
}

dies pwritev 3 "EIO while writing memory" 1M
dies fsync 1 "EIO when it is written to the disk" 20M
dies rename 1 "EIO when it gets its name" 20M
check "EIO: the VM goes on" goes_on g "$WORK" 1 60

# --- no room, no folder ---
mkdir small
mount -t tmpfs -o size=2m tmpfs small
check "no room: fails" not snapshot g small/f
"$B/lkvm" snapshot "$CASE-g" small/f >out 2>&1 || :
check "no room: says so, in a line" both out 'No space left on device'
check "no room: nothing is left" is "$(ls -A small)" ""
umount small
"$B/lkvm" snapshot "$CASE-g" nowhere/f >out 2>&1 || :
check "no folder: says so" both out 'nowhere' 'No such file'
(
	ulimit -f 8
	"$B/lkvm" snapshot "$CASE-g" s >out 2>&1
) || :
check "a folder in place of a file: says so" both out '/s' 'Is a directory|File exists|not a regular'
check "nothing is left of those" nothing_left
"$B/lkvm" snapshot "$CASE-g" s/g --live --stop >out 2>&1 || :
check "--live --stop: refused" says out 'exclude each other'
"$B/lkvm" snapshot "$CASE-g" s/g --base s/nothing >out 2>&1 || :
check "--base that is not there: says so" both out 's/nothing' 'No such file'
check "the VM goes on" goes_on g "$WORK" 1 60
check "nothing is left of those either" nothing_left

# --- the next incremental one lacks nothing, whatever failed before ---
snapshot g s/next --base s/f --live >/dev/null
check "the next incremental one after all that" "$B/lkvm" snapshot verify s/next
restore n s/next
check "goes on" goes_on n "$WORK" 2 60
check "without a report" unharmed n
ctl stop n
ended n 20

# --- the VMM itself, at any moment; from the second time on it is a restored one ---
check "one more to start from" snapshot g s/own --live
i=0
v=g
while [ $i -lt $kills ]; do
	i=$((i + 1))
	if [ $i -gt 1 ]; then
		v=v$i
		restore $v s/own
		wait_for 60 has_lines $v "$WORK" 2
	fi
	slow $v --live
	a_while
	kill -9 "$(pid $v)"
	check "kill -9 $i of the VMM: ends" ended $v 20
	check "kill -9 $i of the VMM: its saving process goes too, and leaves nothing" wait_for 10 nothing_left
	check "kill -9 $i of the VMM: the old file is whole" whole
	"$B/lkvm" list >out 2>/dev/null
	check "kill -9 $i of the VMM: its name is free at once" not says out "$CASE-$v .*(running|paused)"
	check "kill -9 $i of the VMM: the client is told" slow_ended
	rm -f $v.out $v.err
done
