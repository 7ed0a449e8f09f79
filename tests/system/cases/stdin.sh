# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# stdin that is no terminal: a pipe, a file, nothing; standard descriptors that are closed.
plan 17

guest="$B/lkvm run --name $CASE-s -f $B/monitor -c 1 -m 64"

# until_stopped TEXT: whatever stdin is, the guest runs until it is stopped.
until_stopped()
{
	check "$1: the guest runs" wait_for 10 says out 'monitor BOOTED'
	check "$1: it is alive" ctl stat s
	ctl stop s
	check "$1: nothing is left" gone_soon s
	: >out
}

: >out
# shellcheck disable=SC2086 # a command
$guest >out 2>err </dev/null &
until_stopped "stdin /dev/null"

printf c >file
# shellcheck disable=SC2086
$guest >out 2>err <file &
check "stdin a file: reaches the guest" wait_for 10 says out 'N 3'
until_stopped "stdin a file, at its end"
# shellcheck disable=SC2086
printf c | $guest >out 2>err &
check "stdin a pipe: reaches the guest" wait_for 10 says out 'N 3'
until_stopped "stdin a pipe without a writer"
# shellcheck disable=SC2086
$guest >out 2>err <&- &
until_stopped "stdin closed"

# A descriptor that is closed must not become a file of ours: what the guest prints would go into it.
# shellcheck disable=SC2086
$guest <&- >&- 2>&- &
check "all three closed: it runs" wait_for 10 ctl stat s
check "all three closed: they lead to /dev/null" is \
	"$(for fd in 0 1 2; do readlink "/proc/$(ctl stat s --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')/fd/$fd"; done | sort -u)" \
	/dev/null
ctl stop s
check "all three closed: nothing is left" gone_soon s
