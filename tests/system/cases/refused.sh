# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# What this host cannot do is refused by name before anything starts; what it can do works.
. /share/tests/system/bare.sh

plan 45

# refused CODE REGEX TEXT OPTION...: five tests.
refused()
{
	local want="$1" regex="$2" text="$3"

	shift 3
	vm no -k "$KASAN" -i "$INITRD" -c 1 "$@"
	check "$text: exit code $want" ends no 20 "$want"
	check "$text: it is said why, and what helps" says no.err "$regex"
	check "$text: in one line" one_line no.err
	check "$text: no guest ran" test ! -s no.out
	check "$text: nothing is left" gone no
}

case $HOST in
6.1)
	refused 1 '--mem-backend memfd: .*Linux 6\.2.*--mem-backend anon' "memfd with --mte before Linux 6.2" \
		-m 64 --mte --mem-backend memfd
	;;
*)
	bare tags "" -c 1 -m 64 --mte --mem-backend memfd
	skip 4 "on Linux $HOST memfd with --mte works"
	;;
esac
bare touch "" -c 1 -m 64 --mem-backend memfd

refused 1 'not enough free huge pages for 64 MiB' "no free huge pages" -m 64 --hugetlbfs /dev/hugepages
echo 64 >/proc/sys/vm/nr_hugepages
case $HOST in
6.1 | 6.12)
	refused 1 '--hugetlbfs: .*Linux 6\.13.*leave --hugetlbfs out' "hugetlbfs with --mte before Linux 6.13" \
		-m 64 --mte --hugetlbfs /dev/hugepages
	;;
*)
	bare tags "" -c 1 -m 64 --mte --hugetlbfs /dev/hugepages
	skip 4 "on Linux $HOST hugetlbfs with --mte works"
	;;
esac
bare touch "" -c 1 -m 64 --hugetlbfs /dev/hugepages
check "hugetlbfs: no file is left in it" is "$(ls /dev/hugepages)" ""
wait_for 2 is "$(awk '/HugePages_Free/ { print $2 }' /proc/meminfo)" 64
check "hugetlbfs: its pages are free again" is "$(awk '/HugePages_Free/ { print $2 }' /proc/meminfo)" 64
echo 0 >/proc/sys/vm/nr_hugepages

refused 2 '--hugetlbfs /tmp: no hugetlbfs is mounted there' "a folder that is no hugetlbfs" -m 64 --hugetlbfs /tmp
refused 2 '-m: 8796093022208 MiB at 0x80000000 need 6[0-9] address bits, this host gives guests [0-9]+: at most [0-9]+ MiB' \
	"memory beyond the host's address bits" -m 8192P
limit=$(sed -n 's/.*at most \([0-9]*\) MiB.*/\1/p' no.err)
refused 2 "at most $limit MiB" "one unit more than the host's address bits allow" -m "$((limit + 2))"
vm full -k "$KASAN" -c 1 -m "$limit" -p 'quiet mem=64M'
check "as much as they allow is not refused for its address bits" not wait_for 2 says full.err 'address bits'
kill -KILL "$(pid full)"
ended full 10
"$B/lkvm" list >/dev/null 2>&1
refused 2 '-m: RAM starts at 0x80000000 or above' "memory where the devices are" -m 64@0x40000000
refused 1 '--irqchip: .*it offers: gicv3-its gicv3$' "GICv2 on a host without" -m 64 --irqchip gicv2
