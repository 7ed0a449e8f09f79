#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# The part of bench/migrate that runs in the emulated host (L1). Prints lines "VMM_LOAD_MIB.ROW NUMBER"; docs/figures.md
# says what they are.
#
# usage: bench/migrate-l1.sh FOLDER "MIB..." "LOAD..." WHO...
#   FOLDER  what bench/migrate made
#   LOAD    idle, full, busy
#   WHO     lkvm; nokasan: the same with kasan=off, which is what KASAN is by itself in a guest without MTE: so it has as much memory
#           in use as those have; nomte: without MTE; qemu (whose files are the 9p share "peer"); postcopy: lkvm again, with idle
#           guests of 256 and 4096 MiB that go on before any of their memory has come

set -u
folder=$1
sizes=$2
loads=$3
shift 3
work=/tmp/migrate
mkdir -p $work || exit 1
cp "$folder/lkvm" "$folder/Image" "$folder/initrd" $work || exit 1
cd $work || exit 1
# shellcheck source=bench/l1.sh
. /share/bench/l1.sh

# What the guest is told: a busy one writes to each 4 KiB of half of its memory in turn, 32 MiB of them a second.
words()
{
	case $1 in
	idle) echo idle ;;
	full) echo "fill $(($2 * 5 / 8))" ;;
	busy) echo "busy $(($2 / 2)) 33554432" ;;
	esac
}

# warm_up BEGAN MIB: until a busy guest that was started then has surely written to each of its pages once more after it had
# filled them, whichever VMM's it is, and whether it can say so. Five seconds are for its start and the filling.
warm_up()
{
	until [ $(($(now_ms) - $1)) -ge $((5000 + $2 * 750 / 32)) ]; do
		usleep 100000
	done
}

# by_lkvm ROW LOAD MIB [OPTION]; $how: words for lkvm migrate, $kernel: and for the guest's kernel
by_lkvm()
{
	row=$1_$2_$3
	shift
	rm -f ./*.out
	began=$(now_ms)
	# shellcheck disable=SC2086 # words
	(group "from_$row" ./lkvm run --name from -c 1 -m "$2" ${3-} --no-reboot -k Image -i initrd -p "quiet $kernel -- $(words "$1" "$2")" \
		</dev/null >from.out 2>&1) &
	source=$!
	if [ "$1" = busy ]; then
		said from.out '^filled'
		echo "$row.filled_ms $(($(now_ms) - began))"
		warm_up "$began" "$2"
	else
		said from.out '^init'
		idle "from_$row"
	fi
	(group "to_$row" ./lkvm incoming unix:$work/line --name to </dev/null >to.out 2>&1) &
	destination=$!
	said to.out 'waiting at'
	by_itself "from_$row"
	before=$(used "from_$row")
	# shellcheck disable=SC2086 # words
	(group "from_$row" ./lkvm migrate from unix:$work/line --json $how >from.json) || {
		cat from.json from.out to.out
		exit 1
	}
	tail -n 1 from.json >>"$folder/json"
	echo "$row.total_us $(($(field elapsed_ns <from.json) / 1000))"
	echo "$row.down_us $(($(field downtime_ns <from.json) / 1000))"
	echo "$row.first_us $(($(field destination_downtime_ns <from.json) / 1000))"
	echo "$row.faults $(field faults <from.json)"
	for name in sent data tag zero state; do
		echo "$row.${name}_bytes $(field ${name}_bytes <from.json)"
	done
	echo "$row.pages $(field pages <from.json)"
	echo "$row.rounds $(field round <from.json)"
	elapsed_ms=$(($(field elapsed_ns <from.json) / 1000000))
	echo "$row.from_us $(($(used "from_$row") - before - elapsed_ms * own / 1000))"
	echo "$row.to_us $(used "to_$row")"
	./lkvm stop to >/dev/null
	wait "$source" "$destination"
}

lkvm()
{
	by_lkvm lkvm "$1" "$2" --mte
}

nokasan()
{
	kernel=kasan=off
	by_lkvm nokasan "$1" "$2" --mte
	kernel=
}

nomte()
{
	by_lkvm nomte "$1" "$2"
}

# qemu LOAD MIB: the bandwidth unlimited, as lkvm's is; 300 ms of downtime are both VMMs' default.
qemu()
{
	row=qemu_$1_$2
	[ -e $work/qemu ] || fetch_qemu
	began=$(now_ms)
	run_qemu "from_$row" $work/from "$2" -kernel Image -initrd initrd -append "quiet -- $(words "$1" "$2")"
	if [ "$1" = busy ]; then
		warm_up "$began" "$2"
	else
		sleep 2
		idle "from_$row"
	fi
	source=$!
	rm -f line
	run_qemu "to_$row" $work/to "$2" -incoming unix:$work/line
	destination=$!
	until [ -S line ]; do
		kill -0 "$destination" || exit 1
		usleep 100000
	done
	idle "to_$row"
	tell $work/from "migrate_set_parameter max-bandwidth 100G"
	tell $work/from "migrate -d unix:$work/line"
	for _ in $(seq 60); do
		sleep 1
		ask $work/from "info migrate" >info
		grep -q 'completed' info && break
	done
	cp info "$folder/$row.info"
	sed -n "s/.*total time: *\([0-9]*\) ms.*/$row.total_us \1000/p; s/.*downtime: *\([0-9]*\) ms.*/$row.down_us \1000/p
		s/^normal: *\([0-9]*\) pages.*/$row.pages \1/p" info
	sed -n "s/.*transferred ram: *\([0-9]*\) kbytes.*/$row.sent_bytes \1/p" info | awk '{ print $1, $2 * 1024 }'
	tell $work/from quit
	tell $work/to quit
	wait "$source" "$destination"
	kill "$(cat from.cat)" "$(cat to.cat)"
}

postcopy()
{
	how="--postcopy --postcopy-after 0"
	by_lkvm postcopy "$1" "$2" --mte
	how=
}

how=
kernel=
sleep 2
echo "host.release $(uname -r)"
for mib in $sizes; do
	for load in $loads; do
		for who; do
			[ "$who" = postcopy ] || $who "$load" "$mib"
		done
	done
done
for who; do
	[ "$who" != postcopy ] || for mib in 256 4096; do
		postcopy idle $mib
	done
done
