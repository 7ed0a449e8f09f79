#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# One gate to guest memory: the mapping's address (struct mem_bank, host) is used behind the gate only. And one function
# that makes slots: mem_add(), in vm/memory.c.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

my $behind = qr{^(vm/memory[a-z-]*\.c|arm/mte[a-z-]*\.c|tests/.*|bench/.*)$};

sub complaints
{
	my ($root) = @_;
	my @c;

	for my $path (grep { /\.[ch]$/ && !/$behind/ } files($root)) {
		my $text = strip_c(slurp("$root/$path"));

		while ($text =~ /(?:->|\.)\s*host\b(?!\s*\()/g) {
			my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);

			push @c, "$path:$line: guest memory is reached by gpa_ptr() alone, not by .host";
		}
		next if $path eq 'vm/memory.c';
		while ($text =~ /\bKVM_SET_USER_MEMORY_REGION/g) {
			my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);

			push @c, "$path:$line: slots are made by mem_add() alone";
		}
	}
	return @c;
}

clean('guest memory is reached through the gate', complaints(top()));

clean('control: behind the gate it is fine', complaints(sample(
	'vm/memory.c' => "p = bank->host;\n", 'vm/memory-fault.c' => "p = b.host;\n", 'arm/mte.c' => "p = b->host;\n",
	'arm/a.c' => "/* bank->host */ x->hostname = \"b.host\"; ops->host(1); host = 1;\n")));
catches('by pointer', qr/^hw\/a\.c:2: /, complaints(sample('hw/a.c' => "\nmemcpy(bank->host + 4, x, 1);\n")));
catches('by value', qr/^arm\/gic\.c:1: /, complaints(sample('arm/gic.c' => "p = mem->banks[0].host;\n")));
catches('in a header', qr/^include\/vm\/a\.h:1: /, complaints(sample('include/vm/a.h' => "#define P(b) ((b)->host)\n")));

catches('a slot', qr/^arm\/a\.c:1: slots/, complaints(sample('arm/a.c' => "ioctl(fd, KVM_SET_USER_MEMORY_REGION2, &r);\n")));
clean('control: where slots are made', complaints(sample('vm/memory.c' => "ioctl(fd, KVM_SET_USER_MEMORY_REGION, &r);\n")));

done_testing();
