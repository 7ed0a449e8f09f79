/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors: whole reads and writes, retried on EINTR, and a way not to block on a descriptor that is shared. */
#ifndef LKVM_UTIL_IO_H
#define LKVM_UTIL_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* All of @len bytes, or a negative errno; end of file too early is -ENODATA. */
int io_read_full(int fd, void *buf, size_t len);
int io_pread_full(int fd, void *buf, size_t len, uint64_t offset);
int io_write_full(int fd, const void *buf, size_t len);

/* The same for pieces, which are changed on the way; *offset moves by what was done, also before an error. */
int io_preadv_full(int fd, struct iovec *iov, int n, uint64_t *offset);
int io_pwritev_full(int fd, struct iovec *iov, int n, uint64_t *offset);

/* Descriptors 0, 1 and 2 that are closed become /dev/null, so that no later open() lands on them. */
int io_fill_std_fds(void);

/*
 * O_NONBLOCK belongs to the open file description, which the user's shell shares for a terminal or a pipe. Returns a
 * new descriptor for the same file with a description of its own and O_NONBLOCK set; for what cannot be opened anew
 * (socket, regular file, a terminal of another user) a plain duplicate. The caller closes it. Negative errno on error.
 */
int io_private_nonblock(int fd, int flags);

/* One write that does not block even on such a duplicate: bytes written, or -EAGAIN, or another negative errno. */
ssize_t io_write_some(int fd, const void *buf, size_t len);
ssize_t io_read_some(int fd, void *buf, size_t len); /* 0 is end of file */

#endif
