#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# The documents made from the option tables: the man page is without warnings, and the completion completes.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Lint;
use Test::More;

my $cc = $ENV{HOSTCC} // 'gcc';
plan(skip_all => "no $cc here to build tools/docgen.c") unless runs($cc);
plan(skip_all => 'no bash here') unless runs('bash');

my $dir = tempdir(CLEANUP => 1);
chdir(top()) or die;
my @sources = ('tools/docgen.c', glob('cli*.c'), 'vm/config.c', grep { $_ ne 'util/confine.c' } glob('util/*.c'));
system($cc, qw(-std=gnu11 -D_GNU_SOURCE -Iinclude -o), "$dir/docgen", @sources) == 0 or die "$cc failed";

sub made
{
	my ($what, $file) = @_;

	return system("'$dir/docgen' $what > '$dir/$file'") == 0 && -s "$dir/$file";
}

ok(made('man', 'lkvm.1'), 'docgen makes the man page');
ok(made('completion', 'lkvm.bash'), 'docgen makes the completion');
isnt(system("'$dir/docgen' nonsense >'$dir/out' 2>&1"), 0, 'docgen refuses what it does not know');
isnt(system("'$dir/docgen' man '$dir/none' >'$dir/out' 2>&1"), 0, 'docgen refuses a template that is not there');
isnt(system("'$dir/docgen' man >/dev/full 2>'$dir/out'"), 0, 'docgen notices a full disk');

# Each tool that is here, over the page and over a page with a mistake (control).
my $bad = sample('bad.1' => ".TH BAD 1 2026-01-01 x y\n.SH NAME\nbad - x\n.XX unknown\n\\(zz\n") . '/bad.1';
my %tools = (
	mandoc => "mandoc -Tlint -Wwarning '%s' 2>&1",
	groff => "groff -ww -man -Tutf8 -z '%s' 2>&1",
	man => "LC_ALL=C.UTF-8 man --warnings -l '%s' 2>&1 >/dev/null",
);
for my $tool (sort keys %tools) {
	SKIP: {
		skip("no $tool here", 2) unless runs($tool);
		my $page = sprintf($tools{$tool}, "$dir/lkvm.1");
		my $control = sprintf($tools{$tool}, $bad);

		is(qx($page), '', "$tool has nothing to say about the man page");
		isnt(qx($control), '', "control: $tool finds a mistake");
	}
}

my $man = slurp("$dir/lkvm.1");
my $lists = join(' ', slurp("$dir/lkvm.bash") =~ /_lkvm_words '([^']*)'/g);
my %in_completion = map { $_ => 1 } $lists =~ /--([\w-]+)/g;
my @labels = $man =~ /^(?:\\fB\\-\w\\fR, )?\\fB\\-\\-([^ ]+?)\\fR(?: \\fI.*)?$/mg;
s/\\-/-/g for @labels;
ok(@labels > 20, 'the man page has options');
clean('the completion knows every option of the man page',
	map { "--$_" } grep { !$in_completion{$_} } grep { !/^(disk|9p|vfio-pci|dev|aarch32|debug)/ || /^debug-no-/ } @labels);
unlike($man, qr/\@[A-Z]+\@/, 'no place of the template is left unfilled');

# What bash would offer for a command line; the last word is the one under the cursor.
my $run = "$dir/run";
mkdir($run) && mkdir("$run/lkvm") or die;
my @sockets = map { IO::Socket::UNIX->new(Local => "$run/lkvm/$_.sock", Listen => 1) or die } qw(alpha beta);
open(my $file, '>', "$run/lkvm/not-a-socket.sock") or die;
mkdir("$dir/files") && mkdir("$dir/files/folder") or die;
open($file, '>', "$dir/files/Image one") or die;

sub offers
{
	my (@words) = @_;
	my $n = @words - 1;
	my $list = join(' ', map { "'$_'" } @words);

	open(my $out, '>', "$dir/try.bash") or die;
	print $out "cd '$dir/files' && . '$dir/lkvm.bash' || exit 1\n" .
		"compopt() { :; }\n" . # needs a real completion
		"COMP_WORDS=($list) COMP_CWORD=$n\n_lkvm\nprintf '%s|' \"\${COMPREPLY[@]}\"\n";
	close($out);
	return qx(XDG_RUNTIME_DIR='$run' bash --norc '$dir/try.bash' 2>&1);
}

is(system("bash -n '$dir/lkvm.bash'"), 0, 'bash can read the completion');
is(qx(bash --norc -c ". '$dir/lkvm.bash' && complete -p lkvm"), "complete -F _lkvm lkvm\n", 'it is for lkvm');
is(offers('lkvm', 'r'), 'run|restore|resume|', 'verbs');
is(offers('lkvm', 'run', '--mem'), '--mem|--mem-backend|', 'options');
is(offers('lkvm', 'stat', '--'), '--name|--all|--memory|--json|--help|', 'options of another verb');
is(offers('lkvm', 'run', '--irqchip', 'gicv3'), 'gicv3|gicv3-its|', 'words');
is(offers('lkvm', 'run', '--irqchip', '=', 'gicv3'), 'gicv3|gicv3-its|', 'words after =');
is(offers('lkvm', 'run', '--loglevel', '='), 'error|warning|info|debug|', 'words right after =');
like(offers('lkvm', 'run', '-k', ''), qr/^(Image one\|folder|folder\|Image one)\|$/, 'files, in any order');
is(offers('lkvm', 'run', '--kernel', '=', 'Im'), 'Image one|', 'files after =');
is(offers('lkvm', 'run', '--hugetlbfs', ''), 'folder|', 'folders');
# A name that no VM can have, and that bash would carry out.
push @sockets, IO::Socket::UNIX->new(Local => "$run/lkvm/\$(touch done).sock", Listen => 1) or die;
is(offers('lkvm', 'stat', ''), 'alpha|beta|', 'VMs, and not what only looks like one');
ok(!-e "$dir/files/done", 'no file name is carried out');
is(offers('lkvm', 'run', '--name', ''), '|', 'nothing for a new name');
is(offers('lkvm', 'stop', ''), 'alpha|beta|', 'names of VMs, and not of other files');
is(offers('lkvm', 'debug', '-d', '-n', 'b'), 'beta|', 'names after -n');
is(offers('lkvm', 'help', 'pa'), 'pause|', 'verbs for help');
is(offers('lkvm', 'run', '--disk'), '|', 'what is refused is not offered');

done_testing();
