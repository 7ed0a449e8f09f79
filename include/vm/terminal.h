/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The user's terminal in raw mode, given back as it was on every end of this process.
 *
 * The ordinary path is terminal_release(). For all others (a crash, SIGKILL, exit() from anywhere) a watcher stands by:
 * a small child named lkvm-tty that has the terminal open, waits for this process to end, and then puts the old modes
 * back. It is in a process group of its own with every signal blocked, so that Ctrl-C, a hang-up and a signal to the
 * whole group pass it by, and it keeps no other descriptor of this process.
 *
 * A terminal that a shell with job control has taken back in the meantime is left as that shell has set it.
 */
#ifndef LKVM_VM_TERMINAL_H
#define LKVM_VM_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "util/err.h"

struct terminal {
	int fd;		/* belongs to the caller */
	int watcher_fd; /* socket to the watcher: modes to put back; its end is this process's end */
	pid_t watcher;
	bool raw;
	struct termios saved; /* as found when it was made raw */
	struct termios set;   /* as made by us */
	sigset_t blocked;     /* signals that terminal_init() has blocked in the calling thread */
};

/*
 * Starts the watcher. It is a fork(): to be called before guest memory is mapped and before there are threads.
 * From here on SIGTTIN and SIGTTOU are blocked in the calling thread, and in those it creates: using the terminal from
 * the background fails with EIO, or succeeds, instead of stopping the VM.
 */
int terminal_init(struct terminal *t, int fd, struct err *err);

/* Restores the modes and ends the watcher. On the thread that called terminal_init(). */
void terminal_release(struct terminal *t);

/* Whether this process may read from it now; if not, a shell has it and its modes are not ours to change. */
bool terminal_is_ours(const struct terminal *t);

/* Raw mode from whatever modes it has now, which are the ones to put back. 0 or a negative errno. */
int terminal_raw(struct terminal *t);

/* Whether it is still in the modes that terminal_raw() made. */
bool terminal_is_raw(const struct terminal *t);

/* The shell has taken it: there is nothing to put back any more. */
void terminal_forget(struct terminal *t);

#endif
