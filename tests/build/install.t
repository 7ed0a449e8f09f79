#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# What `make` gives besides the program: where install puts what, hardening, compile_commands.json, and the package that
# is named for a library that is missing.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use Test::More;

chdir(dirname(abs_path(__FILE__)) . '/../..') or die;
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES DESTDIR PREFIX)};
plan(skip_all => 'no build/lkvm: run make') unless -x 'build/lkvm';
my $dir = tempdir(CLEANUP => 1);

# Runs make; returns exit code and all that it says.
sub make
{
	my $out = qx(make @_ 2>&1 </dev/null);

	return ($? >> 8, $out);
}

# Files below a folder with their modes.
sub tree
{
	my ($root) = @_;
	my @found;

	find({no_chdir => 1, wanted => sub {
		push @found, sprintf('%s %o', substr($_, length($root)), (stat)[2] & 07777) if -f;
	}}, $root);
	return join(', ', sort @found);
}

# --- install ---
for (['PREFIX=/usr', '/usr'], ['', '/usr/local']) {
	my ($option, $prefix) = @$_;
	my $dest = "$dir/dest$prefix";
	my ($code, $out) = make('install', "DESTDIR='$dest'", $option);

	is($code, 0, "install $option") or diag($out);
	is(tree($dest), "$prefix/bin/lkvm 755, $prefix/libexec/lkvm/lkvm-tls 755, $prefix/share/bash-completion/completions/lkvm 644, " .
		"$prefix/share/man/man1/lkvm.1 644", 'program, man page and completion, and nothing else');
}

# --- hardening, of the program as it was built ---
my $elf = qx(readelf -hldW build/lkvm);
my $symbols = qx(readelf -sW build/lkvm);
like($elf, qr/Type:\s+DYN/, 'position-independent');
like($elf, qr/GNU_RELRO/, 'RELRO');
like($elf, qr/\bNOW\b/, 'no lazy binding');
like($elf, qr/GNU_STACK\s.*\sRW\s/, 'no executable stack');
unlike($elf, qr/LOAD\s.*\sRWE\s/, 'nothing that can be both written and executed');
unlike($elf, qr/INTERP/, 'static');
like($symbols, qr/__stack_chk_fail/, 'stack protector');
like($symbols, qr/__snprintf_chk|__vsnprintf_chk/, 'FORTIFY');

# --- size: that of the smallest comparable program (docs/figures.md), without symbols ---
my $strip = (grep { -x } map { "$_/aarch64-linux-gnu-strip" } split(/:/, $ENV{PATH})) ? 'aarch64-linux-gnu-strip' : 'strip';
system($strip, '-o', "$dir/stripped", 'build/lkvm');
cmp_ok(-s "$dir/stripped", '<', 1_710_000, 'small: stripped, in bytes');

# --- compile_commands.json ---
my $there = -e 'compile_commands.json';
my ($code, $out) = make('compile_commands.json');
my $list = eval {
	open(my $in, '<', 'compile_commands.json') or die;
	local $/;
	decode_json(<$in>);
} // [];
is($code, 0, 'compile_commands.json') or diag($out);
is(scalar(grep { $_->{file} eq 'vm/vm.c' && $_->{command} =~ /-Werror.* vm\/vm\.c$/ } @$list), 1, 'it has each file once');
unlink('compile_commands.json') unless $there;

# --- what is missing is named with its package ---
($code, $out) = make("B='$dir/b'", 'CC=no-such-compiler', "'$dir/b/.libs-found'");
ok($code != 0 && $out =~ /no compiler no-such-compiler: apt-get install \S*gcc/, 'no compiler') or diag($out);
{
	open(my $cc, '>', "$dir/hostcc") or die;
	print $cc "#!/bin/sh\n! grep -q '<seccomp'\n";
	close($cc);
	chmod(0755, "$dir/hostcc");
	($code, $out) = make("B='$dir/b'", "HOSTCC='$dir/hostcc'", "'$dir/b/.libs-found'");
	ok($code != 0 && $out =~ /libseccomp is missing on this machine: apt-get install libseccomp-dev/, 'no libseccomp') or
		diag($out);
}
for (['libfdt', 'libfdt-dev'], ['zlib', 'zlib1g-dev'], ['zstd', 'libzstd-dev'], ['libssl', 'libssl-dev', 'openssl/']) {
	my ($library, $package, $header) = @$_;

	# A compiler that finds every header but this one.
	open(my $cc, '>', "$dir/cc") or die;
	print $cc "#!/bin/sh\n! grep -q '<@{[$header // $library]}'\n";
	close($cc);
	chmod(0755, "$dir/cc");
	($code, $out) = make("B='$dir/b'", "CC='$dir/cc'", "'$dir/b/.libs-found'");
	ok($code != 0 && $out =~ /\Q$library is missing: apt-get install $package/, "no $library") or diag($out);
}

done_testing();
