#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The oldest kernel that is supported. What hardly depends on it is left to 6.12, what takes minutes to make check-all.
left_out="bare console-linux linux migrate migrate-borders migrate-channels migrate-console migrate-faults migrate-postcopy migrate-recover
	migrate-sandbox migrate-tls console control files many options reboot socket stdin tagcheck tagwalk terminal
	vmgenid snapshot-backends snapshot-damaged snapshot-faults snapshot-files snapshot-golden snapshot-refused snapshot-same
	snapshot-tags snapshot-terminal snapshot-user snapshot-walker"
# shellcheck disable=SC2046,SC2086 # words
exec "$(dirname "$0")/suite" --kernel 6.1 $(printf -- '--not %s ' $left_out) "$@"
