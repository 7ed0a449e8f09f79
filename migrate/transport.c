/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/opt.h"

#define BACKLOG TRANSPORT_VISITORS
#define NAP_MS	10

union address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static bool starts(const char *text, const char *with, const char **rest)
{
	size_t n = strlen(with);

	if (strncmp(text, with, n))
		return false;
	*rest = text + n;
	return true;
}

static int bad(const char *text, const char *why, struct err *err)
{
	return err_set(err, -EINVAL, "%s: %s", text, why);
}

/* HOST:PORT or [HOST]:PORT into t->peer and t->port; without a port, "" if that is allowed. */
static int split(const char *text, struct transport *t, bool need_port, struct err *err)
{
	const char *host = t->rest, *end, *port = NULL;
	uint64_t number = 0;
	size_t len;

	if (*host == '[') {
		host++;
		end = strchr(host, ']');
		if (end && end[1] == ':')
			port = end + 2;
		else if (end && end[1])
			end = NULL;
	} else {
		end = strrchr(host, ':');
		if (end)
			port = end + 1;
		else
			end = host + strlen(host);
	}
	len = end ? (size_t)(end - host) : 0;
	if (!len || len >= sizeof(t->peer))
		return bad(text, "this is not HOST:PORT (an IPv6 address goes into brackets)", err);
	memcpy(t->peer, host, len);
	t->peer[len] = '\0';
	t->port[0] = '\0';
	if (!port && !need_port)
		return 0;
	if (!port || opt_parse_u64(port, &number, NULL) || number > 65535 || strlen(port) > 5)
		return bad(text, "the port is a number up to 65535", err);
	memcpy(t->port, port, strlen(port) + 1);
	return 0;
}

static socklen_t tcp_address(const struct transport *t, union address *at)
{
	const char *host = strcmp(t->peer, "localhost") ? t->peer : "127.0.0.1";
	uint64_t port = 0;

	memset(at, 0, sizeof(*at));
	(void)opt_parse_u64(t->port, &port, NULL);
	if (inet_pton(AF_INET, host, &at->in.sin_addr) == 1) {
		at->in.sin_family = AF_INET;
		at->in.sin_port = htons((uint16_t)port);
		return sizeof(at->in);
	}
	if (inet_pton(AF_INET6, host, &at->in6.sin6_addr) != 1)
		return 0;
	at->in6.sin6_family = AF_INET6;
	at->in6.sin6_port = htons((uint16_t)port);
	return sizeof(at->in6);
}

static bool is_loopback(const union address *at)
{
	if (at->any.sa_family == AF_INET)
		return ntohl(at->in.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&at->in6.sin6_addr);
}

static int parse_tcp(const char *text, bool insecure, struct transport *t, struct err *err)
{
	union address at;
	int rc = split(text, t, true, err);

	if (rc)
		return rc;
	if (!tcp_address(t, &at))
		return bad(text, "the host is a numeric address, or localhost", err);
	if (!insecure && !is_loopback(&at))
		return bad(text,
			   "plain TCP beyond this host shows guest memory to all in between: use "
			   "ssh://[USER@]HOST or --tls-psk FILE, or give --insecure",
			   err);
	return 0;
}

static int parse_fd(const char *text, bool incoming, struct transport *t, struct err *err)
{
	const char *comma = strchr(t->rest, ',');
	uint64_t rfd, wfd;
	char first[12];
	size_t len = comma ? (size_t)(comma - t->rest) : strlen(t->rest);

	if (len >= sizeof(first) || (comma && !incoming))
		return bad(text, "this is not fd:N", err);
	memcpy(first, t->rest, len);
	first[len] = '\0';
	if (opt_parse_u64(first, &rfd, NULL) || (comma && opt_parse_u64(comma + 1, &wfd, NULL)))
		return bad(text, "this is not fd:N", err);
	if (!comma)
		wfd = rfd;
	if (rfd > INT32_MAX || wfd > INT32_MAX || fcntl((int)rfd, F_GETFD) < 0 ||
	    fcntl((int)wfd, F_GETFD) < 0)
		return bad(text, "no such descriptor is open", err);
	t->rfd = (int)rfd;
	t->wfd = (int)wfd;
	return 0;
}

