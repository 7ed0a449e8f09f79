# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Guest memory that is taken away, replaced or protected under a running guest.
case $HOST in
6.1) seal=0 ;;
*) seal=1 ;;
esac
unsealed=
[ $seal = 0 ] || unsealed=--debug-no-seal

# On a terminal, so that its state after the end is tested as well. pty NAME OPTION... starts the monitor as a VM that
# touches the second MiB of RAM all the time.
pty()
{
	local name="$1"

	shift
	(
		code=0
		"$B/ptyrun" -o "$W/$name.out" 'expect:monitor BOOTED' raw 'send:t' 'expect:key t' \
			exit:3 cooked -- "$B/lkvm" run --name "$CASE-$name" -f "$B/monitor" -c 1 -m 64 "$@" \
			>"$W/$name.pty" 2>&1 || code=$?
		echo $code >"$W/$name.status"
	) &
	wait_for 20 says "$W/$name.out" 'key t'
	"$B/lkvm" stat "$CASE-$name" --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' >"$W/$name.pid"
}

# lost NAME REGEX TEXT: what must follow, three tests.
lost()
{
	check "$3: ends with exit code 3, the terminal as it was" ends "$1" 20 0
	check "$3: names the address" says "$1.out" "$2"
	check "$3: nothing is left" gone_soon "$1"
}

plan $((19 + 9 * seal))

pty unmapped $unsealed
check "a part is unmapped" "$B/inject" "$(pid unmapped)" munmap 0x180000 0x2000
lost unmapped 'lkvm: .*guest memory at 0x80180000 \(ram\) is no longer mapped' "unmapped"

pty protected $unsealed
check "a part is protected" "$B/inject" "$(pid protected)" mprotect 0x1ff000 0x1000 0
lost protected 'lkvm: .*guest memory at 0x801ff000 \(ram\) was protected' "protected"

# On the share: unlike one in a tmpfs, such a file cannot hold tags, which is what KVM minds.
dd if=/dev/zero of="$KEPT/file" bs=4096 count=16 2>/dev/null
pty file $unsealed --mte
check "a file is mapped over a part" "$B/inject" "$(pid file)" mmap-file 0x100000 0x10000 "$KEPT/file"
lost file 'lkvm: .*guest memory at 0x80100000 \(ram\) was mapped over' "mapped over with a file"

# A page that the hardware lost (MADV_HWPOISON). The injected call may not even come back.
pty poison
"$B/inject" "$(pid poison)" madvise 0x140000 0x1000 100 >log2 2>&1
if [ "$(cat log2)" = EINVAL ]; then
	ctl stop poison
	skip 3 "this kernel cannot poison a page"
else
	# Its socket stays, as after a crash: the handler of SIGBUS ends the process at once.
	check "a poisoned page ($(cat log2)): ends with exit code 3, the terminal as it was" ends poison 20 0
	check "a poisoned page: names the address" says poison.out \
		'lkvm: .*guest memory at 0x80140000 was lost by the host'
	"$B/lkvm" list >/dev/null 2>&1
	check "a poisoned page: nothing is left" gone_soon poison
fi

# The VMM itself touches what is gone: the device tree's place, when the guest reboots. That of a firmware is the last
# 2 MiB, which the guest does not use.
monitor own $unsealed
check "the device tree's place is protected" "$B/inject" "$(pid own)" mprotect 0x3e00000 0x1000 0
keys own r
check "the VMM's own access: exit code 3" ends own 20 3
check "the VMM's own access: names the address" says own.err \
	'lkvm: guest memory at 0x83e00000 is not mapped any more'
"$B/lkvm" list >/dev/null 2>&1

dd if=/dev/zero of=file2 bs=4096 count=1 2>/dev/null
monitor own2 $unsealed
"$B/inject" "$(pid own2)" mmap-file 0x3e00000 0x1000 "$W/file2"
: >file2
keys own2 r
ended own2 20
check "the VMM's own access to a file cut short: exit code 3, names the address" \
	both own2.err 'guest memory at 0x83e00000 was lost by the host'
"$B/lkvm" list >/dev/null 2>&1

[ $seal = 1 ] || return

# The seal is what protects: the same attempts fail where it is not left out, and the guest goes on.
monitor sealed --mte
keys sealed c
for attempt in 'munmap 0x180000 0x2000' 'mprotect 0x1ff000 0x1000 0' "mmap-file 0x100000 0x10000 $KEPT/file" \
	'mmap-anon 0x120000 0x1000' 'mprotect 0 0x4000000 3'; do
	# shellcheck disable=SC2086 # words
	"$B/inject" "$(pid sealed)" $attempt >answer
	check "sealed: ${attempt%% *} is refused" is "$(cat answer)" EPERM
done
lines=$(wc -l <sealed.out)
more()
{
	test "$(wc -l <sealed.out)" -gt "$((lines + 3))"
}
check "sealed: the guest goes on" wait_for 10 more

# A memfd could also be cut short; it is sealed too.
monitor memfd --mte --mem-backend memfd
fd=$(ls -l "/proc/$(pid memfd)/fd" | sed -n 's|.* \([0-9]*\) -> /memfd:lkvm.*|\1|p')
check "the memfd is found" test -n "$fd"
check "the memfd cannot be cut short" not truncate -s 4096 "/proc/$(pid memfd)/fd/$fd"
ctl stop sealed
check "and ends well" ends sealed 10 0
ctl stop memfd
ended memfd 10
