#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The main kernel, in an L1 beside that of l1-6.12.t: two processors have something to do. The one left out has registers that
# snapshot-state sees too, under Linux; make check-all has it.
exec "$(dirname "$0")/suite" --kernel 6.12 --name 6.12-snapshot --short-cpus 1 --like 'snapshot-*' --not snapshot-user "$@"
