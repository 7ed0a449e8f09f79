#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Every #include against the arrows of docs/architecture.md, and every header where its name says.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

# Room => the rooms it may include, its own apart.
my %below = (
	util => [],
	state => [qw(util)],
	vm => [qw(util state)],
	block => [qw(util state vm)],
	net => [qw(util state vm)],
	hw => [qw(util state vm)],
	virtio => [qw(util state vm block net)],
	arm => [qw(util state vm block net hw virtio)],
	migrate => [qw(util state vm)],
	tls => [qw(util)],
	cli => [qw(util state vm)],
	builtin => [qw(util state vm block net hw virtio arm migrate cli)],
	main => [qw(util state vm block net hw virtio arm migrate cli builtin)],
);

# These include what they like: nothing includes them.
my $free = qr{^(tests|tools|bench)/};

sub room
{
	my ($path) = @_;

	$path =~ s{^include/}{};
	return $1 if $path =~ m{^([^/]+)/};
	return $1 if $path =~ m{^(builtin|cli)(-[a-z]+)*\.[ch]$} || $path =~ m{^(main)\.[ch]$};
	return '';
}

sub complaints
{
	my ($root) = @_;
	my @c;

	for my $path (grep { /\.[chS]$/ && !/$free/ } files($root)) {
		my $room = room($path);
		my $text = slurp("$root/$path");

		if (!$below{$room}) {
			push @c, "$path: is in no room that docs/architecture.md knows";
			next;
		}
		push @c, "$path: headers live in include/$path" if $path =~ /\.h$/ && $path !~ m{^include/};
		while ($text =~ /^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]/mg) {
			my ($quote, $name) = ($1, $2);
			my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
			my $to = room($name);
			my $where = "$path:$line";

			if ($quote eq '<') {
				push @c, "$where: \"$name\" is our own, in quotes" if -e "$root/include/$name";
				next;
			}
			if ($name eq 'util/confine-filter.h') {
				next; # made at build time
			} elsif ($name =~ m{\.c$|(^|/)\.\.?/} || !-e "$root/include/$name") {
				push @c, "$where: there is no include/$name";
			} elsif ($to ne $room && !grep { $_ eq $to } @{$below{$room}}) {
				push @c, "$where: $room may not include $to ($name)";
			}
		}
	}
	return @c;
}

clean('includes follow the arrows', complaints(top()));

my %good = (
	'include/util/err.h' => "\n", 'include/state/desc.h' => "#include \"util/err.h\"\n",
	'include/vm/vm.h' => "#include <stdint.h>\n#include \"state/desc.h\"\n",
	'include/hw/uart.h' => "#include \"vm/vm.h\"\n", 'include/virtio/queue.h' => "\n",
	'include/arm/gic.h' => "#include \"hw/uart.h\"\n", 'include/migrate/ram.h' => "#include \"vm/vm.h\"\n",
	'include/cli.h' => "#include \"util/err.h\"\n", 'include/builtin.h' => "\n",
	'builtin-run.c' => "#include \"arm/gic.h\"\n#include \"cli.h\"\n#include \"builtin.h\"\n",
	'cli.c' => "#include \"cli.h\"\n#include \"vm/vm.h\"\n", 'main.c' => "#include \"builtin.h\"\n",
	'tests/unit/hw/test_uart.c' => "#include \"helper.h\"\n#include \"arm/gic.h\"\n",
);

clean('control: a good sample passes', complaints(sample(%good)));
for my $bad (
	['util/a.c', '#include "vm/vm.h"', qr/^util\/a\.c:1: util may not include vm/],
	['include/state/a.h', "\n#include \"vm/vm.h\"", qr/^include\/state\/a\.h:2: state may not include vm/],
	['vm/a.c', '#include "arm/gic.h"', qr/vm may not include arm/],
	['vm/b.c', '#  include "hw/uart.h"', qr/vm may not include hw/],
	['migrate/a.c', '#include "arm/gic.h"', qr/migrate may not include arm/],
	['hw/a.c', '#include "virtio/queue.h"', qr/hw may not include virtio/],
	['virtio/a.c', '#include "hw/uart.h"', qr/virtio may not include hw/],
	['arm/a.c', '#include "builtin.h"', qr/arm may not include builtin/],
	['arm/b.c', '#include "cli.h"', qr/arm may not include cli/],
	['cli.c', '#include "arm/gic.h"', qr/cli may not include arm/],
	['util/b.c', '#include "err.h"', qr/there is no include\/err\.h/],
	['util/c.c', '#include "../include/util/err.h"', qr/there is no include/],
	['util/d.c', '#include <util/err.h>', qr/is our own, in quotes/],
	['hw/uart.h', '', qr/headers live in include\/hw\/uart\.h/],
	['misc/a.c', '', qr/is in no room/],
	['stray.c', '', qr/is in no room/],
) {
	my ($path, $text, $pattern) = @$bad;

	catches("$path with $text", $pattern, complaints(sample(%good, $path => "$text\n")));
}

done_testing();
