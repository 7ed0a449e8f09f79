# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The other host has no MTE, an older interrupt controller, no SVE and fewer address bits: it is refused before any memory moves,
# with each reason, and the guest runs on.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh
plan 3

# refused NAME REGEX...: it is, with all of these in the line, and NAME runs on.
refused()
{
	local name="$1" regex code=0

	shift
	migrate "$name" ssh://peer --json >log 2>&1 || code=$?
	cat log
	is $code 1 || return 1
	for regex; do
		says log "the destination: .*$regex" || return 1
	done
	not says log '"phase": ?"copying"' && counts_on "$name" && is "$(there "ls /run/lkvm 2>/dev/null")" ''
}

monitor g --mte
keys g c
check "a guest with MTE: refused by names" refused g 'memory tags; --mte: this' 'counter runs at' 'has a gicv3-its, this' 'has SVE, this[^;]*"'
ctl stop g >log
ended g 20
monitor g --irqchip gicv3
keys g c
check "another interrupt controller: refused by name" refused g 'has a gicv3, this host cannot give one'
ctl stop g >log
ended g 20
echo 1 >/proc/sys/vm/overcommit_memory
monitor g -m 1100G --mem-backend anon
keys g c
check "more address bits: refused by name" refused g 'needs 4[1-9] address bits, this host gives guests 40'
ctl stop g >log
ended g 20
