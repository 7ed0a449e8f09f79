# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# A terminal is raw while the guest has it, and as it was on every end.
plan 18

mon="$B/lkvm run --name $CASE-t -f $B/monitor -c 1 -m 64"

# on_terminal TEXT ACTION...
on_terminal()
{
	local text="$1"

	shift
	# shellcheck disable=SC2086 # a command
	check "$text" "$B/ptyrun" -o screen 'expect:monitor BOOTED' raw "$@" -- $mon
	# One that was killed leaves its socket.
	case "$*" in
	*killed:*) rm -f "$SOCKETS/$CASE-t.sock" ;;
	esac
	wait_for 5 gone t
}

on_terminal "the guest powers off" send:o exit:0 cooked
on_terminal "Ctrl-a x" 'send:\x01x' exit:0 cooked
on_terminal "SIGTERM" signal:TERM exit:0 cooked
on_terminal "SIGHUP" signal:HUP exit:0 cooked
on_terminal "SIGINT" signal:INT exit:0 cooked
on_terminal "SIGKILL" signal:KILL killed:KILL cooked
on_terminal "SIGSEGV" signal:SEGV killed:SEGV cooked
on_terminal "control: without its watcher SIGKILL leaves it raw" kill-child:lkvm-tty signal:KILL killed:KILL raw-for:1000
on_terminal "without its watcher an ordinary end gives it back all the same" kill-child:lkvm-tty send:o exit:0 cooked
on_terminal "lkvm stop" "run:$B/lkvm stop $CASE-t" exit:0 cooked
on_terminal "a guest that spins, Ctrl-a x" send:s 'expect:key s' sleep:200 'send:\x01x' exit:0 cooked
on_terminal "a guest that spins, SIGTERM" send:s 'expect:key s' sleep:200 signal:TERM exit:0 cooked
on_terminal "stopped, and continued by a shell that has set the terminal its own way" signal:STOP make-cooked cooked \
	signal:CONT raw send:o exit:0 cooked
on_terminal "the terminal goes away" hangup exit:0

on_terminal "Ctrl-a h shows help, and the guest gets nothing" 'send:\x01h' 'expect:Ctrl-a x' send:c 'expect:key c' \
	'expect:N 1' 'send:x' sleep:100 send:o exit:0 cooked
check "nothing but the keys reached the guest" is "$(tr -d '\r' <screen | grep -c '^key [^co]')" 1
on_terminal "Ctrl-a Ctrl-a sends one, Ctrl-c and Ctrl-z and Ctrl-s reach the guest" send:e 'expect:key e' \
	'send:<\x01\x01\x03\x1a\x13\x11\x04' sleep:300 send:o exit:0 cooked
check "they came back" grep -q "$(printf '<\001\003\032\023\021')" screen
