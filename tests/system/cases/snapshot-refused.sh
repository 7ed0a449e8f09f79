# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# What this host cannot restore is refused before any memory is read, with each reason; `snapshot info --check` says the same
# in advance. Memory is damaged in all the files that are tried here: who read it would speak of that.
. /share/tests/system/snapshot-lib.sh

plan 21

# KVM's numbers of registers that it does not let anybody change, and what lkvm calls them.
midr=0x603000000013c000
revidr=0x603000000013c006

# damaged NAME: a copy of the snapshot with a wrong byte in its memory.
damaged()
{
	cp good "$1"
	# shellcheck disable=SC2046 # two words
	set -- "$1" $("$B/spoil" ram "$1")
	printf x | dd of="$1" bs=1 seek=$(($2 + $3 / 2)) conv=notrunc 2>/dev/null
}

# refused FILE REGEX...: restore and --check both say it, in so many lines of reasons, and nothing of memory; nothing is left.
refused()
{
	local file=$1 code=0 check=0 regex

	shift
	timeout -s KILL 60 "$B/lkvm" restore "$file" --name "$CASE-bad" --paused </dev/null >out 2>err || code=$?
	"$B/lkvm" snapshot info "$file" --check </dev/null >info 2>check.err || check=$?
	is "$code $check" "1 1" || return 1
	for regex; do
		says err "$regex" && says check.err "$regex" || return 1
	done
	not grep -E 'bank|checksum' err check.err && gone bad
}

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
check "is refused by name, with both values" refused one \
	'^vcpu 0: register S3_0_C0_C0_0 is 0x1234, this host has 0x[0-9a-f]+ and cannot set it' 'for the reasons above'
damaged two
check "two of one vCPU" sh -c "'$B/spoil' register two 1 $midr 0x1234 && '$B/spoil' register two 1 $revidr 0x77"
check "are both told, of a vCPU that is not the first" refused two \
	'^vcpu 1: register S3_0_C0_C0_0 is 0x1234,' '^vcpu 1: register S3_0_C0_C0_6 is 0x77,'

damaged record
check "a record of a type from the future" "$B/spoil" record record 3 99
check "is refused by type" refused record 'type 99'
# docs/snapshot-format.md and arm/compat.h have the places: page size 8, address bits 13, vCPUs 16, frequency 20, SVE 24.
damaged needs
check "more address bits than there are" "$B/spoil" needs needs 13 1 63
check "are refused" refused needs '63 address bits'
check "other pages" "$B/spoil" needs needs 8 4 8192
check "more vCPUs than there can be" "$B/spoil" needs needs 16 4 60000
check "another counter" "$B/spoil" needs needs 20 4 1000
check "SVE lengths that nobody has" "$B/spoil" needs needs 24 8 0x8000
check "are refused too: all the reasons at once" refused needs \
	'63 address bits' 'pages of 8192' '60000 vCPUs' 'runs at 1000 Hz' 'SVE vectors|has SVE'
check "each on a line" is "$(grep -c '^the guest\|^saved on' err)" 5
check "none was started" not test -e "$SOCKETS/$CASE-bad.sock"
check "the file is still good" "$B/lkvm" snapshot verify good
