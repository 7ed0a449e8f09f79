# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 2400
# A file that is not as it was written starts no VM: it is refused, with its name and the place.
. /share/tests/system/snapshot-lib.sh

flips=1
some='-[2-9]$|-[0-9]{2,}$' # chunks of memory that are left out
each=3			   # of the other parts every third, since unit tests damage all of them
[ "$FULL" = 0 ] || flips=200
[ "$FULL" = 0 ] || some=none
[ "$FULL" = 0 ] || each=1
plan 28
chance=$$

# Sets $random, 0 to $1 - 1.
draw()
{
	chance=$(((chance * 1103515245 + 12345) % 2147483648))
	random=$((chance / 65536))
	chance=$(((chance * 1103515245 + 12345) % 2147483648))
	random=$(((random * 32768 + chance / 65536) % $1))
}

# refused FILE [TEXT]: `restore` says why, names the file, and starts nothing; not by a crash.
refused()
{
	exited=0
	timeout -s KILL 60 "$B/lkvm" restore "$1" --name "$CASE-bad" --paused </dev/null >bad.out 2>bad.err || exited=$?
	[ $exited = 1 ] && grep -q "^lkvm.*$1" bad.err && grep -q "${2:-.}" bad.err && return
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

# each_part FILE HOW: every record and chunk of it in turn, with one bit flipped in its middle, or the file cut where it ends.
each_part()
{
	local size

	size=$(stat -c %s "$1")
	"$B/spoil" parts "$1" | grep -Ev "chunk($some)" | awk -v e=$each '(NR - 1) % e == 0' >parts
	while read -r at length what; do
		[ "$2" != cut ] || [ $((at + length)) -lt "$size" ] || continue
		cp "$1" bad
		case $2 in
		flip) flip bad $((at + length / 2)) $((at % 8)) ;;
		cut) truncate -s $((at + length)) bad ;;
		esac
		refused bad 'offset\|cut short' || {
			echo "$2 at $what"
			return 1
		}
	done <parts
	[ "$(wc -l <parts)" -ge $((each == 1 ? 10 : 4)) ]
}

# flips_in FILE FROM LENGTH: one bit at a time, anywhere in that range.
flips_in()
{
	local n=0

	while [ $n -lt "$flips" ]; do
		n=$((n + 1))
		draw "$3"
		cp "$1" bad
		flip bad $(($2 + random)) $((n % 8))
		refused bad || {
			echo "changed at $(($2 + random))"
			return 1
		}
	done
}

cuts_of()
{
	local n=0

	while [ $n -lt "$flips" ]; do
		n=$((n + 1))
		draw "$(stat -c %s "$1")"
		cp "$1" bad
		truncate -s "$random" bad
		refused bad || {
			echo "cut at $random"
			return 1
		}
	done
}

vm g -k "$B/bare/pattern.img" -p mib=1 -c 1 -m 64 --mte
check "a VM with tags" wait_for 20 has_lines g pattern 2
pause g
check "its snapshot" snapshot g c
check "compressed" snapshot g z --compress zstd
check "a chain" snapshot g i --base c --stop
ended g 10
check "control: the files are good" sh -c "for f in c z i; do '$B/lkvm' snapshot verify \$f || exit 1; done"
restore good c
check "control: and start a VM, which is paused as it was" wait_for 20 listed good paused

# --- the base's disk dies while a snapshot compares with it: EIO (5) from the saving process's reads ---
# The header was read before memory is; of memory some is read, and more later.
"$B/lkvm" snapshot "$CASE-good" next --base c --rate 1M >slow.out 2>&1 &
slow=$!
wait_for 10 grep -s -q '^lkvm-save$' /proc/[0-9]*/comm
saver=$(grep -s -l '^lkvm-save$' /proc/[0-9]*/comm | sed -n '1s,/proc/\([0-9]*\)/.*,\1,p')
check "EIO from the base: the call fails" timeout 60 "$B/failcall" preadv@c 2 5 "$saver"
wait $slow || :
check "EIO from the base: told, with both files" both slow.out '/next: .*c: bank' 'Input/output error'
check "EIO from the base: no file, and nothing is left" is "$(ls -A next .*.part 2>/dev/null)" ""
check "EIO from the base: the VM is there" listed good paused
check "EIO from the base: the next one works" snapshot good next --base c
check "and has all that it needs" "$B/lkvm" snapshot verify next
rm -f next
ctl stop good
ended good 10

check "cut where a part of it ends" each_part c cut
check "one bit flipped in each part" each_part c flip
# shellcheck disable=SC2046 # two words
check "$flips times one bit flipped in its memory" flips_in c $("$B/spoil" ram c)
check "$flips times anywhere" flips_in c 0 "$(stat -c %s c)"
check "$flips times cut anywhere" cuts_of c
check "compressed: $flips times one bit flipped" flips_in z 0 "$(stat -c %s z)"
check "compressed: $flips times cut" cuts_of z

# The one that the chain builds on; no copy of it is in the folder.
rm -f bad
mkdir elsewhere
cp c elsewhere/
# shellcheck disable=SC2046 # two words
set -- $("$B/spoil" ram c)
flip c $(($1 + $2 / 2)) 3
check "the base of a chain with one bit flipped" refused i
cp elsewhere/c .

: >bad
check "an empty file" refused bad 'not a snapshot'
dd if=/dev/urandom of=bad bs=4096 count=4 2>/dev/null
check "noise" refused bad 'not a snapshot'
check "a file that is not there" refused nothing 'No such file'
mkdir folder
check "a folder" refused folder
# EIO (5) when memory is read, and before.
"$B/failcall" preadv 1 5 -- "$B/lkvm" restore c --name "$CASE-bad" --paused </dev/null >out 2>err || :
check "a disk that dies while memory is read: told" both err '^lkvm: c: ' 'Input/output error'
# The same where what a file builds on cannot be read.
"$B/failcall" preadv@c 1 5 -- "$B/lkvm" restore i --name "$CASE-bad" --paused </dev/null >out 2>err || :
check "the base's disk dies while memory is read: told" both err '^lkvm: i: .*c: bank' 'Input/output error'
"$B/failcall" pread@c 1 5 -- "$B/lkvm" restore i --name "$CASE-bad" --paused </dev/null >out 2>err || :
check "the base's disk dies when it is looked for: told" both err '^lkvm.*i: ' 'uuid'
check "none was started" not test -e "$SOCKETS/$CASE-bad.sock"
