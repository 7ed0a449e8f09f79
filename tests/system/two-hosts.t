#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Live migration between two hosts in one network, from the oldest kernel to the main one.
exec "$(dirname "$0")/suite" --kernel 6.1 --peer 6.12 --name two-hosts --short-cpus 1 --set cases-two-hosts "$@"
