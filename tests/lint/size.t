#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Files of one purpose: none above 600 lines, unless named here with the reason why it cannot be two.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

my $max = 600;
my %excepted = (
	# path => 'reason'
);

sub complaints
{
	my ($root, %except) = @_;
	my @c;

	for my $path (files($root)) {
		next unless $path =~ /\.[chS]$/ || is_make($path) || is_script("$root/$path");
		my $lines = (slurp("$root/$path") =~ tr/\n//);

		push @c, "$path: $lines lines, at most $max" if $lines > $max && !$except{$path};
		push @c, "$path: is an exception without need" if $lines <= $max && $except{$path};
	}
	push @c, map { "$_: is an exception, but not there" } grep { !-e "$root/$_" } sort keys %except;
	return @c;
}

clean('no file is too long', complaints(top(), %excepted));

my %sample = ('vm/a.c' => "x\n" x 600, 'vm/b.c' => "x\n" x 601, 'docs/c.md' => "x\n" x 9999);
catches('601 lines', qr/^vm\/b\.c: 601 lines/, complaints(sample(%sample)));
clean('control: an exception passes', complaints(sample(%sample), 'vm/b.c' => 'a table'));
catches('an exception without need', qr/^vm\/a\.c: is an exception without need/,
	complaints(sample(%sample), 'vm/b.c' => 'a table', 'vm/a.c' => 'x'));
catches('a long script', qr/^tools\/x: 601/, complaints(sample('tools/x' => "#!/bin/sh\n" . "x\n" x 600)));

done_testing();
