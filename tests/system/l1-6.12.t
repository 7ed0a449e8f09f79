#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The main kernel, but for the cases of l1-6.12-snapshot.t. Those left out take minutes each; make check-all has them.
exec "$(dirname "$0")/suite" --kernel 6.12 --unlike '@(snapshot-*|migrate*)' --not console-linux --not many "$@"
