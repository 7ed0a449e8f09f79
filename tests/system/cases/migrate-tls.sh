# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Migration over TLS, between two network namespaces where the host has them; and each way in which TLS says no: then nothing of
# the guest has moved, and it runs on.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh
plan 26

umask 077
echo "me:00112233445566778899aabbccddeeff" >mine
{
	echo "you:ffeeddccbbaa99887766554433221100"
	cat mine
} >theirs
echo "me:0011223344556677ffffffffffffffff" >wrong
echo "other:00112233445566778899aabbccddeeff" >unknown

# no CLIENT-KEYS SERVER-KEYS: the source is told, the other side waits on; their words are in $W/ours and the waiting side's .err.
no()
{
	if [ -e "$W/t.pid" ]; then
		kill -TERM "$(pid t)"
		ends t 20 1 || return 1
	fi
	# shellcheck disable=SC2086 # nothing, or an option and its value
	incoming t tcp:127.0.0.1:0 ${2:+--tls-psk $2} || return 1
	# shellcheck disable=SC2086
	! timeout 60 "$B/lkvm" migrate "$CASE-g" "$(where t)" ${1:+--tls-psk $1} >ours 2>&1 || return 1
	wait_for 40 says "$W/t.err" 'sent away, and still waiting'
}

monitor g -c 1 -m 64
keys g c
check "a wrong key: no" no wrong theirs
check "a wrong key: one line here" sh -c "[ \$(wc -l <ours) = 1 ] && grep -q 'does not take the key of me in wrong' ours"
check "a wrong key: one line there" says t.err 'another key for me than theirs has'
check "an unknown identity: no" no unknown theirs
check "an unknown identity: says so" says t.err 'calls itself other, of which theirs has no key'
check "plain here: no" no "" theirs
check "plain here: the one who waits knows why" says t.err '[-]-tls-psk is for both sides'
check "plain there: no" no mine ""
check "plain there: both know why" sh -c "grep -e '--tls-psk' ours && grep -e 'TLS' t.err"
chmod 644 wrong
check "keys that others can read: no" no wrong theirs
check "keys that others can read: says so" says ours 'chmod 600'
check "no key was in any of these words" not grep -qi 2233445566 ours t.err
kill -TERM "$(pid t)"
ended t 20
check "beyond this host: the ways are named" sh -c "! '$B/lkvm' migrate '$CASE-g' tcp:192.0.2.1:9 >ours 2>&1; grep 'ssh://.*--tls-psk FILE.*--insecure' ours"
check "with another transport: refused" sh -c "! '$B/lkvm' migrate '$CASE-g' unix:x --tls-psk mine >ours 2>&1; grep 'tcp:HOST:PORT alone' ours"
mv "$B/lkvm-tls" "$B/lkvm-tls.away"
check "without lkvm-tls: refused" sh -c "! '$B/lkvm' migrate '$CASE-g' tcp:127.0.0.1:1 --tls-psk mine >ours 2>&1"
mv "$B/lkvm-tls.away" "$B/lkvm-tls"
check "the guest counts on through all of that" counts_on g

# --- it works, from one namespace to another if there are such ---
host=127.0.0.1
in=
if modprobe veth 2>/dev/null && ip link add va type veth 2>/dev/null; then
	peer=$(ip -o link | sed -n 's/^[0-9]*: \([a-z0-9]*\)@va:.*/\1/p')
	unshare -n sleep 1000 &
	sleeper=$!
	if wait_for 5 sh -c "[ \$(readlink /proc/$sleeper/ns/net) != \$(readlink /proc/self/ns/net) ]" &&
		ip link set "$peer" netns $sleeper && ip addr add 10.9.9.1/24 dev va && ip link set va up &&
		nsenter -t $sleeper -n sh -c "ip addr add 10.9.9.2/24 dev $peer && ip link set $peer up"; then
		host=10.9.9.2
		in="nsenter -t $sleeper -n"
	fi
fi
diag "from here to $host"
: >d.out
: >d.err
# shellcheck disable=SC2086 # words
(exec $in "$B/lkvm" incoming tcp:$host:7000 --tls-psk theirs --name "$CASE-d" --tty 0 >d.out 2>d.err </dev/null) &
wait_for 10 says d.err 'waiting at '
check "a wrong key first: no" sh -c "! '$B/lkvm' migrate '$CASE-g' tcp:$host:7000 --tls-psk unknown >ours 2>&1"
check "a wrong key first: is sent away" wait_for 40 says d.err 'sent away.*calls itself other'
check "moves" timeout 120 "$B/lkvm" migrate "$CASE-g" tcp:$host:7000 --tls-psk mine --compress zstd
check "the source ends" ends g 20 0
check "runs there" listed d running
check "no key is in an argument or the environment" not grep -qs 2233445566 /proc/[0-9]*/cmdline /proc/[0-9]*/environ
check "no lkvm-tls is left" wait_for 10 not pidof lkvm-tls

# --- a line that is cut ---
incoming c tcp:127.0.0.1:0 --tls-psk theirs
(
	"$B/lkvm" migrate "$CASE-d" "$(where c)" --tls-psk mine --bandwidth 1B --downtime 0 >ours 2>&1
	echo $? >code
) </dev/null >/dev/null 2>&1 &
wait_for 20 pidof lkvm-tls
wait_for 20 listed c starting
pidof lkvm-tls | xargs kill -9
check "cut in the middle: fails" wait_for 40 says code '^1'
check "cut in the middle: the guest runs on here" listed d running
check "cut in the middle: the other side ends" ends c 40 1
ctl stop d >log
[ -z "${sleeper:-}" ] || kill "$sleeper" 2>/dev/null
[ "$host" = 127.0.0.1 ] || ip link del va
