# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# shellcheck disable=SC2086,SC2154 # names without blanks, set by who sources the other file
#
# What the cases about migration share, with snapshot-lib.sh. Sourced by them: . /share/tests/system/migrate-lib.sh

# incoming NAME SRC OPTION...: `lkvm incoming` in the background, with the same files as vm() has. Waits until it listens.
incoming()
{
	local name="$1" src="$2"

	shift 2
	start "$name" incoming "$src" --name "$CASE-$name" "$@" && wait_for 10 says "$W/$name.err" 'waiting at '
}

# Where NAME waits: for tcp with the port that was found.
where()
{
	sed -n 's/.*waiting at //p' "$W/$1.err" | head -n 1
}

# migrate NAME DEST OPTION...
migrate()
{
	local name="$1" dest="$2"

	shift 2
	timeout 600 "$B/lkvm" migrate "$CASE-$name" "$dest" "$@"
}

# line NAME ACTION N: a line at $W/NAME.line to $W/NAME.mig that goes wrong (badline.c).
line()
{
	: >"$W/$1.line.out"
	(exec "$B/badline" "$W/$1.line" "$W/$1.mig" "$2" "$3" >"$W/$1.line.out" 2>&1 </dev/null) &
	wait_for 10 says "$W/$1.line.out" ready
}

# What the VM says of itself: running, paused, starting, leaving, recovering, or gone.
state_of()
{
	local s

	s=$("$B/lkvm" list 2>/dev/null | awk -v n="$CASE-$1" '$1 == n { for (i = 2; i <= NF; i++)
		if ($i ~ /^(running|paused|starting|ending|leaving|recovering)$/) print $i }')
	echo "${s:-gone}"
}

# counted FILE...: what the monitor counted, in one file or one after the other, is each number once, in order. The last line
# may be under way.
counted()
{
	cat "$@" | sed '$d' | tr -d '\r' | awk '
		/^N [0-9]+$/ { if (seen && $2 != last + 1) { print "after", last, "comes", $2; bad = 1 }
			last = $2; seen = 1 }
		END { if (!seen) print "nothing was counted"; exit bad || !seen }'
}

# counts_on NAME: it counts further than now.
counts_on()
{
	local was

	was=$(grep -ac '^N ' "$W/$1.out")
	wait_for 20 counts_further "$1" $((was + 3))
}

counts_further()
{
	[ "$(grep -ac '^N ' "$W/$1.out")" -ge "$2" ]
}

# --- one guest, $s, that counts and moves over lines that go wrong; its whole output, but for that of $s, is in $W/all ---
moves=0
# next: the name of the next destination, $d, which waits; with an input of its own.
next()
{
	moves=$((moves + 1))
	d=m$moves
	mkfifo "$W/$d.in"
	IN=$W/$d.in incoming "$d" "unix:$W/$d.mig"
}

ends_somehow()
{
	ended "$1" 20
}

# one_runs: after a migration from $s to $d whose output is in $W/out: exactly one goes on, or a user is asked. The one that
# runs is $s from then on. A guest's whole output is in $W/all and what follows in $s.out.
one_runs()
{
	wait_for 40 settled || return 1
	if is_state $s paused; then
		says "$W/out" "stays paused here.*lkvm stop $CASE-$s.*lkvm resume $CASE-$s" || return 1
		if is_state $d running; then
			ctl stop $s && ends_somehow $s && moved
		else
			ctl resume $s && ends_in_vain $d && stayed
		fi
	elif is_state $s running; then
		is_state $d gone && ends_in_vain $d && stayed
	else
		is_state $d running && ends $s 20 0 && moved
	fi
}

# The destination to which nothing came. One that has not even had a whole hello waits on until it is told to end.
ends_in_vain()
{
	wait_for 20 ended_or_waits "$1" || return 1
	test -s "$W/$1.status" || kill -TERM "$(pid "$1")"
	ends "$1" 20 1
}

ended_or_waits()
{
	test -s "$W/$1.status" ||
		tail -n 1 "$W/$1.err" | grep -q 'sent away, and still waiting: who connected has closed the line'
}

is_state()
{
	is "$(state_of "$1")" "$2"
}

# Neither is on its way.
settled()
{
	case "$(state_of $s) $(state_of $d)" in
	'running gone' | 'paused gone' | 'gone running' | 'paused running') return 0 ;;
	esac
	echo "source $(state_of $s), destination $(state_of $d)"
	return 1
}

moved()
{
	cat "$W/$s.out" >>"$W/all"
	s=$d
	counts_on $s && counted all "$s.out"
}

stayed()
{
	counts_on $s && counted all "$s.out" && not says "$W/$d.out" '^N '
}

# over ACTION N: a migration over a line that goes wrong.
over()
{
	next && line $d "$1" "$2" || return 1
	migrate $s "unix:$W/$d.line" >"$W/out" 2>&1
	code=$?
	cat "$W/out" "$W/$d.err"
}

# again S D [ACTION N]: the VM S here and the VM D there, which lost their line in post-copy, are joined, over a line that goes
# wrong if one is named. The output is in $W/out, and $code is the exit code.
again()
{
	local from="$1" to="$2" at

	rm -f "$W/$to.mig"
	(exec "$B/lkvm" incoming "unix:$W/$to.mig" --recover "$CASE-$to" >"$W/$to.again" 2>&1 </dev/null) &
	wait_for 10 says "$W/$to.again" 'waiting at ' || return 1
	at=$W/$to.mig
	if [ $# -gt 2 ]; then
		line "$to" "$3" "$4" || return 1
		at=$W/$to.line
	fi
	code=0
	# shellcheck disable=SC2034 # for the case
	migrate "$from" "unix:$at" --recover >"$W/out" 2>&1 || code=$?
	cat "$W/out" "$W/$to.again"
}
