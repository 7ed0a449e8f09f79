# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 1000
# The same through Linux's driver, with interrupts; and pseudo-terminals.
plan 10

# What comes in through a pipe goes out again, three times as much, to a reader that is slower than Linux. Each byte costs
# the emulated machine a millisecond or two: the whole amount is for check-all; console.sh has it with a guest of our own.
kib=8
[ "$FULL" = 0 ] || kib=64
base64 -w 63 </dev/urandom | head -n $((16 * kib)) >noise
sum=$(md5sum <noise)
cat noise noise noise noise | head -c $((3200 * kib)) >expected

mkfifo slow
"$B/slowcat" 4096 100 <slow >slow.out &
reader=$!
"$B/lkvm" run --name "$CASE-l" --no-reboot -k "$KASAN" -i "$INITRD" -c 2 -m 128 <noise >slow 2>slow.err -p \
	"quiet lkvm.sh=\"stty raw -echo; echo; head -c $((1024 * kib)) >/tmp/x; md5sum </tmp/x; cat /tmp/x /tmp/x /tmp/x /tmp/x | head -c $((3200 * kib))\"" &
check "$kib KiB pasted to Linux, $((3200 * kib / 1024)) KiB back" prints slow 120 'lkvm-result: sh: exit 0'
wait $reader
check "Linux got all of it" says slow.out "^${sum%% *}"
sed '1,/^[0-9a-f]\{32\}  -/d' slow.out | head -c $((3200 * kib)) >got
check "a slow reader got all that it gave back" cmp got expected

# Ports 1 and 3 on pseudo-terminals.
linux p -c 1 -m 128 --tty 1 --tty 3 -- \
	'echo up; stty -F /dev/ttyS1 raw -echo; read line </dev/ttyS1; echo got $line; echo answer >/dev/ttyS1; sleep 1; echo three >/dev/ttyS3; sleep 2'
check "--tty 1: its name is said" wait_for 10 says p.err '/dev/pts/[0-9]+'
pty1=$(sed -n 's|.*\(/dev/pts/[0-9]*\).*|\1|p' p.err | sed -n 1p)
pty3=$(sed -n 's|.*\(/dev/pts/[0-9]*\).*|\1|p' p.err | sed -n 2p)
check "--tty 3: has one of its own" test -c "$pty3" -a "$pty1" != "$pty3"
prints p 40 '^up'
cat "$pty1" >one &
one=$!
cat "$pty3" >three &
three=$!
usleep 500000
echo question >"$pty1"
check "what is typed there reaches the guest" prints p 20 '^got question'
check "and what the guest says comes back" wait_for 20 says one answer
check "port 3 too" wait_for 20 says three three
check "the VM ends well" ends p 30 0
check "nothing is left" gone_soon p
kill $one $three 2>/dev/null
