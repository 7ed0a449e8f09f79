#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Nothing in the tree knows the machine it was written on, nor a mirror: paths of a developer, names of package hosts.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

# Written so that this file does not match itself.
my $slash = '/';
my @patterns = (
	['a path of one machine', qr{(?<![\w.\$\}~/-])\Q$slash\E(?:work|home|Users)/\w}],
	['a path of one machine', qr{(?<![\w.\$\}~/-])\Q$slash\Etmp/[a-z0-9]+/\w}],
	['a package host', qr{\b(?:deb|ftp(?:\.\w+)?|security|snapshot|archive|ports|mirrors?|cdn)\.(?:debian|ubuntu)\.(?:org|com)\b}],
	['a package host', qr{\b(?:registry\.npmjs|pypi|files\.pythonhosted|crates|static\.rust-lang|proxy\.golang)\.(?:org|io)\b}],
	['a package host', qr{\b(?:registry-1\.docker|quay|ghcr)\.io\b}],
);
my $url = ['a host in a script', qr{\b(?:https?|ftp)://[A-Za-z0-9]}];

sub complaints
{
	my ($root) = @_;
	my @c;

	for my $path (files($root)) {
		my @look = @patterns;
		my $n = 0;

		next unless -T "$root/$path";
		push @look, $url if is_script("$root/$path") || is_make($path);
		for my $line (split(/\n/, slurp("$root/$path"))) {
			$n++;
			for (@look) {
				my ($what, $pattern) = @$_;

				push @c, "$path:$n: $what: $&" if $line =~ $pattern;
			}
		}
	}
	return @c;
}

clean('no host, no path of a developer', complaints(top()));

clean('control: what is needed passes', complaints(sample(
	'tools/x' => "#!/bin/sh\ncd \${HOME:-/root} && cat /run/lkvm /tmp/\$x /etc/apt /dev/kvm build/work/x ~/home/y\n" .
		"fetch \"\$mirror/dists\" http://\$host/\n",
	'docs/a.md' => "See https:" . "//www.kernel.org/doc/ and debian.org.\n")));
catches('a home', qr/^docs\/a\.md:2: a path of one machine/,
	complaints(sample('docs/a.md' => "x\nin ${slash}home/joe/src\n")));
catches('a work folder', qr/a path of one machine/,
	complaints(sample('vm/a.c' => "char *a = \"${slash}work/main\";\n")));
catches('a folder of a test run', qr/a path of one machine/,
	complaints(sample('tools/x.sh' => "cp ${slash}tmp/mine/file .\n")));
catches('a mirror', qr/a package host/, complaints(sample('docs/a.md' => "deb" . ".debian.org\n")));
catches('a mirror of a country', qr/a package host/, complaints(sample('docs/a.md' => "ftp.de" . ".debian.org\n")));
catches('a registry', qr/a package host/, complaints(sample('docs/a.md' => "registry" . ".npmjs.org\n")));
catches('a URL in a script', qr/a host in a script/,
	complaints(sample('tools/x' => "#!/bin/sh\ncurl https:" . "//example.com/x\n")));
catches('a URL in a makefile', qr/a host in a script/,
	complaints(sample('Makefile' => "x:\n\tcurl http:" . "//example.com/x\n")));

done_testing();
