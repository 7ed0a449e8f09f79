#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Live migration between two hosts in one network, from the main kernel to the newest.
exec "$(dirname "$0")/suite" --kernel 6.12 --peer 7.2 --name two-hosts-7.2 --set cases-two-hosts "$@"
