# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# What the cases about migration share, with snapshot-lib.sh. Sourced by them: . /share/tests/system/migrate-lib.sh

# incoming NAME SRC OPTION...: `lkvm incoming` in the background, with the same files as vm() has. Waits until it listens.
incoming()
{
	local name="$1" src="$2"

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
		"$B/lkvm" incoming "$src" --name "$CASE-$name" "$@" <&3 3<&- >"$W/$name.out" 2>"$W/$name.err" &
		echo $! >"$W/$name.pid.new"
		mv "$W/$name.pid.new" "$W/$name.pid"
		code=0
		wait $! || code=$?
		echo $code >"$W/$name.status.new"
		mv "$W/$name.status.new" "$W/$name.status"
	) </dev/null >/dev/null 2>&1 &
	wait_for 10 test -s "$W/$name.pid" && wait_for 10 says "$W/$name.err" 'waiting at '
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
	timeout 120 "$B/lkvm" migrate "$CASE-$name" "$dest" "$@"
}
