# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The serial console loses, doubles and changes nothing. Each byte takes an emulated machine a quarter of a millisecond,
# so sizes are moderate; console-linux.sh has the large ones.
plan 11

# What the monitor prints at "p".
awk 'BEGIN { for (i = 0; i < 256; i++)
	printf "%05d abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTU\n", i }' >expected
check "control: 16 KiB are expected" test "$(wc -c <expected)" -eq 16384

# A reader of 8 KiB a second: the guest waits for it.
mkfifo slow
"$B/slowcat" 1024 120 <slow >slow.out &
reader=$!
printf p | "$B/lkvm" run --name "$CASE-slow" -f "$B/monitor" -c 1 -m 64 >slow 2>slow.err &
check "a slow reader: 16 KiB are printed" prints slow 30 '^done'
sed -n '/^key p/,/^done/p' slow.out | sed '1d;$d' >got
check "a slow reader: they arrive whole" cmp got expected
check "meanwhile the VM answers" ctl stat slow
check "and stops" ctl stop slow
wait $reader

# A reader that has stopped holds the guest, not the VMM.
mkfifo stuck
# shellcheck disable=SC2217 # that it does not read is the point
sleep 1000 <stuck &
reader=$!
printf p | "$B/lkvm" run --name "$CASE-stuck" -f "$B/monitor" -c 1 -m 64 >stuck 2>stuck.err &
wait_for 10 ctl stat stuck
usleep 500000
check "a stuck reader: the VM can be stopped" ctl stop stuck
check "a stuck reader: nothing is left" gone_soon stuck
kill $reader

# Typed on a terminal faster than the guest reads: all bytes but 0x04, which ends it, and Ctrl-a, a key of the VMM's.
size=$((FULL ? 65536 : 4096))
head -c $size /dev/urandom | tr '\001\004' ab >noise
{
	printf E
	cat noise
	printf '\004o'
} >pasted
check "$((size / 1024)) KiB pasted on a terminal: the guest takes them" "$B/ptyrun" -t 400 -o screen \
	'expect:monitor BOOTED' raw "paste:$W/pasted" exit:0 cooked -- \
	"$B/lkvm" run --name "$CASE-typed" -f "$B/monitor" -c 1 -m 64
tail -c +$((1 + $(printf 'monitor BOOTED\nkey E\n' | wc -c))) screen | head -c $size >got
check "and gives them back whole" cmp got noise
check "control: so many bytes" is "$(wc -c <noise)" $size
check "nothing is left" gone_soon typed
