# SPDX-License-Identifier: GPL-2.0-only
#
# What the lint tests share. Each test looks at a tree and returns complaints, one line each; it is run over the
# project, where there must be none, and over small bad samples, where it must find what is wrong (control).
package Lint;
use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

our @EXPORT = qw(top files slurp strip_c sample clean catches is_script is_make runs);

# The root of the project.
sub top
{
	return abs_path(dirname(__FILE__) . '/../..');
}

# All files below $root that belong to the project, relative to it, sorted.
sub files
{
	my ($root) = @_;
	my @found;

	find({
		no_chdir => 1,
		preprocess => sub {
			return grep { $_ ne '.git' && !($File::Find::dir eq $root && /^build/) } @_;
		},
		wanted => sub {
			push @found, substr($File::Find::name, length($root) + 1) if -f $File::Find::name;
		},
	}, $root);
	return sort grep { $_ ne 'compile_commands.json' } @found;
}

sub slurp
{
	my ($path) = @_;

	open(my $in, '<:raw', $path) or die "cannot read $path: $!";
	local $/;
	return <$in> // '';
}

# C text with comments and the contents of strings blanked; lines stay where they are.
sub strip_c
{
	my ($text) = @_;
	my $blank = sub { my $s = shift; $s =~ s/[^\n]/ /g; return $s };

	$text =~ s{(/\*.*?\*/)|(//[^\n]*)|("(?:\\.|[^"\\\n])*")|('(?:\\.|[^'\\\n])*')}{
		defined $1 ? $blank->($1) :
		defined $2 ? $blank->($2) :
		defined $3 ? '"' . $blank->(substr($3, 1, -1)) . '"' : "' '"}gesx;
	return $text;
}

sub is_script
{
	my ($path) = @_;

	return $path =~ /\.(sh|pl|pm|t|py)$/ || (-T $path && slurp($path) =~ /^#!/);
}

sub is_make
{
	my ($path) = @_;

	return $path =~ m{(^|/)Makefile$|\.mk$};
}

# A tree of its own from path => text.
sub sample
{
	my (%files) = @_;
	my $dir = tempdir(CLEANUP => 1);

	for my $path (keys %files) {
		make_path(dirname("$dir/$path"));
		open(my $out, '>', "$dir/$path") or die "cannot write $dir/$path: $!";
		print $out $files{$path};
		close($out) or die "cannot write $dir/$path: $!";
	}
	return abs_path($dir);
}

sub clean
{
	my ($name, @complaints) = @_;

	ok(!@complaints, $name) or diag(join("\n", @complaints));
}

# The control: exactly one complaint, and it fits.
sub catches
{
	my ($name, $pattern, @complaints) = @_;

	ok(@complaints == 1 && $complaints[0] =~ $pattern, "control: $name")
		or diag("complaints: ", @complaints ? join("\n", @complaints) : 'none');
}

# Is there such a program?
sub runs
{
	my ($program) = @_;

	return grep { -x "$_/$program" } split(/:/, $ENV{PATH});
}

1;
