# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# What the cases about snapshots share. Sourced by them: . /share/tests/system/snapshot-lib.sh

# restore NAME FILE OPTION...: `lkvm restore` in the background, with the same files as vm() has.
restore()
{
	local name="$1" file="$2"

	shift 2
	rm -f "$W/$name.status" "$W/$name.pid"
	: >"$W/$name.out"
	: >"$W/$name.err"
	(
		if [ -p "${IN:-}" ]; then
			exec 3<>"$IN"
		else
			exec 3<"${IN:-/dev/null}"
		fi
		"$B/lkvm" restore "$file" --name "$CASE-$name" "$@" <&3 3<&- >"$W/$name.out" 2>"$W/$name.err" &
		echo $! >"$W/$name.pid.new"
		mv "$W/$name.pid.new" "$W/$name.pid"
		code=0
		wait $! || code=$?
		echo $code >"$W/$name.status.new"
		mv "$W/$name.status.new" "$W/$name.status"
	) </dev/null >/dev/null 2>&1 &
	wait_for 10 test -s "$W/$name.pid"
}

# snapshot NAME FILE OPTION...
snapshot()
{
	local name="$1" file="$2"

	shift 2
	timeout 120 "$B/lkvm" snapshot "$CASE-$name" "$file" "$@"
}

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
	local p

	for p in /proc/[0-9]*/comm; do
		[ "$(cat "$p" 2>/dev/null)" != lkvm-save ] || {
			echo "$p is still there"
			return 1
		}
	done
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
