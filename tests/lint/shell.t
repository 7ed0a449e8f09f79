#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# shellcheck over every shell script, also those without .sh and those that are only sourced.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

plan(skip_all => 'no shellcheck here (Debian package shellcheck)') unless runs('shellcheck');

sub is_shell
{
	my ($path) = @_;

	return 1 if $path =~ /\.(sh|bash)$/;
	return -T $path && slurp($path) =~ m{\A#!\s*\S*(?:/|env\s+)(?:sh|bash|dash)\b};
}

sub complaints
{
	my ($root) = @_;
	my @scripts = grep { is_shell("$root/$_") } files($root);
	my @c;

	return () unless @scripts;
	# Sourced files are found beside the script that sources them, and checked on their own as well.
	open(my $out, '-|', 'sh', '-c', 'cd "$1" && shift && exec shellcheck -f gcc -x -P SCRIPTDIR -P . "$@" 2>&1',
		'sh', $root, @scripts) or die "cannot run shellcheck: $!";
	while (<$out>) {
		chomp;
		# Notes are advice; an unquoted word among them is a defect.
		push @c, $_ unless / note: / && !/SC2086/;
	}
	# 1: it found something, even if only notes.
	close($out) || $? >> 8 == 1 or push @c, 'shellcheck failed';
	return @c;
}

clean('shell scripts are sound', complaints(top()));

clean('control: a good sample passes, advice too',
	complaints(sample('tools/x' => "#!/bin/sh\nset -eu\n. ./none\necho '\$1'\n", 'tools/y' => "not a script\n\$1\n")));
catches('an unquoted word', qr/^tools\/x:2:.*SC2086/, complaints(sample('tools/x' => "#!/bin/sh\nls \$1\n")));
catches('env bash', qr/^x:2:.*SC2086/, complaints(sample('x' => "#!/usr/bin/env bash\nls \$1\n")));
catches('a file that is sourced', qr/^lib\/x\.sh:2:.*SC2086/,
	complaints(sample('lib/x.sh' => "# shellcheck shell=sh\nls \$1\n")));
catches('a syntax error', qr/^x:/, (complaints(sample('x' => "#!/bin/sh\nif\n")))[0]);

done_testing();
