#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# Wrong command lines: one line that names what is wrong and what would be right, exit code 2, nothing started. The
# arm64 program runs here under user-mode QEMU, which is enough for whatever needs no KVM.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $lkvm = $ENV{LKVM} // abs_path(dirname(__FILE__) . '/../..') . '/build/lkvm';
my $dir = tempdir(CLEANUP => 1);
my @run = ($lkvm);

plan(skip_all => "no $lkvm: run make") unless -x $lkvm;
if (`uname -m` ne "aarch64\n") {
	plan(skip_all => 'no qemu-aarch64 here (tools/setup check)') if system('command -v qemu-aarch64 >/dev/null');
	unshift @run, 'qemu-aarch64', '-cpu', 'max';
}
$ENV{XDG_RUNTIME_DIR} = $dir;

# Runs it; returns exit code, stdout, stderr.
sub lkvm
{
	my @args = @_;
	my $pid = fork() // die "fork: $!";

	if (!$pid) {
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$dir/out");
		open(STDERR, '>', "$dir/err");
		exec(@run, @args) or exit 126;
	}
	waitpid($pid, 0);
	return ($? & 127 ? "signal $?" : $? >> 8, map { slurp("$dir/$_") } qw(out err));
}

sub slurp
{
	my ($path) = @_;

	open(my $f, '<', $path) or return '';
	local $/;
	return scalar(<$f>) // '';
}

