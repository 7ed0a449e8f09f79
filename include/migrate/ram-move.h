/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory over a migration's channel, page and tags together: the source's passes over what was written, and the
 * destination's placing of what comes.
 */
#ifndef LKVM_MIGRATE_RAM_MOVE_H
#define LKVM_MIGRATE_RAM_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "migrate/channel.h"
#include "migrate/late-map.h"
#include "state/snapfile.h"
#include "vm/memory.h"

/* What was sent, by kind. Pages of all kinds and bytes on the line. */
struct ram_counts {
	uint64_t pages;	     /* with data */
	uint64_t zero_pages; /* that became zero */
	uint64_t data_bytes, tag_bytes, zero_bytes;
};

/* Readable by another thread while a pass is under way: each is stored whole. */
struct ram_progress {
	struct ram_counts counts;
	uint64_t remaining; /* bytes of memory that the pass has still to look at */
};

struct ram_sender;

/* mem_log_start() was called. @geometry is what the destination was told. @drop_tags is for tests. */
int ram_sender_open(struct mem *mem, struct channel *ch, const struct snap_info *geometry,
		    uint8_t codec, bool drop_tags, struct ram_sender **out, struct err *err);
void ram_sender_close(struct ram_sender *sender);

/* What was written since it was last sent, in bytes of memory; the next pass sends that. @last: the VM is paused. */
int ram_sender_look(struct ram_sender *sender, bool last, uint64_t *bytes, struct err *err);
int ram_sender_pass(struct ram_sender *sender, struct err *err);
void ram_sender_progress(const struct ram_sender *sender, struct ram_progress *progress);

/*
 * Post-copy: from now on a pass notes in @map what of @bank would have to be sent; and ram_sender_late() sends those of a word's
 * noted pages that are in @mask, and were not sent yet, zero pages too.
 */
void ram_sender_note(struct ram_sender *sender, unsigned int bank, struct late_map *map);
int ram_sender_late(struct ram_sender *sender, uint64_t word, uint64_t mask, struct err *err);

/* Whether the machine's memory is what the source has said. */
int ram_geometry_check(const struct mem *mem, const struct snap_info *geometry, struct err *err);

struct ram_receiver;

int ram_receiver_open(struct mem *mem, const struct snap_info *geometry, struct ram_receiver **out,
		      struct err *err);
void ram_receiver_close(struct ram_receiver *receiver);
/*
 * One PAGES payload to its place, in a bank that is being filled behind what the guest sees. -EBADMSG: nothing of a message
 * that is malformed is placed.
 */
int ram_receiver_pages(struct ram_receiver *receiver, struct rbuf *payload, struct err *err);

/* The same of a bank whose pages come late: only such as are still to come. @p says which. Nobody sees them yet. */
int ram_receiver_late(struct ram_receiver *receiver, unsigned int bank, struct late_map *map,
		      struct rbuf *payload, struct stream_pages *p, struct err *err);

#endif
