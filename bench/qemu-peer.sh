# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian's QEMU for arm64, the VMM that lkvm is measured beside: from backports, unpacked into the cache with the
# libraries it needs, installed nowhere. Sourced by bench/run after common.sh, apt.sh and fetch.sh.

: "${cache:?}"

# Sets $peer to the folder with it, and fetches it first if need be.
peer_get()
{
	local codename tmp

	peer=$cache/qemu-peer
	[ ! -d "$peer" ] || return 0
	cache_lock qemu-peer
	[ ! -d "$peer" ] || return 0

	codename=$(apt_codename)
	own_apt_init "$codename" "$codename" "$codename-updates" "$codename-security" \
		"$codename-backports"
	say "fetching qemu-system-arm for arm64"
	tmp=$(mktemp -d "$cache/.tmp.XXXXXX")
	own_apt_unpack --deps "$tmp" -t "$codename-backports" qemu-system-arm
	own_apt_end
	# What the program itself does not open when it runs a guest.
	find "$tmp/usr/share" -mindepth 1 -maxdepth 1 ! -name qemu -exec rm -rf {} +
	rm -rf "${tmp:?}"/{etc,var,usr/lib/locale,lib/udev,usr/lib/udev}
	find "$tmp" -type d -name gconv -prune -exec rm -rf {} +
	if [ ! -e "$tmp/lib/ld-linux-aarch64.so.1" ]; then
		rm -rf "${tmp:?}/lib"
		ln -s usr/lib "$tmp/lib"
	fi
	chmod 0755 "$tmp"
	mv -T "$tmp" "$peer"
}
