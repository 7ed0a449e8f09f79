#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Snapshot files that older programs saved, tests/golden: they load for ever. Here what needs no KVM; the rest, that their
# guests go on, is tests/system/cases/snapshot-golden.sh.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use Test::More;

my $top = abs_path(dirname(__FILE__) . '/../..');
my $lkvm = $ENV{LKVM} // "$top/build/lkvm";
my $dir = tempdir(CLEANUP => 1);
my @run = ($lkvm);

plan(skip_all => "no $lkvm: run make") unless -x $lkvm;
if (`uname -m` ne "aarch64\n") {
	plan(skip_all => 'no qemu-aarch64 here (tools/setup check)') if system('command -v qemu-aarch64 >/dev/null');
	unshift @run, 'qemu-aarch64', '-cpu', 'max';
}

# What it says on both, and its exit code last.
sub lkvm
{
	my $said = `cd '$dir' && @run @_ 2>&1`;

	return $said . ($? >> 8) . "\n";
}

# What was said then, but for the line about the licence.
sub said
{
	open(my $f, '<', "$top/tests/golden/$_[0]") or return '';
	return join('', grep { !/^#/ } <$f>);
}

my @files = map { basename($_, '.snap.gz') } sort glob("$top/tests/golden/*.snap.gz");

cmp_ok(@files, '>=', 3, 'golden files');
for (@files) {
	is(system("gzip -dc '$top/tests/golden/$_.snap.gz' >'$dir/$_.snap'"), 0, "$_: unpacked");
}
for (@files) {
	like(lkvm('snapshot', 'verify', "$_.snap"), qr/every checksum of \d+ files? is right\n0\n\z/, "$_: verify");
	is(lkvm('snapshot', 'info', "$_.snap"), said("$_.info") . "0\n", "$_: info says what it said then");
}
is(lkvm(qw(snapshot diff v1-6.12-plain.snap v1-6.12-child.snap)), said('v1-6.12.diff') . "0\n",
	'diff: the pages that the guest changed');
is(lkvm(qw(snapshot merge v1-6.12-child.snap merged)), "0\n", 'the two as one');
is(lkvm(qw(snapshot diff merged v1-6.12-child.snap)), "0\n", 'are the same');
unlink("$dir/v1-6.12-plain.snap");
like(lkvm(qw(snapshot verify v1-6.12-child.snap)), qr/uuid 624d68d45337a68b0ccafaabb294f1ac.*\n1\n\z/,
	'control: without what it builds on it is refused');
done_testing();
