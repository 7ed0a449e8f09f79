/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Character back ends: what a serial port is connected to on the host. Either stdin and stdout, or a pseudo-terminal.
 *
 * A chardev lives as long as the VM; the port in front of it comes and goes with each reboot (chardev_attach). Bytes
 * are never lost on the host's side: input is read only as far as the port has room (from a terminal a little further,
 * so that Ctrl-a x ends a guest that does not read), output stays with the port until the host takes it. The port owns
 * both buffers, since they are guest-visible state.
 *
 * Order: chardev_open_*(), chardev_attach() of the port, then the event loop runs; chardev_attach(c, NULL, NULL) before
 * the port is released; chardev_close(). All on the loop's thread, except where "any thread" is said.
 */
#ifndef LKVM_VM_CHARDEV_H
#define LKVM_VM_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "vm/device.h"
#include "vm/event.h"

/* The port's side; called on the loop's thread with the port's device lock held. */
struct chardev_port {
	size_t (*rx_room)(struct device *dev); /* bytes that rx() will take */
	void (*rx)(struct device *dev, const uint8_t *bytes, size_t n); /* n <= rx_room() */
	void (*rx_break)(struct device *dev);
	size_t (*tx_peek)(struct device *dev, uint8_t *bytes,
			  size_t max);		       /* copies without removing */
	void (*tx_done)(struct device *dev, size_t n); /* removes the first n, or all */
};

enum chardev_kind { CHARDEV_STDIO, CHARDEV_PTY };

struct chardev; /* vm/chardev.c */

/*
 * stdin and stdout. If stdin is a terminal it is made raw until chardev_close(), and given back as it was on every end
 * of this process, a crash and SIGKILL included. Keys after Ctrl-a: x quits (@quit is called), h shows help, b sends a
 * break, Ctrl-a sends itself. Input that is a pipe or a file reaches the guest as it is; its end is not an event.
 * For a terminal it forks (vm/terminal.h): call it before guest memory is mapped and before there are threads. While a
 * shell has the terminal (started with &) there is no input; it begins when the terminal is this process's again.
 */
int chardev_open_stdio(struct event_loop *loop, struct log *log, void (*quit)(void *ctx), void *ctx,
		       struct chardev **out, struct err *err);

/* A new pseudo-terminal; its name is logged at LOG_INFO and given by chardev_path(). Nobody at the other end: output
 * is discarded rather than kept. */
int chardev_open_pty(struct event_loop *loop, struct log *log, struct chardev **out,
		     struct err *err);

const char *chardev_path(const struct chardev *c); /* "/dev/pts/N" or "stdio" */
void chardev_attach(struct chardev *c, struct device *dev, const struct chardev_port *port);
/* Writes what the port still holds as far as the host takes it without waiting, then at most 1 s more. */
void chardev_drain(struct chardev *c);
void chardev_close(struct chardev *c);
/*
 * While held, no byte passes in either direction, and chardev_drain() does nothing: what the port's buffers held when they
 * were saved is what goes on elsewhere.
 */
void chardev_hold(struct chardev *c, bool hold);

/*
 * From the port, any thread, device lock held; cheap. tx_waiting: the port's buffer is no longer empty (output is
 * written within a few milliseconds, in one piece), and again when it is more than half full (then at once). rx_room: there is room again after rx_room() of
 * the port gave 0; calls too many do no harm.
 */
void chardev_tx_waiting(struct chardev *c);
void chardev_rx_room(struct chardev *c);

/* After SIGCONT: a shell may have changed the terminal's modes, and be done with it. Loop thread. */
void chardev_resumed(struct chardev *c);

#endif
