# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# What the options of `lkvm run` change in the guest.
plan $((33 + 2 * FULL))

# --- one guest with everything on, one with everything off ---
show='dmesg | grep -i -e pmu -e stolen; echo pauth $(grep -c paca /proc/cpuinfo); cat /proc/sys/abi/sve_default_vector_length; ls /sys/bus/event_source/devices; hexdump -C /proc/device-tree/chosen/kaslr-seed | head -n 1; cat /proc/cmdline; echo shown'
linux on -c 2 -m 128 --mte --pmu --sve-max-vl 256 --vcpu-affinity 1 --dump-dtb "$KEPT/on.dtb" -- \
	"$show; touch /tmp/x; while test -e /tmp/x; do usleep 1000000; done"
linux off -c 2 -m 128 --no-pvtime --sve-max-vl 128 --irqchip gicv3 --dump-dtb "$KEPT/off.dtb" -- "$show"
check "a guest with options on" prints on 60 '^shown'
check "a guest with options off" ends off 60 0
check "and all is well in it" guest_passed off
check "--pmu: the guest has a PMU" says on.out 'armv8_pmuv3|PMU.*counters available'
check "control: without --pmu it has none" not says off.out 'armv8_pmuv3|counters available'
check "pvtime: the guest uses stolen time" says on.out 'stolen time PV'
check "--no-pvtime: it has none" not says off.out 'stolen time PV'
check "--sve-max-vl 256: 32 bytes" says on.out '^32'
check "--sve-max-vl 128: 16 bytes" says off.out '^16'
check "pointer authentication" says on.out '^pauth 2'
threads=$(cat "/proc/$(pid on)"/task/*/comm | sort | tr '\n' ' ')
check "threads are called vcpu-N" is "$threads" "lkvm vcpu-0 vcpu-1 "
check "--vcpu-affinity: both vCPUs on CPU 1" is \
	"$(grep -h -A 100 '^Name:.*vcpu-' "/proc/$(pid on)"/task/*/status | awk '/^Cpus_allowed_list/ { print $2 }' | tr '\n' ' ')" "1 1 "
check "--vcpu-affinity: the main thread is free" is \
	"$(awk '/^Cpus_allowed_list/ { print $2 }' "/proc/$(pid on)/status")" 0-1
ctl stop on
check "and stops" ends on 10 0

# --- --sve-max-vl that this host cannot do ---
bad()
{
	vm bad -f "$B/monitor" -m 64 "$@"
	status=
	ended bad 10
}

bad --sve-max-vl 200
check "--sve-max-vl 200: exit code 2" is "$status" 2
check "--sve-max-vl 200: says why" says bad.err '--sve-max-vl: 200 is not a vector length .*multiple of 128'
bad --sve-max-vl 4096
check "--sve-max-vl 4096: says why" says bad.err '--sve-max-vl: 4096 is out of range, 128 to 2048'
bad --vcpu-affinity 63
check "--vcpu-affinity 63: no such CPU here: exit code 2" is "$status" 2
check "--vcpu-affinity 63: says why" says bad.err '--vcpu-affinity 63: none of these host CPUs can be had'
check "nothing is left of it" gone_soon bad

# --- --kaslr-seed: otherwise another one each time ---
for n in 1 2; do
	monitor "seed$n" --kaslr-seed 0x1122334455667788 --dump-dtb "$KEPT/seed$n.dtb"
	keys "seed$n" o
	monitor "free$n" --dump-dtb "$KEPT/free$n.dtb"
	keys "free$n" o
	ended "seed$n" 10
	ended "free$n" 10
done
check "--kaslr-seed: is in the device tree" grep -q "$(printf '\021\042\063\104\125\146\167')" "$KEPT/seed1.dtb"
check "control: otherwise it is not" not grep -q "$(printf '\021\042\063\104\125\146\167')" "$KEPT/free1.dtb"

# --- --mem with an address, --name, --loglevel, --nodefaults ---
vm bare -k "$KASAN" -i "$INITRD" -c 1 -m 64 --no-reboot --nodefaults -p 'quiet lkvm.sh="cat /proc/cmdline"'
check "--nodefaults" ends bare 40 0
check "the command line is ours alone" says bare.out '^quiet lkvm.sh="cat /proc/cmdline"'
if [ "$FULL" = 1 ]; then # bare.sh sees where RAM is, too
	linux high -c 1 -m 128M@0x100000000 -- 'grep -i system.ram /proc/iomem; true'
	check "-m 128M@4G" ends high 40 0
	check "RAM is there" says high.out '^10[0-9a-f]+-107[0-9a-f]+ : System RAM'
fi
long=$(head -c 1900 /dev/zero | tr '\0' x)
linux long -c 1 -m 64 -p "lkvm.sh=\"cat /proc/cmdline | wc -c\" pad=$long"  -- true
check "a command line of 2000 bytes" ends long 40 0
check "arrives whole" says long.out "^(19[3-9]|20[0-9])[0-9]"
# What would be said is the name of the pseudo-terminal.
monitor hushed --tty 1 --loglevel error
keys hushed o
ended hushed 10
check "--loglevel error: not a word" test ! -s hushed.err

# --- flash: the guest reads the file's contents; what it writes stays nowhere ---
echo 'what is in the flash' >flash
cp flash before
for mte in --mte --disable-mte; do
	monitor flash$mte -F flash $mte
	keys flash$mte f
	keys flash$mte o
	check "-F with $mte: the guest ends well" ends flash$mte 10 0
	check "-F with $mte: the guest reads it, before and after a write" is \
		"$(tr -d '\r' <flash$mte.out | grep -c '^what is in the flash$')" 2
done
check "the file is as it was" cmp flash before

check "--dump-dtb wrote a device tree" is "$(od -A n -t x1 -N 4 "$KEPT/on.dtb" | tr -d ' ')" d00dfeed
