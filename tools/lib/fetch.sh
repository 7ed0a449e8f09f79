# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# An apt of our own inside the cache: it has its own sources (derived from the machine's), package
# lists and downloads, thinks it is an arm64 machine, and so changes nothing on this one and needs no
# root. What it downloads is unpacked with `dpkg -x` and never installed.
# Sourced after common.sh and apt.sh.

: "${cache:?common.sh comes first}"

# own_apt_sources SUITE...: writes the sources of those suites to $own/sources.
own_apt_sources()
{
	local codename suite entry ext

	codename=$(apt_codename)
	rm -rf "$own/sources"
	mkdir -p "$own/sources"
	for suite in "$@"; do
		entry=$(apt_entry "$suite")
		# Another suite of the main mirror. The security archive is a place of its own, which
		# only an entry for it tells.
		case "$suite" in
		*-security) ;;
		*) [ -n "$entry" ] || entry=$(apt_entry "$codename") ;;
		esac
		[ -n "$entry" ] || continue
		ext=$(apt_entry_ext "$entry")
		apt_derive "$entry" "$suite" arm64 >"$own/sources/$suite.$ext"
	done
	[ -n "$(ls "$own/sources")" ] ||
		die "apt has no source for ${codename:-this release}: cannot tell which mirror to use"
}

# own_apt_init NAME SUITE...: makes $own the folder of the apt called NAME, and fetches its package
# lists unless they are younger than an hour.
own_apt_init()
{
	local name=$1

	shift
	for tool in apt-get dpkg-deb; do
		have "$tool" || die "$tool is missing: Debian's packages can only be fetched on Debian"
	done
	# One user at a time, until own_apt_end.
	own_name=$name
	cache_lock "apt/$name"
	own=$cache/apt/$name
	mkdir -p "$own/lists/partial" "$own/archives/partial" "$own/none"
	: >"$own/status"
	own_apt_sources "$@"
	if [ -z "$(find "$own/updated" -mmin -60 2>/dev/null)" ]; then
		say "reading the package lists of $*"
		own_apt apt-get -qq update || die "apt-get update failed for $*"
		: >"$own/updated"
	fi
}

# own_apt apt-get|apt-cache ARGS...: runs apt with that configuration. apt's own apt.conf.d stays in
# force, since that is where a proxy would be set.
own_apt()
{
	local cmd=$1

	shift
	"$cmd" -o Dir::Etc::sourcelist="$own/none/list" -o Dir::Etc::sourceparts="$own/sources" \
		-o Dir::Etc::preferences="$own/none/pref" -o Dir::Etc::preferencesparts="$own/none" \
		-o Dir::State="$own" -o Dir::State::lists="$own/lists" \
		-o Dir::State::status="$own/status" -o Dir::State::extended_states="$own/extended" \
		-o Dir::Cache="$own" -o Dir::Cache::archives="$own/archives" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::Log="$own/log" \
		-o APT::Architecture=arm64 -o APT::Architectures::= -o APT::Architectures::=arm64 \
		-o APT::Sandbox::User=root -o APT::Default-Release= -o APT::Install-Recommends=0 \
		-o APT::Get::Assume-Yes=1 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \
		-o Acquire::Languages=none -o Debug::NoLocking=1 \
		-o APT::Update::Post-Invoke-Success= -o APT::Update::Post-Invoke= "$@"
}

# Lets others use this apt. Call it when all is downloaded, before anything that takes long.
own_apt_end()
{
	cache_unlock "apt/$own_name"
}

# own_apt_names REGEX: names of known packages that match, oldest version first.
own_apt_names()
{
	own_apt apt-cache pkgnames | grep -E -x "$1" | sort -V
}

# own_apt_unpack DIR PACKAGE...: downloads those packages and unpacks them into DIR. With --deps as
# DIR's predecessor everything they depend on comes as well.
own_apt_unpack()
{
	local deps='' dir deb

	if [ "$1" = --deps ]; then
		deps=1
		shift
	fi
	dir=$1
	shift
	rm -rf "$own/get"
	mkdir -p "$own/get/partial" "$dir"
	if [ -n "$deps" ]; then
		own_apt apt-get -qq -o Dir::Cache::archives="$own/get" -d install "$@" >&2 ||
			die "apt cannot download $* and what it depends on"
	else
		(cd "$own/get" && own_apt apt-get -qq download "$@" >&2) ||
			die "apt cannot download $*"
	fi
	for deb in "$own/get"/*.deb; do
		dpkg-deb -x "$deb" "$dir" || die "cannot unpack ${deb##*/}"
	done
	rm -rf "$own/get"
}
