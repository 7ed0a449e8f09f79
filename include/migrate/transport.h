/* SPDX-License-Identifier: GPL-2.0-only */
/* What a migration can travel over: unix:PATH, tcp:HOST:PORT, fd:N[,M], exec:COMMAND, ssh://[USER@]HOST[:PORT]. */
#ifndef LKVM_MIGRATE_TRANSPORT_H
#define LKVM_MIGRATE_TRANSPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/err.h"

enum transport_kind { TRANSPORT_UNIX, TRANSPORT_TCP, TRANSPORT_FD, TRANSPORT_EXEC, TRANSPORT_SSH };

struct transport {
	enum transport_kind kind;
	const char *rest;	 /* PATH, HOST:PORT, COMMAND: of the text that was parsed */
	char peer[256], port[8]; /* tcp, ssh; port may be "" for ssh */
	int rfd, wfd;		 /* fd; the same for one socket */
	const char *tls_psk;	 /* tcp: the file of keys, or NULL: plain */
	const char *recover;	 /* ssh: the VM there whose post-copy has lost its line; or NULL */
};

/* -EINVAL with the reason. @incoming: for the side that waits. tcp beyond this host wants @insecure. */
int transport_parse(const char *text, bool incoming, bool insecure, struct transport *t,
		    struct err *err);

/* @file may be NULL. -EINVAL: not with this kind. */
int transport_use_tls(struct transport *t, const char *text, const char *file, struct err *err);
/* Of the connection *@fd, which it takes, the plain end; when the two sides know each other. *@fd is -1 on error. */
int transport_tls(const struct transport *t, bool server, int *fd, struct err *err);

/* A connected stream socket in *@fd; *@child is the process at its other end, or 0. */
int transport_connect(const struct transport *t, int *fd, pid_t *child, struct err *err);

/*
 * The side that waits. After transport_listen() somebody can connect; what others have to call it is in @where (for tcp
 * with the port that was found). fd and exec need no listening. transport_accept() takes one connection, and no second.
 */
struct transport_listener {
	int fd; /* or -1 */
	char where[320];
};

int transport_listen(const struct transport *t, struct transport_listener *l, struct err *err);
void transport_stop_listening(const struct transport *t, struct transport_listener *l);
int transport_accept(const struct transport *t, struct transport_listener *l, int *rfd, int *wfd,
		     struct err *err);

#endif
