/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cli.h"
#include "util/log.h"
#include "vm/config.h"

#define RUN(member) offsetof(struct vm_config, member)
#define CTL(member) offsetof(struct control_opts, member)

#define NO_VIRTIO "virtio devices (disk, network, console, 9p, balloon, rng, vsock) are missing"
#define NO_DEBUG  "this tracing aid of kvmtool is missing, --loglevel debug says the most"

/* SIZE[@ADDR]; a size without a letter is MiB, an address without one is bytes. */
static int call_mem(void *values, const char *value, struct err *err)
{
	struct vm_config *config = values;
	const char *at = strchr(value, '@');
	uint64_t size, addr = 0;
	char text[40];
	int rc;

	if (!at)
		return opt_parse_size(value, &config->mem_size, err);
	if ((size_t)(at - value) >= sizeof(text))
		return err_set(err, -EINVAL, "\"%s\" is too large a size", value);
	memcpy(text, value, (size_t)(at - value));
	text[at - value] = '\0';
	rc = opt_parse_size(text, &size, err);
	if (!rc && opt_parse_u64(at + 1, &addr, NULL))
		rc = opt_parse_size(at + 1, &addr, err);
	if (rc)
		return rc;
	if (!addr) /* would mean the default */
		return err_set(err, -EINVAL, "memory cannot be at address 0");
	config->mem_size = size;
	config->mem_addr = addr;
	return 0;
}

static const char *const mem_backend_words[] = {"anon", "memfd", NULL};

