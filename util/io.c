/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "util/io.h"

/* What to do after a call that failed: 0 to try again, or the negative errno. */
static int retry(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (errno == EINTR)
		return 0;
	/* Somebody else may have set O_NONBLOCK on the open file: whole means whole all the same. */
	if (errno == EAGAIN)
		return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
	return -errno;
}

int io_read_full(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len) {
		ssize_t n = read(fd, at, len);

		if (n < 0) {
			int rc = retry(fd, POLLIN);

			if (rc)
				return rc;
			continue;
		}
		if (!n)
			return -ENODATA;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int pieces_full(int fd, struct iovec *iov, int n, uint64_t *offset, bool out)
{
	while (n) {
		ssize_t done = out ? pwritev(fd, iov, n, (off_t)*offset)
				   : preadv(fd, iov, n, (off_t)*offset);

		if (done < 0) {
			int rc = retry(fd, out ? POLLOUT : POLLIN);

			if (rc)
				return rc;
			continue;
		}
		if (!done)
			return out ? -EIO : -ENODATA;
		*offset += (uint64_t)done;
		while (n && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

int io_preadv_full(int fd, struct iovec *iov, int n, uint64_t *offset)
{
	return pieces_full(fd, iov, n, offset, false);
}

int io_pwritev_full(int fd, struct iovec *iov, int n, uint64_t *offset)
{
	return pieces_full(fd, iov, n, offset, true);
}

int io_pread_full(int fd, void *buf, size_t len, uint64_t offset)
{
	char *at = buf;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EOVERFLOW;
	while (len) {
		ssize_t n = pread(fd, at, len, (off_t)offset);

		if (n < 0) {
			int rc = retry(fd, POLLIN);

			if (rc)
				return rc;
			continue;
		}
		if (!n)
			return -ENODATA;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int io_write_full(int fd, const void *buf, size_t len)
{
	const char *at = buf;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0) {
			int rc = retry(fd, POLLOUT);

			if (rc)
				return rc;
			continue;
		}
		if (!n)
			return -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int io_fill_std_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (errno != EBADF)
			return -errno;
		/* The lowest free number is this one, since those below it are taken by now. */
		if (open("/dev/null", O_RDWR) < 0)
			return -errno;
	}
	return 0;
}

/*
 * Opening again what /proc/self/fd names gives a new description of the same pipe or terminal. For
 * other kinds it would be something else: a file at offset 0, a new terminal pair for a ptmx.
 */
static bool can_open_anew(int fd)
{
	unsigned int pair;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if (S_ISFIFO(st.st_mode))
		return true;
	return isatty(fd) && ioctl(fd, TIOCGPTN, &pair) < 0;
}

int io_private_nonblock(int fd, int flags)
{
	char path[32];
	int new = -1;

	if (can_open_anew(fd)) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		new = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	if (new < 0)
		new = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return new < 0 ? -errno : new;
}

/*
 * How many of *@len bytes can be read or written now without blocking, where the description itself
 * may block, goes back into *@len. Returns 1 for a socket, whose calls have a flag for it, 0 for all
 * else, or a negative errno.
 */
static int ready(int fd, short events, size_t *len)
{
	struct pollfd p = {.fd = fd, .events = events};
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0)
		return -errno;
	if (*len > SSIZE_MAX)
		*len = SSIZE_MAX;
	if (flags & O_NONBLOCK)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISSOCK(st.st_mode))
		return 1;
	if (S_ISREG(st.st_mode))
		return 0;
	if (poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	/*
	 * A pipe that polls as writable takes PIPE_BUF bytes (pipe(7)). A terminal promises one
	 * byte and would sleep in the middle of more.
	 */
	if (events == POLLOUT && S_ISFIFO(st.st_mode) && *len > PIPE_BUF)
		*len = PIPE_BUF;
	else if (events == POLLOUT && *len > 1 && isatty(fd))
		*len = 1;
	return 0;
}

ssize_t io_write_some(int fd, const void *buf, size_t len)
{
	int is_socket = ready(fd, POLLOUT, &len);
	ssize_t n;

	if (is_socket < 0)
		return is_socket;
	do {
		n = is_socket ? send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t io_read_some(int fd, void *buf, size_t len)
{
	int is_socket = ready(fd, POLLIN, &len);
	ssize_t n;

	if (is_socket < 0)
		return is_socket;
	do {
		n = is_socket ? recv(fd, buf, len, MSG_DONTWAIT) : read(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
