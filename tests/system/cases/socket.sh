# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The control socket when things go wrong: clients that are stuck or hostile, sockets that a dead VM left.
plan 35

sock=$SOCKETS/$CASE-h.sock
monitor h
keys h c

# quick TEXT: the VM answers a good client within 5 s, and its guest goes on.
quick()
{
	local start lines

	start=$(now)
	check "$1: a good client is served" ctl stat h
	check "$1: in time ($((($(now) - start) * 10)) ms)" test "$(($(now) - start))" -lt 500
	lines=$(wc -l <h.out)
	wait_for 5 moved "$lines"
	check "$1: the guest goes on" moved "$lines"
}

moved()
{
	[ "$(wc -l <h.out)" -gt "$(($1 + 2))" ]
}

attack()
{
	"$B/hostile" "$sock" "$@" >hostile.out 2>&1 &
	attacker=$!
	prints hostile 5 connected
}

attack silent 40
quick "40 clients that say nothing"
kill $attacker
attack half 40
quick "40 clients that say half"
kill $attacker
attack flood 8
quick "8 clients that ask and never read"
kill $attacker

# Messages that are none. LKVC, version, type, length; little-endian.
one()
{
	"$B/hostile" "$sock" send "$1" >answer 2>&1
}

one 4c4b56430100010000000000
check "control: a good request has a good answer" says answer '^reply 0 $'
check "control: and the connection stays" says answer '^open$'
one 58585858010001000000000000
check "another protocol: is told, and closed" both answer '^reply -[0-9]+ this is not the control protocol' '^closed$'
one 4c4b56430700010000000000
check "another version: is told which, and closed" both answer '^reply -[0-9]+ .*version 1 .*, not 7' '^closed$'
one 4c4b564301000100ffffffff
check "a length of 4 GiB: is refused, and closed" both answer '^reply -[0-9]+ .*at most 16384 bytes' '^closed$'
one 4c4b56430100ff0000000000
check "an unknown request: is refused" says answer '^reply -[0-9]+ .'
one 4c4b564301000100040000000000000000
check "a request with bytes too many: is refused" says answer '^reply -[0-9]+ '
one 4c4b564301000600040000000900000a
check "registers of a vCPU that is not there: is refused" says answer '^reply -[0-9]+ '
one 4c4b5643010006000200000000004c4b56430100010000000000
check "a request cut short, and a good one after it" both answer '^reply -[0-9]+ ' '^reply 0 $'
quick "after all these"
"$B/hostile" "$sock" send "$(head -c 30000 /dev/urandom | od -A n -v -t x1 | tr -d ' \n')" >answer 2>&1
check "30000 random bytes: closed" says answer '^closed$'
check "the VM lives" ctl stat h

# A client that is stopped in the middle holds up nobody, and a VM that is stopped holds up its client for a time only.
kill -STOP "$(pid h)"
start=$(now)
code=0
timeout 60 "$B/lkvm" stat "$CASE-h" >out 2>err || code=$?
check "a VM that does not answer: exit code 1" is "$code" 1
check "a VM that does not answer: within 15 s" test "$(($(now) - start))" -lt 1500
check "a VM that does not answer: says so" says err "$CASE-h: does not answer"
kill -CONT "$(pid h)"
check "it answers again" ctl stat h

# --- left-overs ---
kill -KILL "$(pid h)"
ended h 10
check "a VM that is killed leaves its socket" test -S "$sock"
timeout 10 "$B/lkvm" stat "$CASE-h" >out 2>err
check "a left-over is told from a VM" says err 'left its socket behind'
monitor h
check "a new VM takes the name over" ctl stat h
ctl stop h
ended h 10
kill_again()
{
	monitor k
	kill -KILL "$(pid k)"
	ended k 10
}
kill_again
"$B/lkvm" list >list 2>err
check "list shows a left-over" says list "^$CASE-k .* stale "
check "list removes it" not test -e "$SOCKETS/$CASE-k.sock"
check "no process is left of it" gone_soon k

# A file that is no socket is not touched.
echo precious >"$SOCKETS/$CASE-f.sock"
vm f -f "$B/monitor" -m 64
check "a file with the socket's name: refused" ends f 10 1
check "a file with the socket's name: stays" is "$(cat "$SOCKETS/$CASE-f.sock")" precious
rm "$SOCKETS/$CASE-f.sock"
