/* SPDX-License-Identifier: GPL-2.0-only */
/* A descriptor that goes over a Unix socket with some bytes (SCM_RIGHTS, unix(7)). */
#ifndef LKVM_UTIL_PASSFD_H
#define LKVM_UTIL_PASSFD_H

#include <stddef.h>
#include <sys/types.h>

/*
 * As send(2) and recv(2), with the same flags, and return the bytes or a negative errno. SIGPIPE is never raised. EINTR is the
 * caller's to repeat.
 */

/* @fd goes with the first of @len bytes, at least one, and stays the caller's as well. */
ssize_t passfd_send(int sock, const void *buf, size_t len, int flags, int fd);

/*
 * *fd is the descriptor that came with them, the caller's from now on and close-on-exec, or -1. Of several the peer sent with
 * one byte it is the first; the others never come into this process.
 */
ssize_t passfd_recv(int sock, void *buf, size_t len, int flags, int *fd);

#endif
