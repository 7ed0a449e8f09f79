# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 600
# What a user's program has in registers of MTE alone, under a kernel: a fault that is noted and not told yet (TFSRE0_EL1),
# PSTATE.TCO, and where its random tags are (RGSR_EL1). tests/guest/linux/tagkeep.c, a CPU for each; without KASAN, whose own
# random tags would come between.
. /share/tests/system/snapshot-lib.sh

plan 17
ways='tfsr tco irg'
TFSRE0=0x603000000013c2b1 # ARM64_SYS_REG(3, 0, 5, 6, 1)
RGSR=0x603000000013c085	  # ARM64_SYS_REG(3, 0, 1, 0, 5)
PSTATE=0x6030000000100042
TCO=$((1 << 25))

# of VCPU REGISTER: its value, of the VM that is paused.
of()
{
	ctl debug g --dump --json | sed -n "s/.*\"vcpu\": *$1,.*\"$2\": *\"\([0-9a-f]*\)\".*/0x\1/p"
}

# g is paused where each of them has what it is about: in the program, and not in the kernel.
caught()
{
	pause g
	# In the kernel the same bit may be of a fault that is told already.
	[ $(($(of 0 tfsre0_el1) & 1)) = 1 ] && [ $(($(of 0 pstate) & 15)) = 0 ] && [ $(($(of 1 pstate) & (TCO | 15))) = $TCO ] &&
		[ $(($(of 2 pstate) & 15)) = 0 ] && return
	resume g
	return 1
}

all_go_on()
{
	local way

	for way in $ways; do
		goes_on "$1" "$way" 2 60 || return 1
	done
}

# The shell waits for none of them: one that is done does not end what the others do.
vm g --no-reboot -k "$KASAN" -i "$INITRD" -c 3 -m 96 --mte \
	-p "quiet kasan=off panic=-1 lkvm.sh=\"/tests/tagkeep tfsr 0 & /tests/tagkeep tco 1 & /tests/tagkeep irg 2 & sleep 100000\""
for way in $ways; do
	check "$way: the program works" wait_for 60 has_lines g "$way" 2
done
check "it is paused with a fault noted, TCO set, and the random tags' program on a CPU" wait_for 60 caught
check "saved so" snapshot g snap
resume g
check "control: they go on where they were" all_go_on g
check "control: without a word" unharmed g
ctl stop g
ended g 20

resume_soon()
{
	wait_for 20 listed "$1" paused
	resume "$1"
}

restore r snap --clock keep
resume_soon r
for way in $ways; do
	check "restored: $way goes on" goes_on r "$way" 3 60
done
check "restored: without a word" unharmed r
ctl stop r
ended r 20

# --- controls: each of the registers is what it hangs on ---
cp snap bad
check "control: no fault noted" "$B/spoil" register bad 0 $TFSRE0 0
check "control: TCO clear" "$B/spoil" register bad 1 $PSTATE 0
check "control: another seed" "$B/spoil" register bad 2 $RGSR 0x123405
restore bad bad --clock keep
resume_soon bad
for way in $ways; do
	check "control: $way notices" wait_for 60 says bad.out "^$way: WRONG"
done
ctl stop bad
ended bad 20
