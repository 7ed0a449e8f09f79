# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Many vCPUs, and a guest that never comes back from its own code.
plan 9

linux sixteen -c 16 -m 256 --mte -- 'nproc; for i in $(seq 32); do /tests/tagcheck >/dev/null || echo bad; done; true'
check "Linux on 16 vCPUs" ends sixteen 100 0
check "all is well in it" guest_passed sixteen
check "it has them all" says sixteen.out '^16'

monitor spin -c 4
keys spin s
prints spin 10 'key s'
check "a guest that spins: pause" ctl pause spin
check "a guest that spins: its registers" sh -c "'$B/lkvm' debug '$CASE-spin' -d >dump"
check "it spins in the monitor" says dump '^ +pc +(0x)?0000000080001[0-9a-f]{3}$'
check "a guest that spins: resume" ctl resume spin
kill -TERM "$(pid spin)"
check "SIGTERM ends it, exit code 0" ends spin 10 0
check "nothing is left" gone_soon spin
