/* SPDX-License-Identifier: GPL-2.0-only */
/* What a migration can travel over: unix:PATH, tcp:HOST:PORT, fd:N[,M], exec:COMMAND, ssh://[USER@]HOST[:PORT]. */
#ifndef LKVM_MIGRATE_TRANSPORT_H
#define LKVM_MIGRATE_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"

enum transport_kind { TRANSPORT_UNIX, TRANSPORT_TCP, TRANSPORT_FD, TRANSPORT_EXEC, TRANSPORT_SSH };

struct transport {
	enum transport_kind kind;
	const char *rest;	 /* PATH, HOST:PORT, COMMAND: of the text that was parsed */
	char peer[256], port[8]; /* tcp, ssh; port may be "" for ssh */
	int rfd, wfd;		 /* fd; the same for one socket */
	const char *tls_psk;	 /* tcp: the file of keys, or NULL: plain */
	bool no_wait;		 /* with it: what is wrong shows as a line that ends */
	const char *recover;	 /* ssh: the VM there whose post-copy has lost its line; or NULL */
};

/* -EINVAL with the reason. @incoming: for the side that waits. tcp beyond this host wants @insecure. */
int transport_parse(const char *text, bool incoming, bool insecure, struct transport *t,
		    struct err *err);

/* @file may be NULL. -EINVAL: not with this kind. */
int transport_use_tls(struct transport *t, const char *text, const char *file, struct err *err);
/* Of the connection *@fd, which it takes, the plain end; when the two sides know each other. *@fd is -1 on error. */
int transport_tls(const struct transport *t, bool server, int *fd, struct err *err);
/*
 * The same in two steps: @status can be read when it is known whether they do, which transport_tls_hear() tells, and closes it.
 * -EREMOTEIO: it is the other side's fault, or nobody's. Who does not care closes it.
 */
int transport_tls_start(const struct transport *t, bool server, int *fd, int *status,
			struct err *err);
int transport_tls_hear(int status, struct err *err);

/* fork() for what nobody here will wait for: its parent is to be init. 0 there, 1 here, or a negative errno. */
int transport_fork_away(void);

/* A connected stream socket in *@fd; *@child is the process at its other end, or 0. */
int transport_connect(const struct transport *t, int *fd, pid_t *child, struct err *err);

/*
 * The side that waits. After transport_listen() somebody can connect; what others have to call it is in @where (for tcp
 * with the port that was found). fd and exec need no listening: their line is there, and transport_take() takes it.
 */
struct transport_listener {
	int fd; /* or -1 */
	char where[320];
};

int transport_listen(const struct transport *t, struct transport_listener *l, struct err *err);
void transport_stop_listening(const struct transport *t, struct transport_listener *l);
int transport_take(const struct transport *t, int *rfd, int *wfd, struct err *err);

/* Those who have connected to a listener: anybody. */
#define TRANSPORT_VISITORS 64
#define TRANSPORT_LINES	   32
struct transport_visitor {
	int fd;
	int status; /* with TLS, until the two sides know each other: transport_tls_hear(); else -1 */
	bool some; /* part of a hello has come */
	uint64_t until_ns;
};

struct transport_hall {
	unsigned int ms; /* so long each may take to show that he is a source */
	/* A line about each who was; of those beyond TRANSPORT_LINES in @lines_ms only how many there were, while they wait on. */
	void (*sent_away)(const char *why);
	unsigned int lines_ms; /* 0: a line about each */
	uint64_t lines_ns;     /* when this time began */
	unsigned int said, unsaid;
	unsigned int n;
	struct transport_visitor v[TRANSPORT_VISITORS];
};

/* One who connects. -EAGAIN: there is none. */
int transport_enter(const struct transport *t, struct transport_listener *l,
		    struct transport_visitor *v, struct err *err);
/*
 * Waits until one of @hall, which begins as empty, is a source: whose first bytes are a hello, which is still to be read from *@fd.
 * Who is none, or takes too long, is sent away. -ECANCELED when @ends can be read. Those who came in besides stay in @hall: they may
 * be its further connections. On error nobody does.
 */
int transport_wait(const struct transport *t, struct transport_listener *l, int ends,
		   struct transport_hall *hall, int *fd, struct err *err);
void transport_hall_close(struct transport_hall *hall);
/*
 * Of a listener and a hall, both of which it takes: who is in it, and up to TRANSPORT_VISITORS who come later, come through *@door, one byte with a descriptor each, until that is closed. -1 where there are none: fd, exec.
 */
int transport_door(const struct transport *t, struct transport_listener *l,
		   struct transport_hall *hall, int *door, struct err *err);

#endif
