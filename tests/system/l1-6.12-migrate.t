#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The main kernel: live migration within one host, in an L1 of its own. Faults take minutes; tags are l1-6.1.t's. make check-all
# has both.
exec "$(dirname "$0")/suite" --kernel 6.12 --name 6.12-migrate --short-cpus 1 --like 'migrate*' --not migrate-faults --not migrate-tags "$@"
