# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 900
# All that a guest can observe is as it was: registers, interrupts, timers, CPUs, UART, time. The guest is
# tests/guest/bare/guests/saved.c.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/bare.sh

plan 38
away=4    # seconds between save and restore
lines=700 # that the guest says on its UART: half a millisecond a byte
[ "$FULL" = 0 ] || away=20
[ "$FULL" = 0 ] || lines=2000

# The physical timer's registers cannot be had from older kernels.
ptimer=ptimer=1
[ "$HOST" != 6.1 ] || ptimer=ptimer=0

saved mte "test=regs $ptimer" -c 1 -m 64 --mte
goes_well mte "test=regs $ptimer, --mte"
saved plain "test=regs $ptimer pmu=1" -c 2 -m 64 --pmu --sve-max-vl 256
goes_well plain "test=regs $ptimer pmu=1"
for chip in gicv3-its gicv3; do
	saved $chip "test=irqs ms=1500" -c 3 -m 64 --mte --irqchip $chip
	goes_well $chip "test=irqs, $chip" --clock keep
done
# KVM reads the tables of the ITS while pages are missing.
cp gicv3-its.snap lazy.snap
cp gicv3-its.out lazy.out
goes_well lazy "test=irqs" --clock keep --lazy --no-prefetch
saved late "test=irqs ms=400" -c 3 -m 64
sleep 1
goes_well late "test=irqs, its timer's time passed meanwhile" --clock advance

# --- the UART: bytes in both FIFOs ---
mkfifo full typed typed2
exec 5<>full 6<>typed 7<>typed2
# The pipe takes 64 KiB, and nobody reads: what is left of that room, and of the UART's, is less than the guest has to say.
dd if=/dev/zero of=full bs=1024 count=63 2>/dev/null
"$B/lkvm" run --name "$CASE-u" -k "$B/bare/saved.img" -p "test=uart typed=8 lines=$lines" -c 1 -m 64 <typed >full 2>u.err &
uart_pid=$!
wait_for 10 listed u running
sleep 2 # or more, or less: it is saved somewhere on its way
printf abcdefgh >typed
sleep 1
check "UART: saved with a reader that does not read" snapshot u u.snap --stop
wait $uart_pid
# What had gone out by then; dd ends when nothing comes any more.
cat <full >before &
cat_pid=$!
sleep 1
kill $cat_pid
IN=$W/typed2 restore u2 u.snap
check "UART: restored, it ends" ends u2 60 0
cat before u2.out | tr -d '\r\0' | grep -a '^L' >lines
check "UART: no line lost, doubled or damaged" sh -c \
	"awk '\$0 != sprintf(\"L %05d\", NR - 1) { print NR \": \" \$0; bad = 1; exit } END { if (NR != $lines) print NR \" lines\"; exit bad || NR != $lines }' lines"
check "UART: some went on here and some there" test "$(grep -c '^L' u2.out)" -ge 3 -a "$(grep -c '^L' u2.out)" -lt $((lines - 10))
check "UART: what was typed before is there" says u2.out '^typed abcdefgh'
exec 5<&- 6<&- 7<&-

# --- time ---
vm t -k "$B/bare/saved.img" -p test=clock -c 1 -m 64
check "clock: the guest is ready" wait_for 20 says t.out '^clock '
sleep 1
check "clock: saved" snapshot t t.snap --stop
left=$(now)
ended t 20
sleep $away
restore keep t.snap --clock keep
check "--clock keep: goes on" wait_for 10 has_lines keep clock 20
restore lazy-keep t.snap --clock keep --lazy
check "--clock keep --lazy: goes on" wait_for 10 has_lines lazy-keep clock 20
ctl stop lazy-keep
ended lazy-keep 10
restore advance t.snap --clock advance
check "--clock advance: goes on" wait_for 10 has_lines advance clock 20
ctl stop keep
ctl stop advance
ended keep 10
ended advance 10
elapsed=$((($(now) - left) / 100 + 1))
check "--clock keep: no time passed" within "$(jump t.out keep.out 2)" 0 $((away * 500000))
check "--clock keep: nor by the RTC" within "$(jump t.out keep.out 3)" 0 $((away / 2))
check "--clock keep --lazy: no time passed" within "$(jump t.out lazy-keep.out 2)" 0 $((away * 500000))
check "--clock keep --lazy: nor by the RTC" within "$(jump t.out lazy-keep.out 3)" 0 $((away / 2))
check "--clock advance: the time that passed, $away s and more" within "$(jump t.out advance.out 2)" $((away * 1000000)) $((elapsed * 1000000))
check "--clock advance: by the RTC too" within "$(jump t.out advance.out 3)" $((away - 1)) $((elapsed + 1))

# Saved while paused by its user: stays so.
vm p -k "$B/bare/saved.img" -p test=clock -c 1 -m 64
wait_for 20 says p.out '^clock '
pause p
check "saved while paused" snapshot p p.snap --stop
ended p 10
restore p2 p.snap
check "is paused after its restore" wait_for 10 listed p2 paused
usleep 300000
check "and says nothing" is "$(grep -c '^clock' p2.out)" 0
check "until it is resumed" resume p2
check "then it goes on" wait_for 10 says p2.out '^clock [0-9]+ [0-9]+'
kill -9 "$(pid p2)"
ended p2 10
"$B/lkvm" list >/dev/null 2>&1
check "nothing is left" no_litter .