int transport_parse(const char *text, bool incoming, bool insecure, struct transport *t,
		    struct err *err)
{
	memset(t, 0, sizeof(*t));
	t->rfd = t->wfd = -1;
	if (starts(text, "unix:", &t->rest) && *t->rest) {
		t->kind = TRANSPORT_UNIX;
		return strlen(t->rest) < sizeof(((struct sockaddr_un *)0)->sun_path)
			       ? 0
			       : bad(text, "the path is too long for a socket (unix(7))", err);
	}
	if (starts(text, "tcp:", &t->rest)) {
		t->kind = TRANSPORT_TCP;
		return parse_tcp(text, insecure, t, err);
	}
	if (starts(text, "fd:", &t->rest)) {
		t->kind = TRANSPORT_FD;
		return parse_fd(text, incoming, t, err);
	}
	if (starts(text, "exec:", &t->rest) && *t->rest) {
		t->kind = TRANSPORT_EXEC;
		return 0;
	}
	if (!incoming && starts(text, "ssh://", &t->rest)) {
		t->kind = TRANSPORT_SSH;
		return split(text, t, false, err);
	}
	return bad(text,
		   incoming ? "not one of unix:PATH, tcp:HOST:PORT, fd:N[,M], exec:COMMAND"
			    : "not one of unix:PATH, tcp:HOST:PORT, fd:N, exec:COMMAND, "
			      "ssh://[USER@]HOST[:PORT]",
		   err);
}

static socklen_t address(const struct transport *t, union address *at)
{
	if (t->kind == TRANSPORT_TCP)
		return tcp_address(t, at);
	memset(at, 0, sizeof(*at));
	at->un.sun_family = AF_UNIX;
	memcpy(at->un.sun_path, t->rest, strlen(t->rest) + 1);
	return sizeof(at->un);
}

static void no_delay(int fd)
{
	int one = 1;

	/* Switching over is short messages, one waiting for the other. Of no use to a unix socket. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static _Noreturn void child_main(const struct transport *t, int fd)
{
	const char *argv[16], *command = "lkvm incoming fd:0,1 --tty 0 --detach";
	char again[128];
	unsigned int n = 0;
	sigset_t none;

	/* The name is one that a VM may have: no character of it means something to a shell. */
	if (t->recover && snprintf(again, sizeof(again), "lkvm incoming fd:0,1 --recover %s",
				   t->recover) < (int)sizeof(again))
		command = again;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (t->kind == TRANSPORT_EXEC) {
		argv[n++] = "sh";
		argv[n++] = "-c";
		argv[n++] = t->rest;
	} else {
		argv[n++] = "ssh";
		argv[n++] = "-T";
		if (t->port[0]) {
			argv[n++] = "-p";
			argv[n++] = t->port;
		}
		argv[n++] = "--";
		argv[n++] = t->peer;
		argv[n++] = command;
	}
	argv[n] = NULL;
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

int transport_fork_away(void)
{
	pid_t child = fork();
	int status = 0;

	if (child < 0)
		return -errno;
	if (child == 0) {
		child = fork();
		if (child)
			_exit(child < 0);
		return 0;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status ? -EAGAIN : 1;
}

/* Our end of the child's stdin and stdout. Without @out nobody here waits for it to end. */
static int spawn(const struct transport *t, int *fd, pid_t *out, struct err *err)
{
	pid_t child;
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "socketpair");
	child = out ? fork() : transport_fork_away();
	rc = child < 0 ? (out ? -errno : child) : 0;
	if (child == 0)
		child_main(t, ends[1]);
	close(ends[1]);
	if (rc) {
		close(ends[0]);
		return err_sys(err, rc, "cannot start %s",
			       t->kind == TRANSPORT_SSH ? "ssh" : "a shell");
	}
	if (out)
		*out = child;
	*fd = ends[0];
	return 0;
}

int transport_connect(const struct transport *t, int *fd, pid_t *child, struct err *err)
{
	union address at;
	socklen_t len;
	int rc;

	*child = 0;
	if (t->kind == TRANSPORT_EXEC || t->kind == TRANSPORT_SSH)
		return spawn(t, fd, child, err);
	if (t->kind == TRANSPORT_FD) {
		*fd = fcntl(t->rfd, F_DUPFD_CLOEXEC, 3);
		return *fd < 0 ? err_sys(err, -errno, "fd:%d", t->rfd) : 0;
	}
	len = address(t, &at);
	*fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_sys(err, -errno, "%s", t->rest);
	if (connect(*fd, &at.any, len) < 0) {
		rc = -errno;
		close(*fd);
		return err_sys(err, rc, "%s: does lkvm incoming wait there?", t->rest);
	}
	if (t->kind == TRANSPORT_TCP)
		no_delay(*fd);
	return t->tls_psk ? transport_tls(t, false, fd, err) : 0;
}

/* What a dead one has left is taken over; whoever listens keeps it. */
static int bind_unix(int fd, const union address *at, socklen_t len, struct err *err)
{
	const char *path = at->un.sun_path;
	struct stat st;
	mode_t mask;
	int rc, probe;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		rc = probe < 0 ? -errno : connect(probe, &at->any, len) < 0 ? -errno : 0;
		if (probe >= 0)
			close(probe);
		if (rc == -ECONNREFUSED)
			unlink(path);
	}
	mask = umask(0177);
	rc = bind(fd, &at->any, len) < 0 ? -errno : 0;
	umask(mask);
	return rc ? err_sys(err, rc, "unix:%s", path) : 0;
}

