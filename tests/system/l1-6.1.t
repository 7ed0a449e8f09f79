#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The oldest kernel that is supported.
exec "$(dirname "$0")/suite" --kernel 6.1 "$@"
