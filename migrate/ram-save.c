/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate/ram-pages.h"
#include "migrate/ram.h"
#include "util/clock.h"
#include "util/share.h"
#include "vm/presence.h"

#define NS_PER_S     1000000000ull
#define NAP_NS	     100000000ull
#define PIECE_CHUNKS 16 /* whose presence is asked for at once */

/* What one thread works with. */
struct scratch {
	uint8_t *tags;		     /* packed, of the HERE pages */
	uint8_t *pages;		     /* the parent's chunk */
	uint8_t *ptags;		     /* and its tags */
	uint64_t bits[PIECE_CHUNKS]; /* presence of one piece */
};

struct saver {
	const struct ram_save *save;
	const struct mem_bank *bank;
	uint32_t index; /* of the bank */
	struct presence presence;
	uint64_t chunk_bytes;
	size_t tag_bytes; /* of a page; 0 without tags */
	struct scratch scratch[SHARE_MAX_THREADS];
	pthread_mutex_t lock; /* of what follows */
	uint64_t done, total;
	uint64_t started_ns;
};

void ram_describe(const struct mem *mem, struct snap_info *info)
{
	info->page_size = mem->page_size;
	info->nbanks = mem->n;
	for (uint32_t i = 0; i < mem->n; i++) {
		const struct mem_spec *spec = &mem->banks[i].spec;

		memset(info->bank[i].name, 0, sizeof(info->bank[i].name));
		memcpy(info->bank[i].name, spec->name,
		       strnlen(spec->name, sizeof(info->bank[i].name) - 1));
		info->bank[i].gpa = spec->gpa;
		info->bank[i].size = spec->size;
	}
}

/* @due: how long after the start so much may have been gone through. */
static int report(struct saver *s, uint64_t bytes, uint64_t *due_ns)
{
	const struct ram_save *save = s->save;
	unsigned __int128 due = 0;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	s->done += bytes;
	if (save->rate)
		due = (unsigned __int128)s->done * NS_PER_S / save->rate;
	*due_ns = due < UINT64_MAX ? (uint64_t)due : UINT64_MAX;
	if (save->progress)
		rc = save->progress(save->ctx, s->done, s->total);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Sleeps as long as the limit asks for, in naps: who is to hear of it may be gone meanwhile, or want no more of it. */
static int account(struct saver *s, uint64_t bytes, struct err *err)
{
	uint64_t due, gone = 0, ignored;
	int rc = report(s, bytes, &due);

	while (!rc && s->save->rate && (gone = clock_now_ns() - s->started_ns) < due) {
		struct timespec nap = {.tv_nsec = NAP_NS};

		if (due - gone < NAP_NS)
			nap.tv_nsec = (long)(due - gone);
		nanosleep(&nap, NULL);
		rc = report(s, 0, &ignored);
	}
	return rc ? err_set(err, rc, "cancelled") : 0;
}

/* Pages that are in the parent as they are now: @here and @absent lose their bits. */
static int drop_unchanged(struct saver *s, const struct scratch *w, uint64_t chunk,
			  const uint8_t *host, uint64_t *here, uint64_t *absent, struct err *err)
{
	size_t page = s->save->mem->page_size, n = 0;
	uint64_t was, before = *here;
	int rc = snap_chain_chunk(s->save->parent, s->index, chunk, w->pages, w->ptags, &was, err);

	if (rc)
		return rc;
	*absent &= was;
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++) {
		if (!(before >> i & 1))
			continue;
		if (was >> i & 1 && !memcmp(w->pages + i * page, host + i * page, page) &&
		    (!s->tag_bytes || !memcmp(w->ptags + i * s->tag_bytes,
					      w->tags + n * s->tag_bytes, s->tag_bytes)))
			*here &= ~(1ull << i);
		n++;
	}
	return 0;
}

