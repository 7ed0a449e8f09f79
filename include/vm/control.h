/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket of a running VM: NAME.sock in $XDG_RUNTIME_DIR/lkvm, or /run/lkvm for root without one; folder
 * 0700, socket 0600. docs/control-protocol.md has the bytes.
 *
 * A message is a header of 12 bytes {u32 magic "LKVC", u16 version, u16 type, u32 length} and at most
 * CONTROL_MAX_PAYLOAD bytes of payload, all little-endian (util/buf.h). One request gets one reply: type | 0x8000 and a
 * payload that starts with i32 result (0 or negative errno) and a string (error text, or empty).
 *
 * The server is part of the event loop and never waits for a client: a client that sends nothing, half a message or
 * rubbish, or does not read, is dropped after CONTROL_CLIENT_SECONDS or at once, and holds up nobody.
 */
#ifndef LKVM_VM_CONTROL_H
#define LKVM_VM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "vm/config.h"

#define CONTROL_MAGIC	       0x43564b4cu
#define CONTROL_VERSION	       1
#define CONTROL_HEADER	       12
#define CONTROL_MAX_PAYLOAD    (1u << 20)
#define CONTROL_MAX_REQUEST    16384u /* a request is small; a reply may be large */
#define CONTROL_MAX_CLIENTS    16
#define CONTROL_CLIENT_SECONDS 10

enum control_type {
	CONTROL_INFO = 1, /* -> pid, state, cpus, memory, mte, name */
	CONTROL_STAT = 2, /* -> counters */
	CONTROL_PAUSE = 3,
	CONTROL_RESUME = 4,
	CONTROL_STOP = 5,
	CONTROL_REGISTERS = 6, /* u32 vcpu -> names and values */
	CONTROL_SYSRQ = 7,     /* u8 key */
	/* Answered by vm->extra, if there is one (migrate/control.h). */
	CONTROL_SNAPSHOT = 8,
	CONTROL_SNAPSHOT_STATUS = 9,
	CONTROL_SNAPSHOT_CANCEL = 10,
	CONTROL_MIGRATE = 11, /* a connected socket comes with it */
	CONTROL_MIGRATE_STATUS = 12,
	CONTROL_MIGRATE_CANCEL = 13,
	CONTROL_MIGRATE_JOIN =
		14, /* for a destination whose line was lost; a connected socket comes with it */
};

struct vm;
struct control_server;

/*
 * Takes the name and listens. -EEXIST when a VM of that name runs; a socket left by one that died is taken over
 * (decided under a lock on the folder, so two starters cannot both win).
 */
int control_server_open(struct vm *vm, struct control_server **out, struct err *err);
void control_server_close(struct control_server *server); /* removes the socket */
/* The same for the socket alone, when the process ends with the next call. Any thread; NULL is allowed. */
void control_server_abandon(struct control_server *server);

/* Client side, used by builtin-*.c; blocking, with timeouts; does not touch a VM of this process. */
struct control_vm {
	char name[VM_NAME_MAX + 1];
	bool alive; /* someone listens; else a left-over socket */
};

int control_dir(char *path, size_t size, struct err *err);
/* All names in the folder, sorted; *@vms is malloc'd. A folder that is not there is an empty list. */
int control_list(struct control_vm **vms, size_t *n, struct err *err);
/* Removes a left-over socket; -EBUSY when somebody listens after all, -ENOENT when it is gone. */
int control_remove_stale(const char *name, struct err *err);
/* One request and its reply: *@reply holds what follows result and text, init'd here, released by the caller. */
int control_call(const char *name, enum control_type type, const struct wbuf *payload,
		 struct wbuf *reply, struct err *err);
/* The same, and @fd is handed over with it (SCM_RIGHTS); it stays the caller's as well. */
int control_call_fd(const char *name, enum control_type type, const struct wbuf *payload, int fd,
		    struct wbuf *reply, struct err *err);

/* Asks the VM to end and waits until it has taken its socket away; -ETIMEDOUT after @seconds. */
int control_stop(const char *name, unsigned int seconds, struct err *err);

#endif
