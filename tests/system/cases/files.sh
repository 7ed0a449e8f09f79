# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Files that are not what they should be: each is told by name, exit code 2, nothing is started.

# wrong REGEX TEXT OPTION...: one test.
wrong()
{
	local regex="$1" text="$2" code=0

	shift 2
	timeout 60 "$B/lkvm" run --name "$CASE-f" -c 1 "$@" </dev/null >out 2>err || code=$?
	check "$text" is_refused "$code" "$regex"
}

is_refused()
{
	is "$1" 2 && one_line err && says err "^lkvm: .*$2" && is "$(wc -c <out)" 0 && gone f
}

plan $((14 + 19 * FULL))

# --- kernels ---
wrong "kernel 'none': No such file" "kernel: missing" -k none
long wrong "kernel '/tmp' is a folder" "kernel: a folder" -k /tmp
: >empty
wrong "kernel 'empty' is empty" "kernel: an empty file" -k empty
mkfifo pipe
wrong "kernel 'pipe' is a pipe" "kernel: a pipe that nobody writes to" -k pipe
long wrong "kernel '/dev/zero' is a device" "kernel: a device" -k /dev/zero
echo 'Hello, this is a text and no kernel at all. It is long enough for a header.' >text
wrong "kernel 'text': it looks like text" "kernel: a text" -k text
long wrong "kernel '.*lkvm': it looks like an ELF file" "kernel: an ELF program" -k "$B/lkvm"
long wrong "kernel '.*initrd': it looks like a cpio archive" "kernel: an initrd" -k "$INITRD"
# Only the table of sections that an EFI program has tells how long the file should be: Debian's kernel is one.
head -c 20000000 "$B/debian" >shorter
wrong "kernel 'shorter': it is cut short" "kernel: an Image cut short" -k shorter
head -c 1000000 "$B/kasan.gz" >cut.gz
wrong "kernel 'cut.gz': .*(cut short|ends|end of)" "kernel: a gzip'd Image cut short" -k cut.gz
# Each of them is a unit test too (tests/unit/arm/test_image.c, test_boot_packed.c).
if [ "$FULL" = 1 ]; then
	head -c 1000000 /dev/urandom >noise
	wrong "kernel 'noise': it is not a kernel" "kernel: noise" -k noise
	head -c 40 "$KASAN" >short
	wrong "kernel 'short': it has 40 bytes only" "kernel: 40 bytes" -k short
	{
		head -c 1000000 "$B/kasan.gz"
		printf '\377\000\377\000'
		tail -c +1000005 "$B/kasan.gz"
	} >bad.gz
	wrong "kernel 'bad.gz': " "kernel: a gzip'd Image with a wrong byte" -k bad.gz
	gzip -c text >text.gz
	wrong "kernel 'text.gz': unpacked: it looks like text" "kernel: a gzip'd text" -k text.gz
	gzip -c text.gz >twice.gz
	wrong "kernel 'twice.gz': unpacked: it is packed twice" "kernel: gzip'd twice" -k twice.gz
	head -c 100000000 /dev/zero | gzip -1c >zeros.gz
	wrong "kernel 'zeros.gz': unpacked: " "kernel: a small file that unpacks to 100 MB of nothing" -k zeros.gz
	# The Image header, booting.rst: image_size at 16, magic at 56.
	{
		head -c 16 "$KASAN"
		printf '\0\0\0\0\0\0\0\0'
		tail -c +25 "$KASAN"
	} >size0
	wrong "kernel 'size0': .*does not say how much memory it needs" "kernel: no size in its header" -k size0
	{
		head -c 16 "$KASAN"
		printf '\377\377\377\377\377\377\377\177'
		tail -c +25 "$KASAN"
	} >huge
	wrong "kernel 'huge': its header is damaged" "kernel: a mad size in its header" -k huge
	{
		head -c 56 "$KASAN"
		printf 'RSC\005'
		tail -c +61 "$KASAN"
	} >riscv
	wrong "kernel 'riscv': it looks like a kernel for RISC-V" "kernel: one for another machine" -k riscv
	{
		head -c 8 "$KASAN"
		printf '\0\0\0\0\001\0\0\0'
		tail -c +17 "$KASAN"
	} >offset
	wrong "(guest memory is too small|damaged)" "kernel: a mad offset in its header" -k offset
fi
wrong "guest memory is too small: kernel '.*debian' needs [0-9]+ MiB.*use -m [0-9]+ or more" \
	"kernel: larger than RAM" -k "$B/debian" -m 32
need=$(sed -n 's/.*use -m \([0-9]*\) or more.*/\1/p' err)
vm enough -k "$B/debian" -c 1 -m "$need" --no-reboot
alive()
{
	ctl stat enough && test ! -s "$W/enough.status"
}
check "control: with that much it starts" wait_for 10 alive
ctl stop enough
ended enough 10

# --- initrd ---
wrong "initrd 'none': No such file" "initrd: missing" -k "$KASAN" -i none
long wrong "initrd '/tmp' is a folder" "initrd: a folder" -k "$KASAN" -i /tmp
long wrong "initrd 'empty' is empty" "initrd: empty" -k "$KASAN" -i empty
head -c 60000000 /dev/zero >large
wrong "guest memory is too small: kernel .*initrd 'large' [0-9]+; use -m [0-9]+ or more" \
	"initrd: larger than RAM" -k "$KASAN" -i large -m 64

# --- firmware, flash ---
wrong "firmware 'none': No such file" "firmware: missing" -f none
long wrong "firmware 'large' has 60000000 bytes, guest memory .*use -m [0-9]+ or more" "firmware: larger than RAM" -f large -m 32
wrong "firmware address 0x1000 is not in guest memory" "firmware: outside RAM" -f "$B/monitor" --firmware-address 0x1000
long wrong "firmware address 0x80000002 is not a multiple of 4" "firmware: at an odd address" -f "$B/monitor" \
	--firmware-address 0x80000002
wrong "'none'.*No such file" "flash: missing" -f "$B/monitor" -F none
long wrong "'large'.*(16777216|16 MiB|larger|more)" "flash: larger than 16 MiB" -f "$B/monitor" -F large

# --- where the device tree goes to ---
wrong "--dump-dtb /nowhere/x: No such file" "--dump-dtb: a folder that is not there" -f "$B/monitor" --dump-dtb /nowhere/x
