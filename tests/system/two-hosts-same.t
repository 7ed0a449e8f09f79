#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Live migration between two hosts in one network, of the same kernel: to and fro.
exec "$(dirname "$0")/suite" --kernel 6.12 --peer 6.12 --name two-hosts-same --set cases-two-hosts "$@"
