#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The main kernel.
exec "$(dirname "$0")/suite" --kernel 6.12 "$@"
