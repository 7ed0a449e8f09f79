/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that lets further connections in. The destination has given up listening, and starting lkvm-tls, before it reads a
 * byte; this one keeps both and reads nothing of what comes. It ends when the destination closes its end, or has let in enough.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate/transport.h"
#include "util/confine.h"

#define VISITORS_MAX 64

static int pass_on(int to, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	return sendmsg(to, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static _Noreturn void door_main(struct transport *t, struct transport_listener *l, int vm)
{
	const int keep[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, l->fd, vm};
	struct err err = ERR_INIT;

	prctl(PR_SET_NAME, "lkvm-door");
	/* What the terminal sends is for the destination, with which we end. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	t->no_wait = true;
	l->more = true;
	if (confine_descriptors(keep, sizeof(keep) / sizeof(keep[0]), &err))
		_exit(1);
	for (unsigned int i = 0; i < VISITORS_MAX; i++) {
		struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN},
				      {.fd = vm, .events = POLLIN}};
		int fd, other;

		while (poll(p, 2, -1) < 0 && errno == EINTR)
			;
		if (p[1].revents || transport_accept(t, l, &fd, &other, &err))
			break;
		if (pass_on(vm, fd))
			break;
		close(fd);
	}
	transport_stop_listening(t, l);
	_exit(0);
}

int transport_door(const struct transport *t, struct transport_listener *l, int *door,
		   struct err *err)
{
	struct transport ours = *t;
	int ends[2];
	pid_t child;

	*door = -1;
	if (l->fd < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "socketpair");
	child = fork();
	if (child == 0) {
		/* Nobody waits for it to end: its parent is to be init. */
		if (fork() == 0) {
			close(ends[0]);
			door_main(&ours, l, ends[1]);
		}
		_exit(0);
	}
	close(ends[1]);
	if (child < 0) {
		int rc = -errno;

		close(ends[0]);
		return err_sys(err, rc, "cannot start a process");
	}
	waitpid(child, NULL, 0);
	close(l->fd); /* it is the door's now, and the socket's name too */
	l->fd = -1;
	*door = ends[0];
	return 0;
}
