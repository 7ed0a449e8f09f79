#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The newest kernel: hugetlbfs can have tags.
exec "$(dirname "$0")/suite" --kernel 7.2 --full "$@"
