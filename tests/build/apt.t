#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# tools/setup finds its mirror in this machine's own apt configuration, in either format, and changes nothing without
# root. Nothing is fetched or installed here: programs that would are replaced by one that takes a note.

set -u
cd "$(dirname "$0")/../.." || exit 1
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	echo "1..0 # SKIP this machine is not Debian"
	exit 0
fi
# shellcheck source=tools/lib/common.sh
. tools/lib/common.sh
# shellcheck source=tools/lib/apt.sh
. tools/lib/apt.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=mirror.example
codename=$(apt_codename)

is()
{
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		diff <(echo "$3") <(echo "$2") | sed 's/^/# /'
	fi
}

says()
{
	if grep -qE -e "$3" "$2"; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		sed 's/^/# /' "$2"
	fi
}

# configure FILE: apt, as the scripts call it, knows the sources of that file and no others.
configure()
{
	rm -rf "${work:?}/etc"
	mkdir -p "$work/etc/parts"
	cp "$1" "$work/etc/parts/${1##*/}"
	cat >"$work/apt.conf" <<-END
		Dir::Etc::sourcelist "$work/etc/none";
		Dir::Etc::sourceparts "$work/etc/parts";
	END
	export APT_CONFIG=$work/apt.conf
}

cat >"$work/one.list" <<END
# a comment
deb [arch=amd64 signed-by=/key.gpg] http://$mirror/security $codename-security main
deb [ arch=amd64 signed-by=/key.gpg trusted=yes ] http://$mirror/debian $codename main contrib # and a remark
END
cat >"$work/two.sources" <<END
# a comment

Types: deb
URIs: http://$mirror/security
Suites: $codename-security
Components: main

Types: deb deb-src
# another
URIs: http://$mirror/debian
Suites: $codename $codename-updates
Components: main contrib
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ
 -----END PGP PUBLIC KEY BLOCK-----
END

echo 1..16
for file in one.list two.sources; do
	configure "$work/$file"
	entry=$(apt_entry "$codename")
	is "$file: the entry of this release is found" "${entry##*/}" "$file:$([ $file = one.list ] && echo 3 || echo 2)"
	apt_has "$codename" arm64
	is "$file: it has nothing for arm64" $? 1
	is "$file: its format" "$(apt_entry_ext "$entry")" "${file#*.}"
	apt_derive "$entry" "$codename-backports" arm64 >"$work/derived.${file#*.}"
	configure "$work/derived.${file#*.}"
	# shellcheck disable=SC2016 # apt's own $(FIELD)s
	apt-get indextargets --no-release-info -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 \
		--format '$(SITE) $(RELEASE) $(COMPONENT) $(ARCHITECTURE)' 'Created-By: Packages' >"$work/indexes"
	is "$file: another suite of the same mirror, for arm64 alone" "$(grep -v ' all$' "$work/indexes")" \
		"http://$mirror/debian $codename-backports main arm64"
done
is "one line: its options stay, but for the architecture" "$(cat "$work/derived.list")" \
	"deb [arch=arm64 signed-by=/key.gpg trusted=yes] http://$mirror/debian $codename-backports main"
is "a stanza: its key stays" "$(sed -n '/^Signed-By/,$p' "$work/derived.sources")" "$(sed -n '/^Signed-By/,$p' "$work/two.sources")"

# --- tools/setup on a machine that has nothing, without root ---
mkdir "$work/bin"
for program in dpkg-query apt-cache; do
	printf '#!/bin/sh\n' >"$work/bin/$program"
done
printf '#!/bin/sh\necho 1000\n' >"$work/bin/id"
# What may be asked of apt and dpkg; all else is a change.
# shellcheck disable=SC2016 # for the scripts that are written
{
	printf '#!/bin/sh\ncase "$*" in *indextargets*) exec %s "$@" ;; esac\necho "apt-get $*" >>%s\n' \
		"$(command -v apt-get)" "$work/changes" >"$work/bin/apt-get"
	printf '#!/bin/sh\ncase "$1" in --compare-versions) exec %s "$@" ;; --print-*) exit 0 ;; esac\necho "dpkg $*" >>%s\n' \
		"$(command -v dpkg)" "$work/changes" >"$work/bin/dpkg"
	printf '#!/bin/sh\necho "install $*" >>%s\n' "$work/changes" >"$work/bin/install"
}
chmod +x "$work/bin"/*

configure "$work/one.list"
: >"$work/changes"
PATH=$work/bin:$PATH tools/setup build bed >"$work/out" 2>&1
is "without root: exit code 1" $? 1
says "without root: says how to go on" "$work/out" "as root, run 'tools/setup build bed', or by hand:"
says "and exactly what to install" "$work/out" 'apt-get install --no-install-recommends .*libfdt-dev'
if [ "$codename" = bookworm ]; then
	says "QEMU from backports" "$work/out" 'apt-get install --no-install-recommends -t bookworm-backports qemu-system-arm'
	says "whose source is shown" "$work/out" "\| deb \[.*\] http://$mirror/debian bookworm-backports main"
else
	echo "ok # skip this machine is not Debian 12"
	echo "ok # skip this machine is not Debian 12"
fi
is "nothing was changed" "$(cat "$work/changes")" ""
