#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# The part of bench/snapshot that runs in the emulated host (L1). Prints lines "NAME.ROW NUMBER"; docs/figures.md says what
# they are.
#
# usage: bench/snapshot-l1.sh FOLDER WHO...
#   FOLDER  what bench/snapshot made
#   WHO     parts, and which guests: lkvm, qemu (whose files are the 9p share "peer")

set -u
folder=$1
shift
work=/tmp/snapshot
mkdir -p $work || exit 1
cp "$folder/lkvm" "$folder/floor" "$folder/Image" "$folder/initrd" "$folder/monitor" $work || exit 1
cd $work || exit 1
# shellcheck source=bench/l1.sh
. /share/bench/l1.sh
mkdir -p huge
mount -t tmpfs -o huge=always huge huge || exit 1

MIB=256
FILL=160 # of it by the guest's program

# A guest that runs as NAME, idle in the end.
linux()
{
	name=$1
	words=$2
	shift 2
	(group "$name" ./lkvm run --name "$name" -c 1 -m $MIB --no-reboot -k Image -i initrd -p "quiet -- $words" \
		"$@" </dev/null >"$name.out" 2>&1) &
	vm=$!
	case $words in
	busy*) said "$name.out" ^filled ;;
	*)
		said "$name.out" ^init
		idle "$name"
		;;
	esac
}

# A guest with next to no memory, which polls its UART for ever: what does not depend on memory.
bare()
{
	mkfifo in
	exec 3<>in
	(group bare ./lkvm run --name bare -c 1 -m $MIB --mte -f monitor <in >bare.out 2>&1) &
	vm=$!
	said bare.out BOOTED
}

# save NAME ROW [ARG...]: what it costs while the guest stands; to $file.
file=snap
save()
{
	name=$1
	row=$2
	shift 2
	./lkvm pause "$name" >/dev/null
	rm -f $file # to replace it would be to free it as well
	before=$(used "$name")
	(group "$name" ./lkvm snapshot "$name" $file --json "$@" >save.json) || exit 1
	echo "$row.save_us $(($(used "$name") - before))"
	echo "$row.disk_bytes $(($(stat -c %b $file) * 512))"
	echo "$row.file_bytes $(field file_bytes <save.json)"
	echo "$row.data_bytes $(field data_bytes <save.json)"
	echo "$row.tag_bytes $(field tag_bytes <save.json)"
	./lkvm resume "$name" >/dev/null
}

# restore ROW: up to where the guest would run.
restore()
{
	(group "again_$1" ./lkvm restore $file --name again --paused --clock keep </dev/null >again.out 2>&1) &
	again=$!
	i=0
	until ./lkvm list 2>/dev/null | grep -q '^again .*paused' || [ $i -gt 300 ]; do
		usleep 50000
		i=$((i + 1))
	done
	usleep 200000
	echo "$1.restore_us $(used "again_$1")"
	./lkvm stop again >/dev/null
	wait "$again"
}

# live NAME ROW: the pause as the VMM tells it, and what all of it costs while the guest runs.
live()
{
	by_itself "$1"
	for _ in 1 2 3; do
		before=$(used "$1")
		began=$(now_ms)
		(group "$1" ./lkvm snapshot "$1" live --live --json >live.json) || exit 1
		sleep 1
		echo "$2.live_us $(($(used "$1") - before - (($(now_ms) - began) * own) / 1000))"
		echo "$2.live_pause_ns $(field pause_ns <live.json)"
		rm live
	done
}

gone()
{
	./lkvm stop "$1" >/dev/null
	wait "$vm"
}

lkvm()
{
	bare
	save bare bare
	restore bare
	gone bare

	linux idle idle --mte
	save idle idle
	restore idle
	live idle idle
	gone idle

	linux full "fill $FILL" --mte
	save full full
	restore full
	live full full
	save full dropped --drop-tags
	file=huge/snap
	save full in_huge
	restore in_huge
	rm -f $file
	file=snap
	gone full

	linux nomte "fill $FILL"
	save nomte nomte
	restore nomte
	live nomte nomte
	gone nomte

	linux random "random-tags $FILL" --mte
	save random random
	restore random
	gone random

	# On a host that gives no huge pages, whatever is advised.
	echo never >/sys/kernel/mm/transparent_hugepage/enabled
	linux small "fill $FILL" --mte
	save small small
	restore small
	live small small
	gone small
	echo madvise >/sys/kernel/mm/transparent_hugepage/enabled

	linux busy "busy 64 33554432" --mte
	live busy busy
	gone busy
	rm -f snap
}

# The pages that QEMU has sent, zero pages apart; its own words are in ms.
qemu_guest()
{
	run_qemu "qemu_$1" "$work/$1" $MIB -kernel Image -initrd initrd -append "quiet -- $2"
	vm=$!
	sleep 2
	# It is mute. A busy one is so after some seconds, as lkvm's is.
	case $2 in
	busy*) sleep 8 ;;
	*) idle "qemu_$1" ;;
	esac
}

qemu_save()
{
	tell "$1" "migrate file:$work/qsnap"
	for _ in $(seq 100); do
		sleep 1
		ask "$1" "info migrate" >"$1.info"
		grep -q 'Status: completed\|Migration status: completed\|status: completed' "$1.info" && break
	done
	cp "$1.info" "$folder/qemu-$1.info"
	echo "qemu_$1.file_bytes $(stat -c %s qsnap)"
	sed -n "s/.*total time: *\([0-9]*\) ms.*/qemu_$1.total_ms \1/p; s/.*downtime: *\([0-9]*\) ms.*/qemu_$1.down_ms \1/p;
		s/.*normal: *\([0-9]*\) pages.*/qemu_$1.pages \1/p" "$1.info"
	tell "$1" quit
	wait "$vm"
	kill "$(cat "$1.cat")"
}

qemu()
{
	fetch_qemu
	qemu_guest idle idle
	qemu_save idle
	qemu_guest full "fill $FILL"
	qemu_save full
	run_qemu qemu_again "$work/again" $MIB -incoming "file:$work/qsnap" -S
	vm=$!
	sleep 2
	idle qemu_again
	echo "qemu_full.restore_us $(used qemu_again)"
	tell again quit
	wait "$vm"
	kill "$(cat again.cat)"
	qemu_guest busy "busy 64 33554432"
	qemu_save busy
	rm -f qsnap
}

sleep 2
echo "host.release $(uname -r)"
./floor $work/floor.tmp || exit 1
./floor $work/huge/floor.tmp | sed -n 's/^part\.\(write\|overwrite\|read\|map\) /part.huge_\1 /p'
for who; do
	$who
done
