# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 600
# A VM whose memory is in a file, a memfd or huge pages of hugetlbfs, is saved as any other: all of its memory is in the
# snapshot, alone and in a chain, and comes back. Seen from outside.
. /share/tests/system/snapshot-lib.sh

plan 25
mkdir s

# came_back NAME FILE: a paused VM from that file has $sum.
came_back()
{
	restore "$1" "$2" --paused
	wait_for 60 listed "$1" paused || return 1
	is "$(memory "$1")" "$sum"
}

# survives NAME WHAT WORD OPTION...: eleven tests. What is restored is running in the end, with the name NAME-2.
survives()
{
	local name="$1" what="$2" word="$3"

	shift 3
	check "$what: a guest that changes its memory all the time" worker "$name" -c 2 -m 64 "$@"
	"$B/lkvm" snapshot "$CASE-$name" s/live --live >out 2>&1 || :
	check "$what: --live is refused, with the reason" says out "--live needs private guest memory.*$word memory"
	pause "$name"
	check "$what: can be saved" snapshot "$name" "s/$name"
	sum=$(memory "$name")
	check "$what: there is much to be seen from outside" test "$(wc -l <"$name.pages")" -ge 1000
	check "$what: memory and tags come back" came_back "$name-1" "s/$name"
	over "$name-1"
	resume "$name"
	goes_on "$name" "$WORK" 1 60
	pause "$name"
	check "$what: a second one builds on it" snapshot "$name" "s/$name-2" --base "s/$name"
	check "$what: and is smaller" test "$(size "s/$name-2")" -lt "$(size "s/$name")"
	was=$sum
	sum=$(memory "$name")
	check "$what: control: memory has changed" not is "$sum" "$was"
	over "$name"
	check "$what: memory and tags come back from the chain" came_back "$name-2" "s/$name-2"
	resume "$name-2"
	check "$what: goes on" goes_on "$name-2" "$WORK" 2 60
	check "$what: without a report" unharmed "$name-2"
}

size()
{
	stat -c %s "$1"
}

over()
{
	ctl stop "$1"
	ended "$1" 20
}

# backed NAME TEXT: its memory is in such a file.
backed()
{
	grep -q -- "$2" "/proc/$(pid "$1")/maps"
}

what=memfd
tags=--mte
[ "$HOST" != 6.1 ] || what="memfd, no tags: they need Linux 6.2" tags=
# shellcheck disable=SC2086 # an option or none
survives memfd "$what" memfd --mem-backend memfd $tags
check "$what: in a memfd again" backed memfd-2 memfd:
over memfd-2

echo 64 >/proc/sys/vm/nr_hugepages # of 2 MiB
what=hugetlbfs
tags=--mte
case $HOST in
6.1 | 6.12) what="hugetlbfs, no tags: they need Linux 6.13" tags= ;;
esac
# shellcheck disable=SC2086 # an option or none
survives huge "$what" hugetlbfs --hugetlbfs /dev/hugepages $tags
check "$what: in plain memory: a snapshot names no path of the host it was saved on" not backed huge-2 hugepages
over huge-2
check "nothing is left" no_litter s
echo 0 >/proc/sys/vm/nr_hugepages
