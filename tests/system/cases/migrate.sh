# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# limit: 3600
# A guest whose kernel checks every tag moves under load, from one lkvm to another, by unix socket and TCP; what arrives is
# what was there, compared from outside; without its tags it is dead at once. Then a small one over the other transports.
. /share/tests/system/snapshot-lib.sh
. /share/tests/system/migrate-lib.sh

more=2
times=1
shapes=2 # vCPUs
[ "$FULL" = 0 ] || more=20
[ "$FULL" = 0 ] || times=5
[ "$FULL" = 0 ] || shapes="1 4 2"
plan $(($(echo "$shapes" | wc -w) * (1 + 20 * times) + 8 + 4 + 17))

# moves TEXT DEST OPTION...: from $g to the one that waits, $to. Five tests.
moves()
{
	local text="$1" dest="$2"

	shift 2
	check "$text: moves" migrate "$g" "$dest" "$@"
	tail -n 1 "$W/check" >>"$KEPT/summaries"
	check "$text: the source ends" ends "$g" 20 0
	g=$to
	check "$text: goes on" goes_on "$g" storm "$more" 60
	check "$text: without a report" unharmed "$g"
}

# dead NAME: it has ended, or no more comes from it for some seconds.
dead()
{
	local was

	sleep 2
	was=$(lines_of "$1" storm)
	sleep 5
	[ -s "$W/$1.status" ] || is "$(lines_of "$1" storm)" "$was"
}

n=0
g=
for cpus in $shapes; do
	if [ -n "$g" ]; then
		ctl stop "$g"
		ended "$g" 20
	fi
	g=g$cpus
	linux "$g" -c "$cpus" -m 128 --mte -- "/tests/storm 3 $REST"
	check "$cpus vCPU(s): the storm is on" wait_for 60 has_lines "$g" storm 2
	until=$((n + times))
	while [ $n -lt $until ]; do
		n=$((n + 1))
		to=u$n
		check "unix $n: somebody waits" incoming "$to" "unix:$W/$to.mig"
		moves "unix $n" "unix:$W/$to.mig"
		to=t$n
		check "tcp $n: somebody waits" incoming "$to" tcp:127.0.0.1:0
		moves "tcp $n, compressed" "$(where "$to")" --compress zstd
		to=l$n
		check "post-copy $n: somebody waits" incoming "$to" tcp:127.0.0.1:0
		moves "post-copy $n" "$(where "$to")" --postcopy-after 0
		to=x$n
		check "mixed $n: somebody waits" incoming "$to" "unix:$W/$to.mig"
		moves "mixed $n" "unix:$W/$to.mig" --postcopy
	done
done

# --- paused in the middle of the copy: the same memory and tags there as here ---
to=same
incoming $to "unix:$W/$to.mig"
(
	"$B/lkvm" migrate "$CASE-$g" "unix:$W/$to.mig" --bandwidth 6M --json >same.json 2>&1
	echo $? >same.code
) </dev/null >/dev/null 2>&1 &
check "a slow one: copies" wait_for 20 says same.json '"pages": ?[1-9][0-9]{3}'
pause "$g"
sum=$(memory "$g")
check "a slow one: its memory has tags" sh -c "echo '$sum' | grep -E 'pages [1-9][0-9]{3}.* tagged [1-9][0-9]{2}'"
check "a slow one: was copying still" test ! -s same.code
check "a slow one: ends well" wait_for 30 says same.code '^0'
check "a slow one: is paused there" listed $to paused
check "a slow one: memory and tags are those of the source, seen from outside" is "$(memory $to)" "$sum"
ended "$g" 20
g=$to
resume "$g"
check "goes on" goes_on "$g" storm 1 60
check "without a report" unharmed "$g"

# --- control: what a VMM does that knows no tags ---
to=bare
incoming $to "unix:$W/$to.mig"
check "control: moves without its tags" migrate "$g" "unix:$W/$to.mig" --drop-tags
check "control: its kernel reports it, or falls silent over it" fallen bare storm
check "control: it works no more" dead bare
check "control: the source had no report" unharmed "$g"
ctl stop bare >log 2>&1 || :
ended bare 20

# --- other transports, with a guest that counts, and has no tags ---
mkfifo m0.in
IN=$W/m0.in vm m0 -f "$B/monitor" -c 1 -m 64 --mem-backend memfd
wait_for 15 says m0.out 'monitor BOOTED'
keys m0 c
counts_on m0
check "exec: moves into the background" migrate m0 \
	"exec:$B/lkvm incoming fd:0,1 --tty 0 --detach --name $CASE-m1 2>$W/m1.err"
check "exec: the source ends" ends m0 20 0
check "exec: it runs there" listed m1 running
mkdir bin
cat >bin/ssh <<END
#!/bin/sh
echo "\$*" >$W/ssh.args
shift \$((\$# - 1))
PATH=$B:\$PATH XDG_RUNTIME_DIR=$W/there exec sh -c "\$1"
END
chmod +x bin/ssh
mkdir -m 700 there
PATH=$W/bin:$PATH
check "ssh: moves" migrate m1 ssh://user@host:2222
check "ssh: is called as a user would" says ssh.args '^-T -p 2222 -- user@host lkvm incoming fd:0,1 --tty 0 --detach$'
check "ssh: it has left" not listed m1 running
check "ssh: it runs there, under its name" env XDG_RUNTIME_DIR="$W/there" sh -c "'$B/lkvm' list | grep '^$CASE-m1 .* running '"
incoming m2 "unix:$W/m2.mig"
check "from there: moves" env XDG_RUNTIME_DIR="$W/there" "$B/lkvm" migrate "$CASE-m1" "unix:$W/m2.mig"
check "from there: counts on" counts_on m2
# What two consoles without a reader had is not there; parts of lines at either end.
sed '$d' m0.out >m.out
sed 1d m2.out | sed '$d' >>m.out
check "from there: each later number is larger" sh -c "tr -d '\\r' <m.out |
	awk '/^N [0-9]+\$/ { if (seen++ && \$2 <= last) { print last, \$2; exit 1 } last = \$2 }'"

# --- what is refused ---
exited=0
"$B/lkvm" migrate "$CASE-m2" tcp:192.0.2.1:9 >out 2>&1 || exited=$?
check "tcp beyond this host: exit code 2" is $exited 2
check "tcp beyond this host: names the ways" both out ssh:// --insecure
incoming m2 "unix:$W/m3.mig" >/dev/null 2>&1
check "a name that is taken: refused, and the source told" sh -c "! '$B/lkvm' migrate '$CASE-m2' 'unix:$W/m3.mig' >out 2>&1"
check "a name that is taken: says why" says out "the destination: a VM named $CASE-m2 runs already"
check "the guest runs on" listed m2 running
incoming m4 "unix:$W/m4.mig" --tty 3
check "a serial port that the guest lacks: refused" sh -c "! '$B/lkvm' migrate '$CASE-m2' 'unix:$W/m4.mig' >out 2>&1"
check "a serial port that the guest lacks: says so" says out 'the destination: --tty 3: the guest has no such'
ctl stop m2 >out
wait_for 10 not listed m2 running
