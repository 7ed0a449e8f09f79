# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 900
# `restore --lazy`: the guest runs while its memory, data and tags together, comes in behind it; and never on memory that is
# not what was saved.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/bare.sh

brief=0 # on the oldest kernel what goes well, and what its kind of memory allows
[ "$HOST" != 6.1 ] || brief=$((1 - FULL))
plan $((brief ? 28 : 58))
mkdir s

some_missing()
{
	[ "$(missing "$1")" -gt 1000000 ]
}

# lost NAME FILE WHAT: it ended as it should, with a line that names file, place and reason. Two tests.
lost()
{
	check "$3: the VM ends with exit code 3" ends "$1" 60 3
	check "$3: names file, address and reason" says "$1.err" \
		"guest memory cannot be brought in: .*$2: bank ram, chunk at guest address 0x8[0-9a-f]{7}: .*offset [0-9]+.*the guest cannot go on"
}

linux g -c 2 -m 128 --mte -- "/tests/storm 3 $REST"
check "the storm is on" wait_for 60 has_lines g storm 2
check "a first snapshot" snapshot g s/base --compress zstd:1
goes_on g storm 1 60
pause g
check "a second one that builds on it" snapshot g s/child --base s/base
check "a plain one" snapshot g s/plain
sum=$(memory g)
ctl stop g
ended g 20

# No time passes for the guest while it is away: after more than 21 s its kernel takes that for a stall of RCU, and stands for
# 10,000 waits of a millisecond to hear what the other CPU does; here that takes minutes.

# --- the same memory, and the guest goes on; several from one file ---
restore quiet s/child --lazy --clock keep --no-prefetch --paused
check "--paused: is paused, and the most is still to come" wait_for 20 some_missing quiet
restore run1 s/child --lazy --clock keep
restore run2 s/plain --lazy --clock keep
for name in run1 run2; do
	wait_for 20 listed $name paused
	check "$name, beside others: goes on" sh -c "'$B/lkvm' resume '$CASE-$name'"
	check "$name: counts on" goes_on $name storm 2 60
	check "$name: all memory comes" wait_for 60 all_there $name
	check "$name: counts on with all there" goes_on $name storm 1 60
	check "$name: without a report" unharmed $name
done
ctl stop run1
check "run1: stops" ends run1 20 0
check "pause of one that has all" pause run2
check "a snapshot of it" snapshot run2 s/again
check "control: its memory is no longer what it was" not is "$(memory run2)" "$sum"
restore eager s/again
wait_for 60 listed eager paused
check "eager restore of that one: the same memory and tags" is "$(memory eager)" "$(memory run2)"
ctl stop eager
ctl stop run2
check "run2: stops" ends run2 20 0

# --- a snapshot brings in what is missing, and then has it ---
check "nothing came meanwhile by itself" some_missing quiet
check "a snapshot of one that has next to nothing" snapshot quiet s/quiet
check "has brought all of it" all_there quiet
check "its memory and tags are those of the first VM, seen from outside" is "$(memory quiet)" "$sum"
# All but the identifier of this copy (VMGenID).
check "the file's too" is "$("$B/lkvm" snapshot diff s/plain s/quiet 2>&1 | grep -v '^0x1030000-0x103[03]fff: data$')" ""
case $HOST in
6.1)
	check "--live: works, its memory is private" snapshot quiet s/live --live
	;;
*)
	"$B/lkvm" snapshot "$CASE-quiet" s/live --live >out 2>&1 || :
	check "--live: refused, its memory is shared" says out '--live needs private guest memory.*lazily restored'
	;;
esac
ctl stop quiet
check "stops" ends quiet 20 0
[ $brief = 0 ] || return

