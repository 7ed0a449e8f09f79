# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# A kernel that checks every tag is saved in the middle of work, restored, and goes on; each time from the last restored
# one. The control: without tags it is dead at once.
. /share/tests/system/snapshot-lib.sh

every=2 # vCPUs
[ "$FULL" = 0 ] || every="1 2 4"
times=1     # that it is saved and restored
seconds=1   # of its own time that it works on then
[ "$FULL" = 0 ] || times=10
[ "$FULL" = 0 ] || seconds=30
plan $(($(echo "$every" | wc -w) * (1 + 3 * times) + 4))

# clock_of NAME head|tail: the guest's clock in seconds, as its first or last lines tell; the very first may be of the time
# before it was saved.
clock_of()
{
	tr -d '\r' <"$W/$1.out" | sed -n 's/^storm [0-9]* at \([0-9]*\)$/\1/p' | tail -n +3 | "$2" -n 1
}

worked()
{
	local first last

	first=$(clock_of "$1" head)
	last=$(clock_of "$1" tail)
	[ $((${last:-0} - ${first:-0})) -ge "$2" ] && return
	echo "$1 worked from ${first:-?} to ${last:-?} s"
	return 1
}

# again FROM TO HOW: three tests: FROM is saved and ends, TO goes on from there.
again()
{
	local from="$1" to="$2" how="$3"

	check "$to: $from is saved, $how" snapshot "$from" snap "$how"
	[ "$how" = --stop ] || ctl stop "$from"
	ended "$from" 20
	restore "$to" snap
	check "$to: works on for $seconds s" wait_for $((20 + 4 * seconds)) worked "$to" $seconds
	check "$to: without a report" unharmed "$to"
	rm -f snap
}

# All at once, since a start is what takes most of the time.
for cpus in $every; do
	linux "g$cpus" -c "$cpus" -m 128 --mte -- "/tests/storm $((cpus + 1)) $REST"
done
for cpus in $every; do
	check "$cpus vCPU(s): the storm is on" wait_for 60 has_lines "g$cpus" storm 3
	pause "g$cpus"
done
for cpus in $every; do
	last=g$cpus
	resume "$last"
	i=0
	while [ $i -lt $times ]; do
		i=$((i + 1))
		how=--stop
		[ $(((i + cpus) % 2)) != 0 ] || how=--live
		again "$last" "g$cpus-$i" $how
		last=g$cpus-$i
	done
	if [ "$cpus" = 2 ]; then
		check "control: a snapshot without its tags" snapshot "$last" bare --drop-tags --live
		restore bare bare
		check "control: its kernel reports it, or falls silent over it" fallen bare storm
		ctl stop bare || :
		check "control: it ends" ended bare 20
		rm -f bare
		check "the one that was saved goes on" goes_on "$last" storm 2 60
	fi
	ctl stop "$last"
	ended "$last" 20
done
