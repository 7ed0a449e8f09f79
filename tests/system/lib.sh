# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# What a test case in L1 has at hand. Sourced by run-case, under busybox sh.
#   $B      lkvm, the programs of tests/system/*.c, guests: kasan, debian (kernels), initrd, *.img (bare metal)
#   $W      a folder of the case's own, its working folder, in memory
#   $KEPT   a folder that outlives L1: CASE.after looks at it on the development machine
#   $HOST   the series of L1's kernel: 6.1, 6.12, 7.2
#   $FULL   1: at full length; 0: what takes long is done with less
# A case says `plan N` first: so many results must come.

KASAN=$B/kasan
INITRD=$B/initrd
SOCKETS=/run/lkvm
PATIENCE=6

# --- results ------------------------------------------------------------------------------------------------------
plan()
{
	echo "plan $1" >>"$TAP"
}

ok()
{
	echo "ok - $*" >>"$TAP"
}

diag()
{
	printf '%s\n' "$*" | tr -cd '\n\t -~' | sed 's/^/# /' >>"$TAP"
}

not_ok()
{
	echo "not ok - $*" >>"$TAP"
}

# skip N REASON...: N tests are not run.
skip()
{
	local n=$1

	shift
	while [ "$n" -gt 0 ]; do
		echo "ok - # SKIP $*" >>"$TAP"
		n=$((n - 1))
	done
}

# check TEXT COMMAND...: one test, which passes if the command does. What the command prints explains a failure.
check()
{
	local text="$1" code=0

	shift
	"$@" >"$W/check" 2>&1 || code=$?
	if [ $code -eq 0 ]; then
		ok "$text"
	else
		not_ok "$text"
		diag "'$*' failed ($code):"
		diag "$(tail -n 25 "$W/check")"
	fi
	return $code
}

# long COMMAND...: at full length only, since it is like what is run anyway but for an option, or unit tests hold it.
long()
{
	[ "$FULL" = 0 ] || "$@"
}

# --- conditions, for check and wait_for ---------------------------------------------------------------------------
is()
{
	[ "$1" = "$2" ] && return
	echo "is '$1', should be '$2'"
	return 1
}

# says FILE REGEX: some line of it matches.
says()
{
	grep -Eq -- "$2" "$1" && return
	echo "no line of ${1##*/} matches '$2'; it ends with:"
	tail -n 20 "$1"
	return 1
}

not()
{
	! "$@"
}

both()
{
	local file="$1" regex

	shift
	for regex; do
		says "$file" "$regex" || return 1
	done
}

one_line()
{
	[ "$(wc -l <"$1")" = 1 ] && return
	echo "${1##*/} has $(wc -l <"$1") lines:"
	cat "$1"
	return 1
}

# Hundredths of a second since L1 was started.
now()
{
	local up

	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}"
}

# wait_for SECONDS COMMAND...: until the command succeeds; quietly. The seconds are those of a fast machine; a busy one
# may take $PATIENCE times as long.
wait_for()
{
	local until

	until=$(($(now) + $1 * 100 * PATIENCE))
	shift
	while ! "$@" >"$W/wait" 2>&1; do
		if [ "$(now)" -gt "$until" ]; then
			cat "$W/wait"
			echo "not within the time: $*"
			return 1
		fi
		usleep 60000 # more often, and looking takes the time that the guest needs
	done
}

# --- VMs ----------------------------------------------------------------------------------------------------------
# start NAME VERB...: starts `lkvm VERB...` in the background, a VM of that name. Its stdin is $IN (default /dev/null); its files
# are $W/NAME.out, .err, .pid and, once it has ended, .status.
start()
{
	local name="$1"

	shift
	rm -f "$W/$name.status" "$W/$name.pid"
	: >"$W/$name.out"
	: >"$W/$name.err"
	(
		if [ -p "${IN:-}" ]; then
			exec 3<>"$IN" # without waiting for a writer, and without an end
		else
			exec 3<"${IN:-/dev/null}"
		fi
		# 3, since stdin of a command in the background is /dev/null.
		"$B/lkvm" "$@" <&3 3<&- >"$W/$name.out" 2>"$W/$name.err" &
		echo $! >"$W/$name.pid.new"
		mv "$W/$name.pid.new" "$W/$name.pid"
		code=0
		wait $! || code=$?
		echo $code >"$W/$name.status.new"
		mv "$W/$name.status.new" "$W/$name.status"
	) </dev/null >/dev/null 2>&1 &
	wait_for 10 test -s "$W/$name.pid"
}

