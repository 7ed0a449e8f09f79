/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vm/chardev-impl.h"

#define NS_PER_MS 1000000ull
/*
 * How long output collects before it is written: 4 ms of a guest that prints is one write instead of hundreds. What comes
 * after a quiet time is more often a line that somebody waits for than the first of many.
 */
#define TX_DELAY_NS (4 * NS_PER_MS)
#define TX_SOON_NS  (NS_PER_MS / 2)
#define TX_QUIET_NS (10 * NS_PER_MS)
#define TX_RETRY_NS (100 * NS_PER_MS) /* where the host cannot even tell when it takes more */
#define TX_CHUNK    4096u
#define RX_CHUNK    256u
/* As much in one go, then other events have their turn. */
#define TX_TURN (16 * TX_CHUNK)
#define RX_TURN 4096u

void chardev_hurry(struct chardev *c)
{
	if (c->hurry)
		return;
	c->hurry = true;
	event_timer_arm(&c->timer, 0);
}

/* Lock held. */
static void collect(struct chardev *c)
{
	if (c->tx_armed)
		return;
	c->tx_armed = true;
	if (!c->hurry)
		event_timer_arm(&c->timer, clock_now_ns() - c->tx_last < TX_QUIET_NS ? TX_DELAY_NS
										     : TX_SOON_NS);
}

void chardev_tx_waiting(struct chardev *c)
{
	if (!c->port || c->tx_blocked)
		return;
	if (c->tx_armed)
		chardev_hurry(c);
	else
		collect(c);
}

void chardev_rx_room(struct chardev *c)
{
	if (!c->rx_blocked)
		return;
	c->rx_blocked = false;
	chardev_hurry(c);
}

/* --- output --- */

/*
 * Nobody has the other side of a pseudo-terminal open, and the kernel keeps for the next one what the last one has not
 * read: some on its way, and the rest where it can be thrown away from that side alone. The one who comes at this very
 * moment misses nothing new.
 */
static void forget_unread(int master)
{
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (slave < 0)
		return;
	(void)tcflush(master, TCOFLUSH);
	(void)tcflush(slave, TCIFLUSH);
	close(slave);
}

/*
 * Bytes that are off our hands, or -EAGAIN. Output that nobody can have any more is off our hands too: a guest does not
 * hang because its reader has gone, and a reader that comes back (a FIFO, a disk with room again) gets what follows.
 */
static ssize_t write_out(struct chardev *c, const uint8_t *bytes, size_t n)
{
	struct pollfd p = {.fd = c->out.fd, .events = POLLOUT};
	ssize_t done;

	if (c->out.fd < 0)
		return (ssize_t)n;
	if (c->kind == CHARDEV_PTY) {
		if (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP)) {
			if (c->had_reader)
				forget_unread(c->out.fd);
			c->had_reader = false;
			return (ssize_t)n;
		}
		c->had_reader = true;
	}

	done = io_write_some(c->out.fd, bytes, n);
	if (done > 0) {
		c->write_failed = false;
		return done;
	}
	if (!done || done == -EAGAIN)
		return -EAGAIN;
	if (!c->write_failed)
		log_line(c->log, LOG_WARNING, "%s: the guest's output is lost: %s", c->path,
			 strerror((int)-done));
	c->write_failed = true;
	return (ssize_t)n;
}

static size_t peek(struct chardev *c, uint8_t *bytes, size_t max)
{
	size_t n;

	chardev_lock(c);
	n = c->port->tx_peek(c->dev, bytes, max);
	chardev_unlock(c);
	return n;
}

static void wait_for_host(struct chardev *c)
{
	chardev_lock(c);
	c->tx_blocked = true;
	chardev_unlock(c);
	if (!c->out.added && event_add(c->loop, &c->out, EPOLLOUT | EPOLLET))
		event_timer_arm(&c->timer, TX_RETRY_NS);
}

/*
 * All is written, or only little is left. Whether bytes are left is asked under the lock: while tx_blocked is set, the
 * port's calls go unheard.
 */
static void settle(struct chardev *c)
{
	uint8_t byte;

	chardev_lock(c);
	c->tx_blocked = false;
	if (c->port->tx_peek(c->dev, &byte, 1))
		collect(c);
	chardev_unlock(c);
	event_remove(c->loop, &c->out);
}

/*
 * Writes what the port holds, as far as the host takes it. The lock is not held while writing: nobody else takes bytes
 * away from the port's buffer. What came meanwhile is left to collect, unless it is much, or @all is to go.
 */
void chardev_output(struct chardev *c, bool all)
{
	uint8_t bytes[TX_CHUNK];
	bool must = true;

	for (size_t total = 0; total < TX_TURN;) {
		size_t n = peek(c, bytes, sizeof(bytes));
		ssize_t done;

		if (!n || (!must && !all && n <= TX_CHUNK / 2)) {
			settle(c);
			return;
		}
		done = write_out(c, bytes, n);
		if (done < 0) {
			wait_for_host(c);
			return;
		}
		chardev_lock(c);
		c->port->tx_done(c->dev, (size_t)done);
		c->tx_last = clock_now_ns();
		chardev_unlock(c);
		total += (size_t)done;
		must = (size_t)done < n;
	}
	chardev_lock(c);
	chardev_hurry(c);
	chardev_unlock(c);
}

static void out_ready(struct event_source *source, uint32_t events)
{
	struct chardev *c = source->ctx;

	(void)events;
	if (c->port && !c->held)
		chardev_output(c, false);
}

