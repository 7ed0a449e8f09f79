# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Snapshot files that older programs saved on older kernels (tests/golden) are restored, and their guests go on: each checks its
# memory, tags, registers and interrupts (tests/guest/bare/guests/golden.c). Those of a newer kernel than this may be refused by
# the name of a register.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/bare.sh

files='v1-6.1-zstd v1-6.12-plain v1-6.12-child'
plan 5
for f in $files; do
	gzip -dc "/share/tests/golden/$f.snap.gz" >"$f.snap"
done

# golden NAME FILE RESTORE-OPTION...: one test.
golden()
{
	local name="$1" file="$2" IN="$W/$1.in" why may='counter runs at'

	shift 2
	# Another emulator's counter, or a register of a newer kernel, is no fault of the file.
	case $HOST$file in
	6.1v1-6.12*) may="$may|register [A-Z0]" ;;
	esac
	why=$("$B/lkvm" snapshot info "$file.snap" --check 2>&1 >/dev/null) || {
		if echo "$why" | grep -Eq "$may"; then
			skip 1 "$file cannot be restored on this host: $(echo "$why" | head -n 1)"
		else
			check "$file: --check" is "$why" ""
		fi
		return
	}
	mkfifo "$IN"
	restore "$name" "$file.snap" "$@"
	printf c >"$IN"
	ended "$name" 60 >/dev/null
	tr -d '\r' <"$name.out" >"$name.tap"
	check "$file${*:+ }$*: $(bare_summary <"$name.tap")" bare_judge "$name"
}

n=0
for f in $files; do
	n=$((n + 1))
	golden "g$n" "$f"
done
golden lazy v1-6.12-child --lazy --clock keep
golden ioctl v1-6.1-zstd --threads 2 --tag-walker ioctl