# vm NAME OPTION...: `lkvm run`.
vm()
{
	local name="$1"

	shift
	start "$name" run --name "$CASE-$name" "$@"
}

# monitor NAME OPTION...: the guest of guest/monitor.c in the background, ready for keys.
monitor()
{
	local name="$1" IN="$W/$1.in"

	shift
	[ -p "$IN" ] || mkfifo "$IN"
	vm "$name" -f "$B/monitor" -c 1 -m 64 "$@" && prints "$name" 15 'monitor BOOTED'
}

# keys NAME TEXT: typed to a VM that monitor() started.
keys()
{
	printf %s "$2" >"$W/$1.in"
}

pid()
{
	cat "$W/$1.pid"
}

# prints NAME SECONDS REGEX: a line of the guest's output matches, sooner or later; not later than the VM's end.
prints()
{
	wait_for "$2" prints_or_ended "$1" "$3" && says "$W/$1.out" "$3"
}

prints_or_ended()
{
	test -s "$W/$1.status" || says "$W/$1.out" "$2"
}

# ended NAME SECONDS: waits for its end; its exit code is $status then.
ended()
{
	status=still-running
	if ! wait_for "$2" test -s "$W/$1.status"; then
		echo "$1 did not end within $2 s; it said:"
		tail -n 10 "$W/$1.out" "$W/$1.err"
		return 1
	fi
	status=$(cat "$W/$1.status")
}

# ends NAME SECONDS CODE: the same, and that is its exit code.
ends()
{
	ended "$1" "$2" || return 1
	[ "$status" = "$3" ] && return
	echo "$1 ended with exit code $status and not $3; it said:"
	tail -n 15 "$W/$1.out" "$W/$1.err"
	return 1
}

# ctl VERB NAME ARG...: `lkvm VERB` for that VM of this case.
ctl()
{
	local verb="$1" name="$2"

	shift 2
	timeout 30 "$B/lkvm" "$verb" "$CASE-$name" "$@"
}

# linux NAME OPTION... -- COMMANDS: the KASAN guest in the background. COMMANDS are for its shell (no double quotes);
# the VM ends after them.
linux()
{
	local name="$1" n=$#

	shift
	while [ "$1" != -- ]; do
		set -- "$@" "$1"
		shift
	done
	shift
	# What is left: COMMANDS, then the options that were moved behind them.
	commands=$1
	shift
	[ "$n" -ge 3 ] || return 2
	vm "$name" --no-reboot -k "$KASAN" -i "$INITRD" -p "quiet kasan.fault=panic panic=-1 lkvm.sh=\"$commands\"" "$@"
}

# The guest's commands came to their end, with success, and the kernel has found nothing wrong.
guest_passed()
{
	says "$W/$1.out" '^lkvm-result: [^:]*: exit 0' && not grep -aE 'BUG: |Oops|Kernel panic|WARNING: ' "$W/$1.out"
}

# Nothing is left of that VM: no process, no socket.
gone()
{
	local p

	for p in /proc/[0-9]*; do
		if [ "$(readlink "$p/exe" 2>/dev/null)" = "$B/lkvm" ] &&
			tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -q -- "--name $CASE-$1 "; then
			echo "process ${p#/proc/} is still there: $(cat "$p/comm")"
			return 1
		fi
	done
	[ ! -e "$SOCKETS/$CASE-$1.sock" ] && return
	echo "its socket is still there"
	return 1
}

# Sooner or later: the terminal's watcher ends a moment after the VMM.
gone_soon()
{
	wait_for 5 gone "$1"
}

# --- the other host, where there is one (suite --peer) ------------------------------------------------------------
# there COMMAND: a shell command on it.
there()
{
	timeout 120 ssh -o BatchMode=yes peer "$@"
}
