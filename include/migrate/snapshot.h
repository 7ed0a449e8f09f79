/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Saving a running VM to a file, in the VM's own process. docs/snapshot.md tells the whole way.
 *
 * The guest is paused, all state but RAM is encoded, and a child is forked: its copy of RAM, data and tags, is that of
 * this moment (RAM is private memory). The child writes; with `live` the guest goes on at once, else when the child is
 * done. Whatever happens to the child, the VM goes on and the old file is whole: the new one gets its name last.
 */
#ifndef LKVM_MIGRATE_SNAPSHOT_H
#define LKVM_MIGRATE_SNAPSHOT_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "state/snapfile.h"
#include "util/buf.h"
#include "util/err.h"

struct vm;
struct snapshot_job;

struct snapshot_request {
	char path[PATH_MAX]; /* absolute */
	char base[PATH_MAX]; /* absolute, in the same folder; or empty */
	int fd; /* not sent: the new file, when it was opened by who asks, who gives it its name as well; else -1 */
	bool live;
	bool stop;     /* the VM is to end when the file is there; not with live */
	uint8_t codec; /* enum snap_codec */
	uint8_t level; /* of zstd, 1..19 */
	uint32_t threads;
	uint64_t rate;	/* bytes of guest memory a second; 0: no limit */
	bool drop_tags; /* for tests */
	bool kvm_tags; /* tags are collected by KVM, before the fork: the guest stands still meanwhile */
};

void snapshot_request_encode(const struct snapshot_request *req, struct wbuf *out);
int snapshot_request_decode(struct rbuf *in, struct snapshot_request *req, struct err *err);

/* What a VM says that can open no file: the request is to come again with the new file, open for reading and writing. */
#define SNAPSHOT_NEEDS_FILE (-EBADF)

struct snapshot_result {
	uint64_t file_bytes, data_bytes, tag_bytes;
	uint64_t pause_ns; /* how long the guest stood still */
};

/* Jobs that are over, whose saving process has not ended yet. Zeroed by its owner, who outlives them or calls snapshot_forget(). */
struct snapshot_leaving {
	struct snapshot_job *first;
};

/* Called on the loop's thread. */
struct snapshot_events {
	struct snapshot_leaving *leaving;
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	/*
	 * The job is gone after this. rc 0: the file is there. @ends: it is now the receiver's to call vm_finish(); the guest
	 * stands still and must not run again.
	 */
	void (*done)(void *ctx, int rc, const struct err *err, const struct snapshot_result *result,
		     bool ends);
	void *ctx;
};

/* Whether this VM could begin it: what start() refuses for the request's sake. */
int snapshot_check(const struct vm *vm, const struct snapshot_request *req, struct err *err);

/* All guest memory is there (mem_is_filling()). req->fd stays the caller's. */
int snapshot_start(struct vm *vm, const struct snapshot_request *req,
		   const struct snapshot_events *events, struct snapshot_job **out,
		   struct err *err);

/*
 * The job is gone after this. True: nothing is left of the new file, or soon, when the saving process has died; done() is not
 * called. False: it came too late, and done() was called.
 */
bool snapshot_cancel(struct snapshot_job *job);

/* Nobody waits for those processes any more. */
void snapshot_forget(struct snapshot_leaving *leaving);

#endif
