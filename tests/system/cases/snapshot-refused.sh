# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# What this host cannot restore is refused before any memory is read, with each reason; `snapshot info --check` says the same
# in advance. Memory is damaged in all the files that are tried here: who read it would speak of that.
. /share/tests/system/snapshot-lib.sh

plan 24

# KVM's numbers of registers that it does not let anybody change, and what lkvm calls them.
midr=0x603000000013c000
revidr=0x603000000013c006

vm g -k "$B/bare/saved.img" -p test=clock -c 2 -m 64 --mte
check "the guest is up" wait_for 20 says g.out '^clock '
check "a snapshot" snapshot g good --stop
ended g 20
check "control: --check has nothing against it" "$B/lkvm" snapshot info good --check
damaged ram
check "control: --check reads no memory" "$B/lkvm" snapshot info ram --check
timeout -s KILL 60 "$B/lkvm" restore ram --name "$CASE-bad" </dev/null >out 2>err
check "control: damaged memory is told when it is read" says err 'bank ram'

damaged one
check "a register that KVM holds fixed" "$B/spoil" register one 0 $midr 0x1234
check "is refused by name, with both values" cannot_run one \
	'^vcpu 0: register S3_0_C0_C0_0 is 0x1234, this host has 0x[0-9a-f]+ and cannot set it' 'for the reasons above'
damaged two
check "two of one vCPU" sh -c "'$B/spoil' register two 1 $midr 0x1234 && '$B/spoil' register two 1 $revidr 0x77"
check "are both told, of a vCPU that is not the first" cannot_run two \
	'^vcpu 1: register S3_0_C0_C0_0 is 0x1234,' '^vcpu 1: register S3_0_C0_C0_6 is 0x77,'

damaged record
check "a record of a type from the future" "$B/spoil" record record 3 99
check "is refused by type" cannot_run record 'type 99'
# docs/snapshot-format.md and arm/compat.h have the places: page size 8, address bits 13, interrupt controller 14, vCPUs 16, frequency 20, SVE 24.
damaged needs
check "more address bits than there are" "$B/spoil" needs needs 13 1 63
check "are refused" cannot_run needs '63 address bits'
check "other pages" "$B/spoil" needs needs 8 4 8192
check "more vCPUs than there can be" "$B/spoil" needs needs 16 4 60000
check "another counter" "$B/spoil" needs needs 20 4 1000
check "SVE lengths that nobody has" "$B/spoil" needs needs 24 8 0x8000
check "are refused too: all the reasons at once" cannot_run needs \
	'63 address bits' 'pages of 8192' '60000 vCPUs' 'runs at 1000 Hz' 'SVE vectors|has SVE'
check "each on a line" is "$(grep -c '^the guest\|^saved on' err)" 5
damaged gic
check "another interrupt controller" "$B/spoil" needs gic 14 1 0
check "is refused by name" cannot_run gic '^the guest has a gicv2, this host cannot give one$'
"$B/spoil" needs gic 14 1 1
check "and another one" cannot_run gic '^the guest has a gicv2m, this host cannot give one$'
check "none was started" not test -e "$SOCKETS/$CASE-bad.sock"
check "the file is still good" "$B/lkvm" snapshot verify good