/* --- input --- */

static uint16_t dequeue(struct chardev *c)
{
	uint16_t key = c->ahead[c->ahead_first];

	c->ahead_first = (c->ahead_first + 1) % AHEAD_MAX;
	c->ahead_count--;
	return key;
}

/* Lock held. To the port what was typed and it has room for. Returns the room left; 0: rx_room() will be called. */
static size_t deliver(struct chardev *c)
{
	uint8_t run[RX_CHUNK];
	size_t room;

	for (;;) {
		size_t n = 0;

		room = c->port->rx_room(c->dev);
		if (!room || !c->ahead_count)
			break;
		while (n < room && n < sizeof(run) && c->ahead_count &&
		       c->ahead[c->ahead_first] != AHEAD_BREAK)
			run[n++] = (uint8_t)dequeue(c);
		if (n) {
			c->port->rx(c->dev, run, n);
		} else {
			(void)dequeue(c);
			c->port->rx_break(c->dev);
		}
	}
	c->rx_blocked = !room;
	return room;
}

/*
 * How much to read now. As far as the port has room; but from a terminal a little ahead of that as well, or Ctrl-a x
 * could not end a guest that does not read.
 */
static size_t wanted(const struct chardev *c, size_t room)
{
	size_t free = AHEAD_MAX - c->ahead_count;

	if (!room && !c->is_terminal)
		return 0;
	if (room && room < free)
		free = room;
	return free < RX_CHUNK ? free : RX_CHUNK;
}

void chardev_input_ended(struct chardev *c)
{
	event_remove(c->loop, &c->in);
	c->readable = false;
	/* The terminal's descriptor is still needed to give it back. */
	if (!c->is_terminal) {
		close(c->in.fd);
		c->in.fd = -1;
	}
}

/* The read gave no bytes: @rc is 0 at the end of the input, or a negative errno. */
static void no_bytes(struct chardev *c, ssize_t rc)
{
	c->readable = false;
	if (rc == -EAGAIN)
		return;
	/* Nobody has the other side open; the next one's input is an event again. */
	if (rc == -EIO && c->kind == CHARDEV_PTY)
		return;
	/* What the background gets instead of SIGTTIN, which is blocked (termios(3)). */
	if (rc == -EIO && c->is_terminal && !terminal_is_ours(&c->terminal)) {
		chardev_tty_lost(c);
		return;
	}
	if (rc)
		log_line(c->log, LOG_WARNING, "%s: no more input: %s", c->path, strerror((int)-rc));
	chardev_input_ended(c);
}

/*
 * Takes in what one read gives: returns as that does, or -ENOBUFS when there is nothing to do. With the lock held all the
 * while, the room asked for is the room there is, and what is read is the port's at once: in a state that is saved no byte
 * is missing.
 */
static ssize_t input_step(struct chardev *c)
{
	uint8_t bytes[RX_CHUNK];
	ssize_t n = -ENOBUFS;
	size_t want;

	chardev_lock(c);
	want = wanted(c, deliver(c));
	if (want && c->readable)
		n = io_read_some(c->in.fd, bytes, want);
	if (n > 0 && !c->is_terminal)
		c->port->rx(c->dev, bytes, (size_t)n);
	chardev_unlock(c);

	/* Keys may mean something, such as the end of the VM, that is not for a device's lock. */
	if (n > 0 && c->is_terminal)
		chardev_tty_keys(c, bytes, (size_t)n);
	return n;
}

void chardev_input(struct chardev *c)
{
	for (size_t total = 0; total < RX_TURN;) {
		ssize_t n = input_step(c);

		if (n == -ENOBUFS)
			return;
		if (n <= 0) {
			no_bytes(c, n);
			return;
		}
		total += (size_t)n;
	}
	chardev_lock(c);
	chardev_hurry(c);
	chardev_unlock(c);
}

static void in_ready(struct event_source *source, uint32_t events)
{
	struct chardev *c = source->ctx;

	(void)events;
	if (c->background)
		return;
	c->readable = true;
	if (c->port && !c->held)
		chardev_input(c);
}

static void timer_expired(struct event_timer *timer)
{
	struct chardev *c = timer->ctx;
	bool blocked;

	if (!c->port || c->held)
		return;
	chardev_lock(c);
	c->hurry = c->tx_armed = false;
	blocked = c->tx_blocked && c->out.added;
	chardev_unlock(c);
	if (!blocked)
		chardev_output(c, false);
	chardev_input(c);
}

bool chardev_has_output(struct chardev *c)
{
	uint8_t byte;

	return peek(c, &byte, 1) > 0;
}

/* The descriptors are open: has the loop tell when there is something to do. */
int chardev_start(struct chardev *c, struct err *err)
{
	int rc = event_timer_init(&c->timer, c->loop, timer_expired, c, err);

	if (rc)
		return rc;
	c->have_timer = true;
	c->in.ready = in_ready;
	c->in.ctx = c;
	c->out.ready = out_ready;
	c->out.ctx = c;
	if (c->in.fd < 0)
		return 0;

	rc = event_add(c->loop, &c->in, EPOLLIN | EPOLLET);
	/* A regular file cannot be polled and never makes one wait: it is read as the port has room. */
	c->readable = rc == -EPERM;
	return rc && rc != -EPERM ? err_sys(err, rc, "%s: input", c->path) : 0;
}
