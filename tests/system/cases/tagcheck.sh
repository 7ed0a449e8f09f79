# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# An emulator that computes tags wrongly makes every other result worthless: it is looked for in L1 and in L2.
plan $((2 + 2 * FULL))

check "tags hold in this host" tagcheck

if [ "$FULL" = 1 ]; then # else linux.sh does
	linux g -c 1 -m 128 --mte -- /tests/tagcheck
	check "a guest with --mte powers off" ends g 30 0
	check "tags hold in the guest" both g.out 'read back an average of 7\.50 .*, 0 wrong' '^lkvm-result: sh: exit 0'
fi

linux plain -c 1 -m 128 -- '/tests/tagcheck; test $? = 2'
ended plain 30
check "control: a guest without --mte has none" both plain.out 'tagcheck: this machine has no MTE' '^lkvm-result: sh: exit 0'
