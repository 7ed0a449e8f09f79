#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# The model of the migration protocol holds, in every state; and it does not when the protocol is changed to be wrong.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use File::Temp qw(tempdir);
use Lint;
use Test::More;

my $cc = $ENV{HOSTCC} // 'gcc';

plan(skip_all => 'no spin here (Debian package spin), so docs/migration.pml is not checked') unless system('command -v spin >/dev/null 2>&1') == 0;
plan(skip_all => "no $cc here to build what spin makes") unless runs($cc);

my $model = top() . '/docs/migration.pml';

# What the checker says after a run of the model that was changed by @flags.
sub verdict
{
	my ($safety, $search, @flags) = @_;
	my $dir = tempdir(CLEANUP => 1);

	return qx(cd '$dir' && cp '$model' m.pml && spin @flags -a m.pml 2>&1 &&
		$cc -O1 -w $safety -o pan pan.c 2>&1 && timeout 120 ./pan -m100000 $search 2>&1);
}

my $out = verdict('-DSAFETY -DNOCLAIM', '');

like($out, qr/errors: 0/, 'never do both run, nobody hangs, and no guest is lost') or diag($out);
my ($states) = $out =~ /(\d+) states, stored/;
cmp_ok($states // 0, '>', 500, 'the model has states');
$out = verdict('-DNFAIR=3', '-a -f');
like($out, qr/errors: 0/, 'both sides come to an end') or diag($out);
like(verdict('-DSAFETY -DNOCLAIM', '', '-DGOES_ON'), qr/assertion violated.*source_guest|errors: [1-9]/,
	'control: a source that resumes in the open window runs beside its copy');
like(verdict('-DSAFETY -DNOCLAIM', '', '-DRUNS_EARLY'), qr/assertion violated|errors: [1-9]/,
	'control: a destination that does not wait for COMMIT runs beside the source');
like(verdict('-DSAFETY -DNOCLAIM', '', '-DKEPT_GOES_ON'), qr/assertion violated.*source_guest|errors: [1-9]/,
	'control: a source that resumes when post-copy loses its line runs beside its copy');
like(verdict('-DSAFETY -DNOCLAIM', '', '-DBROKEN_ENDS'), qr/assertion violated.*destination|errors: [1-9]/,
	'control: a destination that ends when post-copy loses its line takes the guest with it');

done_testing();
