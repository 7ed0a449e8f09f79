# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 900
# Memory over several connections at once, by unix sockets, TCP and TLS: the KASAN guest under load goes on unharmed. What cannot
# have several, strangers among the connections, one that is cut; fd:N; --keep-paused.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

more=2
times=1
[ "$FULL" = 0 ] || more=10
[ "$FULL" = 0 ] || times=5
tcp=0
[ "$FULL" = 0 ] || tcp=5
plan $((1 + (10 + tcp) * times + 31))

umask 077
echo "me:00112233445566778899aabbccddeeff" >keys

# moves TEXT DEST OPTION...: from $g to the one that waits, $to. Four tests.
moves()
{
	local text="$1" dest="$2"

	shift 2
	check "$text: moves" migrate "$g" "$dest" "$@"
	check "$text: the source ends" ends "$g" 20 0
	g=$to
	check "$text: goes on" goes_on "$g" storm "$more" 60
	check "$text: without a report" unharmed "$g"
}

n=0
g=g0
linux $g -c 2 -m 128 --mte -- "/tests/storm 3 $REST"
check "the storm is on" wait_for 60 has_lines $g storm 2
while [ $n -lt $times ]; do
	n=$((n + 1))
	to=u$n
	check "unix $n: somebody waits" incoming "$to" "unix:$W/$to.mig"
	moves "unix $n, 4 channels" "unix:$W/$to.mig" --channels 4
	if [ $tcp != 0 ]; then
		to=t$n
		check "tcp $n: somebody waits" incoming "$to" tcp:127.0.0.1:0
		moves "tcp $n, 16 channels, compressed" "$(where "$to")" --channels 16 --compress zstd
	fi
	to=s$n
	check "TLS $n: somebody waits" incoming "$to" tcp:127.0.0.1:0 --tls-psk keys
	moves "TLS $n, 3 channels, compressed" "$(where "$to")" --tls-psk keys --channels 3 --compress zstd
done

# --- in the middle of the copy ---
copying()
{
	[ "$(find "/proc/$(pid "$1")/task" -name comm -exec grep -l incoming-more {} + 2>/dev/null | wc -l)" = "$2" ]
}

# slow NAME DEST OPTION...
slow()
{
	local name="$1"

	shift
	rm -f slow.code slow.out
	(
		"$B/lkvm" migrate "$CASE-$g" "$@" --channels 3 --bandwidth 2M >slow.out 2>&1
		echo $? >slow.code
	) </dev/null >/dev/null 2>&1 &
	wait_for 30 copying "$name" 2
}

incoming cut tcp:127.0.0.1:0 --tls-psk keys
check "one is cut: three connections are up" slow cut "$(where cut)" --tls-psk keys
check "one is cut: nobody lets in more" wait_for 10 not pidof lkvm-door
# The one that was made last is no first connection.
check "one is cut: cut" sh -c 'kill -9 "$(pidof lkvm-tls | tr " " "\n" | sort -n | tail -n 1)"'
check "one is cut: the migration fails" wait_for 60 says slow.code '^1'
check "one is cut: the destination ends" ends cut 40 1
check "one is cut: the guest goes on here" goes_on "$g" storm 1 60
incoming stop "unix:$W/stop.mig"
check "cancelled: three connections are up" slow stop "unix:$W/stop.mig"
check "cancelled" "$B/lkvm" migrate "$CASE-$g" --cancel
check "cancelled: fails, and says so" wait_for 30 says slow.out 'cancelled'
check "cancelled: the destination ends" ends stop 40 1
check "cancelled: the guest goes on" goes_on "$g" storm 1 60
check "without a report" unharmed "$g"

# --- strangers in front of it: one that speaks, five that do not ---
incoming kept "unix:$W/kept.mig"
"$B/hostile" "$W/kept.mig" send 474554 >log 2>&1
check "a stranger: is sent away" wait_for 20 says kept.err 'sent away, and still waiting: .*no migration of lkvm'
check "a stranger: is told nothing" is "$(cat log)" closed
("$B/hostile" "$W/kept.mig" silent 5 >silent.out 2>&1 &
	echo $! >silent.pid)
wait_for 10 says silent.out '^connected 5'
# --- kept paused, over several ---
check "kept paused: moves" migrate "$g" "unix:$W/kept.mig" --channels 2 --keep-paused
check "five that say nothing: do not hold it up" not says kept.err 'did not say|sent away: '
kill "$(cat silent.pid)" 2>/dev/null
check "kept paused: the source ends" ends "$g" 20 0
check "kept paused: stands there" listed kept paused
g=kept
was=$(lines_of kept storm)
sleep 2
check "kept paused: does nothing" is "$(lines_of kept storm)" "$was"
resume kept
check "kept paused: goes on when it is told to" goes_on kept storm 1 60
check "kept paused: without a report" unharmed kept

# --- what cannot be ---
for dest in exec:true ssh://nowhere fd:0; do
	check "${dest%%:*}: refused" sh -c "! '$B/lkvm' migrate '$CASE-kept' $dest --channels 2 >log 2>&1 && grep 'channels goes with unix:PATH and tcp:' log"
done
check "with --postcopy: refused" sh -c "! '$B/lkvm' migrate '$CASE-kept' unix:x --channels 2 --postcopy >log 2>&1 && grep 'exclude each other' log"
check "17 of them: refused" sh -c "! '$B/lkvm' migrate '$CASE-kept' unix:x --channels 17 >log 2>&1 && grep 'out of range' log"
# --- a socket that is there already: here the one at which somebody waits ---
start given incoming "exec:$B/lkvm migrate $CASE-kept fd:0 >$W/fd.out 2>&1" --name "$CASE-given"
check "fd: the source ends" ends kept 40 0
check "fd: says so" wait_for 20 says fd.out '^migrate-channels-kept: moved'
check "fd: goes on" goes_on given storm 1 60
check "fd: without a report" unharmed given
ctl stop given >log
check "no process is left" wait_for 10 sh -c '! pidof lkvm lkvm-tls lkvm-door'
