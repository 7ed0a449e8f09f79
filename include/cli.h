/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The verbs' options as data, apart from the code that carries them out: tools/docgen.c, built for the machine that
 * compiles, makes man page and completion from the same tables.
 */
#ifndef LKVM_CLI_H
#define LKVM_CLI_H

#include <stdbool.h>

#include "util/opt.h"

/* Exit codes of every verb; in the man page. */
enum exit_code {
	EXIT_OK = 0, /* for run: the guest powered off, or was stopped */
	EXIT_FAILED =
		1,	/* the host or another VM refused something; the line on stderr says what */
	EXIT_USAGE = 2, /* a wrong option, value or file: nothing was started */
	/* run, restore: guest memory was taken away, replaced, or could not be brought in */
	EXIT_MEMORY = 3,
};

/* Options of list, pause, resume, stop, stat, debug. */
struct control_opts {
	const char *name; /* -n */
	bool all;	  /* -a */
	bool json;
	bool memory;	   /* stat -m */
	bool dump;	   /* debug -d */
	const char *sysrq; /* debug -s: one character */
	bool running;	   /* list -i: running instances */
	bool rootfs;	   /* list -r: kvmtool's root file systems; there are none */
};

/* Options of snapshot. */
struct snapshot_opts {
	bool live, stop, check, drop_tags, json;
	const char *base;
	int codec;	/* enum snap_codec */
	int tag_walker; /* 0: ldg, 1: ioctl */
	int level;
	uint32_t threads;
	uint64_t rate;
};

/* Options of restore. */
struct restore_opts {
	const char *name;
	bool paused, lazy, no_prefetch;
	int clock;	/* 0: advance, 1: keep */
	int tag_walker; /* as above */
	uint32_t threads;
	const char *kernel, *initrd, *params;
};

/* Options of migrate. */
struct migrate_opts {
	uint32_t downtime, timeout;
	uint64_t bandwidth;
	int on_timeout;	 /* enum source_on_timeout */
	int codec;	 /* enum snap_codec */
	uint32_t rounds; /* before post-copy */
	bool postcopy, recover;
	const char *tls_psk;
	bool cancel, auto_converge, keep_paused, insecure, drop_tags, json;
};

/* Options of incoming. */
struct incoming_opts {
	const char *name, *recover;
	const char *kernel, *initrd, *params;
	bool tty[4]; /* VM_MAX_UARTS */
	const char *tls_psk;
	bool detach, insecure;
};

extern const struct verb_spec verb_migrate, verb_incoming, verb_run, verb_snapshot, verb_restore,
	verb_list, verb_pause, verb_resume, verb_stop, verb_stat, verb_debug, verb_version,
	verb_help;

/* All of them, NULL-terminated, in the order of the help. */
extern const struct verb_spec *const cli_verbs[];

#endif
