# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# Post-copy that goes wrong after the switch-over: the line is cut while memory follows, more than once, or loses one of the words
# that matter; a side is killed. All is kept, and what is joined again goes on with each byte and tag right. Nothing hangs.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

cuts=60
[ "$FULL" = 0 ] || cuts="5 15 25 35 45 55 65 75 85 95"
plan $((1 + 10 * $(echo "$cuts" | wc -w) + 7 + 6 + 3 * FULL + 9 + 5 + 4 + 5))
n=0

# to: the next destination, $d, waits; over a line that goes wrong if ACTION N are given.
to()
{
	n=$((n + 1))
	d=p$n
	at=unix:$W/$d.mig
	incoming "$d" "$at" || return 1
	[ $# = 0 ] && return
	line "$d" "$1" "$2" || return 1
	at=unix:$W/$d.line
}

# there TEXT: two tests: the guest that came is well, and is $s from now on.
there()
{
	check "$1: goes on" goes_on "$d" "$WORK" 1 60
	check "$1: all of it is right" unharmed "$d"
	p=$s
	s=$d
}

# What has gone up the last line: $up.
bytes()
{
	wait_for 10 says "$d.line.out" '^up '
	up=$(sed -n 's/^up \([0-9]*\) .*/\1/p' "$d.line.out")
}

both_recovering()
{
	is "$(state_of $s) $(state_of $d)" 'recovering recovering'
}

# The guest's last line is not the one of a second ago.
stands_still()
{
	local was

	was=$(lines_of "$1" "$WORK")
	sleep 2
	is "$(lines_of "$1" "$WORK")" "$was"
}

s=p0
check "a guest that knows its memory" worker $s -c 2 -m 128 --mte

# --- the line is cut in the middle of what follows, and once more ---
to cut-up 999999999999
migrate $s "$at" --postcopy-after 0 >log 2>&1
ended $s 20
s=$d
bytes
for percent in $cuts; do
	t="cut at $percent%"
	to cut-up $((up * percent / 100))
	check "$t: the user is told what to do" sh -c "! '$B/lkvm' migrate '$CASE-$s' '$at' --postcopy-after 0 >out 2>&1 &&
		grep -E 'all is kept.*incoming SRC --recover.*lkvm migrate $CASE-$s DEST --recover' out"
	check "$t: both keep all" wait_for 10 both_recovering
	check "$t: the destination says what to do" wait_for 10 says $d.err "the guest stands still, [1-9][0-9]* KiB.*--recover $CASE-$d here"
	check "$t: the guest stands still" stands_still $d
	again $s $d cut-up $((up * (100 - percent) / 200)) >log 2>&1
	check "$t: joined, and cut again" is "$code" 1
	check "$t: both keep all again" wait_for 10 both_recovering
	again $s $d >log 2>&1
	check "$t: joined, the rest is sent" is "$code" 0
	there "$t"
	check "$t: the source ends" ends $p 20 0
done

# --- its last word is lost, then the one between commit and running ---
pause $s # so that no page is asked for
# By the types of docs/migration-protocol.md: COMPLETE, RUNNING, LOADED, COMMIT.
to type-cut-down 0x10d
migrate $s "$at" --postcopy-after 0 >log 2>&1 || :
check "COMPLETE lost: the destination is through" wait_for 10 says $d.err 'the source could not be told|all memory is here'
check "COMPLETE lost: the source keeps all" wait_for 10 is_state $s recovering
again $s $d >log 2>&1
check "COMPLETE lost: told again, the source ends" ends $s 20 0
s=$d
to type-cut-down 0x109
migrate $s "$at" --postcopy-after 0 >log 2>&1 || :
check "RUNNING lost: a user is asked" says log "stays paused here.*--recover.*lkvm resume $CASE-$s"
check "RUNNING lost: both keep all" wait_for 10 both_recovering
again $s $d >log 2>&1
check "RUNNING lost: joined, the rest is sent" is "$code" 0
check "RUNNING lost: the source ends" ends $s 20 0
s=$d

# --- a word before the guest could run there: it goes on here ---
if [ "$FULL" = 1 ]; then # migrate-borders cuts there as well
	to type-cut-down 0x107
	check "LOADED lost" sh -c "! '$B/lkvm' migrate '$CASE-$s' '$at' --postcopy-after 0 >log 2>&1"
	check "LOADED lost: the destination ends" ends $d 20 1
	check "LOADED lost: the source has its guest" is_state $s paused
fi
to type-cut-up 0x108
check "COMMIT lost: a user is asked" sh -c "! '$B/lkvm' migrate '$CASE-$s' '$at' --postcopy-after 0 >log 2>&1 &&
	grep -E 'stays paused here.*--recover.*lkvm resume $CASE-$s' log"
check "COMMIT lost: the destination ends" ends $d 20 1
check "COMMIT lost: the source keeps all" is_state $s recovering
check "COMMIT lost: resumed, as was said" resume $s
d=$s
there "COMMIT lost"

# --- slow, so that there is time to look, and to kill ---
# slowly OPTION...: a post-copy in the background, until the guest runs there; files slow.out, slow.code.
slowly()
{
	to || return 1
	rm -f slow.code slow.out
	(
		code=0
		"$B/lkvm" migrate "$CASE-$s" "$at" --postcopy-after 0 --bandwidth 100K --json "$@" >slow.out 2>&1 || code=$?
		echo $code >slow.code
	) </dev/null >/dev/null 2>&1 &
	wait_for 30 says slow.out '"phase": ?"postcopy"'
}

check "slow: goes on there" slowly
check "slow: the source says so" is_state $s leaving
check "slow: the guest runs before its memory is there" goes_on $d "$WORK" 1 60
check "slow: --cancel is refused" not ctl migrate $s --cancel
cp check log
check "slow: --cancel is told why" says log 'too late: the guest is at the destination'
check "slow: resume is refused" not ctl resume $s
check "slow: another migration is refused" not ctl migrate $d "unix:$W/none.mig"
check "slow: paused there, at once" ctl pause $d
check "slow: and resumed" ctl resume $d
kill -9 "$(pid $s)"
check "source killed: the guest stands still there" wait_for 10 is_state $d recovering
check "source killed: pause is answered" ctl pause $d
check "source killed: debug is answered" sh -c "'$B/lkvm' debug '$CASE-$d' --dump >out 2>&1; [ \$? -le 1 ]"
check "source killed: lkvm stop ends it" ctl stop $d
check "source killed: it is gone" ends $d 20 0
ended $s 20
wait_for 20 test -s slow.code
"$B/lkvm" list >log 2>&1

# --- the other side ---
s=k0
worker $s -c 2 -m 64 --mte
slowly --keep-paused
kill -9 "$(pid $d)"
check "destination killed: the source keeps all" wait_for 10 is_state $s recovering
check "destination killed: resume is refused" not ctl resume $s
check "destination killed: lkvm stop ends it" ctl stop $s
check "destination killed: it is gone" ends $s 20 0
ended $d 20
wait_for 20 test -s slow.code
"$B/lkvm" list >log 2>&1

# --- by ssh: what is started over there joins as well ---
mkdir bin
# Not cat: busybox's moves bytes with sendfile(2), and Linux (5.12 and later) holds the pipe's lock while that waits for the
# next ones. Who reads what is in the pipe already waits for that lock: so the destination would for what the source says next.
cat >bin/ssh <<END
#!/bin/sh
shift \$((\$# - 1))
dd bs=64k 2>/dev/null | PATH=$B:\$PATH XDG_RUNTIME_DIR=$W/there sh -c "\$1" 2>>$W/ssh.err | dd bs=64k 2>/dev/null
END
chmod +x bin/ssh
mkdir -m 700 there
PATH=$W/bin:$PATH
s=s0
worker $s -c 2 -m 64 --mte
(migrate $s ssh://host --postcopy-after 0 --bandwidth 100K --json >slow.out 2>&1 </dev/null) &
check "ssh: goes on there" wait_for 30 says slow.out '"phase": ?"postcopy"'
for pid in $(pidof dd); do
	kill "$pid"
done
check "ssh: its line is lost" wait_for 20 is_state $s recovering
check "ssh: and the other side knows" wait_for 20 sh -c "XDG_RUNTIME_DIR='$W/there' '$B/lkvm' list | grep recovering"
check "ssh: joined, the rest is sent" migrate $s ssh://host --recover
check "ssh: it runs there" sh -c "XDG_RUNTIME_DIR='$W/there' '$B/lkvm' list | grep '$CASE-$s .* running'"
XDG_RUNTIME_DIR="$W/there" "$B/lkvm" stop "$CASE-$s" >log
ended $s 20
