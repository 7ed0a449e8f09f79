# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 600
# Snapshots as somebody at a terminal makes them: how far it is, Ctrl-C; a merge that is cancelled, or has no room. And what a
# flash holds, which is in the file.
. /share/tests/system/snapshot-lib.sh

plan 20
mkdir s

check "a guest" worker g -c 1 -m 64 --mte

# --- how far it is ---
bar='%% \[=* *\] [0-9]+ of [0-9]+ MiB, [0-9]+ MiB/s, [0-9]+ s left'
check "on a terminal: it shows how far it is, and then what it made" "$B/ptyrun" -o bar \
	"expect:MiB/s," "expect: s left" "expect:guest paused for" exit:0 -- \
	"$B/lkvm" snapshot "$CASE-g" "$W/s/f" --rate 30M
# shellcheck disable=SC2059 # the percent sign
check "percent, bytes, rate and time left" sh -c "tr '\r' '\n' <bar | grep -Eq '$(printf "$bar")'"
check "Ctrl-C: cancelled" "$B/ptyrun" -o bar "expect: s left" 'send:\x03' "expect:cancelled" exit:1 -- \
	"$B/lkvm" snapshot "$CASE-g" "$W/s/f2" --rate 1M
check "Ctrl-C: there is no file, and nothing is left" is "$(ls -A s)" "f"
snapshot g s/plain --rate 30M >out 2>&1
check "control: not on a terminal, no bar" not says out 'left'

# --- merge ---
pause g
check "one that builds on it" snapshot g s/child --base s/f
cp s/plain s/out
old=$(md5sum <s/out)
had=$(ls -A s)
# The highest level takes a while.
"$B/lkvm" snapshot merge s/child s/out --compress zstd:19 >merge.out 2>&1 &
merge=$!
writes()
{
	for fd in "/proc/$merge/fd/"*; do
		readlink "$fd"
	done | grep -Eq "s/(#[0-9]+|\\.out.*part)"
}
wait_for 20 writes
kill -INT $merge
code=0
wait $merge || code=$?
check "merge, Ctrl-C: exit code 1" is $code 1
check "merge, Ctrl-C: says so" says merge.out 'cancelled'
check "merge, Ctrl-C: the old file is as it was, and nothing is left" is "$(md5sum <s/out) $(ls -A s)" "$old $had"
"$B/lkvm" snapshot merge s/child s/out --compress zstd:19 >merge.out 2>&1 &
merge=$!
wait_for 20 writes
kill -9 $merge
wait $merge || :
check "merge, kill -9: the same" is "$(md5sum <s/out) $(ls -A s)" "$old $had"
mkdir small
mount -t tmpfs -o size=3m tmpfs small
echo old >small/out
code=0
"$B/lkvm" snapshot merge s/child small/out >out 2>&1 || code=$?
check "merge, no room: exit code 1" is $code 1
check "merge, no room: says so, with the file" both out 'small/out' 'No space left on device'
check "merge, no room: the old file is as it was, and nothing is left" is "$(cat small/out) $(ls -A small)" "old out"
umount small
check "merge into the place of an older file" "$B/lkvm" snapshot merge s/child s/out --compress zstd:1
check "it is good, and nothing else is there" is "$("$B/lkvm" snapshot verify s/out) $(ls -A s)" "s/out: every checksum of 1 file is right $had"
ctl stop g
ended g 20

# --- flash ---
echo 'flash of the first day' >flash
monitor m --flash flash
check "a VM with a flash" snapshot m m.snap --stop
ended m 20
rm flash
mkfifo keys
IN=$W/keys restore m2 m.snap
printf f >keys
check "restored without its file: the flash holds what it held" prints m2 10 'flash of the first day'
check "and is still not to be written" wait_for 10 sh -c "[ \$(grep -c 'flash of the first day' m2.out) -ge 2 ]"
ctl stop m2
check "ends" ends m2 20 0
