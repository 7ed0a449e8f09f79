#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# The licence line: first in C, within the first three lines elsewhere.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

my $licence = 'SPDX-License-Identifier: GPL-2.0-only';
# The licence's own text, formats without comments, and inputs and expected outputs of tests, which are compared whole.
my $exempt = qr{^(COPYING|LICENSE|LICENSES/.*|.*\.json|\.gitignore|\.gitattributes|tests/.*/(golden|corpus|data)/.*)$};

sub complaints
{
	my ($root) = @_;
	my @c;

	for my $path (grep { !/$exempt/ } files($root)) {
		my $text = slurp("$root/$path");
		my $head = join('', ($text =~ /\A((?:[^\n]*\n){0,3})/));

		next unless -T "$root/$path";
		if ($path =~ /\.[chS]$/) {
			push @c, "$path:1: /* $licence */ is missing" unless $text =~ m{\A/\* \Q$licence\E \*/\n};
		} else {
			push @c, "$path: $licence is missing in the first three lines" unless $head =~ /\Q$licence\E/;
		}
	}
	return @c;
}

clean('every file says its licence', complaints(top()));

clean('control: a good sample passes', complaints(sample(
	'vm/a.c' => "/* $licence */\nint a;\n", 'tools/x' => "#!/bin/sh\n# $licence\n",
	'README' => "<!-- $licence -->\n", 'a.json' => "{}\n", 'COPYING' => "text\n")));
catches('C without', qr/^vm\/a\.c:1/, complaints(sample('vm/a.c' => "int a;\n")));
catches('C with it too late', qr/^vm\/a\.c:1/, complaints(sample('vm/a.c' => "\n/* $licence */\n")));
catches('C with another', qr/^vm\/a\.c:1/,
	complaints(sample('vm/a.c' => "/* SPDX-License-Identifier: MIT */\n")));
catches('C with //', qr/^vm\/a\.c:1/, complaints(sample('vm/a.c' => "// $licence\n")));
catches('script without', qr/^tools\/x: /, complaints(sample('tools/x' => "#!/bin/sh\nset -e\n")));
catches('Makefile without', qr/^Makefile: /, complaints(sample('Makefile' => "all:\n")));

done_testing();
