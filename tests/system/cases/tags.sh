# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Guest memory is mapped with PROT_MTE: then, and only then, this process sees the tags that the guest gives.
. /share/tests/system/snapshot-lib.sh

plan 11

linux with -c 1 -m 64 --mte -- 'i=0; while :; do echo up $i; cat /bin/busybox | md5sum >/dev/null; i=$((i + 1)); done'
vm without -k "$B/bare/pattern.img" -p "mib=8 rest=20000" --no-reboot -c 1 -m 64 --mte --debug-no-tags
prints with 40 '^up'
check "a guest that checks its own tags" prints without 40 '^pattern 2'

"$B/inject" "$(pid with)" where >where
check "RAM is mapped with tags" says where ' mt'
"$B/inject" "$(pid with)" tags 0 0x4000000 >tags
check "the guest's tags are seen, $(wc -l <tags) of them" test "$(wc -l <tags)" -ge 10

"$B/inject" "$(pid without)" where >where
check "control: with --debug-no-tags it is not" not says where ' mt'
"$B/inject" "$(pid without)" tags 0 0x4000000 >tags
check "control: no tag is seen" says tags 'EOPNOTSUPP|EIO'
ctl stop without
check "the guest itself did not mind" unharmed without
check "and ends" ends without 10 0

# What a lost tag does, so that "no report" means something.
check "control: its kernel works" goes_on with up 1 20
check "all tags of the guest are made zero" "$B/inject" "$(pid with)" clear-tags 0 0x4000000
check "control: the guest's kernel reports it, or falls silent over it" fallen with up
ctl stop with || :
check "and it ends" ended with 10
