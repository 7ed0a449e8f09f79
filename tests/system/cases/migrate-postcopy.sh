# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 1800
# Post-copy, after no round and after one: a guest that knows each byte and tag of its memory goes on, and what arrives is what
# was there, compared from outside; one that changes tags alone faster than the line takes them moves; without its tags it does
# not go on. (Under a kernel that checks tags: migrate. What goes wrong on the way: migrate-recover.)
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

times=1
[ "$FULL" = 0 ] || times=5
plan $((5 * 2 * times + 8 + 5 + 2 + 3))
n=0

# to: the next destination, $d, waits at $at.
to()
{
	n=$((n + 1))
	d=p$n
	at=unix:$W/$d.mig
	incoming "$d" "$at"
}

# there TEXT: two tests: the guest that came is well, and is $s from now on.
there()
{
	check "$1: goes on" goes_on "$d" "$WORK" 1 60
	check "$1: all of it is right" unharmed "$d"
	s=$d
}

s=p0
worker $s -c 2 -m 128 --mte
i=0
while [ $i -lt $times ]; do
	i=$((i + 1))
	for rounds in 0 1; do
		to
		check "$i, $rounds rounds: moves" migrate $s "$at" --postcopy-after $rounds
		tail -n 2 check >>"$KEPT/summaries"
		check "$i, $rounds rounds: the destination tells what came late" wait_for 5 says "$d.err" 'all memory is here: [1-9][0-9]* pages came late'
		check "$i, $rounds rounds: the source ends" ends $s 20 0
		there "$i, $rounds rounds"
	done
done

# --- of a guest that stands still: the same memory and tags there as here ---
pause $s
sum=$(memory $s)
to
check "paused: its memory has tags" sh -c "echo '$sum' | grep -E 'pages [1-9][0-9]{3}.* tagged [1-9][0-9]{2}'"
check "paused: moves" migrate $s "$at" --postcopy-after 0 --keep-paused --json
cp check log
check "paused: the phases are told" says log '"phase": ?"postcopy".*"downtime_ns"'
check "paused: is paused there" listed $d paused
check "paused: memory and tags are those of the source, seen from outside" is "$(memory $d)" "$sum"
ended $s 20
resume $d
there "resumed"
check "resumed: a snapshot of it is made, as of any other" snapshot $s snap
rm -f snap
ctl stop $s >log
ended $s 20

# --- what changes tags alone, faster than the line takes them ---
worker_tags()
{
	vm "$1" -k "$B/bare/pattern.img" -p 'mib=8 tags=1' -c 2 -m 64 --mte
	wait_for 60 has_lines "$1" pattern 2
}

s=t0
worker_tags $s
to
check "control: tags alone, without post-copy it does not end" not migrate $s "$at" --bandwidth 4M --downtime 50 --timeout 4
ended $d 20
WORK=pattern
to
check "tags alone: moves" migrate $s "$at" --bandwidth 4M --downtime 50 --postcopy
check "tags alone: the source ends" ends $s 20 0
there "tags alone"

ctl stop $s >log
ended $s 20

# --- control: without its tags it does not go on ---
s=c0
worker_tags $s
to
check "control: moves without its tags" migrate $s "$at" --postcopy-after 0 --drop-tags
check "control: finds them missing" wait_for 20 says $d.out 'pattern: the end'
ctl stop $d >log
ended $d 20

# --- a host that does not allow it refuses before anything moves ---
s=r0
worker_tags $s
before=$(cat /proc/sys/vm/unprivileged_userfaultfd)
echo 0 >/proc/sys/vm/unprivileged_userfaultfd
grep -qs '^nobody:' /etc/passwd || echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
mkdir -m 777 run
chmod 666 /dev/kvm
XDG_RUNTIME_DIR=$W/run start-stop-daemon -S -u nobody -c nobody:65534 -x "$B/lkvm" -- incoming "unix:$W/run/r.mig" \
	--name "$CASE-r1" --tty 0 </dev/null >out 2>err &
wait_for 10 says err 'waiting at ' || diag "$(cat err)"
check "userfaultfd not allowed there: refused" sh -c "! '$B/lkvm' migrate '$CASE-$s' 'unix:$W/run/r.mig' --postcopy >log 2>&1"
check "userfaultfd not allowed there: says why, and what helps" says log \
	'the destination: --postcopy: this user may not use userfaultfd: .*vm.unprivileged_userfaultfd'
check "userfaultfd not allowed there: the guest runs on" goes_on $s $WORK 1 60
echo "$before" >/proc/sys/vm/unprivileged_userfaultfd
chmod 660 /dev/kvm
ctl stop $s >log
ended $s 20
