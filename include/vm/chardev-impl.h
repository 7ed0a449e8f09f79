/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the character back ends share: vm/chardev.c, vm/chardev-io.c, vm/chardev-tty.c. For nobody else. */
#ifndef LKVM_VM_CHARDEV_IMPL_H
#define LKVM_VM_CHARDEV_IMPL_H

#include "vm/chardev.h"
#include "vm/terminal.h"

#define AHEAD_MAX   1024u
#define AHEAD_BREAK 0x100 /* what no byte is */

/*
 * Two kinds of fields. What the port's calls touch, from any thread, is guarded by the lock of the attached device,
 * which the port holds when it calls. All else belongs to the loop's thread.
 */
struct chardev {
	enum chardev_kind kind;
	struct event_loop *loop;
	struct log *log;
	struct event_source in,
		out; /* fd -1: there is none; both edge-triggered, out added while it is waited for */
	struct event_timer timer; /* output has collected, or input has room again */
	bool have_timer;
	char path[32];

	/* Guarded by dev->lock. */
	struct device *dev;
	const struct chardev_port *port;
	uint64_t tx_last; /* when something was written, monotonic ns */
	bool hurry;	  /* the timer is armed to expire at once */
	bool tx_armed;	  /* it is armed to expire by the time output has collected */
	bool tx_blocked;  /* the host takes no more: out tells when */
	bool rx_blocked;  /* the port had no room: chardev_rx_room() tells when */

	bool held;     /* chardev_hold() */
	bool readable; /* in may have bytes: the last read did not end with EAGAIN */
	bool write_failed;
	bool had_reader; /* of a pseudo-terminal */

	/* Typed but not taken by the port yet. */
	uint16_t ahead[AHEAD_MAX];
	unsigned int ahead_first, ahead_count;

	bool is_terminal;
	struct terminal terminal;
	bool escape;	 /* the last key was Ctrl-a */
	bool background; /* a shell has the terminal; look_again watches for its return */
	struct event_timer look_again;
	bool have_look_again;
	void (*quit)(void *ctx);
	void *quit_ctx;
};

static inline void chardev_lock(struct chardev *c)
{
	device_lock(c->dev);
}

static inline void chardev_unlock(struct chardev *c)
{
	device_unlock(c->dev);
}

/* --- vm/chardev-io.c; loop thread --- */

/* Lock held. Has the loop's thread look after both directions at once. */
void chardev_hurry(struct chardev *c);
/* Writes what the port holds as far as the host takes it; without @all, a little may be left to collect. */
void chardev_output(struct chardev *c, bool all);
/* Reads as far as the port has room. */
void chardev_input(struct chardev *c);
/* There will never be input again. */
void chardev_input_ended(struct chardev *c);
int chardev_start(struct chardev *c, struct err *err);
/* Bytes that the port holds for the host: whether there are any. */
bool chardev_has_output(struct chardev *c);

/* --- vm/chardev-tty.c; loop thread --- */

/* Raw mode, now or as soon as a shell lets go of the terminal. */
void chardev_tty_take(struct chardev *c);
/* A shell has the terminal: its modes are the shell's, and reading fails. */
void chardev_tty_lost(struct chardev *c);
void chardev_tty_release(struct chardev *c);
/* What was typed, into ahead[]. */
void chardev_tty_keys(struct chardev *c, const uint8_t *keys, size_t n);

static inline void chardev_enqueue(struct chardev *c, uint16_t key)
{
	c->ahead[(c->ahead_first + c->ahead_count++) % AHEAD_MAX] = key;
}

#endif
