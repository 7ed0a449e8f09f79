# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# For cases that run the guests without an operating system (tests/guest/bare). Each prints TAP and powers off.
# Sourced by a case.

bare_runs=0

# bare NAME "WORDS" OPTION...: runs that guest with those words on its command line and judges what it says: one test.
bare()
{
	local name="$1" words="$2" vm

	shift 2
	bare_runs=$((bare_runs + 1))
	vm=g$bare_runs
	vm $vm -k "$B/bare/$name.img" -p "$words" --no-reboot "$@"
	ended $vm 60 >/dev/null
	tr -d '\r' <$vm.out >$vm.tap
	check "$name${words:+ $words}${*:+ }$*: $(bare_summary <$vm.tap)" bare_judge $vm
}

# "N tests", and what was skipped and why.
bare_summary()
{
	awk '/^(not )?ok /{ n++ } / # SKIP /{ sub(/.* # SKIP /, ""); why = why ", not tested: " $0 }
		END { print n + 0 " tests" why }'
}

bare_judge()
{
	tail -n 12 "$1.tap" "$1.err" # seen if something is wrong
	is "$(cat "$1.status")" 0 && awk '
		/^1\.\.[0-9]+$/ { plan = substr($0, 4); next }
		/^ok [0-9]+/ { n++ }
		/^not ok |^Bail out/ { print; bad = 1 }
		END {
			if (plan == "" || plan != n) print "it planned " plan " tests, and " n + 0 " passed"
			exit bad || plan == "" || plan != n
		}' "$1.tap"
}
