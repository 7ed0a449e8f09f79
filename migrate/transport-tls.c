/* SPDX-License-Identifier: GPL-2.0-only */
/* --tls-psk: lkvm-tls (tls/main.c) between a TCP connection and us. Neither keys nor TLS are in this process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/transport.h"

#define PROGRAM "lkvm-tls"

int transport_use_tls(struct transport *t, const char *text, const char *file, struct err *err)
{
	t->tls_psk = file;
	if (!file || t->kind == TRANSPORT_TCP)
		return 0;
	return err_set(err, -EINVAL, "%s: --tls-psk goes with tcp:HOST:PORT alone", text);
}

/* Beside this program, as `make` leaves it, or where `make install` puts it. */
static int find_program(char path[PATH_MAX], struct err *err)
{
	static const char *const places[] = {"", "../libexec/lkvm/"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return err_sys(err, -errno, "/proc/self/exe");
	self[n] = '\0';
	strrchr(self, '/')[1] = '\0';
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, PATH_MAX, "%s%s" PROGRAM, self, places[i]) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return 0;
	return err_set(err, -ENOENT,
		       "--tls-psk needs " PROGRAM
		       ", which is neither in %s nor in %s../libexec/lkvm",
		       self, self);
}

/* Plain on 0, the status on 1, the line on 3; in two steps, since each of ours may have one of these numbers. */
static _Noreturn void run(const char *program, const char *file, bool server, int plain, int status,
			  int net)
{
	const char *argv[] = {PROGRAM, server ? "server" : "client", file, NULL};
	char *environment[] = {NULL};
	sigset_t none;

	plain = fcntl(plain, F_DUPFD, 10);
	status = fcntl(status, F_DUPFD, 10);
	net = fcntl(net, F_DUPFD, 10);
	dup2(plain, 0);
	dup2(status, 1);
	dup2(net, 3);
	/* The door ignores them, and that would be inherited. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(program, (char *const *)argv, environment);
	_exit(127);
}

int transport_tls_hear(int status, struct err *err)
{
	char line[sizeof(err->msg)];
	size_t len = 0;
	ssize_t n;

	do {
		n = read(status, line + len, sizeof(line) - 1 - len);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len < sizeof(line) - 1 && line[len - 1] != '\n') ||
		 (n < 0 && errno == EINTR));
	close(status);
	while (len && line[len - 1] == '\n')
		len--;
	line[len] = '\0';
	if (!strcmp(line, "ok"))
		return 0;
	/* Of the other side it speaks with this word in front. If it says nothing at all, that is no word against ours. */
	if (!len)
		return err_set(err, -EREMOTEIO, PROGRAM " has ended too early");
	return err_set(err, strncmp(line, "TLS: ", 5) ? -EIO : -EREMOTEIO, "%s", line);
}

int transport_tls_start(const struct transport *t, bool server, int *fd, int *status,
			struct err *err)
{
	char program[PATH_MAX];
	int ends[2] = {-1, -1}, pipes[2] = {-1, -1}, rc = find_program(program, err);

	if (!rc && (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
		    pipe2(pipes, O_CLOEXEC) < 0))
		rc = err_sys(err, -errno, "cannot start " PROGRAM);
	if (!rc) {
		rc = transport_fork_away();
		if (!rc)
			run(program, t->tls_psk, server, ends[1], pipes[1], *fd);
		rc = rc < 0 ? err_sys(err, rc, "cannot start " PROGRAM) : 0;
	}
	close(*fd);
	for (unsigned int i = rc ? 0 : 1; i < 2; i++) {
		if (ends[i] >= 0)
			close(ends[i]);
		if (pipes[i] >= 0)
			close(pipes[i]);
	}
	*fd = rc ? -1 : ends[0];
	*status = rc ? -1 : pipes[0];
	if (rc)
		err_prefix(err, "%s", t->rest);
	return rc;
}

int transport_tls(const struct transport *t, bool server, int *fd, struct err *err)
{
	int status, rc = transport_tls_start(t, server, fd, &status, err);

	if (rc)
		return rc;
	if (t->no_wait)
		return close(status), 0;
	rc = transport_tls_hear(status, err);
	if (rc) {
		close(*fd);
		*fd = -1;
		err_prefix(err, "%s", t->rest);
	}
	return rc;
}
