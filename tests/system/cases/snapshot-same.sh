# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 1200
# However a snapshot is made, it holds the same memory and tags: those that somebody sees who looks from outside.
. /share/tests/system/snapshot-lib.sh

plan 44
mkdir s

# same FILE FILE: `diff` finds nothing.
same()
{
	"$B/lkvm" snapshot diff "$1" "$2" >"$W/diff" || return 1
	[ ! -s "$W/diff" ] && return
	head -n 20 "$W/diff"
	return 1
}

# restored NAME FILE OPTION...: a paused VM from it has the memory of g, $sum. Two tests.
restored()
{
	local name="$1" file="$2"

	shift 2
	restore "$name" "$file" --paused "$@"
	set -- "$name" "$file" "$*"
	check "restore of ${2##*/} --paused $3: is paused" wait_for 60 listed "$1" paused
	[ -z "$3" ] || wait_for 60 all_there "$1"
	check "restore of ${2##*/} $3: memory and tags are those of the VM, seen from outside" is "$(memory "$1")" "$sum"
}

check "a guest that changes memory and tags all the time" worker g -c 2 -m 128 --mte
pause g
check "a paused VM can be saved" snapshot g s/full
check "and stays paused" wait_for 1 listed g paused
check "--live" snapshot g s/live --live
check "--compress zstd" snapshot g s/zstd --compress zstd
check "all at once" snapshot g s/all --live --compress zstd:1 --threads 2 --rate 1G
check "--base the same" snapshot g s/none --base s/full
for f in live zstd all none; do
	check "$f is the same as full" same s/full s/$f
done
check "compressed is smaller" test "$(stat -c %s s/zstd)" -lt "$(($(stat -c %s s/full) * 3 / 4))"
check "nothing changed, so next to nothing is saved" test "$(stat -c %s s/none)" -lt 200000
check "verify: all" sh -c "for f in full live zstd all none; do '$B/lkvm' snapshot verify s/\$f || exit 1; done"
sum=$(memory g)
check "the VM's memory has tags" sh -c "echo '$sum' | grep -E 'pages [1-9][0-9]{2}.* tagged [1-9][0-9]{2}'"
restored full s/full
check "a second one from the same file, beside it" restored all s/all
ctl stop full
ctl stop all

# --- a chain of five ---
last=full
for i in 1 2 3 4 5; do
	resume g
	goes_on g "$WORK" 1 60
	case $i in
	3) check "one of the chain --live" snapshot g s/c$i --base s/$last --live --threads 2 ;;
	4) check "one of the chain compressed" snapshot g s/c$i --base s/$last --compress zstd --live ;;
	5)
		pause g
		check "one of the chain with tags from KVM, compressed" snapshot g s/c$i --base s/$last --tag-walker ioctl --compress zstd:1
		;;
	*)
		pause g
		check "snapshot $i of a chain" snapshot g s/c$i --base s/$last
		;;
	esac
	last=c$i
done
check "whole, at the same moment" snapshot g s/whole
check "the chain is the same as the whole" same s/whole s/c5
"$B/lkvm" snapshot diff s/full s/c5 >differ
check "control: the chain's first differs, in tags too" says differ 'data and tags|: tags'
check "its last is smaller than the whole" test "$(stat -c %s s/c5)" -lt "$(stat -c %s s/whole)"
sum=$(memory g)
restored chain s/c5
check "restored from the chain: goes on" sh -c "'$B/lkvm' resume '$CASE-chain'"
check "it counts on" goes_on chain "$WORK" 3 60
check "without a report" unharmed chain
check "the chain merged into one file" "$B/lkvm" snapshot merge s/c5 s/one --compress zstd
restored lazy s/one --lazy
ctl stop lazy
ended lazy 20
restored lazy2 s/c5 --lazy
ctl stop lazy2
ended lazy2 20
mv s/c2 s/.hidden
check "is the same, and needs no other" same s/one s/whole
check "run --restore: refuses what is not the saved machine's" sh -c \
	"'$B/lkvm' run --restore s/one -m 64 2>&1 | grep -q -- '--restore: the machine is the one that was saved'"
"$B/lkvm" run --restore s/one --name "$CASE-again" </dev/null >again.out 2>again.err &
check "run --restore: is paused, as it was when it was saved" wait_for 20 listed again paused
ctl stop again
"$B/lkvm" restore s/c5 --name "$CASE-broken" >out 2>err </dev/null
check "without one of the chain: refused by uuid" both err 'c5' 'uuid [0-9a-f]{32}'
ctl stop g
ctl stop chain
check "nothing is left" no_litter s
