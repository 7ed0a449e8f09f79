/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that lets further connections in. The destination has given up listening, and starting lkvm-tls, before it reads a
 * byte; this one keeps both and reads nothing of what comes. It ends when the destination closes its end, or has let in enough.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/transport.h"
#include "util/confine.h"
#include "util/passfd.h"

static int pass_on(int to, int fd)
{
	char byte = 0;

	return passfd_send(to, &byte, 1, 0, fd) == 1 ? 0 : -1;
}

static _Noreturn void door_main(const struct transport *t, struct transport_listener *l,
				struct transport_hall *hall, int vm)
{
	int keep[5 + TRANSPORT_VISITORS] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, l->fd, vm};
	struct transport_visitor v;
	struct err err = ERR_INIT;
	sigset_t none;

	/* What the terminal sends, or who ends all that is called lkvm, is for the destination, with which we end. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, "lkvm-door"); /* from here on it is known by name */
	for (unsigned int i = 0; i < hall->n; i++)
		keep[5 + i] = hall->v[i].fd;
	if (confine_descriptors(keep, 5 + hall->n, &err))
		_exit(1);
	for (unsigned int i = 0; i < hall->n; i++) {
		if (pass_on(vm, hall->v[i].fd))
			_exit(1);
		close(hall->v[i].fd);
	}
	for (unsigned int more = 0; more < TRANSPORT_VISITORS;) {
		struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN},
				      {.fd = vm, .events = POLLIN}};
		int rc;

		while (poll(p, 2, -1) < 0 && errno == EINTR)
			;
		if (p[1].revents)
			break;
		rc = transport_enter(t, l, &v, &err);
		if (rc == -EAGAIN)
			continue;
		if (rc)
			break;
		if (v.status >= 0)
			close(v.status); /* the destination sees a line that ends */
		more++;
		if (pass_on(vm, v.fd))
			break;
		close(v.fd);
	}
	transport_stop_listening(t, l);
	_exit(0);
}

int transport_door(const struct transport *t, struct transport_listener *l,
		   struct transport_hall *hall, int *door, struct err *err)
{
	int ends[2], rc;

	*door = -1;
	if (l->fd < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		rc = -errno;
		transport_hall_close(hall);
		return err_sys(err, rc, "socketpair");
	}
	rc = transport_fork_away();
	if (!rc) {
		close(ends[0]);
		door_main(t, l, hall, ends[1]);
	}
	close(ends[1]);
	transport_hall_close(hall);
	if (rc < 0) {
		close(ends[0]);
		return err_sys(err, rc, "cannot start a process");
	}
	close(l->fd); /* it is the door's now, and the socket's name too */
	l->fd = -1;
	*door = ends[0];
	return 0;
}