my $name = 'letter or digit first';
my $long = 'x' x 2048;
my @wrong = (
	# --- verbs ---
	['frobnicate', qr/unknown command "frobnicate"; `lkvm help` lists them/],
	['help frobnicate', qr/no command "frobnicate"/],
	['list -q', qr/list: unknown option -q, see lkvm list --help/],
	['list one', qr/unexpected argument "one"/],
	['stop a b', qr/unexpected argument "b"/],
	['stop -a b', qr/both a name \(b\) and -a/],
	['stop -n a b', qr/two names, a and b/],
	['pause bad/name', qr/'bad\/name' is not a VM's name.*$name/],
	['stat ' . 'x' x 64, qr/is not a VM's name: .*at most 63/],
	['stat .hidden', qr/$name/],
	['resume --nane x', qr/unknown option --nane, did you mean --name\?/],
	['debug', qr/nothing to do: -d dumps registers, -s KEY sends a SysRq/],
	['debug -s hh', qr/--sysrq: "hh" is not a SysRq key/],
	['debug -s', qr/--sysrq: a value is missing/],
	['version --jsn', qr/unknown option --jsn, did you mean --json\?/],
	['restore', qr/name the snapshot's FILE/],
	['restore x --no-prefetch', qr/--no-prefetch: needs --lazy/],
	# --- run: what is missing, too much or unknown ---
	['run', qr/nothing to boot, give a kernel with -k FILE or a firmware with -f/],
	['run Image', qr/unexpected argument "Image": a kernel is given with -k FILE/],
	['run -k', qr/--kernel: a value is missing, FILE/],
	['run -k x --kernell y', qr/unknown option --kernell, did you mean --kernel\?/],
	['run -k x --cpsu 2', qr/unknown option --cpsu, did you mean --cpus\?/],
	['run -k x -X', qr/unknown option -X/],
	['run -k x --quiteunlikeanything', qr/unknown option --quiteunlikeanything, see lkvm run --help/],
	['run -k x --mte=yes', qr/--mte: takes no value, so not "yes"/],
	['run -k x -f y', qr/--kernel and --firmware exclude each other/],
	['run -f x -i y', qr/--initrd: a firmware takes no initrd/],
	['run -k x --firmware-address 0x80000000', qr/--firmware-address: needs --firmware FILE/],
	['run -k x --lazy', qr/--lazy: needs --restore FILE/],
	['run --restore x --lazy -c 2', qr/only --name, --lazy, --kernel, --initrd and --params go with it/],
	[['run', '-k', ''], qr/--kernel: the name is empty, give a file/],
	# --- run: numbers and sizes ---
	['run -k x -c 0', qr/--cpus: 0 is out of range, 1 to 512/],
	['run -k x -c 513', qr/--cpus: 513 is out of range, 1 to 512/],
	['run -k x -c two', qr/--cpus: "two" is not a number/],
	['run -k x -c -1', qr/--cpus: "-1" is not a number/],
	['run -k x -c 99999999999999999999', qr/too large a number/],
	['run -k x -c 9 --irqchip gicv2', qr/--cpus: a GICv2 serves at most 8 CPUs; for 9 take --irqchip gicv3/],
	['run -k x -c 9 --irqchip gicv2m', qr/--cpus: a GICv2 serves at most 8 CPUs/],
	['run -k x -m 0', qr/--mem: 0 bytes are too few, 16 MiB is the least/],
	['run -k x -m 8', qr/--mem: 8388608 bytes are too few/],
	['run -k x -m 65', qr/--mem: 68157440 bytes is not a multiple of 2 MiB, 66M is next/],
	['run -k x -m 64X', qr/--mem: "64X" is not a size/],
	['run -k x -m 64MB', qr/--mem: "64MB" is not a size/],
	['run -k x -m -64', qr/--mem: "-64" is not a size/],
	['run -k x -m 99999999P', qr/--mem: "99999999P" is too large a size/],
	['run -k x -m 64@0', qr/--mem: memory cannot be at address 0/],
	['run -k x -m 64@0x80100000', qr/--mem: the address 0x80100000 is not a multiple of 2 MiB/],
	['run -k x -m 64@high', qr/--mem: "high" is not/],
	['run -k x -m 64@0xffffffffffe00000', qr/--mem: .* end past 64 bits/],
	['run -k x --sve-max-vl 100', qr/--sve-max-vl: 100 is out of range, 128 to 2048/],
	['run -k x --sve-max-vl 200', qr/--sve-max-vl: 200 is not a vector length .*multiple of 128/],
	['run -k x --kaslr-seed abc', qr/--kaslr-seed: "abc" is not a number/],
	['run -k x --tty 4', qr/--tty: 4 is out of range, 0 to 3/],
	['run -k x --vcpu-affinity 3-1', qr/--vcpu-affinity: "3-1" is not a list of host CPUs such as 0-3,6/],
	['run -k x --vcpu-affinity 0,', qr/--vcpu-affinity: "0," is not a list/],
	['run -k x --vcpu-affinity 5000', qr/--vcpu-affinity: "5000" is not a list/],
	# --- run: words ---
	['run -k x --irqchip gicv4', qr/--irqchip: "gicv4" is not one of auto, gicv2, gicv2m, gicv3, gicv3-its/],
	['run -k x --mem-backend file', qr/--mem-backend: "file" is not one of anon, memfd/],
	['run -k x --mem-backend memfd --hugetlbfs y', qr/--hugetlbfs: is a memory backend itself/],
	['run -k x --loglevel loud', qr/--loglevel: "loud" is not one of error, warning, info, debug/],
	['run -k x --console virtio', qr/--console: virtio is not in this version, only serial is/],
	['run -k x --debug-no-tags', qr/--debug-no-tags: there are no tags to leave out without --mte/],
	['run -k x --name a/b', qr/--name: "a\/b" is not a name .*$name/],
	[['run', '-k', 'x', '--name', ''], qr/--name: "" is not a name/],
	['run -k x --name ' . 'x' x 64, qr/--name: "x+" is not a name \(1 to 63/],
	[['run', '-k', 'x', '-p', $long], qr/--params: 2048 bytes are too long for arm64 Linux, 2047 is the most/],
	# --- run: what kvmtool has and this version has not ---
	(map { ["run -k x $_", qr/not in this version/] } '-d disk', '-n user', '--network mode=tap', '--9p /a,b', '--rng',
		'--balloon', '--vsock 3', '--virtio-transport pci', '--vfio-pci 0:1.0', '--dev /dev/kvm', '--aarch32',
		'--debug', '--debug-single-step'),
);

for (@wrong) {
	my ($line, $text) = @$_;
	my @args = ref $line ? @$line : split(/ /, $line);
	my ($code, $out, $err) = lkvm(@args);
	my $shown = substr("@args", 0, 60);

	ok($code eq '2' && $out eq '' && $err =~ $text && $err =~ /\Alkvm[^\n]*\n\z/ && !-e "$dir/lkvm", $shown)
		or diag("exit code $code, stdout \"$out\", stderr \"$err\", wanted $text");
}

# --- and what is right ---
for my $line ('help', '--help', '-h', 'help run', 'run --help', 'run -h', 'stop --help') {
	my ($code, $out, $err) = lkvm(split(/ /, $line));

	ok($code eq '0' && $out =~ /\AUsage: lkvm/ && $err eq '', $line) or diag("exit code $code, \"$err\"");
}
for my $line ('version', '--version') {
	my ($code, $out, $err) = lkvm($line);

	ok($code eq '0' && $out =~ /\Alkvm \d+\.\d+\.\d+\n\z/ && $err eq '', $line);
}
{
	my ($code, $out, $err) = lkvm('version', '--json');

	ok($code eq '0' && $out =~ /\A\{"version":"\d+\.\d+\.\d+".*\}\n\z/, 'version --json');
	($code, $out, $err) = lkvm();

	ok($code eq '2' && $out =~ /\AUsage: lkvm/, 'no arguments: the usage, exit code 2');
	($code, $out, $err) = lkvm('list');
	ok($code eq '0' && $out =~ /\ANAME .*\n\z/ && $err eq '', 'list, with no VM and no folder') or diag("$code $out $err");
	ok(!-e "$dir/lkvm", 'looking creates no folder');
	($code, $out, $err) = lkvm('list', '--json');
	ok($code eq '0' && $out eq '' && $err eq '', 'list --json: nothing');
	($code, $out, $err) = lkvm('stop', 'nobody');
	ok($code eq '1' && $err =~ /\Alkvm stop: nobody: no VM of that name runs\n\z/, 'stop: a VM that is not there');
}
# Output that cannot be written is an error, not silence.
if (-c '/dev/full') {
	my $code = system("exec 2>/dev/null; " . join(' ', map { "'$_'" } @run) . " help run >/dev/full") >> 8;

	is($code, 1, 'help to a full disk: exit code 1');
}

# --- the control socket's folder ---
mkdir("$dir/open", 0755);
mkdir("$dir/open/lkvm");
chmod(0777, "$dir/open/lkvm");
for (
	["$dir/open", qr/has mode 0777, others can get in/, 'a folder that is open to others'],
	['relative', qr/XDG_RUNTIME_DIR is relative: it must be an absolute path/, 'a path that is not absolute'],
	["$dir/none", qr/XDG_RUNTIME_DIR: /, 'a folder that is not there'],
	["$dir/out", qr/XDG_RUNTIME_DIR: .*[Nn]ot a directory/, 'a file'],
	['/' . 'x' x 200, qr/XDG_RUNTIME_DIR|too long/, 'a path too long for a socket'],
) {
	my ($run, $text, $what) = @$_;

	local $ENV{XDG_RUNTIME_DIR} = $run;
	my ($code, $out, $err) = lkvm('list');
	ok($code eq '1' && $err =~ $text, "XDG_RUNTIME_DIR: $what") or diag("exit code $code, \"$err\"");
}
{
	local $ENV{XDG_RUNTIME_DIR} = "$dir/link";
	mkdir("$dir/link");
	mkdir("$dir/elsewhere", 0700);
	symlink("$dir/elsewhere", "$dir/link/lkvm");
	my ($code, $out, $err) = lkvm('list');
	ok($code eq '1' && $err =~ /links are not followed/, 'XDG_RUNTIME_DIR: a link in place of the folder')
		or diag("exit code $code, \"$err\"");
}

done_testing();
