/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "util/io.h"
#include "vm/chardev-impl.h"

#define DRAIN_MS 1000

static int create(enum chardev_kind kind, struct event_loop *loop, struct log *log,
		  const char *path, struct chardev **out, struct err *err)
{
	struct chardev *c = calloc(1, sizeof(*c));

	if (!c)
		return err_sys(err, -ENOMEM, "%s", path);
	c->kind = kind;
	c->loop = loop;
	c->log = log;
	c->in = (struct event_source){.fd = -1};
	c->out = (struct event_source){.fd = -1};
	(void)snprintf(c->path, sizeof(c->path), "%s", path);
	*out = c;
	return 0;
}

static int open_stdio(struct chardev *c, struct err *err)
{
	int rc;

	c->is_terminal = isatty(STDIN_FILENO);
	c->in.fd = io_private_nonblock(STDIN_FILENO, c->is_terminal ? O_RDWR : O_RDONLY);
	c->out.fd = io_private_nonblock(STDOUT_FILENO, O_WRONLY);
	/* Closed by whoever started us: no input, and output to nowhere. */
	if (c->in.fd < 0 && c->in.fd != -EBADF)
		return err_sys(err, c->in.fd, "stdin");
	if (c->out.fd < 0 && c->out.fd != -EBADF)
		return err_sys(err, c->out.fd, "stdout");

	if (c->is_terminal) {
		rc = terminal_init(&c->terminal, c->in.fd, err);
		c->is_terminal = !rc;
		if (rc)
			return rc;
	}
	rc = chardev_start(c, err);
	if (!rc && c->is_terminal)
		chardev_tty_take(c);
	return rc;
}

int chardev_open_stdio(struct event_loop *loop, struct log *log, void (*quit)(void *ctx), void *ctx,
		       struct chardev **out, struct err *err)
{
	struct chardev *c;
	int rc = create(CHARDEV_STDIO, loop, log, "stdio", &c, err);

	if (rc)
		return rc;
	c->quit = quit;
	c->quit_ctx = ctx;
	rc = open_stdio(c, err);
	if (rc)
		chardev_close(c);
	else
		*out = c;
	return rc;
}

static int open_pty(struct chardev *c, struct err *err)
{
	struct termios modes;
	int slave;

	c->in.fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->in.fd < 0 || grantpt(c->in.fd) < 0 || unlockpt(c->in.fd) < 0)
		return err_sys(err, -errno, "pseudo-terminal");
	if (ptsname_r(c->in.fd, c->path, sizeof(c->path)))
		return err_set(err, -ENOTTY, "pseudo-terminal: it has no name in /dev/pts");
	/* A descriptor of its own for output: epoll takes each once. */
	c->out.fd = fcntl(c->in.fd, F_DUPFD_CLOEXEC, 0);
	if (c->out.fd < 0)
		return err_sys(err, -errno, "%s", c->path);

	/*
	 * Opened once and closed, after which the master polls as hung up until somebody else opens it: so a port that
	 * nobody is connected to can be told from the start.
	 */
	slave = ioctl(c->in.fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &modes) < 0) {
		int rc = -errno;

		if (slave >= 0)
			close(slave);
		return err_sys(err, rc, "%s", c->path);
	}
	cfmakeraw(&modes);
	(void)tcsetattr(slave, TCSANOW, &modes);
	close(slave);

	return chardev_start(c, err);
}

int chardev_open_pty(struct event_loop *loop, struct log *log, struct chardev **out,
		     struct err *err)
{
	struct chardev *c;
	int rc = create(CHARDEV_PTY, loop, log, "pty", &c, err);

	if (rc)
		return rc;
	rc = open_pty(c, err);
	if (rc) {
		chardev_close(c);
		return rc;
	}
	log_line(log, LOG_INFO, "serial port on %s", c->path);
	*out = c;
	return 0;
}

const char *chardev_path(const struct chardev *c)
{
	return c->path;
}

void chardev_attach(struct chardev *c, struct device *dev, const struct chardev_port *port)
{
	struct device *old = c->dev;

	if (old) {
		device_lock(old);
		c->dev = NULL;
		c->port = NULL;
		c->hurry = c->tx_armed = c->tx_blocked = c->rx_blocked = false;
		device_unlock(old);
		event_remove(c->loop, &c->out);
	}
	if (!dev)
		return;
	device_lock(dev);
	c->dev = dev;
	c->port = port;
	/*
	 * Not before the loop runs: a state may be loaded into the port until then. Input not seen yet is an event of
	 * its own.
	 */
	if (c->readable || c->ahead_count)
		chardev_hurry(c);
	device_unlock(dev);
}

void chardev_hold(struct chardev *c, bool hold)
{
	c->held = hold;
	if (hold || !c->port)
		return;
	chardev_lock(c);
	c->hurry = c->tx_blocked = false; /* what was said meanwhile went unheard */
	chardev_hurry(c);
	chardev_unlock(c);
}

void chardev_drain(struct chardev *c)
{
	struct timespec start, now;

	if (!c->port || c->held)
		return;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct pollfd p = {.fd = c->out.fd, .events = POLLOUT};
		long passed;

		chardev_output(c, true);
		if (!chardev_has_output(c))
			return;
		clock_gettime(CLOCK_MONOTONIC, &now);
		passed = (now.tv_sec - start.tv_sec) * 1000 +
			 (now.tv_nsec - start.tv_nsec) / 1000000;
		if (passed >= DRAIN_MS)
			return;
		(void)poll(&p, 1, (int)(DRAIN_MS - passed));
	}
}

void chardev_close(struct chardev *c)
{
	chardev_attach(c, NULL, NULL);
	if (c->is_terminal)
		chardev_tty_release(c);
	event_remove(c->loop, &c->in);
	if (c->have_timer)
		event_timer_release(&c->timer);
	if (c->in.fd >= 0)
		close(c->in.fd);
	if (c->out.fd >= 0)
		close(c->out.fd);
	free(c);
}
