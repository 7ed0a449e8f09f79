# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# What the cases about snapshots share. Sourced by them: . /share/tests/system/snapshot-lib.sh

# restore NAME FILE OPTION...: `lkvm restore` in the background, with the same files as vm() has.
restore()
{
	local name="$1" file="$2"

	shift 2
	start "$name" restore "$file" --name "$CASE-$name" "$@"
}

# worker NAME OPTION...: a VM that keeps changing its memory and tags, checks them, and counts on in lines "$WORK N". At full
# length it is the KASAN kernel in a storm of processes; else a guest without an operating system, which is up in no time and
# leaves the host's processor to others between two rounds.
# A storm under that kernel rests as well.
# shellcheck disable=SC2034 # for the cases
REST=20
WORK=pattern
[ "$FULL" = 0 ] || WORK=storm
[ "$FULL" = 0 ] || REST=0

worker()
{
	local name="$1"

	shift
	if [ "$FULL" = 1 ]; then
		linux "$name" "$@" -- "/tests/storm 3 $REST"
	else
		vm "$name" -k "$B/bare/pattern.img" -p "mib=8 rest=20000" "$@"
	fi
	wait_for 60 has_lines "$name" $WORK 2
}

# snapshot NAME FILE OPTION...
snapshot()
{
	local name="$1" file="$2"

	shift 2
	timeout 120 "$B/lkvm" snapshot "$CASE-$name" "$file" "$@"
}

# --- the guest tests/guest/bare/guests/saved.c; wants bare.sh ---
# saved NAME "WORDS" OPTION...: that guest comes to its "ready", is saved and ends.
saved()
{
	local name="$1" words="$2"

	shift 2
	vm "$name" -k "$B/bare/saved.img" -p "$words" --no-reboot "$@"
	check "$words: the guest is ready" wait_for 20 says "$name.out" '^ready'
	usleep 300000
	check "$words: is saved" snapshot "$name" "$name.snap" --stop
	ended "$name" 20 >/dev/null
}

# goes_well NAME "WORDS" RESTORE-OPTION...: its saved state goes on, gets a key, and finds all as it was. One test.
goes_well()
{
	local name="$1" words="$2" to="$1-r" IN="$W/$1-r.in"

	shift 2
	mkfifo "$IN"
	restore "$to" "$name.snap" "$@"
	printf k >"$IN"
	ended "$to" 60 >/dev/null
	cat "$name.out" "$to.out" | tr -d '\r' >"$to.tap"
	check "$words${*:+ }$*: $(bare_summary <"$to.tap")" bare_judge "$to"
}

# --- what a host cannot restore ---
# damaged NAME [FILE]: a copy of the snapshot (good) with a wrong byte in its memory: who reads it would speak of that.
damaged()
{
	cp "${2:-good}" "$1"
	# shellcheck disable=SC2046 # two words
	set -- "$1" $("$B/spoil" ram "$1")
	printf x | dd of="$1" bs=1 seek=$(($2 + $3 / 2)) conv=notrunc 2>/dev/null
}

# cannot_run FILE REGEX...: restore and --check both say it, in so many lines of reasons, and nothing of memory; nothing is left.
cannot_run()
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

# --- a lazy restore ---
# missing NAME: bytes that are still to come.
missing()
{
	ctl stat "$1" --json | sed -n 's/.*"missing": *\([0-9]*\).*/\1/p'
}

all_there()
{
	is "$(missing "$1")" 0
}

# --- what a VM does ---
# grows NAME WORD MORE: so many more lines "WORD N" than now; numbers count on.
lines_of()
{
	grep -ac "^$2 [0-9]" "$W/$1.out"
}

has_lines()
{
	[ "$(lines_of "$1" "$2")" -ge "$3" ] && return
	echo "$1.out has $(lines_of "$1" "$2") lines of '$2', not $3; it ends with:"
	tail -n 15 "$W/$1.out" "$W/$1.err"
	return 1
}

goes_on()
{
	wait_for "$4" has_lines "$1" "$2" $(($(lines_of "$1" "$2") + $3))
}

# No report of the guest's kernel, no wrong byte.
unharmed()
{
	not grep -aE 'BUG: |Oops|Kernel panic|WARNING: |WRONG' "$W/$1.out"
}

# fallen NAME WORD: a guest without its tags. Its kernel reports that, or, where the report itself meets a wrong tag, says
# nothing more: no line of WORD in a time in which one that is well says several.
fallen()
{
	local was

	wait_for 10 says "$1.out" 'BUG: |Kernel panic|Oops|WRONG|={40}' && return
	was=$(lines_of "$1" "$2")
	sleep 20
	is "$(lines_of "$1" "$2")" "$was"
}

# The saved file and nothing besides it is in that folder.
no_litter()
{
	local f

	for f in "$1"/.*.part "$1"/*.part; do
		[ ! -e "$f" ] || {
			echo "$f was left behind"
			return 1
		}
	done
}

# No saving process is there.
no_saver()
{
	! grep -s -l '^lkvm-save$' /proc/[0-9]*/comm
}

# memory NAME: what its RAM and its tags are, read from outside (memdump.c). The VM is paused.
memory()
{
	[ -x "$B/memdump" ] || cp /share/build/system/memdump "$B/" || return 1
	"$B/memdump" "$(pid "$1")" "$W/$1.pages" || echo "no memory of $1"
}

# listed NAME STATE
listed()
{
	"$B/lkvm" list | grep -q "^$CASE-$1 .* $2 "
}

# Quiet, since a check has a line of its own for it.
pause()
{
	ctl pause "$1" >/dev/null
}

resume()
{
	ctl resume "$1" >/dev/null
}

# jump FILE FILE COLUMN: of a guest with test=clock (bare/saved.img) the largest step from one line to the next, from one file into
# the other. Column 2: its counter, in us; 3: the RTC, in s.
jump()
{
	cat "$1" "$2" | tr -d '\r' | grep -a '^clock [0-9]* [0-9]*$' |
		awk -v c="$3" 'NR > 1 && $c - was > most { most = $c - was } { was = $c } END { printf "%d", most }'
}

within()
{
	[ "$1" -ge "$2" ] && [ "$1" -le "$3" ] && return
	echo "$1 is not between $2 and $3"
	return 1
}
