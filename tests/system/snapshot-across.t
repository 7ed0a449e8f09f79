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
	result=$1
	echo "$1 $n - $2"
}

# in_host KERNEL WAY...: tests/system/across WAY... there.
in_host()
{
	local kernel=$1

	shift
	tools/bed --kernel "$kernel" --timeout 400 -- sh tests/system/across "$files" "$kernel" "$@" >"$files/out" 2>&1
}

# step TEXT HOST WAY...
step()
{
	local text=$1

	shift
	if in_host "$@"; then
		result ok "$text"
	else
		result 'not ok' "$text"
	fi
	# What was refused, and by which register, is told in any case.
	grep -h '^across: .*refused' "$files/out" | sed 's/^/# /'
	[ "${result##not*}" ] || sed 's/^/# /' "$files/out"
}

step "saved on 6.1" 6.1 save
step "restored on 6.12, saved there" 6.12 load 6.1 save
step "restored on 7.2 from 6.1 and 6.12, saved there" 7.2 load 6.1 load 6.12 save
step "back from 7.2 on 6.12, or refused by name" 6.12 load-or-refuse 7.2
step "back from 6.12 and 7.2 on 6.1, or refused by name" 6.1 load-or-refuse 6.12 load-or-refuse 7.2
echo "1..$n"
