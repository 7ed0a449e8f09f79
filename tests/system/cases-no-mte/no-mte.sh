# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# A host that lacks what can lack: MTE, SVE, the PMU.
. /share/tests/system/bare.sh

plan 23

# refused OPTION REGEX: three tests.
refused()
{
	# shellcheck disable=SC2086 # an option and its value
	vm no -k "$KASAN" -i "$INITRD" -c 1 -m 64 $1
	check "$1: refused, exit code 1" ends no 20 1
	check "$1: says what lacks" says no.err "$2"
	check "$1: in one line" one_line no.err
	check "$1: no guest ran" test ! -s no.out
	check "$1: nothing is left" gone no
}

tagcheck >out
check "control: this host has no MTE" says out 'no MTE'
refused --mte "^lkvm: --mte: this host's CPU has no MTE.*run without --mte$"
refused --pmu '^lkvm: --pmu: this host gives guests no PMU$'
refused '--sve-max-vl 256' '^lkvm: --sve-max-vl: this host gives guests no SVE$'

linux plain -c 2 -m 128 -- '/tests/tagcheck; test $? = 2'
check "without --mte: a guest ends well" ends plain 60 0
check "without --mte: all is well in it" guest_passed plain
check "without --mte: it has none" says plain.out 'this machine has no MTE'

bare idregs "mte=0" -c 1 -m 64 --mte --disable-mte
bare touch "" -c 1 -m 64 --mem-backend memfd
monitor r
keys r r
twice()
{
	[ "$(grep -c 'monitor BOOTED' r.out)" = 2 ]
}
check "reboots" wait_for 10 twice
"$B/inject" "$(pid r)" where >where
check "its RAM is mapped without tags" not says where ' mt'
ctl stop r
ended r 10
