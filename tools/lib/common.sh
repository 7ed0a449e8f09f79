# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What every script in tools/ shares: messages, the cache, the architecture of this machine.
# Sourced, never run. The caller has set -eu and set `me` to its own name.

: "${me:=${0##*/}}"

# What apt and others print is read here, in English.
export LC_ALL=C

# shellcheck disable=SC2034 # used by the scripts that source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Downloads and built kernels live here, outside the tree, and survive `make clean`.
cache=${LKVM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/lkvm}

# Messages go to stderr: what a script prints on stdout is its result, for other scripts to read.
say()
{
	printf '%s: %s\n' "$me" "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# A wrong option or argument: exit code 2, as for lkvm itself.
bad_usage()
{
	say "$*"
	exit 2
}

have()
{
	command -v "$1" >/dev/null 2>&1
}

# Debian's name of this machine's architecture (amd64, arm64), without needing dpkg.
host_arch()
{
	case "$(uname -m)" in
	aarch64) echo arm64 ;;
	x86_64) echo amd64 ;;
	*) uname -m ;;
	esac
}

declare -A cache_lock_fds=()

# Takes the exclusive lock named $1 in the cache, until cache_unlock or the end of the script: two
# scripts that want the same download or build do it once.
cache_lock()
{
	local file=$cache/$1.lock fd

	mkdir -p "$(dirname "$file")" || die "cannot create the cache folder $cache"
	exec {fd}>"$file" || die "cannot write $file"
	cache_lock_fds[$1]=$fd
	if ! flock -n "$fd"; then
		say "waiting for another run that holds $file"
		flock "$fd"
	fi
}

cache_unlock()
{
	local fd=${cache_lock_fds[$1]}

	exec {fd}>&-
	unset "cache_lock_fds[$1]"
}
