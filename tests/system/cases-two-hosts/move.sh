# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# From one host to another, of another kernel perhaps, and back: by TCP and by the user's own ssh. A guest whose kernel checks
# every tag, and one whose every number is known. What the way back lacks is refused by name.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

times=1
[ "$FULL" = 0 ] || times=20

plan $((4 + 4 + 7 * times))
W2=/tmp/there

# incoming_there NAME PORT OPTION...: as incoming(), on the other host, in its folder $W2; its input is a FIFO.
incoming_there()
{
	local name="$1" port="$2"

	shift 2
	there "mkdir -p $W2 && cd $W2 && rm -f $name.* && mkfifo $name.in && : >$name.err && (
		exec 3<>$name.in
		$B/lkvm incoming tcp:10.9.0.2:$port --insecure --name $CASE-$name $* <&3 >$name.out 2>$name.err
		echo \$? >$name.status) </dev/null >/dev/null 2>&1 &" &&
		wait_for 10 there grep -q 'waiting at' "$W2/$name.err"
}

# Its output over there as a file here.
fetch()
{
	there "cat $W2/$1.out" >"$W/$1.out"
}

# goes_on_there NAME WORD MORE: it does.
goes_on_there()
{
	local was

	fetch "$1" || return 1
	was=$(lines_of "$1" "$2")
	wait_for 60 further_there "$1" "$2" $((was + $3))
}

further_there()
{
	fetch "$1" && has_lines "$@"
}

# Back to this host, where $2 waits: it moves, or this host's kernel lacks a register, and says which; then it runs on there.
# back NAME TO OPTION...
back()
{
	local name=$1 to=$2 code=0

	shift 2
	home=1
	there "$B/lkvm migrate $CASE-$name $(where "$to") --insecure --downtime 2000 $*" >back 2>&1 || code=$?
	cat back
	case $code in
	0) wait_for 10 listed "$to" running ;;
	1) says back 'the destination: .*register [A-Z0][0-9A-Zx_]+' && home=0 &&
		there "$B/lkvm list" | grep -q "^$CASE-$name .*running" ;;
	*) false ;;
	esac
}

# --- the guest that counts, by ssh there: it has no terminal then, so its numbers are looked at where it comes back ---
mkfifo m0.in
IN=$W/m0.in vm m0 -f "$B/monitor" -c 1 -m 64 --mte
wait_for 15 says m0.out 'monitor BOOTED'
keys m0 k
check "a guest counts" counts_on m0
check "ssh: moves" migrate m0 ssh://root@peer --downtime 2000
check "ssh: its source ends" ends m0 20 0
check "ssh: runs there under its name" sh -c "ssh peer $B/lkvm list | grep '^$CASE-m0 .*running'"
there "$B/lkvm stop $CASE-m0"

# --- the same by post-copy: a guest that knows each of its tags and bytes ---
vm w0 -k "$B/bare/pattern.img" -p "mib=8 rest=20000" -c 2 -m 64 --mte
wait_for 60 has_lines w0 pattern 2
check "ssh, post-copy: moves" migrate w0 ssh://root@peer --postcopy-after 0
check "ssh, post-copy: its source ends" ends w0 20 0
incoming w1 tcp:10.9.0.1:0 --insecure
check "ssh, post-copy: back by post-copy, or a register that is unknown here is named" back w0 w1 --postcopy
if [ "$home" = 1 ]; then
	goes_on w1 pattern 2 60
	check "ssh, post-copy: all of it is right" unharmed w1
	ctl stop w1 >log
else
	check "ssh, post-copy: goes on there" sh -c "ssh peer $B/lkvm list | grep '^$CASE-w0 .*running'"
	there "$B/lkvm stop $CASE-w0"
fi

# --- the guest whose kernel checks every tag ---
s=g0
linux $s -c 2 -m 128 --mte -- "/tests/storm 3 $REST"
wait_for 60 has_lines $s storm 2
n=0
while [ $n -lt $times ]; do
	n=$((n + 1))
	d=t$n
	check "there $n: somebody waits" incoming_there $d $((7000 + n))
	check "there $n: moves" migrate $s "tcp:10.9.0.2:$((7000 + n))" --insecure --downtime 1000 || break
	check "there $n: goes on" goes_on_there $d storm 1
	check "there $n: without a report" unharmed $d
	s=b$n
	incoming $s tcp:10.9.0.1:0 --insecure
	check "back $n: moves, or a register that is unknown here is named" back $d $s
	if [ "$home" = 1 ]; then
		check "back $n: goes on" goes_on $s storm 1 60
	else
		check "back $n: goes on there" goes_on_there $d storm 1
		there "$B/lkvm stop $CASE-$d"
		s=a$n
		linux $s -c 2 -m 128 --mte -- "/tests/storm 3 $REST"
		wait_for 60 has_lines $s storm 2
	fi
	check "back $n: without a report" unharmed $s
done
ctl stop $s
ended $s 20
