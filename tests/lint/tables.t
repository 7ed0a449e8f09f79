#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# A test of tests/system or tests/build that no table of tests/check.mk names is run by nobody.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

sub complaints
{
	my ($root) = @_;
	my $tables = slurp("$root/tests/check.mk") =~ s/^\s*#.*//mgr;

	return map { "$_: no table of tests/check.mk names it" }
		grep { m{^tests/(?:system|build)/([^/]+\.t)$} && $tables !~ /(^|[\s\/(,])\Q$1\E(?=[\s),]|\z)/ } files($root);
}

clean('each test is in a table', complaints(top()));

my @good = ('tests/check.mk' => "A := \$(addprefix tests/system/,one.t l1-6.1.t)\nB := tests/system/cli.t x\n",
	'tests/system/one.t' => '', 'tests/system/l1-6.1.t' => '', 'tests/system/cli.t' => '');
clean('control: those that are pass', complaints(sample(@good)));
catches('one that is not', qr/^tests\/system\/two\.t: /, complaints(sample(@good, 'tests/system/two.t' => '')));
catches('one whose name ends another', qr/^tests\/system\/6\.1\.t: /,
	complaints(sample(@good, 'tests/system/6.1.t' => '')));
catches('one that a comment names', qr/^tests\/system\/one\.t: /,
	complaints(sample(@good, 'tests/check.mk' => "# one.t\nA := tests/system/cli.t tests/system/l1-6.1.t\n")));

done_testing();
