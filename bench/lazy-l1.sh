#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# The part of bench/lazy that runs in the emulated host (L1). Prints a line for each guest, size and way: guest, its MiB, KiB
# of the file, microseconds to the answer, KiB of peak RSS, way.
#
# usage: bench/lazy-l1.sh FOLDER MIB...

set -u
folder=$1
shift
work=/tmp/lazy
mkdir -p $work || exit 1
cp "$folder/lkvm" "$folder/measure" "$folder/Image" "$folder/initrd" "$folder/monitor" $work || exit 1
cd $work || exit 1
mkfifo in
exec 3<>in

# said TEXT: the guest has.
said()
{
	i=0
	while ! grep -aq "$1" out && [ $i -lt 300 ]; do
		usleep 100000
		i=$((i + 1))
	done
}

# measured GUEST MIB: the guest that runs as "g" ends in a file; from that it answers a key.
measured()
{
	./lkvm snapshot g snap --stop >/dev/null || exit 1
	wait
	for how in eager --lazy "--lazy --no-prefetch"; do
		# shellcheck disable=SC2086 # words
		best=$(./measure -k -n 3 -i typed key ./lkvm restore snap --name again --clock keep ${how#eager}) || exit 1
		# To the answer, to the end, peak RSS.
		echo "$1 $2 $(($(stat -c %s snap) >> 10)) ${best%% *} ${best##* } $how"
	done
}

echo key >typed
for mib; do
	# Echoes by itself what comes, and has touched next to nothing.
	./lkvm run --name g -c 1 -m "$mib" --mte -f monitor <in >out 2>&1 &
	said BOOTED
	printf e >in
	said 'key e'
	sleep 1
	measured bare "$mib"
done
for mib; do
	./lkvm run --name g -c 1 -m "$mib" --mte --no-reboot -k Image -i initrd \
		-p 'quiet panic=-1 lkvm.sh="echo ready; cat"' <in >out 2>&1 &
	said ready
	sleep 2
	measured Linux "$mib"
done
