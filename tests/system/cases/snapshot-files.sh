# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 600
# Looking into files: `snapshot info`, `verify` and `diff`, of good ones and damaged ones, for people and for programs. What
# --json printed is judged in snapshot-files.after.
. /share/tests/system/snapshot-lib.sh

plan 21
mkdir s

# json NAME COMMAND...: its output is kept as NAME.json.
json()
{
	local to="$KEPT/$1.json"

	shift
	"$@" --json >"$to"
}

# part FILE NAME: "OFFSET LENGTH" of the first part of the file with that name.
part()
{
	"$B/spoil" parts "$1" | sed -n "s/ $2.*//p" | head -n 1
}

# spoilt FILE NAME TO: a copy with a wrong byte in the middle of that part.
spoilt()
{
	cp "$1" "$3"
	# shellcheck disable=SC2046 # two words
	set -- "$1" "$2" "$3" $(part "$1" "$2")
	at=$(($4 + $5 / 2))
	byte=$(od -An -tu1 -j $at -N 1 "$3" | tr -d ' ')
	# shellcheck disable=SC2059 # an octal escape
	printf "\\$(printf %o $((byte ^ 16)))" | dd of="$3" bs=1 seek=$at conv=notrunc 2>/dev/null
}

# found FILE REGEX...: `verify` ends with exit code 1, and says in one line on stderr what is wrong where.
found()
{
	exited=0
	"$B/lkvm" snapshot verify "$1" >out 2>err || exited=$?
	is "$exited" 1 && one_line err && [ ! -s out ] || return 1
	shift
	both err "$@"
}

worker g -c 1 -m 64 --mte
check "a snapshot, for a program" json snapshot "$B/lkvm" snapshot "$CASE-g" s/one --live
goes_on g "$WORK" 1 60
check "one that builds on it" snapshot g s/two --base s/one --stop
ended g 20
check "info, for a program" json info "$B/lkvm" snapshot info s/two
check "verify" json verify "$B/lkvm" snapshot verify s/two
check "diff" json diff "$B/lkvm" snapshot diff s/one s/two
check "diff of the same: nothing" json same "$B/lkvm" snapshot diff s/two s/two
"$B/lkvm" snapshot diff s/one s/two >differ
check "diff says the same to people" is "$(wc -l <differ)" "$(wc -l <"$KEPT/diff.json")"

# Alone in their folder: another file of the same snapshot would be found.
for what in data-of-chunk tags-of-chunk state-record compat-record index; do
	mkdir $what
	spoilt s/one $what $what/one
	check "$what with one wrong bit: verify tells the place" found $what/one "$what/one: " 'offset [0-9]+|at 0x[0-9a-f]+|index'
done
check "info of damaged memory reads none of it" "$B/lkvm" snapshot info data-of-chunk/one
check "diff of damaged memory: refused" not "$B/lkvm" snapshot diff data-of-chunk/one s/one
check "verify of damaged memory, for a program: exit code 1" not json damaged "$B/lkvm" snapshot verify data-of-chunk/one
cp s/two data-of-chunk/two
check "its parent is damaged: verify names the parent" found data-of-chunk/two '^lkvm snapshot: one: .*offset [0-9]+'
mkdir short
head -c "$(($(stat -c %s s/one) - 1))" s/one >short/one
check "cut short" found short/one 'short/one: .*cut short'
check "no snapshot at all" found "$B/memdump" 'memdump: .*not a snapshot'

# --- the parent is damaged, which is noticed when pages are compared with it ---
restore h s/one
wait_for 60 has_lines h "$WORK" 1
json failed "$B/lkvm" snapshot "$CASE-h" data-of-chunk/new --base data-of-chunk/one 2>err
check "a snapshot that builds on a damaged one: fails, with the place" both err 'one: .*offset [0-9]+'
check "leaves nothing" is "$(ls -A data-of-chunk)" "$(printf 'one\ntwo')"
check "the VM goes on" goes_on h "$WORK" 1 60
ctl stop h
ended h 20
