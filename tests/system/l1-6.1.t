#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The oldest kernel that is supported.
# Those left out take minutes each; make check-all has them.
exec "$(dirname "$0")/suite" --kernel 6.1 --not console-linux --not migrate-faults "$@"
