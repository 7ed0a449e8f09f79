#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An emulator that computes tags wrongly must not get as far as running anything.

set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fake VERSION: an emulator of that version, which leaves a trace if it is started for anything but its version.
fake()
{
	cat >"$work/qemu" <<END
#!/bin/sh
[ "\$1" = --version ] || { : >"$work/started"; exit 1; }
echo "QEMU emulator version $1 (Debian)"
END
	chmod +x "$work/qemu"
}

refused()
{
	local text=$1 version=$2

	fake "$version"
	LKVM_QEMU=$work/qemu tools/bed -- true >"$work/out" 2>"$work/err"
	code=$?
	if [ $code -eq 125 ] && grep -q "is QEMU .*8\.0" "$work/err" && [ ! -e "$work/started" ]; then
		echo "ok - $text"
	else
		echo "not ok - $text"
		echo "# exit status $code: $(cat "$work/err")"
	fi
}

echo 1..4
refused "QEMU 7.2 is refused by name" 7.2.15
refused "QEMU 5 too" 5.2.0
refused "and one that does not tell its version" "?"
fake 8.0.0
LKVM_QEMU=$work/qemu timeout 60 tools/bed --timeout 5 -- true >"$work/out" 2>"$work/err"
if [ -e "$work/started" ]; then
	echo "ok - control: 8.0 is started"
else
	echo "not ok - control: 8.0 is started"
	sed 's/^/# /' "$work/err"
fi
