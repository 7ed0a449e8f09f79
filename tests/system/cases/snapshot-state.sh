# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 600
# All that a guest can observe is as it was: registers, interrupts, timers, CPUs, UART, time. The guest is
# tests/guest/bare/guests/saved.c.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/bare.sh

plan 35

# saved NAME "WORDS" OPTION...: the guest comes to its "ready", is saved and ends.
saved()
{
	local name="$1" words="$2"

	shift 2
	vm "$name" -k "$B/bare/saved.img" -p "$words" --no-reboot "$@"
	check "$words: the guest is ready" wait_for 20 says "$name.out" '^ready'
	usleep 300000
	check "$words: is saved" snapshot "$name" "$name.snap" --stop
	ended "$name" 20 >/dev/null
}

# goes_well NAME "WORDS" RESTORE-OPTION...: its saved state goes on, gets a key, and finds all as it was. One test.
goes_well()
{
	local name="$1" words="$2" to="$1-r" IN="$W/$1-r.in"

	shift 2
	mkfifo "$IN"
	restore "$to" "$name.snap" "$@"
	printf k >"$IN"
	ended "$to" 60 >/dev/null
	cat "$name.out" "$to.out" | tr -d '\r' >"$to.tap"
	check "$words${*:+ }$*: $(bare_summary <"$to.tap")" bare_judge "$to"
}

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
# The pipe takes 64 KiB, and nobody reads: what is left of that room is less than the guest has to say.
dd if=/dev/zero of=full bs=1024 count=61 2>/dev/null
"$B/lkvm" run --name "$CASE-u" -k "$B/bare/saved.img" -p 'test=uart typed=8' -c 1 -m 64 <typed >full 2>u.err &
uart_pid=$!
wait_for 10 listed u running
sleep 4
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
	"awk '\$0 != sprintf(\"L %05d\", NR - 1) { print NR \": \" \$0; bad = 1; exit } END { if (NR != 1000) print NR \" lines\"; exit bad || NR != 1000 }' lines"
check "UART: some went on here and some there" test "$(grep -c '^L' u2.out)" -ge 3 -a "$(grep -c '^L' u2.out)" -lt 990
check "UART: what was typed before is there" says u2.out '^typed abcdefgh'
exec 5<&- 6<&- 7<&-

# --- time ---
# jump FILE FILE COLUMN: what the guest's clock says between the last line of one and an early one of the other; the very
# first lines were in the UART when it was saved, and the last one may have been cut.
jump()
{
	a=$(tr -d '\r' <"$1" | grep -a '^clock [0-9]* [0-9]*$' | tail -n 2 | head -n 1 | cut -d' ' -f"$3")
	b=$(tr -d '\r' <"$2" | grep -a '^clock [0-9]* [0-9]*$' | head -n 15 | tail -n 1 | cut -d' ' -f"$3")
	echo $((b - a))
}

at_least()
{
	[ "$1" -ge "$2" ] && [ "$1" -le "$3" ] && return
	echo "$1 is not between $2 and $3"
	return 1
}

vm t -k "$B/bare/saved.img" -p test=clock -c 1 -m 64
check "clock: the guest is ready" wait_for 20 says t.out '^clock '
sleep 1
check "clock: saved" snapshot t t.snap --stop
left=$(now)
ended t 20
sleep 20
restore keep t.snap --clock keep
check "--clock keep: goes on" wait_for 10 has_lines keep clock 20
restore advance t.snap --clock advance
check "--clock advance: goes on" wait_for 10 has_lines advance clock 20
ctl stop keep
ctl stop advance
ended keep 10
ended advance 10
away=$((($(now) - left) / 100))
check "--clock keep: no time passed" at_least "$(jump t.out keep.out 2)" 0 15000000
check "--clock keep: nor by the RTC" at_least "$(jump t.out keep.out 3)" -1 15
check "--clock advance: the time that passed ($away s)" at_least "$(jump t.out advance.out 2)" 19500000 $(((away + 1) * 1000000))
check "--clock advance: by the RTC too" at_least "$(jump t.out advance.out 3)" 19 $((away + 2))

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
