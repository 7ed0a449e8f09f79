/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private to vm/control*.c, its tests and its fuzz target: the bytes of the control protocol as pure functions, and
 * the pieces that server and client put together from them. docs/control-protocol.md is the specification.
 */
#ifndef LKVM_VM_CONTROL_WIRE_H
#define LKVM_VM_CONTROL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "util/buf.h"
#include "util/err.h"
#include "vm/config.h"
#include "vm/control.h"

#define CONTROL_REPLY	 0x8000u /* or'ed to a request's type */
#define CONTROL_TEXT_MAX 512	 /* of a reply, with the NUL that a reader adds */
#define CONTROL_REG_NAME 64	 /* of a register, likewise */
#define CONTROL_REG_HEX	 1024	 /* SVE's widest: 2048 bits are 512 digits */

/* --- Header (vm/control-wire.c) --- */

struct control_header {
	uint16_t version;
	uint16_t type;
	uint32_t length; /* of the payload */
};

void control_header_encode(struct wbuf *out, uint16_t type, uint32_t length);
/*
 * -EBADMSG: not this protocol. -EPROTONOSUPPORT: another version, of which nothing but magic and version is known.
 * -EMSGSIZE: a payload longer than @max. @h holds what was in the bytes, whatever is returned.
 */
int control_header_decode(const uint8_t bytes[CONTROL_HEADER], uint32_t max,
			  struct control_header *h);

/*
 * One message on its way in, of which any number of bytes may have come. The payload is allocated once the header is
 * whole and was found good, not before.
 */
struct control_frame {
	uint32_t max;  /* longest payload that is taken */
	uint32_t have; /* bytes so far, header and payload */
	struct control_header h;
	uint8_t header[CONTROL_HEADER];
	uint8_t *payload; /* h.length bytes; NULL when there are none */
};

void control_frame_init(struct control_frame *f, uint32_t max);
void control_frame_release(struct control_frame *f); /* ready for the next message */
/* Where the next bytes go, and how many are wanted: never 0 before control_frame_filled() has said 1 or failed. */
size_t control_frame_room(struct control_frame *f, uint8_t **at);
/* @n bytes were put there. 1: a whole message. 0: more to come. Else as control_header_decode(), or -ENOMEM. */
int control_frame_filled(struct control_frame *f, size_t n);

/* --- Replies --- */

/* @out holds exactly one message: emptied, then header, result and text. The body follows, then the end. */
void control_reply_begin(struct wbuf *out, uint16_t request, int result, const char *text);
/* Sets the length. A body that did not fit is replaced by an error reply; negative only without memory. */
int control_reply_end(struct wbuf *out, uint16_t request);
/* Leaves @r at the body. */
int control_reply_decode(struct rbuf *r, int *result, char text[CONTROL_TEXT_MAX]);

enum control_state {
	CONTROL_RUNNING,
	CONTROL_PAUSED,	  /* by the user; a moment's pause for a request of ours does not count */
	CONTROL_STARTING, /* the machine is not built yet */
	CONTROL_ENDING,
	CONTROL_LEAVING,    /* the guest runs elsewhere, its memory follows */
	CONTROL_RECOVERING, /* the line over which it follows was lost; lkvm migrate --recover */
	CONTROL_STATES
};

const char *control_state_word(enum control_state state);

struct control_info {
	uint32_t pid;
	enum control_state state;
	uint32_t cpus;
	uint64_t memory; /* bytes */
	bool mte;
	char name[VM_NAME_MAX + 1];
};

#define CONTROL_UNKNOWN UINT64_MAX /* a figure that the host did not give */

struct control_stat {
	struct control_info info;
	uint64_t uptime_ns;
	uint32_t boots;
	uint8_t backing;	 /* enum mem_backing */
	uint64_t guest_resident; /* bytes of guest memory that take host memory */
	uint64_t own_pss;	 /* bytes of all other mappings, shared ones in proportion */
	uint64_t own_anonymous;	 /* of these, what no file backs */
	uint64_t missing;	 /* bytes of guest memory that a lazy restore still brings */
	uint32_t vcpus;		 /* that many times COUNT_KINDS u64 follow */
};

/* Decoders leave @r behind what they took, and are negative when it was cut or holds what cannot be. */
void control_info_encode(struct wbuf *out, const struct control_info *info);
int control_info_decode(struct rbuf *r, struct control_info *info);
void control_stat_encode(struct wbuf *out, const struct control_stat *stat);
int control_stat_decode(struct rbuf *r, struct control_stat *stat);

const char *control_backing_word(uint8_t backing);

/* --- Requests (vm/control-requests.c) --- */

/*
 * Carries out one request and puts the whole reply into @out, which the caller has initialised. Returns the reply's
 * result. out->error is set if there is no reply for want of memory. Loop thread.
 */
int control_handle(struct vm *vm, uint16_t type, const void *payload, size_t len, struct wbuf *out);

/* --- Memory of this process (vm/control-memory.c) --- */

struct control_range {
	uint64_t start, end;
	bool again; /* shows what another range shows: counted nowhere */
};

struct control_memory {
	uint64_t guest_resident, own_pss, own_anonymous; /* bytes */
};

/* Sums a file in the format of /proc/PID/smaps (proc(5)); a mapping that touches a range is the guest's. */
int control_memory_sum(FILE *smaps, const struct control_range *guest, unsigned int n,
		       struct control_memory *sum);
int control_memory_read(struct vm *vm, struct control_memory *sum);

/* --- Server (vm/control.c) --- */

/* What the tests shorten. */
struct control_limits {
	uint64_t client_ns; /* a message, or a reply, must be through in that time */
	uint64_t grace_ns;  /* a client so young is not replaced by a new one */
};

int control_server_open_limits(struct vm *vm, const struct control_limits *limits,
			       struct control_server **out, struct err *err);

/* --- Client (vm/control-client.c) --- */

/* One request and its reply on a non-blocking socket, until @deadline (clock_now_ns()). As control_call(). */
int control_exchange(int fd, enum control_type type, const struct wbuf *payload, struct wbuf *reply,
		     uint64_t deadline, struct err *err);

#endif
