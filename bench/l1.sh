# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# What the benches of snapshots and migration share in the emulated host (L1). Sourced with $folder and $work set.
#
# What something costs is the CPU time of a control group: of the VMM, its children, and the kernel on their behalf,
# exactly, whoever waits for what. The host has one CPU, whose clock counts 2 ns for each instruction.

: "${folder:?}" "${work:?}"
groups=/sys/fs/cgroup

# group NAME COMMAND...: that, in a control group of that name. Each is used for one VM, and left behind.
group()
{
	mkdir -p "$groups/$1"
	echo 0 >"$groups/$1/cgroup.procs"
	shift
	exec "$@"
}

# used NAME: microseconds that a group has used.
used()
{
	awk '$1 == "usage_usec" { print $2 }' "$groups/$1/cpu.stat"
}

# said FILE TEXT: waits until that is in it.
said()
{
	i=0
	until grep -aqs "$2" "$1"; do
		i=$((i + 1))
		[ $i -lt 600 ] || {
			echo "bench: '$2' was never said in $1:"
			tail -n 5 "$1"
			exit 1
		}
		usleep 100000
	done
}

# idle GROUP: waits until its programs have no more to do.
idle()
{
	i=0
	while [ ! -e "$groups/$1/cpu.stat" ]; do
		usleep 20000
	done
	last=$(used "$1")
	while [ $i -lt 600 ]; do
		sleep 1
		now=$(used "$1")
		[ $((now - last)) -ge 10000 ] || return 0
		last=$now
		i=$((i + 1))
	done
}

# now_ms: since the host's start.
now_ms()
{
	awk '{ printf "%d", $1 * 1000 }' /proc/uptime
}

# by_itself GROUP: sets $own to what its programs use by themselves, microseconds a second.
by_itself()
{
	own=$(used "$1")
	sleep 2
	own=$((($(used "$1") - own) / 2))
}

# field NAME: that number from the last line of --json on standard input.
field()
{
	tail -n 1 | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

# with_libraries COMMAND...: QEMU's.
with_libraries()
{
	LD_LIBRARY_PATH=$work/qemu/usr-lib:$work/qemu/lib "$@"
}

fetch_qemu()
{
	mkdir -p /peer "$work/qemu"
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro peer /peer || exit 1
	cp -a /peer/usr/lib/aarch64-linux-gnu "$work/qemu/usr-lib" && cp -a /peer/lib/aarch64-linux-gnu "$work/qemu/lib" &&
		cp /peer/usr/bin/qemu-system-aarch64 "$work/qemu/" && cp -a /peer/usr/share/qemu "$work/qemu/share" || exit 1
}

# run_qemu GROUP MONITOR MIB ARG...: QEMU with its monitor on pipes of that name, whose guest is mute; in the background, as $!.
run_qemu()
{
	qemu_group=$1
	monitor=$2
	qemu_mib=$3
	shift 3
	rm -f "$monitor.in" "$monitor.out"
	mkfifo "$monitor.in" "$monitor.out"
	# Both ends stay open: neither side waits for the other at the start.
	(
		exec 4<>"$monitor.in" 5<>"$monitor.out"
		cat <&5 >"$monitor.said" &
		echo $! >"$monitor.cat"
		LD_LIBRARY_PATH=$work/qemu/usr-lib:$work/qemu/lib
		export LD_LIBRARY_PATH
		group "$qemu_group" "$work/qemu/qemu-system-aarch64" -L "$work/qemu/share" -accel kvm -cpu host -smp 1 \
			-m "$qemu_mib" -M virt,gic-version=3,mte=off -nodefaults -display none -no-reboot -serial null \
			-chardev "pipe,id=m,path=$monitor" -mon m "$@"
	) &
}

# tell MONITOR COMMAND: one command to QEMU's monitor.
tell()
{
	echo "$2" >"$1.in"
}

# ask MONITOR COMMAND: the same, and what it answers.
ask()
{
	: >"$1.said"
	tell "$1" "$2"
	usleep 300000
	tr -d '\r' <"$1.said"
}
