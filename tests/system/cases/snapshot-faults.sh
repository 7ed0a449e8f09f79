# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 900
# What goes wrong while a snapshot is written leaves the VM running, the old file whole, and nothing behind; a file that is
# not as it was written starts no VM.
. /share/tests/system/snapshot-lib.sh

kills=1
flips=12
[ "$FULL" = 0 ] || kills=20
[ "$FULL" = 0 ] || flips=200
plan $((3 * kills * 3 + 33))
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
	grep -l '^lkvm-save$' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | head -n 1
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

# slow NAME: a snapshot that takes seconds, in the background; files slow.out, slow.code.
slow()
{
	rm -f slow.code
	(
		"$B/lkvm" snapshot "$CASE-$1" s/f --live --rate 30M >slow.out 2>&1 &
		echo $! >slow.pid
		code=0
		wait $! || code=$?
		echo $code >slow.code
	) </dev/null >/dev/null 2>&1 &
	wait_for 10 has_saver
	draw 1500000
	usleep $random
}

# after TEXT: three tests: nothing is left, the old file is whole, the VM goes on.
after()
{
	check "$1: nothing is left" wait_for 10 nothing_left
	check "$1: the old file is whole" whole
	check "$1: the VM goes on" goes_on g storm 1 60
}

nothing_left()
{
	no_saver && no_litter s
}

linux g -c 2 -m 128 --mte -- '/tests/storm 3'
check "the storm is on" wait_for 60 has_lines g storm 2
check "a first snapshot" snapshot g s/f
old=$(md5sum <s/f)

i=0
while [ $i -lt $kills ]; do
	i=$((i + 1))
	slow g
	kill -9 "$(saver)" 2>/dev/null
	wait_for 20 test -s slow.code
	after "kill -9 $i of the saving process"
	old=$(md5sum <s/f)
	slow g
	kill -9 "$(cat slow.pid)" 2>/dev/null
	after "kill -9 $i of the client"
	old=$(md5sum <s/f)
	slow g
	kill -INT "$(cat slow.pid)" 2>/dev/null
	wait_for 20 test -s slow.code
	after "Ctrl-C $i"
	old=$(md5sum <s/f)
done

slow g
kill -9 "$(saver)" 2>/dev/null
wait_for 20 test -s slow.code
check "a killed saving process: exit code 1" is "$(cat slow.code)" 1
check "a killed saving process: is told" says slow.out 'killed by signal 9'
slow g
check "two at once: the second is refused" not snapshot g s/second
"$B/lkvm" snapshot "$CASE-g" s/second >out 2>&1 || :
check "two at once: says so" says out 'a snapshot of this VM is being made'
kill -INT "$(cat slow.pid)"
wait_for 20 test -s slow.code
check "Ctrl-C: exit code 1" is "$(cat slow.code)" 1

# --- no room, no folder ---
mkdir small
mount -t tmpfs -o size=4m tmpfs small
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
check "the VM goes on" goes_on g storm 1 60
check "nothing is left of those" nothing_left

# --- the VMM itself ---
old=$(md5sum <s/f)
slow g
kill -9 "$(pid g)"
check "kill -9 of the VMM: ends" ended g 20
check "kill -9 of the VMM: its saving process goes too, and leaves nothing" wait_for 10 nothing_left
check "kill -9 of the VMM: the old file is whole" whole
"$B/lkvm" list >out 2>/dev/null
check "kill -9 of the VMM: its name is free at once" not says out "$CASE-g .*(running|paused)"
check "kill -9 of the VMM: the client is told" wait_for 20 test -s slow.code

# --- files that are not as they were written ---
vm c -k "$B/bare/saved.img" -p test=clock -c 1 -m 64 --mte
wait_for 20 says c.out '^clock '
check "a small one" snapshot c s/c
check "compressed" snapshot c s/z --compress zstd --stop
ended c 10

# refused FILE: `restore` says why and starts nothing.
refused()
{
	exited=0
	timeout -s KILL 20 "$B/lkvm" restore "$1" --name "$CASE-bad" --paused </dev/null >bad.out 2>bad.err || exited=$?
	[ $exited = 1 ] && grep -q "^lkvm.*$2" bad.err && return
	echo "restore of $1: exit code $exited, it said:"
	cat bad.out bad.err
	return 1
}

# flip FILE OFFSET BIT
flip()
{
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059 # an octal escape
	printf "\\$(printf %o $((byte ^ (1 << $3))))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

all_refused()
{
	local file="$1" n=0 size

	size=$(stat -c %s "$file")
	while [ $n -lt "$flips" ]; do
		n=$((n + 1))
		draw 32768
		at=$random
		draw 32768
		at=$(((at * 32768 + random) % size))
		cp "$file" bad
		if [ $((n % 4)) = 0 ]; then
			truncate -s $at bad
		else
			flip bad $at $((n % 8))
		fi
		refused bad bad || {
			echo "changed at $at of $size (number $n)"
			return 1
		}
	done
}

check "control: the file itself is good" "$B/lkvm" snapshot verify s/c
check "$flips times cut or one bit flipped: all refused" all_refused s/c
check "compressed, the same" all_refused s/z
: >bad
check "an empty file" refused bad bad
dd if=/dev/urandom of=bad bs=4096 count=4 2>/dev/null
check "noise" refused bad bad
check "a file that is not there" refused nothing 'nothing'
check "a folder" refused s 's'
check "none was started" not test -e "$SOCKETS/bad.sock" -o -e "$SOCKETS/$CASE-bad.sock"
check "nothing is left" nothing_left
