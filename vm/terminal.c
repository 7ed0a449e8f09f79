/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/terminal.h"

/* What goes to the watcher. Both ends are the same program, so it is no wire format. */
struct orders {
	bool restore;
	struct termios saved;
	struct termios set;
};

/* The watcher's descriptors. */
enum { WATCHER_TTY, WATCHER_SOCKET, WATCHER_PARENT, WATCHER_END };

/* Control modes are left out of it: a driver may round those. */
static bool has_modes(int fd, const struct termios *modes)
{
	struct termios now;

	return !tcgetattr(fd, &now) && now.c_iflag == modes->c_iflag &&
	       now.c_oflag == modes->c_oflag && now.c_lflag == modes->c_lflag;
}

/*
 * Puts @saved back, unless a shell with job control has given the terminal to another process group than @group and has
 * set modes of its own: those are its business. TCSANOW, since waiting for output to drain may take for ever.
 */
static void put_back(int fd, pid_t group, const struct termios *saved, const struct termios *set)
{
	pid_t foreground = tcgetpgrp(fd);

	/* -1: not our controlling terminal, so there is no job control to mind. */
	if (foreground != -1 && foreground != group && !has_modes(fd, set))
		return;
	while (tcsetattr(fd, TCSANOW, saved) < 0 && errno == EINTR)
		;
}

/*
 * Until the parent is gone; keeps the last orders. Both its end of the socket and its pidfd tell of the end. @gone: it is
 * already, and there may only be orders left to read.
 */
static void wait_for_end(struct orders *orders, bool have_pidfd, bool gone)
{
	struct pollfd fds[] = {
		{.fd = WATCHER_SOCKET, .events = POLLIN},
		{.fd = have_pidfd ? WATCHER_PARENT : -1, .events = POLLIN},
	};

	for (;;) {
		int ready = poll(fds, 2, gone ? 0 : -1);
		struct orders next;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return;
		/* The socket first: orders sent just before the end are still in it. */
		if (fds[0].revents) {
			ssize_t n = recv(WATCHER_SOCKET, &next, sizeof(next), MSG_DONTWAIT);

			if (n == sizeof(next))
				*orders = next;
			else if (n >= 0 || (errno != EAGAIN && errno != EINTR))
				return;
		} else if (fds[1].revents) {
			return;
		}
	}
}

/*
 * The child. It runs on a copy of the parent's memory and touches next to nothing of it; only async-signal-safe calls
 * from here on. All signals are blocked, those of the terminal too, which makes tcsetattr() work from the background.
 */
static void __attribute__((noreturn)) watch(int tty, int socket, pid_t parent, pid_t group)
{
	struct orders orders = {.restore = false};
	bool have_pidfd, gone;
	int pidfd;

	(void)prctl(PR_SET_NAME, "lkvm-tty");
	/* Not a session of its own: then it could not ask who has the terminal. */
	(void)setpgid(0, 0);

	/*
	 * Out of the way first, so that no dup2() lands on what is still needed. Without descriptors left there is no
	 * watcher, and the terminal is restored on the ordinary path alone.
	 */
	tty = fcntl(tty, F_DUPFD, WATCHER_END);
	socket = fcntl(socket, F_DUPFD, WATCHER_END);
	if (tty < 0 || socket < 0)
		_exit(1);
	/*
	 * A process that the parent starts later may inherit its end of the socket and outlive it; the pidfd is not
	 * deceived by that. If the parent has gone before it was opened, it may be another's: getppid() tells.
	 */
	pidfd = (int)syscall(SYS_pidfd_open, parent, 0);
	gone = getppid() != parent;
	have_pidfd = !gone && pidfd >= 0 && dup2(pidfd, WATCHER_PARENT) == WATCHER_PARENT;
	(void)dup2(tty, WATCHER_TTY);
	(void)dup2(socket, WATCHER_SOCKET);
	(void)close_range(have_pidfd ? WATCHER_END : WATCHER_PARENT, ~0u, 0);

	wait_for_end(&orders, have_pidfd, gone);
	if (orders.restore)
		put_back(WATCHER_TTY, group, &orders.saved, &orders.set);
	_exit(0);
}

static void send_orders(const struct terminal *t)
{
	struct orders orders;

	memset(&orders, 0, sizeof(orders));
	orders.restore = t->raw;
	orders.saved = t->saved;
	orders.set = t->set;
	/* It fails only if somebody has killed the watcher: then this process is on its own. */
	(void)send(t->watcher_fd, &orders, sizeof(orders), MSG_NOSIGNAL);
}

/* Adds to the mask that is to be, and remembers whether that is a change to take back. */
static void block(struct terminal *t, sigset_t *mask, const sigset_t *before, int number)
{
	sigaddset(mask, number);
	if (!sigismember(before, number))
		sigaddset(&t->blocked, number);
}

int terminal_init(struct terminal *t, int fd, struct err *err)
{
	pid_t parent = getpid(), group = getpgrp();
	sigset_t all, before, keep;
	int pair[2];

	memset(t, 0, sizeof(*t));
	t->fd = fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, -errno, "terminal: socket to its watcher");

	/* Blocked before the fork, so that no signal to the group finds the child with this program's handlers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	t->watcher = fork();
	if (!t->watcher)
		watch(fd, pair[1], parent, group);
	/* By both, so that it is out of the group for certain when we go on: one SIGKILL to all must not end it. */
	if (t->watcher > 0)
		(void)setpgid(t->watcher, t->watcher);
	keep = before;
	sigemptyset(&t->blocked);
	if (t->watcher > 0) {
		block(t, &keep, &before, SIGTTIN);
		block(t, &keep, &before, SIGTTOU);
	}
	pthread_sigmask(SIG_SETMASK, &keep, NULL);

	close(pair[1]);
	if (t->watcher < 0) {
		int rc = -errno;

		close(pair[0]);
		return err_sys(err, rc, "terminal: cannot start its watcher");
	}
	t->watcher_fd = pair[0];
	return 0;
}

bool terminal_is_ours(const struct terminal *t)
{
	pid_t foreground = tcgetpgrp(t->fd);

	return foreground == -1 || foreground == getpgrp();
}

int terminal_raw(struct terminal *t)
{
	struct termios saved, set;

	if (tcgetattr(t->fd, &saved) < 0)
		return -errno;
	set = saved;
	cfmakeraw(&set);
	set.c_cc[VMIN] = 1;
	set.c_cc[VTIME] = 0;

	t->saved = saved;
	t->set = set;
	t->raw = true;
	/* The watcher knows the way back before there is one to go. */
	send_orders(t);
	while (tcsetattr(t->fd, TCSANOW, &set) < 0) {
		int rc = -errno;

		if (rc == -EINTR)
			continue;
		terminal_forget(t);
		return rc;
	}
	return 0;
}

bool terminal_is_raw(const struct terminal *t)
{
	return t->raw && has_modes(t->fd, &t->set);
}

void terminal_forget(struct terminal *t)
{
	t->raw = false;
	send_orders(t);
}

void terminal_release(struct terminal *t)
{
	if (t->raw) {
		put_back(t->fd, getpgrp(), &t->saved, &t->set);
		terminal_forget(t);
	}
	close(t->watcher_fd);
	/* Even if somebody has stopped it, it goes on and finds the socket closed. */
	(void)kill(t->watcher, SIGCONT);
	while (waitpid(t->watcher, NULL, 0) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_UNBLOCK, &t->blocked, NULL);
}