static int save_chunk(struct saver *s, const struct scratch *w, uint64_t chunk, uint64_t present,
		      uint64_t valid, struct err *err)
{
	struct mem *mem = s->save->mem;
	uint64_t gpa = s->bank->spec.gpa + chunk * s->chunk_bytes, here = present, seen = present,
		 absent;
	unsigned int pages = __builtin_popcountll(valid), n = 0;
	uint8_t *host = gpa_ptr(mem, gpa, pages * mem->page_size, MEM_READ);
	const void *list[SNAP_CHUNK_PAGES];
	int rc = 0;

	if (!host)
		return err_set(err, -EFAULT, "bank %s ends before it should", s->bank->spec.name);
	if (s->tag_bytes && s->save->drop_tags)
		memset(w->tags, 0, SNAP_CHUNK_PAGES * s->tag_bytes);
	else if (s->tag_bytes)
		rc = ram_collect_tags(mem, host, gpa, here, w->tags, err);
	if (rc)
		return rc;
	here &= ~ram_find_zero(host, mem->page_size, here, w->tags, s->tag_bytes);
	ram_squeeze_tags(w->tags, s->tag_bytes, seen, here);
	absent = valid & ~here;
	if (s->save->parent) {
		seen = here;
		rc = drop_unchanged(s, w, chunk, host, &here, &absent, err);
		if (rc)
			return rc;
		ram_squeeze_tags(w->tags, s->tag_bytes, seen, here);
	}
	if (!here && (!absent || !s->save->parent))
		return 0; /* nothing to say: wholly absent, or wholly unchanged */
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++)
		if (here >> i & 1)
			list[n++] = host + i * mem->page_size;
	return snap_writer_chunk(s->save->writer, s->index, chunk, here, absent, list,
				 s->tag_bytes ? w->tags : NULL, err);
}

/* What nobody touched is gone through without another word. */
static int save_piece(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err)
{
	struct saver *s = ctx;
	struct scratch *w = &s->scratch[thread];
	uint64_t done = 0;
	int rc = presence_get(&s->presence, off, len, w->bits, err);

	for (unsigned int i = 0; len && !rc; i++) {
		uint64_t bytes = len < s->chunk_bytes ? len : s->chunk_bytes;
		unsigned int pages = bytes / s->save->mem->page_size;
		uint64_t valid = pages == 64 ? ~0ull : (1ull << pages) - 1;
		bool some = w->bits[i] || s->save->parent;

		if (some)
			rc = save_chunk(s, w, off / s->chunk_bytes + i, w->bits[i], valid, err);
		len -= bytes;
		done += bytes;
		if (!rc && (some || !len)) {
			rc = account(s, done, err);
			done = 0;
		}
	}
	return rc;
}

static int scratch_init(struct saver *s, struct err *err)
{
	for (unsigned int i = 0; i < s->save->threads; i++) {
		struct scratch *w = &s->scratch[i];

		w->tags = malloc(SNAP_CHUNK_PAGES * s->tag_bytes + 1);
		w->pages = s->save->parent ? malloc(s->chunk_bytes) : NULL;
		w->ptags = s->save->parent ? malloc(SNAP_CHUNK_PAGES * s->tag_bytes + 1) : NULL;
		if (!w->tags || (s->save->parent && (!w->pages || !w->ptags)))
			return err_set(err, -ENOMEM, "no memory to save with");
	}
	return 0;
}

static void scratch_release(struct saver *s)
{
	for (unsigned int i = 0; i < s->save->threads; i++) {
		free(s->scratch[i].tags);
		free(s->scratch[i].pages);
		free(s->scratch[i].ptags);
	}
}

static int save_bank(struct saver *s, struct err *err)
{
	struct work_share share = {
		.threads = s->save->threads,
		.size = s->bank->spec.size,
		.piece = PIECE_CHUNKS * s->chunk_bytes,
		.work = save_piece,
		.ctx = s,
	};
	int rc = mem_presence(s->save->mem, s->bank, &s->presence, err);

	if (rc)
		return rc;
	rc = work_share(&share, err);
	presence_release(&s->presence);
	return rc;
}

/* What is compared with must have the pages, banks and tags of this machine: buffers have room for those. */
static int check_parent(const struct ram_save *save, struct err *err)
{
	struct snap_info now = {.tags = save->mem->sidecar != NULL};

	ram_describe(save->mem, &now);
	if (!save->parent || snap_same_shape(&now, snap_chain_info(save->parent)))
		return 0;
	return err_set(err, -EINVAL,
		       "--base: that snapshot is of a machine with other memory than this one's");
}

int ram_save(const struct ram_save *save, struct err *err)
{
	struct saver *s;
	int rc = check_parent(save, err);

	if (rc)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "no memory to save with");
	s->save = save;
	s->chunk_bytes = SNAP_CHUNK_PAGES * save->mem->page_size;
	s->tag_bytes = save->mem->sidecar ? save->mem->page_size / 32 : 0;
	s->started_ns = clock_now_ns();
	pthread_mutex_init(&s->lock, NULL);
	for (uint32_t i = 0; i < save->mem->n; i++)
		s->total += save->mem->banks[i].spec.size;
	rc = scratch_init(s, err);
	for (uint32_t i = 0; i < save->mem->n && !rc; i++) {
		s->bank = &save->mem->banks[i];
		s->index = i;
		rc = save_bank(s, err);
	}
	scratch_release(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return rc;
}
