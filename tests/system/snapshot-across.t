#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Saved under one kernel of the host, restored under another: works, or is refused by name.

set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1
files=build/system/across.$$
mkdir -p "$files"
trap 'rm -rf "$files"' EXIT

n=0
result()
{
	n=$((n + 1))
	echo "$1 $n - $2"
}

# in_host KERNEL WAY...: tests/system/across WAY... there.
in_host()
{
	local kernel=$1

	shift
	tools/bed --kernel "$kernel" --timeout 400 -- sh tests/system/across "$files" "$kernel" "$@" >"$files/out" 2>&1
}

if in_host 6.1 save; then
	result ok "saved on 6.1"
else
	result 'not ok' "saved on 6.1"
	sed 's/^/# /' "$files/out"
fi
if in_host 6.12 load 6.1 save; then
	result ok "restored on 6.12, saved there"
else
	result 'not ok' "restored on 6.12, saved there"
	sed 's/^/# /' "$files/out"
fi
if in_host 6.1 load-or-refuse 6.12; then
	result ok "back on 6.1: $(grep -h '^across: ' "$files/out" | tr '\n' ' ')"
else
	result 'not ok' "back on 6.1"
	sed 's/^/# /' "$files/out"
fi
echo "1..$n"
