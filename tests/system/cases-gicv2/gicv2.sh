# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# A host whose interrupt controller is a GICv2.
plan $((21 + 6 * FULL))

show='dmesg | grep -i -e gic; grep -c . /proc/interrupts; nproc'

# works NAME TEXT OPTION...: four tests.
works()
{
	local name="$1" text="$2"

	shift 2
	linux "$name" --mte -m 256 "$@" -- "$show; /tests/tagcheck"
	check "$text: ends well" ends "$name" 60 0
	check "$text: all is well in the guest" guest_passed "$name"
	check "$text: it is a GICv2" not says "$name.out" 'GICv3'
}

works auto "no --irqchip, 8 vCPUs" -c 8 --dump-dtb "$KEPT/auto.dtb"
check "8 vCPUs: it has them all" says auto.out '^8'
check "no --irqchip: the guest has its MSI frame" says auto.out 'GICv2m: range|gicv2m'
long works v2m "--irqchip gicv2m" -c 2 --irqchip gicv2m --dump-dtb "$KEPT/gicv2m.dtb"
works v2 "--irqchip gicv2" -c 4 --irqchip gicv2 --dump-dtb "$KEPT/gicv2.dtb"
check "control: --irqchip gicv2 has no MSI frame" not says v2.out 'GICv2m: range'
long works two "2 vCPUs" -c 2

for kind in gicv3 gicv3-its; do
	vm no -k "$KASAN" -i "$INITRD" -c 1 -m 64 --irqchip $kind
	check "--irqchip $kind: refused, exit code 1" ends no 20 1
	check "--irqchip $kind: says what there is" says no.err '--irqchip: .*it offers: gicv2m gicv2$'
	check "--irqchip $kind: in one line" one_line no.err
	check "--irqchip $kind: nothing is left" gone no
done
vm nine -k "$KASAN" -c 9 -m 64
check "9 vCPUs: refused, and what is possible" ends nine 20 2
check "9 vCPUs: says so" says nine.err 'at most 8 vCPUs'
check "9 vCPUs: nothing is left" gone nine
monitor r
keys r r
twice()
{
	[ "$(grep -c 'monitor BOOTED' r.out)" = 2 ]
}
check "reboots" wait_for 10 twice
ctl stop r
ended r 10
