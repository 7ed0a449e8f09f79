# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The control socket's verbs. JSON is parsed by control.after.
plan 43

both_gone()
{
	gone_soon c && gone_soon d
}

ctl_code()
{
	code=0
	timeout 30 "$B/lkvm" "$@" >out 2>err || code=$?
}

ctl_code list
check "list without a VM: exit code 0" is "$code" 0
for verb in stat pause resume stop; do
	ctl_code $verb
	check "$verb without a VM: exit code 1, says so" both err 'no VM runs'
done
ctl_code stat nobody
check "a VM that is not there: exit code 1" is "$code" 1
check "it is named" both err 'nobody: no VM of that name runs'

linux c -c 2 -m 128 --mte -- 'i=0; while :; do echo COUNT $i; i=$((i+1)); usleep 20000; done'
check "a guest that counts" prints c 40 'COUNT 3'

check "the socket's mode is 0600" is "$(stat -c %a "$SOCKETS/$CASE-c.sock")" 600
check "its folder's mode is 0700" is "$(stat -c %a "$SOCKETS")" 700

"$B/lkvm" list >list
check "list: name, process, state, CPUs, memory, MTE" says list \
	"^$CASE-c +$(pid c) +running +2 +128M +yes$"
"$B/lkvm" list --json >"$KEPT/list.json"
ctl stat c >stat
check "stat: text" both stat "^pid +$(pid c)$" '^boots +1$' '^memory +128M anon$' '^mte +yes$' '^ +1 +[0-9]+'
ctl stat c --json >"$KEPT/stat.json"
ctl stat c -m >stat
check "stat -m: memory only" not says stat '^pid'
ctl stat c -m --json >"$KEPT/stat-m.json"

# --- pause is a barrier ---
check "pause" ctl pause c
usleep 300000 # what the guest had printed before is still being written
cp c.out before
ctl stat c --json >"$KEPT/paused-1.json"
grep -h '' "/proc/$(pid c)"/task/*/stat | grep '(vcpu-' | cut -d' ' -f14,15 >ticks-1
sleep 1
check "paused: not one byte comes" cmp c.out before
ctl stat c --json >"$KEPT/paused-2.json"
grep -h '' "/proc/$(pid c)"/task/*/stat | grep '(vcpu-' | cut -d' ' -f14,15 >ticks-2
check "paused: there are two vCPU threads" is "$(wc -l <ticks-1)" 2
check "paused: they take no time" cmp ticks-1 ticks-2
"$B/lkvm" list >list
check "paused: list says so" says list ' paused '
ctl_code pause "$CASE-c"
check "pause again: exit code 1" is "$code" 1
check "pause again: says why" says err 'is paused already'
check "a paused VM shows its registers" ctl debug c -d
check "resume" ctl resume c
grew()
{
	[ "$(wc -c <c.out)" -gt "$(($(wc -c <before) + 30))" ]
}
check "resumed: it goes on" wait_for 10 grew
check "what it counts has no gap" sh -c \
	"tr -d '\r' <c.out | sed -n 's/^COUNT //p' | sed '\$d' | awk '\$1 != NR - 1 { print; exit 1 }'"
ctl_code resume "$CASE-c"
check "resume again: exit code 1, says why" says err 'is not paused'

# Guest memory too stands still. Four CPUs count in theirs.
vm m -k "$B/bare/loop.img" -p quiet=1 -c 4 -m 64
wait_for 10 says m.out '^loop: 4 CPUs count'
read -r start _ <<END
$("$B/inject" "$(pid m)" where)
END
memory()
{
	dd if="/proc/$(pid m)/mem" bs=4096 skip=$((start / 4096)) count=64 2>/dev/null | md5sum
}
before=$(memory)
usleep 200000
check "control: its memory changes" not is "$(memory)" "$before"
check "pause" ctl pause m
before=$(memory)
sleep 1
check "paused: its memory does not" is "$(memory)" "$before"
ctl resume m
usleep 200000
check "resumed: it does again" not is "$(memory)" "$before"
ctl stop m
ended m 10

# --- debug ---
check "debug -d: both vCPUs" sh -c "'$B/lkvm' debug '$CASE-c' -d >dump"
check "debug -d: registers" both dump "^$CASE-c vcpu 0$" "^$CASE-c vcpu 1$" '^ +pc +(0x)?ffff[0-9a-f]{12}$' \
	'^ +x0 ' '^ +sp_el1 '
ctl debug c -d --json >"$KEPT/debug.json"
ctl_code debug "$CASE-c"
check "debug without anything to do: exit code 2" is "$code" 2
check "debug -s h: sysrq help" ctl debug c -s h
check "it reaches the guest's kernel" prints c 10 'sysrq: HELP'
ctl_code debug "$CASE-c" -s '!'
check "debug -s !: refused, exit code 2" is "$code" 2

# --- names ---
monitor d
ctl_code stat
check "two VMs and no name: exit code 2" is "$code" 2
check "two VMs and no name: says which" both err "$CASE-c" "$CASE-d" 'name one, or give -a'
"$B/lkvm" stat -a --json >"$KEPT/all.json"
vm d2 -f "$B/monitor" --name "$CASE-c"
check "a name that is taken: exit code 1" ends d2 10 1
check "a name that is taken: is named" says d2.err "a VM named $CASE-c runs already"
check "the first one still answers" ctl stat c

# --- the end ---
"$B/lkvm" stop -a
check "stop -a: ends both, exit code 0" ends c 10 0
check "stop -a: ends both" ends d 10 0
check "and nothing is left of them" both_gone
