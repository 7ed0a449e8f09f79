#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# The part of bench/run that runs in the emulated host (L1). Prints lines "VMM.ROW VALUE"; what each row is and how it is
# measured says docs/figures.md.
#
# usage: bench/in-l1.sh FOLDER RUNS WHO...
#   FOLDER  what bench/run made
#   RUNS    so often each boot is repeated; the least counts
#   WHO     lkvm, qemu (whose files are the 9p share "peer")

set -u
folder=$1
runs=$2
shift 2
work=/tmp/bench
mkdir -p $work || exit 1
# All of it to memory: what is measured is no file system.
cp "$folder/lkvm" "$folder/measure" "$folder/Image" "$folder/initrd" "$folder"/mmio-* $work || exit 1
cd $work || exit 1
# The test kernel has a driver for lkvm's UART and none for QEMU's: there the guest is mute.
marker()
{
	[ "$1" = qemu ] || echo init
}

fetch_qemu()
{
	mkdir -p /peer qemu
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro peer /peer || exit 1
	cp -a /peer/usr/lib/aarch64-linux-gnu qemu/usr-lib && cp -a /peer/lib/aarch64-linux-gnu qemu/lib &&
		cp /peer/usr/bin/qemu-system-aarch64 qemu/ && cp -a /peer/usr/share/qemu qemu/share || exit 1
	echo "qemu.version $(with_libraries qemu/qemu-system-aarch64 --version |
		sed -n '1s/.*version \([0-9.]*\).*/\1/p')"
}

# In the environment of that one program only, which is not what is measured.
with_libraries()
{
	LD_LIBRARY_PATH=$work/qemu/usr-lib:$work/qemu/lib "$@"
}

# vmm WHO MTE [WORD]: sets $cmd to what boots the KASAN guest, but for the last argument, the kernel's parameters, which
# are $params.
vmm()
{
	params="quiet${3:+ -- $3}"
	case $1 in
	lkvm)
		cmd="$work/lkvm run --name bench -c 1 -m 256 -k Image -i initrd"
		[ "$2" = off ] || cmd="$cmd --mte"
		cmd="$cmd -p"
		;;
	qemu)
		cmd="$work/qemu/qemu-system-aarch64 -L qemu/share -accel kvm -cpu host -smp 1 -m 256"
		cmd="$cmd -M virt,gic-version=3,mte=$2 -nodefaults -display none -no-reboot"
		cmd="$cmd -serial stdio -kernel Image -initrd initrd -append"
		;;
	esac
}

# run PREFIX...: runs that with what vmm() set.
run()
{
	# shellcheck disable=SC2086 # words
	with_libraries "$@" $cmd "$params"
}

# The least of some runs leaves out what differs between them: address randomisation and random seeds.
boot()
{
	vmm "$1" "$2"
	# shellcheck disable=SC2046 # three numbers
	set -- "$1" "$2" $(run ./measure -n "$runs" "$(marker "$1")")
	[ $# -eq 5 ] || return 1
	if [ "$2" = on ]; then
		[ "$1" = qemu ] || echo "$1.init_us $3"
		echo "$1.off_us $4"
		echo "$1.rss_kib $5"
	else
		echo "$1.nomte_off_us $4"
	fi
}

# The same on a host that gives no huge pages, whatever is advised.
boot_small_pages()
{
	setting=/sys/kernel/mm/transparent_hugepage/enabled
	before=$(sed 's/.*\[\(.*\)\].*/\1/' $setting)
	echo never >$setting
	boot "$1" on | sed -n "s/^$1.off_us/$1.small_off_us/p; s/^$1.rss_kib/$1.small_rss_kib/p"
	boot "$1" off | sed "s/^$1.nomte_off_us/$1.small_nomte_off_us/"
	echo "$before" >$setting
}

calls()
{
	vmm "$1" on
	run strace -f -o strace.out >/dev/null </dev/null
	# What is no beginning of a call: the rest of an interrupted line, signals, the end of a thread.
	awk -v who="$1" '/resumed>|\+\+\+|---/ { next }
		/KVM_RUN/ { runs++ }
		!runs { before++ }
		END { print who ".calls_before_run", before; print who ".kvm_runs", runs }' strace.out
	cp strace.out "$folder/strace-$1"
}

# Pss of all but the mapping that has the size of the guest's RAM.
idle()
{
	vmm "$1" on idle
	run >idle.out </dev/null &
	for _ in $(seq 200); do
		grep -q "^$(marker lkvm)" idle.out && break
		usleep 20000
	done
	[ "$1" = qemu ] || grep -q "^$(marker lkvm)" idle.out || return 1
	sleep 1
	pid=$(pidof "$([ "$1" = lkvm ] && echo lkvm || echo qemu-system-aarch64)") || return 1
	cp "/proc/$pid/smaps" "$folder/smaps-$1"
	awk -v who="$1" '/^[0-9a-f]+-[0-9a-f]+ / { next }
		$1 == "Size:" { ram = $2 >= 262144 }
		!ram && $1 == "Pss:" { pss += $2 }
		!ram && $1 == "Anonymous:" { anon += $2 }
		END { print who ".pss_kib", pss; print who ".anon_kib", anon }' "$folder/smaps-$1"
	kill "$pid"
	wait
}

console()
{
	[ "$1" != qemu ] || return 0
	vmm "$1" on console
	run ./measure -o console.out "$(marker "$1")" >/dev/null || return 1
	bytes=$(tr -d -c '0-o\n' <console.out | head -c 204800 | wc -c)
	[ "$bytes" -eq 204800 ] || echo "bench: $1: only $bytes bytes of 200 KiB came out"
	sed -n "s/^console-us \([0-9]*\).*/$1.console_us \1/p" console.out
}

# Ticks of a number of accesses, as the guest says them in hexadecimal; the empty loop's are not taken off (4 ns).
traps()
{
	case $1 in
	lkvm) cmd="$work/lkvm run --name bench -c 1 -m 256 -k mmio-lkvm.img -p" ;;
	qemu)
		cmd="$work/qemu/qemu-system-aarch64 -L qemu/share -accel kvm -cpu host -smp 1 -m 256"
		cmd="$cmd -M virt,gic-version=3 -nodefaults -display none -no-reboot"
		cmd="$cmd -serial stdio -kernel mmio-$1.img -append"
		;;
	esac
	params=
	run ./measure -o traps.out h0 >/dev/null 2>&1 || return 1
	tr -d '\r' <traps.out | while read -r line; do
		value=$(printf '%d' "0x${line#?}")
		case $line in
		f*) hz=$value ;;
		t*) turns=$value ;;
		u*) echo "$1.mmio_uart_ns $((value * 1000 / (hz / 1000000) / turns))" ;;
		n*) echo "$1.mmio_none_ns $((value * 1000 / (hz / 1000000) / turns))" ;;
		g*) echo "$1.vgic_ns $((value * 1000 / (hz / 1000000) / turns))" ;;
		h*) echo "$1.hvc_ns $((value * 1000 / (hz / 1000000) / turns))" ;;
		esac
	done
}

echo "host.release $(uname -r)"
for who in "$@"; do
	case $who in
	lkvm) echo "lkvm.version $(./lkvm version | head -n 1)" ;;
	qemu) fetch_qemu ;;
	esac
	# The host's kernel has work of its own just after its start.
	sleep 2
	for part in "boot $who on" "boot $who off" "calls $who" "idle $who" "console $who" "traps $who"; do
		$part || echo "bench: failed: $part"
	done
	[ "$who" != lkvm ] || boot_small_pages lkvm
done