static int call_mem_backend(void *values, const char *value, struct err *err)
{
	struct vm_config *config = values;

	for (int i = 0; mem_backend_words[i]; i++) {
		if (!strcmp(value, mem_backend_words[i])) {
			config->mem_backend = i;
			config->mem_backend_set = true;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "\"%s\" is not one of anon, memfd", value);
}

static int call_kaslr_seed(void *values, const char *value, struct err *err)
{
	struct vm_config *config = values;
	int rc = opt_parse_u64(value, &config->kaslr_seed, err);

	if (!rc)
		config->kaslr_seed_set = true;
	return rc;
}

static int call_tty(void *values, const char *value, struct err *err)
{
	struct vm_config *config = values;
	uint64_t n;
	int rc = opt_parse_u64(value, &n, err);

	if (rc)
		return rc;
	if (n >= VM_MAX_UARTS)
		return err_set(err, -EINVAL, "%s is out of range, 0 to %d", value,
			       VM_MAX_UARTS - 1);
	config->tty[n] = true;
	return 0;
}

static int call_console(void *values, const char *value, struct err *err)
{
	(void)values;
	if (!strcmp(value, "serial"))
		return 0;
	if (!strcmp(value, "virtio"))
		return err_set(err, -EINVAL, "virtio is not in this version, only serial is");
	return err_set(err, -EINVAL, "\"%s\" is not serial", value);
}

static int call_network(void *values, const char *value, struct err *err)
{
	(void)values;
	if (!strcmp(value, "none") || !strcmp(value, "mode=none"))
		return 0;
	return err_set(err, -EINVAL,
		       "\"%s\" is not in this version, which has no virtio devices: only none is",
		       value);
}

static int call_sysrq(void *values, const char *value, struct err *err)
{
	struct control_opts *opts = values;

	/* Documentation/admin-guide/sysrq.rst: commands are letters and digits. */
	if (value[0] && !value[1] &&
	    strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", value[0])) {
		opts->sysrq = value;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "\"%s\" is not a SysRq key, one letter or digit such as t or h", value);
}

static const char *const irqchip_words[] = {"auto", "gicv2", "gicv2m", "gicv3", "gicv3-its", NULL};
static const char *const loglevel_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const console_words[] = {"serial", NULL};
static const char *const network_words[] = {"none", NULL};

static const struct opt run_opts[] = {
	{.name = "name",
	 .kind = OPT_STR,
	 .offset = RUN(name),
	 .arg = "NAME",
	 .help = "Name of the VM for the other commands (default guest-PID)."},
	{.name = "restore",
	 .kind = OPT_FILE,
	 .offset = RUN(restore),
	 .arg = "FILE",
	 .help = "The machine that lkvm snapshot saved there, as lkvm restore does."},
	{.name = "lazy",
	 .kind = OPT_FLAG,
	 .offset = RUN(lazy),
	 .help = "With --restore: run the guest at once and bring its memory in behind it."},
	{.name = "cpus",
	 .letter = 'c',
	 .kind = OPT_U32,
	 .offset = RUN(cpus),
	 .arg = "N",
	 .min = 1,
	 .max = VM_MAX_CPUS,
	 .help = "Number of virtual CPUs (default as many as the host has online, with a GICv2 at most 8)."},
	{.name = "mem",
	 .letter = 'm',
	 .kind = OPT_CALL,
	 .call = call_mem,
	 .arg = "SIZE[@ADDR]",
	 .help = "Guest memory, a multiple of 2 MiB: a number, decimal or with 0x, and B, K, M, G, "
		 "T or P, without a letter MiB (default 256M); and its guest-physical address in "
		 "bytes (default 0x80000000)."},
	{.name = "mte",
	 .kind = OPT_FLAG,
	 .offset = RUN(mte),
	 .help = "Give the guest the Memory Tagging Extension (default off)."},
	{.name = "disable-mte",
	 .kind = OPT_UNFLAG,
	 .offset = RUN(mte),
	 .help = "Take back an earlier --mte; for scripts written for kvmtool."},
	{.name = "mem-backend",
	 .kind = OPT_CALL,
	 .call = call_mem_backend,
	 .arg = "KIND",
	 .words = mem_backend_words,
	 .help = "What guest memory is made of: private anonymous memory with transparent huge "
		 "pages, or a shared memfd (default anon)."},
	{.name = "hugetlbfs",
	 .kind = OPT_DIR,
	 .offset = RUN(hugetlbfs),
	 .arg = "PATH",
	 .help = "Take guest memory from huge pages of the hugetlbfs mounted there."},
	{.name = "kernel",
	 .letter = 'k',
	 .kind = OPT_FILE,
	 .offset = RUN(kernel),
	 .arg = "FILE",
	 .help = "Kernel to boot: an arm64 Image, plain or gzip'd."},
	{.name = "initrd",
	 .letter = 'i',
	 .kind = OPT_FILE,
	 .offset = RUN(initrd),
	 .arg = "FILE",
	 .help = "Initial RAM disk for that kernel."},
	{.name = "params",
	 .letter = 'p',
	 .kind = OPT_STR,
	 .offset = RUN(params),
	 .arg = "TEXT",
	 .help = "Added to the kernel's command line; 2047 bytes at most."},
	{.name = "nodefaults",
	 .kind = OPT_FLAG,
	 .offset = RUN(nodefaults),
	 .help = "Put nothing on the kernel's command line but --params."},
	{.name = "firmware",
	 .letter = 'f',
	 .kind = OPT_FILE,
	 .offset = RUN(firmware),
	 .arg = "FILE",
	 .help = "Flat firmware image to start instead of a kernel."},
	{.name = "firmware-address",
	 .kind = OPT_U64,
	 .offset = RUN(firmware_address),
	 .arg = "ADDR",
	 .max = UINT64_MAX,
	 .help = "Guest-physical address the firmware is loaded to (default start of memory)."},
	{.name = "flash",
	 .letter = 'F',
	 .kind = OPT_FILE,
	 .offset = RUN(flash),
	 .arg = "FILE",
	 .help = "Contents of the flash at 32 MiB; the file itself is never written."},
	{.name = "irqchip",
	 .kind = OPT_WORD,
	 .offset = RUN(irqchip),
	 .arg = "KIND",
	 .words = irqchip_words,
	 .help = "Interrupt controller (default auto, the best that the host offers)."},
	{.name = "pmu",
	 .kind = OPT_FLAG,
	 .offset = RUN(pmu),
	 .help = "Give the guest performance counters (default off)."},
	{.name = "no-pvtime",
	 .kind = OPT_UNFLAG,
	 .offset = RUN(pvtime),
	 .help = "Do not tell the guest about stolen time (default: told where the host can)."},
	{.name = "sve-max-vl",
	 .kind = OPT_U32,
	 .offset = RUN(sve_max_vl),
	 .arg = "BITS",
	 .min = 128,
	 .max = 2048,
	 .help = "Longest SVE vector of the guest, a multiple of 128 (default the host's)."},
	{.name = "vcpu-affinity",
	 .kind = OPT_STR,
	 .offset = RUN(vcpu_affinity),
	 .arg = "LIST",
	 .help = "Host CPUs that virtual CPUs may run on, such as 0-3,6 (default all)."},
	{.name = "kaslr-seed",
	 .kind = OPT_CALL,
	 .call = call_kaslr_seed,
	 .arg = "N",
	 .help = "Seed of the kernel's address randomisation (default from the host's entropy)."},
	{.name = "no-reboot",
	 .kind = OPT_FLAG,
	 .offset = RUN(no_reboot),
	 .help = "End when the guest resets, instead of booting it again."},
	{.name = "console",
	 .kind = OPT_CALL,
	 .call = call_console,
	 .arg = "KIND",
	 .words = console_words,
	 .help = "The guest's console (default serial)."},
	{.name = "tty",
	 .kind = OPT_CALL,
	 .call = call_tty,
	 .arg = "N",
	 .help = "Connect serial port N (0 to 3) to a new pseudo-terminal; port 0 is stdin and "
		 "stdout otherwise. May be given for each port."},
	{.name = "network",
	 .letter = 'n',
	 .kind = OPT_CALL,
	 .call = call_network,
	 .arg = "MODE",
	 .words = network_words,
	 .help = "The guest has no network, and mode=none says so."},
	{.name = "dump-dtb",
	 .kind = OPT_FILE,
	 .offset = RUN(dump_dtb),
	 .arg = "FILE",
	 .help = "Write the device tree that the guest gets to a file."},
	{.name = "loglevel",
	 .kind = OPT_WORD,
	 .offset = RUN(log_level),
	 .arg = "LEVEL",
	 .words = loglevel_words,
	 .help = "How much to say on stderr (default info)."},
	{.name = "debug-no-seal",
	 .kind = OPT_FLAG,
	 .offset = RUN(debug_no_seal),
	 .help = "For tests: leave guest memory unsealed, so that it can be taken away."},
	{.name = "debug-no-tags",
	 .kind = OPT_FLAG,
	 .offset = RUN(debug_no_tags),
	 .help = "For tests: map guest memory without tags although the guest has --mte."},

	{.name = "disk", .letter = 'd', .kind = OPT_ABSENT, .arg = "PATH", .help = NO_VIRTIO},
	{.name = "9p", .kind = OPT_ABSENT, .arg = "DIR,TAG", .help = NO_VIRTIO},
	{.name = "rng", .kind = OPT_ABSENT, .help = NO_VIRTIO},
	{.name = "balloon", .kind = OPT_ABSENT, .help = NO_VIRTIO},
	{.name = "vsock", .kind = OPT_ABSENT, .arg = "CID", .help = NO_VIRTIO},
	{.name = "virtio-transport", .kind = OPT_ABSENT, .arg = "KIND", .help = NO_VIRTIO},
	{.name = "vfio-pci",
	 .kind = OPT_ABSENT,
	 .arg = "DEVICE",
	 .help = "host PCI devices cannot be given to the guest"},
	{.name = "dev",
	 .kind = OPT_ABSENT,
	 .arg = "PATH",
	 .help = "the KVM device is always /dev/kvm"},
	{.name = "aarch32", .kind = OPT_ABSENT, .help = "guests start in AArch64"},
	{.name = "debug", .kind = OPT_ABSENT, .help = NO_DEBUG},
	{.name = "debug-single-step", .kind = OPT_ABSENT, .help = NO_DEBUG},
	{.name = "debug-ioport", .kind = OPT_ABSENT, .help = NO_DEBUG},
	{.name = "debug-mmio", .kind = OPT_ABSENT, .help = NO_DEBUG},
	{.name = "debug-iodelay", .kind = OPT_ABSENT, .arg = "N", .help = NO_DEBUG},
	{0},
};

#define OPT_NAME                                                                     \
	{                                                                            \
		.name = "name", .letter = 'n', .kind = OPT_STR, .offset = CTL(name), \
		.arg = "NAME", .help = "The VM of that name."                        \
	}
#define OPT_ALL                                                                     \
	{                                                                           \
		.name = "all", .letter = 'a', .kind = OPT_FLAG, .offset = CTL(all), \
		.help = "All VMs that run."                                         \
	}
#define OPT_JSON                                                       \
	{                                                              \
		.name = "json", .kind = OPT_FLAG, .offset = CTL(json), \
		.help = "Print JSON, one object a line for each VM."   \
	}

static const struct opt list_opts[] = {
	{.name = "run",
	 .letter = 'i',
	 .kind = OPT_FLAG,
	 .offset = CTL(running),
	 .help = "List the VMs that run (default)."},
	{.name = "rootfs",
	 .letter = 'r',
	 .kind = OPT_FLAG,
	 .offset = CTL(rootfs),
	 .help = "List root file systems made by kvmtool's setup: here there are none."},
	OPT_JSON,
	{0},
};

static const struct opt name_opts[] = {OPT_NAME, OPT_ALL, {0}};

static const struct opt stat_opts[] = {
	OPT_NAME,
	OPT_ALL,
	{.name = "memory",
	 .letter = 'm',
	 .kind = OPT_FLAG,
	 .offset = CTL(memory),
	 .help = "Only the figures about memory."},
	OPT_JSON,
	{0},
};

static const struct opt debug_opts[] = {
	OPT_NAME,
	OPT_ALL,
	{.name = "dump",
	 .letter = 'd',
	 .kind = OPT_FLAG,
	 .offset = CTL(dump),
	 .help = "Print the registers of each virtual CPU."},
	{.name = "sysrq",
	 .letter = 's',
	 .kind = OPT_CALL,
	 .call = call_sysrq,
	 .arg = "KEY",
	 .help = "Send break and this magic SysRq key to the guest's console."},
	OPT_JSON,
	{0},
};

static const struct opt version_opts[] = {OPT_JSON, {0}};

static const struct opt no_opts[] = {{0}};

const struct verb_spec verb_run = {
	.name = "run",
	.summary = "Start a virtual machine and stay with it until it ends.",
	.details = "On a terminal the guest's first serial port gets every key; Ctrl-a x ends the "
		   "VM, Ctrl-a h lists what else follows Ctrl-a, Ctrl-a Ctrl-a sends one Ctrl-a. A "
		   "pipe or a file as stdin is input for the guest like typing.",
	.opts = run_opts,
	.args_hint = "a kernel is given with -k FILE",
};

const struct verb_spec verb_list = {
	.name = "list",
	.summary = "List the virtual machines that run.",
	.opts = list_opts,
};

const struct verb_spec verb_pause = {
	.name = "pause",
	.args = "[NAME]",
	.summary = "Stop the virtual CPUs of a VM; memory and devices stay as they are.",
	.opts = name_opts,
	.max_args = 1,
};

const struct verb_spec verb_resume = {
	.name = "resume",
	.args = "[NAME]",
	.summary = "Let a paused VM go on.",
	.opts = name_opts,
	.max_args = 1,
};

const struct verb_spec verb_stop = {
	.name = "stop",
	.args = "[NAME]",
	.summary = "End a VM at once, as pulling the plug would.",
	.opts = name_opts,
	.max_args = 1,
};

const struct verb_spec verb_stat = {
	.name = "stat",
	.args = "[NAME]",
	.summary = "Show the counters of a VM: time, exits, memory.",
	.opts = stat_opts,
	.max_args = 1,
};

const struct verb_spec verb_debug = {
	.name = "debug",
	.args = "[NAME]",
	.summary = "Look into a VM: registers of its CPUs, or a SysRq key for its kernel.",
	.opts = debug_opts,
	.max_args = 1,
};

const struct verb_spec verb_version = {
	.name = "version",
	.summary = "Print the version.",
	.opts = version_opts,
};

const struct verb_spec verb_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "Describe all commands, or one with its options.",
	.opts = no_opts,
	.max_args = 1,
};

const struct verb_spec *const cli_verbs[] = {
	&verb_run,   &verb_snapshot, &verb_restore, &verb_migrate, &verb_incoming,
	&verb_list,  &verb_pause,    &verb_resume,  &verb_stop,	   &verb_stat,
	&verb_debug, &verb_version,  &verb_help,    NULL,
};
