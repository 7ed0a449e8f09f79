# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian's arm64 programs for the machines of the bed (busybox, strace, and ssh for migrations to
# another of them), with the libraries they need; and the arm64 programs of our own in tests/guest/linux. Sourced after common.sh, apt.sh and
# fetch.sh.

: "${top:?common.sh comes first}" "${cache:?}"

arm64root_packages=(busybox-static strace openssh-client dropbear-bin)

# Sets $arm64root to the folder with those packages, fetching them first if need be.
arm64root_get()
{
	local name tmp codename

	name=$(printf '%s-' "${arm64root_packages[@]}")
	arm64root=$cache/arm64root/${name%-}
	[ ! -d "$arm64root" ] || return 0
	cache_lock "arm64root/${name%-}"
	[ ! -d "$arm64root" ] || return 0

	codename=$(apt_codename)
	own_apt_init "$codename" "$codename" "$codename-updates" "$codename-security" \
		"$codename-backports"
	say "fetching for arm64: ${arm64root_packages[*]}"
	find "$cache/arm64root" -maxdepth 1 -name '.tmp.*' -mmin +120 -exec rm -rf {} +
	tmp=$(mktemp -d "$cache/arm64root/.tmp.XXXXXX")
	own_apt_unpack --deps "$tmp" "${arm64root_packages[@]}"
	own_apt_end
	rm -rf "${tmp:?}"/{usr/share,usr/lib/locale,lib/udev,etc}
	if [ ! -e "$tmp/lib/ld-linux-aarch64.so.1" ]; then
		# Packages since the merger of / and /usr.
		rm -rf "${tmp:?}/lib"
		ln -s usr/lib "$tmp/lib"
	fi
	find "$tmp" -type d -name gconv -prune -exec rm -rf {} +
	chmod 0755 "$tmp"
	mv -T "$tmp" "$arm64root"
}

# The static busybox of $arm64root.
arm64root_busybox()
{
	local f

	for f in "$arm64root/bin/busybox" "$arm64root/usr/bin/busybox"; do
		if [ -f "$f" ]; then
			echo "$f"
			return 0
		fi
	done
	die "busybox-static of arm64 has no busybox: remove $arm64root"
}

# Builds what is out of date of tests/guest/linux/*.c; sets $guest_bin to the folder of programs.
guest_programs_build()
{
	local cc src prog

	cc=${CROSS_COMPILE:-aarch64-linux-gnu-}gcc
	[ "$(host_arch)" != arm64 ] || cc=${CC:-gcc}
	guest_bin=$top/build/guest/bin
	mkdir -p "$guest_bin"
	for src in "$top"/tests/guest/linux/*.c; do
		prog=$guest_bin/$(basename "$src" .c)
		if [ "$prog" -nt "$src" ] &&
			[ -z "$(find "$top/tests/guest/linux" -name '*.h' -newer "$prog")" ]; then
			continue
		fi
		have "$cc" || die "$cc is missing: run tools/setup build"
		"$cc" -std=gnu11 -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -static -s \
			-pthread -o "$prog.new.$$" "$src" || die "cannot build $src"
		mv "$prog.new.$$" "$prog"
	done
	for src in "$top"/tests/guest/linux/*.sh; do
		[ -f "$src" ] || continue
		prog=$guest_bin/$(basename "$src" .sh)
		[ "$prog" -nt "$src" ] || install -m 0755 "$src" "$prog"
	done
}

# make_cpio DIR FILE: packs DIR as an initrd, the same bytes every time. Not compressed: unpacking
# would cost an emulated processor more than reading does.
make_cpio()
{
	have cpio || die "cpio is missing: run tools/setup bed"
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
		cpio --quiet -0 -o -H newc --reproducible -R 0:0) >"$2.new.$$" ||
		die "cannot write $2"
	mv "$2.new.$$" "$2"
}
