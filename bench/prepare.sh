# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What bench/snapshot and bench/migrate have in common on the development machine. Sourced with $me set.

# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/../tools/lib/common.sh"
# shellcheck source=tools/lib/apt.sh
. "$(dirname "$0")/../tools/lib/apt.sh"
# shellcheck source=tools/lib/fetch.sh
. "$(dirname "$0")/../tools/lib/fetch.sh"
# shellcheck source=bench/qemu-peer.sh
. "$(dirname "$0")/qemu-peer.sh"
: "${top:?}" "${me:?}"

# prepare NAME MIB WHO...: sets $out to build/bench/NAME, with lkvm, Image and initrd, $cross to what a compiler's name begins
# with, and $bed to the command for a host with so much memory.
prepare()
{
	local name=$1 mib=$2 who tmp fsdev device

	shift 2
	cross=${CROSS_COMPILE-aarch64-linux-gnu-}
	[ "$(host_arch)" != arm64 ] || cross=${CROSS_COMPILE-}
	[ -x "$top/build/lkvm" ] || die "there is no build/lkvm: run make"
	out=$top/build/bench/$name
	mkdir -p "$out"
	"${cross}strip" -o "$out/lkvm" "$top/build/lkvm"
	cp "$("$top/tools/testkernel")" "$out/Image"
	tmp=$(mktemp -d)
	"${cross}gcc" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -static -s \
		-o "$tmp/init" "$top/bench/guest.c"
	find "$tmp" -exec touch -h -d @0 {} +
	(cd "$tmp" && echo init | cpio --quiet -o -H newc --reproducible -R 0:0) >"$out/initrd"
	rm -rf "$tmp"
	bed=("$top/tools/bed" --icount --memory "$mib" --timeout 3000 --append cryptomgr.notests)
	for who; do
		[ "$who" = qemu ] || continue
		peer_get
		fsdev="local,id=peer,path=${peer:?},security_model=none,readonly=on"
		device="virtio-9p-pci,fsdev=peer,mount_tag=peer"
		bed+=(--qemu -fsdev --qemu "$fsdev" --qemu -device --qemu "$device")
	done
}

# run_bed NAME ARG...: bench/NAME-l1.sh in the bed, and the table of what it says.
run_bed()
{
	local name=$1

	shift
	say "measuring in the bed; that takes some minutes"
	"${bed[@]}" -- sh "bench/$name-l1.sh" "/share/${out#"$top"/}" "$@" | tee "$out/l1.out" | sed -u 's/^/    /' >&2
	grep -E '^[a-z_0-9]+\.[a-z0-9_]+ [0-9]' "$out/l1.out" >"$out/result" || die "the host measured nothing"
	"$top/bench/$name-table" "$out/result" | tee "$out/table"
}