# --- pause, resume, stop, reset with pages missing ---
restore part s/plain --lazy --clock keep --no-prefetch -k "$B/bare/touch.img" -p size=16
wait_for 20 listed part paused
resume part
check "only what it uses: goes on" goes_on part storm 1 60
check "pause" pause part
check "some is still missing" some_missing part
check "resume" resume part
check "goes on" goes_on part storm 1 60
check "some is still missing: reset" ctl debug part --sysrq b
check "boots anew" ends part 60 0
tr -d '\r' <part.out | sed -n '/^1\.\.3$/,$p' >part.tap
check "finds memory zero, and works: $(bare_summary <part.tap)" bare_judge part
restore stop s/plain --lazy --clock keep --no-prefetch
wait_for 20 listed stop paused
resume stop
ctl stop stop
check "stop with pages missing" ends stop 20 0

# --- memory that cannot be had ---
size=$(stat -c %s s/plain)
cp s/plain bad
at=$((size / 4 * 3))
byte=$(od -An -tu1 -j $at -N 1 bad | tr -d ' ')
# shellcheck disable=SC2059 # an octal escape
printf "\\$(printf %o $((byte ^ 16)))" | dd of=bad bs=1 seek=$at conv=notrunc 2>/dev/null
restore flip bad --lazy --clock keep
lost flip bad "one bit is wrong"
cp s/plain short
restore cut short --lazy --clock keep --no-prefetch
wait_for 20 listed cut paused
truncate -s 65536 short
resume cut
lost cut short "the file is cut under it"

# disk_dies NAME FILE CALL@OF: EIO (5) when the thread that serves reads that file next. Then as lost().
disk_dies()
{
	local task

	restore "$1" "$2" --lazy --clock keep --no-prefetch
	wait_for 20 listed "$1" paused
	task=$(grep -l '^lkvm-lazy$' "/proc/$(pid "$1")/task"/*/comm)
	task=${task%/comm}
	(usleep 300000 && resume "$1") &
	check "EIO, $3: the call fails" timeout 60 "$B/failcall" "$3" 1 5 "${task##*/}"
	lost "$1" "${3#*@}" "EIO, $3"
	check "EIO, $3: it says so" says "$1.err" 'Input/output error'
}

disk_dies eio s/plain preadv@plain
disk_dies eio2 s/child pread@base
"$B/lkvm" snapshot verify s/plain >out 2>&1 || :
check "control: the file itself is good" says out 'every checksum .* is right'
check "nothing is left" no_litter s

# --- as another user; root has a way always ---
grep -qs '^nobody:' /etc/passwd || echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
mkdir -m 777 run
cp s/plain run/plain
chmod 666 run/plain /dev/kvm
other=$W/run/lkvm/$CASE-other.sock
sysctl=/proc/sys/vm/unprivileged_userfaultfd

# as_other: lkvm restore --lazy as nobody; until it ends, or is stopped since it got as far as its socket. Sets $exited.
as_other()
{
	exited=0
	XDG_RUNTIME_DIR=$W/run start-stop-daemon -S -c nobody:65534 -x "$B/lkvm" -- restore "$W/run/plain" \
		--name "$CASE-other" --lazy --paused </dev/null >out 2>err &
	wait_for 20 started_or_over $!
	kill -TERM $! 2>/dev/null
	wait $! || exited=$?
}

started_or_over()
{
	[ -S "$other" ] || ! kill -0 "$1" 2>/dev/null || [ "$(awk '/^State/ { print $2 }' "/proc/$1/status")" = Z ]
}

before=$(cat $sysctl)
echo 0 >$sysctl
as_other
check "not allowed: exit code 1" is $exited 1
check "not allowed: it is said what helps" says err \
	'--lazy: this user may not use userfaultfd: .*CAP_SYS_PTRACE.*vm.unprivileged_userfaultfd.*/dev/userfaultfd'
check "not allowed: in one line" one_line err
check "not allowed: nothing was started" not test -e "$other"
chmod 666 /dev/userfaultfd
as_other
check "allowed by /dev/userfaultfd: works" is $exited 0
chmod 600 /dev/userfaultfd
echo 1 >$sysctl
as_other
check "allowed by the sysctl: works" is $exited 0
echo "$before" >$sysctl
chmod 600 /dev/kvm

"$B/lkvm" run --restore s/plain --lazy --name "$CASE-run" </dev/null >run.out 2>run.err &
check "run --restore --lazy: the same" wait_for 20 listed run paused
ctl stop run
wait $! || :
