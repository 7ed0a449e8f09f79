#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host with pages of 16 KiB.
exec "$(dirname "$0")/suite" --kernel 6.12-16k --name 6.12-16k --full "$@"
