# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# A guest's reset boots it again, in the same process, from files that are read again.
plan 21

# --- PSCI SYSTEM_RESET and SYSTEM_RESET2, twelve boots in all; what the VMM holds does not grow ---
boots()
{
	[ "$(grep -c 'monitor BOOTED' r.out)" = "$1" ]
}

# What the process has: descriptors by kind, mappings, threads.
holdings()
{
	local p

	p=/proc/$(pid r)
	echo "descriptors $(ls "$p/fd" | wc -l)"
	ls -l "$p/fd" | sed -n 's/.* -> \([a-z_]*:[][a-z_-]*\).*/\1/p' | sort | uniq -c
	echo "mappings $(wc -l <"$p/maps")"
	awk '/^Threads/ { print "threads", $2 }' "$p/status"
}

monitor r --mte
keys r z
check "RAM is zero at the first boot" prints r 10 '^all zero'
keys r tx
keys r z
check "control: not when it was written to" prints r 10 '^not zero'
keys r r
check "SYSTEM_RESET boots again" wait_for 10 boots 2
keys r z
twice_zero()
{
	[ "$(grep -c '^all zero' r.out)" = 2 ]
}
check "and finds RAM zero" wait_for 10 twice_zero
keys r R
check "SYSTEM_RESET2 boots again" wait_for 10 boots 3
ctl stat r >stat
check "stat counts three boots" says stat '^boots +3$'
usleep 300000
holdings >before
n=4
while [ $n -le 13 ]; do
	keys r r
	wait_for 10 boots $n || break
	n=$((n + 1))
done
check "ten more" boots 13
usleep 300000
holdings >after
check "nothing has grown: $(tr '\n' ',' <before | tr -s ' ')" cmp before after
check "it is one process still" test -d "/proc/$(pid r)"
keys r c
check "the guest works after all that" prints r 10 'N 3'
keys r xo
check "power-off ends it" ends r 10 0
check "nothing is left" gone_soon r

# --- another kernel and another initrd in place of those it was started with ---
cp "$KASAN" kernel
cp "$INITRD" initrd
mkfifo in
IN=$W/in vm k -k kernel -i initrd -c 1 -m 128 --mte \
	-p 'quiet lkvm.sh="grep -o -i lkvm@lkvm /proc/version; test -e /extra && cat /extra; echo ready; read line; test $line = end || reboot -f"'
check "a first boot" prints k 30 '^ready'
check "control: it is the first kernel" says k.out '^lkvm@lkvm'
# In place, as a build would do it: the same files with other contents.
cat "$B/kasan2" >kernel
{
	cat "$INITRD"
	echo extra! >extra
	echo extra | cpio -o -H newc 2>/dev/null
} >initrd
echo again >in
check "the second boot has the new kernel" prints k 40 '^LKVM@LKVM'
check "and the new initrd" prints k 10 '^extra!'
rm kernel
echo again >in
check "a third without its kernel: exit code 1, for it was started" ends k 40 1
check "and says which file is missing" says k.err "kernel 'kernel'"
check "nothing is left of it" gone_soon k

# --- --no-reboot ---
monitor once --no-reboot
keys once r
check "--no-reboot: a reset ends it, exit code 0" ends once 10 0
check "--no-reboot: there was one boot" is "$(grep -c 'monitor BOOTED' once.out)" 1
