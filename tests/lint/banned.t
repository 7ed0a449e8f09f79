#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Calls that are not made: those that cannot be bounded or hide errors, nowhere; those that print or end the process,
# only where docs/architecture.md allows it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Lint;
use Test::More;

my %never = (
	(map { $_ => 'has no bound, use snprintf or memcpy' }
		qw(strcpy stpcpy strcat strncat strncpy sprintf vsprintf gets alloca)),
	(map { $_ => 'hides errors, use opt_parse_u64' } qw(atoi atol atoll atof)),
	(map { $_ => 'runs a shell' } qw(system popen)),
	(map { $_ => 'is not random, use getrandom' } qw(rand srand random drand48)),
	strtok => 'keeps hidden state, use strcspn',
);
my %printing = (
	(map { $_ => 'prints' } qw(printf fprintf vprintf vfprintf dprintf puts fputs putchar putc fputc perror)),
	(map { $_ => 'prints' } qw(warn warnx vwarn vwarnx psignal)),
	(map { $_ => 'ends the process' } qw(exit abort quick_exit assert err errx verr verrx)),
);
my $may_print = qr{^(main\.c|tls/main\.c|builtin-[a-z-]+\.c|tools/.*|tests/.*|bench/.*)$};
# A test may start programs, and random() with a seed is what makes a test repeatable.
my $tests = qr{^(tests|bench)/};
my %fine_in_tests = map { $_ => 1 } qw(system popen rand srand random srandom drand48);

sub complaints
{
	my ($root) = @_;
	my @c;

	for my $path (grep { /\.[ch]$/ } files($root)) {
		my $text = strip_c(slurp("$root/$path"));

		# Not a member that is called, such as ops->exit(), nor attribute((format(printf, ...))).
		while ($text =~ /(?<![\w.>])(\w+)[ \t]*\(/g) {
			my ($name, $at) = ($1, $-[0]);
			my $why = $never{$name};

			$why = undef if $fine_in_tests{$name} && $path =~ $tests;
			$why //= $printing{$name} if $path !~ $may_print;
			next unless $why;
			my $line = 1 + (substr($text, 0, $at) =~ tr/\n//);
			push @c, "$path:$line: $name() $why";
		}
	}
	return @c;
}

clean('no banned call', complaints(top()));

clean('control: names that only look alike pass', complaints(sample(
	'vm/a.c' => "void f(void)\n{\n\tops->exit(1); x.err(2); my_printf(3); /* strcpy(a, b) */ g(\"gets(x)\");\n" .
		"\tsnprintf(a, 1, \"x\"); err_set(e); _exit(1);\n}\n",
	'util/b.h' => "int h(int) __attribute__((format(printf, 1, 2)));\n",
	'builtin-run.c' => "void f(void) { printf(\"x\"); exit(1); }\n",
	'main.c' => "void f(void) { fprintf(stderr, \"x\"); }\n",
	'tools/docgen.c' => "void f(void) { puts(\"x\"); }\n",
	'tests/unit/a/test_a.c' => "void f(void) { printf(\"x\"); }\n",
)));
for my $call (qw(strcpy strcat sprintf gets strtok system popen alloca rand atoi strncpy)) {
	catches("$call()", qr/^builtin-run\.c:3: $call\(\)/,
		complaints(sample('builtin-run.c' => "void f(void)\n{\n\tg(1);$call (x);\n}\n")));
}
for my $call (qw(printf fprintf exit abort err errx perror assert)) {
	catches("$call() below the builtins", qr/^vm\/a\.c:1: $call\(\)/,
		complaints(sample('vm/a.c' => "void f(void) { if (x) $call(x); }\n")));
}
catches('a banned call in a test', qr/^tests\/unit\/a\/test_a\.c:1: strcpy\(\)/,
	complaints(sample('tests/unit/a/test_a.c' => "void f(void) { strcpy(a, b); }\n")));
catches('a call behind a string with a quote in it', qr/gets/,
	complaints(sample('vm/a.c' => "char *a = \"\\\"\"; void f(void) { gets(a); }\n")));

done_testing();
