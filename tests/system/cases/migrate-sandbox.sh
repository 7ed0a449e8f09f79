# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# What a destination may do, seen from outside: no system calls, files and descriptors but those it needs. And what a VM that
# came by migration can do all the same: be saved, be asked, reset into a new kernel, migrate on.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh
plan 26

# status NAME FIELD VALUE, of the process and each of its threads.
status()
{
	local n

	n=$(cat /proc/"$(pid "$1")"/task/*/status | grep -c "^$2:")
	[ "$n" -gt 0 ] && is "$(cat /proc/"$(pid "$1")"/task/*/status | grep -Ec "^$2:[[:space:]]*$3\$")" "$n"
}

# What is open that need not be.
strangers()
{
	local fd

	for fd in /proc/"$(pid "$1")"/fd/*; do
		readlink "$fd"
	done | grep -Ev "^(/dev/(null|kvm|ptmx|pts/[0-9]+)|/run/lkvm|socket:.*|pipe:.*|anon_inode:(kvm-.*|\[(eventfd|eventpoll|timerfd|signalfd)\]))\$" |
		grep -Ev "^$W/$1\.(out|err|in)\$|^/memfd:lkvm-guest" || :
}

# filters NAME THREAD: how many a thread of that name has.
filters()
{
	local t

	for t in /proc/"$(pid "$1")"/task/*; do
		[ "$(cat "$t/comm")" != "$2" ] || sed -n 's/^Seccomp_filters:[[:space:]]*//p' "$t/status"
	done
}

decodes()
{
	[ -n "$(filters "$1" incoming)" ]
}

monitor m0 -c 1 -m 64
keys m0 c
check "it counts" counts_on m0
check "control: who was started here is not confined" status m0 Seccomp 0

# --- in the middle of the copy: a guest that is paused migrates as well ---
exec 9</etc/passwd
incoming m1 "unix:$W/m1.mig"
exec 9<&-
check "control: before somebody has come it is not confined" status m1 Seccomp 0
check "control: it has a descriptor that nobody needs" is "$(strangers m1)" /etc/passwd
(
	"$B/lkvm" migrate "$CASE-m0" "unix:$W/m1.mig" --bandwidth 1B --downtime 0 >slow.out 2>&1
	echo $? >slow.code
) </dev/null >/dev/null 2>&1 &
check "while it receives" wait_for 30 decodes m1
check "while it receives: every thread is filtered" status m1 Seccomp 2
check "while it receives: nothing is to be had by starting programs" status m1 NoNewPrivs 1
check "while it receives: no capabilities, root or not" status m1 CapEff 0+
check "while it receives: no descriptor that it does not need" is "$(strangers m1)" ""
check "the thread that decodes may do less" is "$(filters m1 incoming)" 2
ctl stop m1 >log 2>&1
check "the source's guest counts on" counts_on m0
wait_for 20 test -s slow.code

# --- the VM's life after that ---
mkfifo m2.in
IN=$W/m2.in incoming m2 "unix:$W/m2.mig"
check "moves" migrate m0 "unix:$W/m2.mig"
check "counts on" counts_on m2
check "stays confined" status m2 Seccomp 2
check "has no descriptor that it does not need" is "$(strangers m2)" ""
check "is saved, to a file of whoever asks" snapshot m2 all.snap --live
check "is saved whole, and nothing else lies about" is "$(echo .*.snap* *.snap*)" ".*.snap* all.snap"
check "is saved: the file is good" "$B/lkvm" snapshot verify all.snap
check "is not saved by difference" sh -c "! '$B/lkvm' snapshot '$CASE-m2' more.snap --base all.snap >log 2>&1"
check "is not saved by difference: says why" says log 'came by migration'
check "is not saved by difference: leaves nothing behind" is "$(echo .*.snap* *.snap*)" ".*.snap* all.snap"
start m3 restore all.snap --name "$CASE-m3"
check "what was saved counts on" counts_on m3
ctl stop m3 >log
mkfifo m4.in
IN=$W/m4.in incoming m4 "unix:$W/m4.mig"
check "moves on" migrate m2 "unix:$W/m4.mig"
check "the one in the middle ends" ends m2 20 0
check "counts on there" counts_on m4
ctl stop m4 >log
check "no socket is left" wait_for 10 not ls "$SOCKETS/$CASE-m4.sock"
