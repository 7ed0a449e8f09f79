/* SPDX-License-Identifier: GPL-2.0-only */
/* Options of the verbs about snapshots, as data (cli.h). */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cli.h"
#include "state/snapfile.h"
#include "util/share.h"

#define SNAP(member) offsetof(struct snapshot_opts, member)
#define RES(member)  offsetof(struct restore_opts, member)

#define ZSTD_LEVEL 3

/* zstd, or zstd:LEVEL. */
static int call_compress(void *values, const char *value, struct err *err)
{
	struct snapshot_opts *opts = values;
	uint64_t level = ZSTD_LEVEL;

	if (!strncmp(value, "zstd:", 5) && opt_parse_u64(value + 5, &level, err))
		return -EINVAL;
	if ((strcmp(value, "zstd") && strncmp(value, "zstd:", 5)) || !level || level > 19)
		return err_set(err, -EINVAL,
			       "\"%s\" is not zstd or zstd:LEVEL with a level of 1 to 19", value);
	opts->codec = SNAP_ZSTD;
	opts->level = level;
	return 0;
}

static const char *const walker_words[] = {"ldg", "ioctl", NULL};

static const struct opt snapshot_opts[] = {
	{.name = "live",
	 .kind = OPT_FLAG,
	 .offset = SNAP(live),
	 .help = "Let the guest go on while the file is written; it stands still for a moment only."},
	{.name = "stop",
	 .kind = OPT_FLAG,
	 .offset = SNAP(stop),
	 .help = "End the VM when the file is there."},
	{.name = "base",
	 .kind = OPT_FILE,
	 .offset = SNAP(base),
	 .arg = "FILE",
	 .help = "Save only what differs from that snapshot of the VM, which must stay in the same folder."},
	{.name = "compress",
	 .kind = OPT_CALL,
	 .call = call_compress,
	 .arg = "zstd[:LEVEL]",
	 .help = "Compress memory (default not at all; level 3)."},
	{.name = "threads",
	 .kind = OPT_U32,
	 .offset = SNAP(threads),
	 .arg = "N",
	 .min = 1,
	 .max = SHARE_MAX_THREADS,
	 .help = "Threads that write (default 1)."},
	{.name = "rate",
	 .kind = OPT_SIZE,
	 .offset = SNAP(rate),
	 .arg = "SIZE",
	 .min = 1,
	 .max = UINT64_MAX,
	 .help = "Guest memory to go through a second at the most (default no limit)."},
	{.name = "tag-walker",
	 .kind = OPT_WORD,
	 .offset = SNAP(tag_walker),
	 .arg = "WAY",
	 .words = walker_words,
	 .help = "Read memory tags by instructions, or by an ioctl of KVM while the guest stands still, which takes longer "
		 "(default ldg)."},
	{.name = "check",
	 .kind = OPT_FLAG,
	 .offset = SNAP(check),
	 .help = "With info: tell whether this host can restore it, by building the machine; exit code 1 if not."},
	{.name = "drop-tags",
	 .kind = OPT_FLAG,
	 .offset = SNAP(drop_tags),
	 .help = "For tests: leave out memory tags, as a VMM would that knows none."},
	{.name = "json",
	 .kind = OPT_FLAG,
	 .offset = SNAP(json),
	 .help = "Print one JSON object a line."},
	{0},
};

const struct verb_spec verb_snapshot = {
	.name = "snapshot",
	.args = "NAME FILE | info|verify|diff|merge FILE...",
	.summary = "Save a VM, memory tags included, to a file; or look into such a file.",
	.details =
		"snapshot NAME FILE pauses the VM, saves it and lets it go on. The file gets its name when it is whole: "
		"until then an older one of that name stays. Ctrl-C cancels.\n\n"
		"info shows what is in a file, verify reads all of it and compares every checksum, diff shows the "
		"ranges of memory in which two snapshots differ. merge FILE OUT writes a snapshot, with all those it builds "
		"on, as one new file.",
	.opts = snapshot_opts,
	.max_args = 3,
};

static const char *const clock_words[] = {"advance", "keep", NULL};

static const struct opt restore_opts[] = {
	{.name = "name",
	 .letter = 'n',
	 .kind = OPT_STR,
	 .offset = RES(name),
	 .arg = "NAME",
	 .help = "Name of the restored VM (default guest-PID)."},
	{.name = "paused",
	 .kind = OPT_FLAG,
	 .offset = RES(paused),
	 .help = "Leave it paused until lkvm resume."},
	{.name = "lazy",
	 .kind = OPT_FLAG,
	 .offset = RES(lazy),
	 .help = "Run the guest at once and bring its memory in behind it. What turns out to be unreadable later ends the VM."},
	{.name = "no-prefetch",
	 .kind = OPT_FLAG,
	 .offset = RES(no_prefetch),
	 .help = "With --lazy: bring only what the guest uses."},
	{.name = "clock",
	 .kind = OPT_WORD,
	 .offset = RES(clock),
	 .arg = "WAY",
	 .words = clock_words,
	 .help = "The guest's time: advance by the real time that passed, or keep it as it stood (default advance)."},
	{.name = "tag-walker",
	 .kind = OPT_WORD,
	 .offset = RES(tag_walker),
	 .arg = "WAY",
	 .words = walker_words,
	 .help = "Write memory tags by instructions, or by an ioctl of KVM (default ldg)."},
	{.name = "threads",
	 .kind = OPT_U32,
	 .offset = RES(threads),
	 .arg = "N",
	 .min = 1,
	 .max = SHARE_MAX_THREADS,
	 .help = "Threads that read (default 1)."},
	{.name = "kernel",
	 .letter = 'k',
	 .kind = OPT_FILE,
	 .offset = RES(kernel),
	 .arg = "FILE",
	 .help = "Kernel to boot when the guest resets (default: the VM ends then)."},
	{.name = "initrd",
	 .letter = 'i',
	 .kind = OPT_FILE,
	 .offset = RES(initrd),
	 .arg = "FILE",
	 .help = "Initial RAM disk for that kernel."},
	{.name = "params",
	 .letter = 'p',
	 .kind = OPT_STR,
	 .offset = RES(params),
	 .arg = "TEXT",
	 .help = "That kernel's command line."},
	{0},
};

const struct verb_spec verb_restore = {
	.name = "restore",
	.args = "FILE",
	.summary = "Start a VM from a snapshot, and stay with it until it ends.",
	.details =
		"The machine is the one that was saved. What this host cannot give it is told, all of it, before any "
		"memory is read.\n\n"
		"With --lazy the guest runs before its memory was read; the file must stay as it is until all came (lkvm stat). It "
		"needs userfaultfd: root, CAP_SYS_PTRACE, vm.unprivileged_userfaultfd=1 or /dev/userfaultfd.",
	.opts = restore_opts,
	.max_args = 1,
};
