# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The tag engine on a real kernel: both of its ways, over the memory of a VM of their own. What they say in detail is
# in the log of the case.
plan 3

passes()
{
	"$@" >out
	set -- $?
	grep -v '^ok' out
	return "$1"
}

check "LDG and KVM's ioctl give the same bytes, at edges and across banks" passes /share/build/arm64/tagwalk
check "control: it compared something" says out '^ok .*: random tags written by ldg are read alike both ways'
check "LDG and STG do as one tag at a time does; absent pages stay absent" passes /share/build/arm64/test_tags
