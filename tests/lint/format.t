#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# C is as clang-format 14 leaves it, with the tree's .clang-format.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

my ($tool) = grep { runs($_) } ($ENV{CLANG_FORMAT} // (), 'clang-format-14', 'clang-format');

plan(skip_all => 'no clang-format here (Debian package clang-format)') unless $tool;
my $version = qx($tool --version);
plan(skip_all => "clang-format 14 is what counts, other versions differ: $version") unless $version =~ /version 14\./;

sub complaints
{
	my ($root) = @_;
	my (%seen, @c);
	my @sources = map { "$root/$_" } grep { /\.[ch]$/ } files($root);

	return () unless @sources;
	open(my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $tool, '--dry-run', '-Werror', '--style=file', @sources)
		or die "cannot run $tool: $!";
	while (<$out>) {
		next unless m{^\Q$root\E/([^:]+\.[ch]):(\d+):\d+: error: };
		push @c, "$1:$2: not as clang-format has it (make format)" unless $seen{$1}++;
	}
	# Whatever else is wrong with the run shows too.
	push @c, "$tool failed" if !close($out) && !@c;
	return @c;
}

clean('C files are formatted', complaints(top()));

my $style = slurp(top() . '/.clang-format');
clean('control: a good sample passes',
	complaints(sample('.clang-format' => $style, 'a.c' => "int f(int a)\n{\n\treturn a;\n}\n")));
catches('spaces', qr/^a\.c:2: /,
	complaints(sample('.clang-format' => $style, 'a.c' => "int f(int a)\n{\n        return a ;\n}\n")));
catches('a style that cannot be read', qr/failed/,
	complaints(sample('.clang-format' => "BasedOnStyle: nonsense\n", 'a.c' => "int a;\n")));

done_testing();
