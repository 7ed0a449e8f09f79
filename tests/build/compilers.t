#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# clang builds the program without a warning, as gcc does; and it can be linked to shared libraries.

set -u
cd "$(dirname "$0")/../.." || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# result TEXT: of the command before.
result()
{
	if [ $? -eq 0 ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		sed 's/^/# /' "$work/log"
	fi
}

echo 1..4
if command -v clang >/dev/null; then
	make -j2 CC=clang B="$work/clang" all >"$work/log" 2>&1
	result "clang"
	# What is said in spite of -Werror would be another line than make's own.
	! grep -v '^  ' "$work/log"
	result "without a word"
else
	echo "ok # skip no clang here (tools/setup check)"
	echo "ok # skip no clang here (tools/setup check)"
fi

# Of the objects that are there: only the link differs.
mkdir "$work/shared"
cp -a build/obj build/.libs-found "$work/shared/"
make STATIC=0 B="$work/shared" all >"$work/log" 2>&1
result "STATIC=0"
readelf -dW "$work/shared/lkvm" >"$work/log" && grep -q 'NEEDED.*libfdt' "$work/log" && grep -q 'NEEDED.*libc\.' "$work/log"
result "has shared libraries"
