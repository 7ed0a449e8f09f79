#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# No mutable data at file scope, and no code before main(): read off the object files, so that function-local statics
# and what macros make count too. Constant tables with pointers are in .data.rel.ro, which is read-only once the
# program runs (RELRO).
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use File::Find qw(find);
use Lint;
use Test::More;

my $build = $ENV{B} // top() . '/build';
my $readelf = $ENV{READELF} // 'readelf';
my $cc = $ENV{HOSTCC} // 'gcc';

plan(skip_all => "no $readelf here (Debian package binutils)") unless runs($readelf);

sub objects
{
	my ($dir) = @_;
	my @found;

	find({no_chdir => 1, wanted => sub { push @found, $_ if /\.o$/ }}, $dir) if -d $dir;
	return sort @found;
}

sub complaints
{
	my (@objects) = @_;
	my @c;

	for my $object (@objects) {
		my (%bad, @names);

		# [Nr] Name Type Address Off Size ES Flg Lk Inf Al
		for (qx($readelf -SW '$object')) {
			next unless /^\s*\[\s*(\d+)\]\s+(\S+)\s+(\S+)\s+\S+\s+\S+\s+([0-9a-f]+)\s+\S+\s+([A-Za-z]+)\s/;
			my ($index, $name, $type, $size, $flags) = ($1, $2, $3, hex($4), $5);

			if ($type =~ /^(PREINIT|INIT|FINI)_ARRAY$/ || $name =~ /^\.(ctors|dtors)/) {
				push @c, "$object: code that runs by itself ($name)" if $size;
			} elsif ($flags =~ /W/ && $flags =~ /A/ && $size && $name !~ /^\.data\.rel\.ro/) {
				$bad{$index} = $name;
			}
		}
		die "$readelf cannot read $object\n" if $?;
		# Num: Value Size Type Bind Vis Ndx Name
		for (qx($readelf -sW '$object')) {
			next unless /^\s*\d+:\s+\S+\s+\S+\s+(OBJECT|TLS|COMMON|NOTYPE)\s+\S+\s+\S+\s+(\S+)\s+(\S+)/;
			my ($type, $index, $name) = ($1, $2, $3);

			push @c, "$object: $name is a mutable global" if $index eq 'COM';
			next unless $bad{$index} && $type ne 'NOTYPE';
			push @c, "$object: $name is mutable ($bad{$index})";
			push @names, $index;
		}
		delete @bad{@names};
		push @c, "$object: mutable data without a name ($bad{$_})" for sort keys %bad;
	}
	return @c;
}

my @ours = objects("$build/obj");
ok(scalar(@ours), "there are object files in $build/obj") or diag('run make first');
clean('no mutable data, no constructors', complaints(@ours));

sub compiled
{
	my ($text) = @_;
	my $dir = sample('a.c' => $text);

	system($cc, '-O2', '-fPIE', '-fdata-sections', '-ffunction-sections', '-c', '-o', "$dir/a.o", "$dir/a.c") == 0
		or die "$cc failed";
	return objects($dir);
}

SKIP: {
	skip("no $cc here for the controls", 9) unless runs($cc);

	clean('control: constants pass', complaints(compiled(
		"static const char *const words[] = {\"a\", \"b\"};\nconst int n = 3;\n" .
		"struct t { const char *s; void (*f)(void); };\nvoid g(void);\n" .
		"const struct t table[] = {{\"x\", g}};\n" .
		"const char *f(int i) { static const int k[] = {1, 2, 3}; return words[i] + k[i]; }\n")));
	catches('initialised', qr/: n is mutable \(\.data/, complaints(compiled("int n = 3;\n")));
	catches('zero', qr/: n is mutable \(\.bss/, complaints(compiled("int n;\n")));
	catches('static', qr/: n is mutable/, complaints(compiled("static int n; int f(void) { return ++n; }\n")));
	catches('static in a function', qr/: n\.\d+ is mutable/,
		complaints(compiled("int f(void) { static int n; return ++n; }\n")));
	catches('pointer that can change', qr/: p is mutable/,
		complaints(compiled("extern int x; int *p = &x;\n")));
	catches('thread-local', qr/: n is mutable \(\.tbss/, complaints(compiled("_Thread_local int n;\n")));
	catches('common', qr/: n is a mutable global/,
		complaints(compiled("int n __attribute__((common));\n")));
	catches('constructor', qr/code that runs by itself/,
		complaints(compiled("void g(void); __attribute__((constructor)) static void f(void) { g(); }\n")));
}

done_testing();
