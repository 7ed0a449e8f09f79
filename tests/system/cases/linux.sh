# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Linux with KASAN_HW_TAGS, which reports every lost tag, in every shape of machine.
shapes=4 # vCPUs
[ "$FULL" = 0 ] || shapes="1 2 4"
plan $((14 + 11 * FULL))

# passes NAME SECONDS TEXT: three tests of a guest that was started with linux().
passes()
{
	check "$3: lkvm says that it ended well" ends "$1" "$2" 0
	check "$3: the guest powers off" says "$1.out" 'reboot: Power down'
	check "$3: all is well in it" guest_passed "$1"
}

for cpus in $shapes; do
	linux "c$cpus" -c "$cpus" -m 256 --mte -- \
		"dmesg | grep kasan: && test \$(nproc) = $cpus && /tests/tagcheck && /tests/mte-demo"
	passes "c$cpus" 60 "$cpus vCPU(s) with --mte"
	check "$cpus vCPU(s): its kernel checks tags" says "c$cpus.out" 'kasan: .*hw-tags'
done

if [ "$FULL" = 1 ]; then
	KASAN="$B/kasan.gz" linux gz -c 1 -m 128 --mte -- /tests/tagcheck
	passes gz 60 "a gzip'd Image"
fi

linux small -c 1 -m 64 --mte -- '/tests/tagcheck && free -m'
passes small 60 "64 MiB"

linux big -c 1 -m 16G --mte -- 'test $(free -m | awk NR==2{print\$2}) -gt 15000 && /tests/tagcheck'
passes big 60 "16 GiB on a host with $(awk '/MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo) MiB"

# Debian's own kernel, which has no KASAN_HW_TAGS but uses MTE for programs.
vm deb -k "$B/debian" -i "$INITRD" -c 2 -m 512 --mte -p "quiet lkvm.test=mte-demo"
passes deb 100 "Debian's kernel"
check "Debian's kernel: MTE for programs" says deb.out '4 of 4 as they should be'
gone_soon deb
