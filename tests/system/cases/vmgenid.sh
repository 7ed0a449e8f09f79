# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# A machine that goes on from a file has another VMGenID than any other, and its guest is told; one that only goes on has not.
. /share/tests/system/snapshot-lib.sh

plan $((17 + 4 * FULL))

# number NAME: the number in the last line that the guest printed.
number()
{
	tr -d '\r' <"$W/$1.out" | sed -n 's/^id \([0-9a-f]* [0-9a-f]*\),.*/\1/p' | tail -n 1
}

# asked NAME FIFO: the guest prints a line more, for a key.
asked()
{
	local had

	had=$(grep -c '^id ' "$W/$1.out")
	printf k >"$2"
	wait_for 20 more_ids "$1" "$had"
}

more_ids()
{
	[ "$(grep -c '^id .*at the last [0-9a-f]* [0-9a-f]*.\?$' "$W/$1.out")" -gt "$2" ]
}

# copied NAME TEXT: two tests of a machine that was restored.
copied()
{
	asked "$1" "$1.in"
	check "$2: another number" not is "$(number "$1")" "$first"
	check "$2: an interrupt, which came when the new number was there" \
		says "$1.out" "^id $(number "$1"), interrupts 1, at the last $(number "$1").?\$"
}

for pipe in g one two three; do
	mkfifo $pipe.in
done
IN=$W/g.in vm g -k "$B/bare/vmgenid.img" -p keys=1 -c 1 -m 64 --mte
check "the guest is up" wait_for 20 more_ids g 0
first=$(number g)
check "it has a number" not is "$first" ""
check "is saved" snapshot g s
asked g g.in
check "control: the one that was saved keeps its number" is "$(number g)" "$first"
pause g
resume g
asked g g.in
check "control: the same after a pause" is "$(number g)" "$first"
check "control: and it had no interrupt" not grep -Eq 'interrupts [1-9]' g.out

IN=$W/one.in restore one s
IN=$W/two.in restore two s
copied one "restored"
copied two "restored once more, beside it"
check "the two have different numbers" not is "$(number one)" "$(number two)"
mkfifo again.in
exec 4<>three.in
: >three.out
"$B/lkvm" run --restore s --name "$CASE-three" <&4 >three.out 2>three.err &
copied three "run --restore"
check "a copy can be saved" snapshot one s2 --stop
IN=$W/again.in restore again s2
asked again again.in
check "a copy's copy: another number" not is "$(number again)" "$(number one)"
check "a copy's copy: one interrupt more" says again.out "^id $(number again), interrupts 2,"
for vm in g one two three again; do
	[ $vm = one ] || printf q >$vm.in
done
check "all end" ends g 20 0
ended two 20
ended again 20
wait
exec 4<&-

# A kernel with the driver makes new random seeds.
if [ "$FULL" = 1 ]; then
	linux k -c 1 -m 128 --mte -- 'echo 7 >/proc/sys/kernel/printk; /tests/storm 1'
	check "Linux: the storm is on" wait_for 60 has_lines k storm 1
	check "Linux: is saved" snapshot k s3 --stop
	ended k 20
	check "control: it had no reason to reseed" not says k.out 'crng reseeded due to virtual machine fork'
	restore l s3
	check "Linux: its random generator is told" wait_for 60 says l.out 'crng reseeded due to virtual machine fork'
	ctl stop l
	ended l 20
fi