static int bind_tcp(int fd, union address *at, socklen_t len, const char *text,
		    struct transport_listener *l, struct err *err)
{
	char host[INET6_ADDRSTRLEN] = "";
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &at->any, len) < 0 || getsockname(fd, &at->any, &len) < 0)
		return err_sys(err, -errno, "tcp:%s", text);
	if (at->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &at->in.sin_addr, host, sizeof(host));
		snprintf(l->where, sizeof(l->where), "tcp:%s:%u", host, ntohs(at->in.sin_port));
	} else {
		inet_ntop(AF_INET6, &at->in6.sin6_addr, host, sizeof(host));
		snprintf(l->where, sizeof(l->where), "tcp:[%s]:%u", host, ntohs(at->in6.sin6_port));
	}
	return 0;
}

int transport_listen(const struct transport *t, struct transport_listener *l, struct err *err)
{
	union address at;
	socklen_t len;
	int rc;

	l->fd = -1;
	l->where[0] = '\0';
	if (t->kind != TRANSPORT_UNIX && t->kind != TRANSPORT_TCP)
		return 0;
	len = address(t, &at);
	l->fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return err_sys(err, -errno, "%s", t->rest);
	if (t->kind == TRANSPORT_TCP) {
		rc = bind_tcp(l->fd, &at, len, t->rest, l, err);
	} else {
		rc = bind_unix(l->fd, &at, len, err);
		snprintf(l->where, sizeof(l->where), "unix:%s", t->rest);
	}
	if (!rc && listen(l->fd, BACKLOG) < 0)
		rc = err_sys(err, -errno, "%s", l->where);
	if (rc) {
		close(l->fd);
		l->fd = -1;
	}
	return rc;
}

/* A descriptor of our own above those that belong to the terminal; standard ones become /dev/null. */
static int take_over(int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3), null;

	if (own < 0)
		return -errno;
	if (fd > STDERR_FILENO) {
		close(fd);
		return own;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && null != fd) {
		dup2(null, fd);
		close(null);
	}
	return own;
}

void transport_stop_listening(const struct transport *t, struct transport_listener *l)
{
	if (l->fd < 0)
		return;
	if (t->kind == TRANSPORT_UNIX)
		unlink(t->rest);
	close(l->fd);
	l->fd = -1;
}

int transport_take(const struct transport *t, int *rfd, int *wfd, struct err *err)
{
	if (t->kind == TRANSPORT_EXEC) {
		int rc = spawn(t, rfd, NULL, err);

		if (!rc)
			*wfd = *rfd;
		return rc;
	}
	*rfd = take_over(t->rfd);
	*wfd = t->wfd == t->rfd ? *rfd : take_over(t->wfd);
	return *rfd < 0 || *wfd < 0 ? err_set(err, -EBADF, "fd:%s: cannot be used", t->rest) : 0;
}

/* Which others may have brought about, and which may be over the next time. */
static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
	       error == EAGAIN;
}

int transport_enter(const struct transport *t, struct transport_listener *l,
		    struct transport_visitor *v, struct err *err)
{
	int rc;

	v->status = -1;
	v->some = false;
	v->fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (v->fd < 0 && (errno == EBADF || errno == EINVAL || errno == ENOTSOCK))
		return err_sys(err, -errno, "%s", l->where);
	if (v->fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			(void)poll(NULL, 0, NAP_MS);
		return -EAGAIN;
	}
	if (t->kind == TRANSPORT_TCP)
		no_delay(v->fd);
	rc = t->tls_psk ? transport_tls_start(t, true, &v->fd, &v->status, err) : 0;
	if (!is_shortage(-rc))
		return rc;
	(void)poll(NULL, 0, NAP_MS);
	return -EAGAIN;
}
