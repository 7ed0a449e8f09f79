/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>
#include <unistd.h>

#include "util/io.h"
#include "vm/chardev-impl.h"

#define LOOK_NS	   1000000000ull /* whether the terminal is ours again: nothing tells */
#define KEY_ESCAPE 0x01		 /* Ctrl-a */

static void mark_log(struct chardev *c, bool raw)
{
	/* Lines that go to a file stay as they are. */
	atomic_store(&c->log->raw_terminal, raw && isatty(c->log->fd));
}

static void look_again(struct event_timer *timer);

void chardev_tty_lost(struct chardev *c)
{
	c->background = true;
	c->readable = false;
	mark_log(c, false);
	if (c->terminal.raw)
		terminal_forget(&c->terminal);
	if (!c->have_look_again)
		c->have_look_again =
			!event_timer_init(&c->look_again, c->loop, look_again, c, NULL);
	if (c->have_look_again)
		event_timer_arm(&c->look_again, LOOK_NS);
}

void chardev_tty_take(struct chardev *c)
{
	int rc;

	if (!terminal_is_ours(&c->terminal)) {
		chardev_tty_lost(c);
		return;
	}
	rc = terminal_raw(&c->terminal);
	if (rc) {
		log_line(c->log, LOG_WARNING, "stdin: no input from this terminal: %s",
			 strerror(-rc));
		chardev_input_ended(c);
		return;
	}
	mark_log(c, true);
	if (!c->background)
		return;
	/* What was typed meanwhile was an edge that went by. */
	c->background = false;
	c->readable = true;
	if (c->port && !c->held)
		chardev_input(c);
}

static void look_again(struct event_timer *timer)
{
	chardev_resumed(timer->ctx);
}

void chardev_resumed(struct chardev *c)
{
	if (!c->is_terminal || !c->in.added)
		return;
	if (!terminal_is_ours(&c->terminal) || !terminal_is_raw(&c->terminal))
		chardev_tty_take(c);
}

void chardev_tty_release(struct chardev *c)
{
	mark_log(c, false);
	terminal_release(&c->terminal);
	if (c->have_look_again)
		event_timer_release(&c->look_again);
}

static void say(struct chardev *c, const char *text)
{
	/* A terminal that takes nothing now does without. */
	(void)io_write_some(c->in.fd, text, strlen(text));
}

/* The key after Ctrl-a. As in kvmtool, one without a meaning goes to the guest. */
static void escaped(struct chardev *c, uint8_t key)
{
	switch (key) {
	case 'x':
		c->quit(c->quit_ctx);
		break;
	case 'h':
		say(c, "\r\nCtrl-a x       end the virtual machine\r\n"
		       "Ctrl-a b       send a break (then a key: magic SysRq)\r\n"
		       "Ctrl-a Ctrl-a  send Ctrl-a\r\n"
		       "Ctrl-a h       this help\r\n");
		break;
	case 'b':
		chardev_enqueue(c, AHEAD_BREAK);
		break;
	default:
		chardev_enqueue(c, key);
		break;
	}
}

void chardev_tty_keys(struct chardev *c, const uint8_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c->escape) {
			c->escape = false;
			escaped(c, keys[i]);
		} else if (keys[i] == KEY_ESCAPE) {
			c->escape = true;
		} else {
			chardev_enqueue(c, keys[i]);
		}
	}
}
