#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make demo and, at full length, make shell, as a user would run them on a machine that has all they need.

set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

# check TEXT COMMAND...
check()
{
	local text=$1

	shift
	n=$((n + 1))
	if "$@" >"$work/check" 2>&1; then
		echo "ok $n - $text"
	else
		echo "not ok $n - $text"
		tail -n 20 "$work/check" "$work/out" | sed 's/^/# /'
	fi
}

says()
{
	grep -Eq -- "$1" "$work/out"
}

# in_order REGEX...: lines that match come one after the other.
in_order()
{
	local regex at=0 found

	for regex; do
		found=$(tail -n +$((at + 1)) "$work/out" | grep -En -m 1 -- "$regex" | cut -d: -f1)
		[ -n "$found" ] || { echo "no line matches '$regex' behind line $at"; return 1; }
		at=$((at + found))
	done
}

unset MAKEFLAGS MAKELEVEL MFLAGS
timeout 900 make --no-print-directory demo >"$work/out" 2>&1 </dev/null
check "make demo ends well" test $? -eq 0
check "each line says which level speaks" test "$(grep -Evc '^\[L[012]\] ' "$work/out")" -eq 0
check "all is seen, as it happens" in_order '^\[L0\] 1\. ' '^\[L0\] 2\. ' '^\[L0\] 3\. ' '^\[L0\] 4\. ' \
	'^\[L1\] .*read back an average of' '^\[L1\] \$ lkvm run --mte' '^\[L2\] .*Linux version' \
	'^\[L2\] .*reads back: "tagged and well"' '^\[L2\] .*SEGV_MTESERR' '^\[L2\] .*exit 0' \
	'^\[L1\] the guest powered itself off' '^\[L0\] 5\. Summary'

if [ "${FULL:-0}" = 1 ]; then
	# A terminal by script(1). What is typed before the guest's shell is there may be lost.
	for _ in $(seq 100); do
		sleep 3
		[ ! -e "$work/ended" ] || break
		echo 'echo shell is $((6 * 7)); exit'
	done | {
		timeout 300 script -qefc 'make --no-print-directory shell' "$work/typescript" >"$work/out" 2>&1
		echo $? >"$work/ended"
	}
	check "make shell ends with the guest" test "$(cat "$work/ended")" = 0
	check "its shell runs what is typed" says '^shell is 42'
fi
echo "1..$n"
