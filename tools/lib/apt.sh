# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Finds the mirror of this machine's own apt configuration and derives further suites of the same
# mirror from it. apt itself parses the configuration (one-line and deb822 format alike, mirror+file:
# and the rest) and says which entry an index came from; that entry is then copied with another
# suite, so that options such as Signed-By or Trusted stay as they are.
# Sourced after common.sh.

# The codename of the Debian release installed here, such as bookworm.
apt_codename()
{
	# shellcheck disable=SC1091 # a file of the system
	(. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# Lines "RELEASE ARCHITECTURE COMPONENT ENTRY" for every package index that is configured, or would
# be if arm64 were one of dpkg's architectures. ENTRY is FILE:N: line N of a .list file, stanza N of
# a .sources file.
apt_indexes()
{
	# The information that --no-release-info leaves out needs downloaded lists, which a fresh
	# machine does not have.
	# What apt warns of in that configuration it says in `apt-get update` as well.
	# shellcheck disable=SC2016 # apt's own $(FIELD)s
	apt-get -o APT::Architectures::="$(host_arch)" -o APT::Architectures::=arm64 \
		indextargets --no-release-info --format \
		'$(RELEASE) $(ARCHITECTURE) $(COMPONENT) $(SOURCESENTRY)' 'Created-By: Packages' 2>/dev/null
}

# apt_entry RELEASE: the entry that configures component main of that release, or nothing.
apt_entry()
{
	apt_indexes | awk -v r="$1" '$1 == r && $3 == "main" { print $4; exit }'
}

# apt_has RELEASE ARCH: is main of that release configured for that architecture?
apt_has()
{
	apt_indexes | awk -v r="$1" -v a="$2" \
		'$1 == r && $2 == a && $3 == "main" { found = 1 } END { exit !found }'
}

# apt_derive ENTRY SUITE [ARCH...]: prints that entry, rewritten to give component main of SUITE,
# for the architectures named (default: whatever dpkg knows). The format stays that of the entry's
# file; apt_entry_ext says which that is.
apt_derive()
{
	local file=${1%:*} n=${1##*:} suite=$2 archs

	shift 2
	archs=$*
	if [[ $file == *.sources ]]; then
		awk -v n="$n" -v suite="$suite" -v archs="$archs" '
			/^[ \t]*#/ { next }
			/^[ \t]*$/ { if (inside) { stanza++; inside = 0 } next }
			{ inside = 1 }
			/^[^ \t]/ {
				key = tolower($0)
				sub(/[ \t]*:.*/, "", key)
				drop = key ~ /^(types|suites|components|architectures|enabled)$/
				drop = drop || key ~ /^(targets|x-repolib-name)$/
			}
			stanza + 1 == n && !drop { body = body $0 "\n" }
			END {
				print "Types: deb"
				print "Suites: " suite
				print "Components: main"
				if (archs != "")
					print "Architectures: " archs
				printf "%s", body
			}' "$file"
	else
		awk -v n="$n" -v suite="$suite" -v archs="$archs" '
			NR == n {
				sub(/#.*/, "")
				sub(/^[ \t]*deb[ \t]+/, "")
				if (match($0, /^\[[^]]*\][ \t]*/)) {
					opts = substr($0, 2, RLENGTH)
					$0 = substr($0, RLENGTH + 1)
					sub(/\].*/, "", opts)
				}
				m = split(opts, o, " ")
				opts = archs == "" ? "" : " arch=" commas(archs)
				for (i = 1; i <= m; i++)
					if (o[i] !~ /^(arch|target)[-+]?=/)
						opts = opts " " o[i]
				print "deb " (opts == "" ? "" : "[" substr(opts, 2) "] ") $1 " " suite " main"
			}
			function commas(s) { gsub(/ /, ",", s); return s }' "$file"
	fi
}

# The extension that text from apt_derive needs in sources.list.d.
apt_entry_ext()
{
	case "$1" in
	*.sources:*) echo sources ;;
	*) echo list ;;
	esac
}
