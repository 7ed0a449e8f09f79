/* SPDX-License-Identifier: GPL-2.0-only */
/* The source's passes over memory: clear a range of the log, then copy it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/ram-move.h"
#include "migrate/ram-pages.h"
#include "vm/memory-log.h"
#include "vm/presence.h"

struct ram_sender {
	struct mem *mem;
	struct channel *ch;
	struct stream_packer *packer;
	uint8_t codec;
	bool drop_tags;
	size_t tag_bytes; /* of a page; 0 without tags */
	uint8_t *tags;	  /* of a chunk */
	uint64_t *known
		[MEM_MAX_BANKS]; /* pages that the destination holds something else for than zeros */
	struct ram_progress progress;
	struct late_map *late; /* of late_bank: what a pass notes in place of sending it; or NULL */
	unsigned int late_bank;
};

int ram_sender_open(struct mem *mem, struct channel *ch, const struct snap_info *geometry,
		    uint8_t codec, bool drop_tags, struct ram_sender **out, struct err *err)
{
	struct ram_sender *s = calloc(1, sizeof(*s));
	bool ok = s != NULL;
	int rc = 0;

	if (ok) {
		s->mem = mem;
		s->ch = ch;
		s->codec = codec;
		s->drop_tags = drop_tags;
		s->tag_bytes = geometry->tags ? mem->page_size / 32 : 0;
		s->tags = calloc(RAM_CHUNK_PAGES, s->tag_bytes + 1);
		ok = s->tags != NULL;
	}
	for (unsigned int i = 0; ok && i < mem->n; i++) {
		s->known[i] = calloc(mem_log_words(mem, i), sizeof(uint64_t));
		ok = s->known[i] != NULL;
	}
	if (ok)
		rc = stream_packer_init(&s->packer, geometry->page_size, codec, err);
	else
		rc = err_set(err, -ENOMEM, "no memory for a migration");
	if (rc)
		ram_sender_close(s);
	else
		*out = s;
	return rc;
}

void ram_sender_close(struct ram_sender *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i < MEM_MAX_BANKS; i++)
		free(s->known[i]);
	stream_packer_release(s->packer);
	free(s->tags);
	free(s);
}

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

void ram_sender_progress(const struct ram_sender *s, struct ram_progress *progress)
{
	const struct ram_progress *p = &s->progress;

	progress->counts.pages = __atomic_load_n(&p->counts.pages, __ATOMIC_RELAXED);
	progress->counts.zero_pages = __atomic_load_n(&p->counts.zero_pages, __ATOMIC_RELAXED);
	progress->counts.data_bytes = __atomic_load_n(&p->counts.data_bytes, __ATOMIC_RELAXED);
	progress->counts.tag_bytes = __atomic_load_n(&p->counts.tag_bytes, __ATOMIC_RELAXED);
	progress->counts.zero_bytes = __atomic_load_n(&p->counts.zero_bytes, __ATOMIC_RELAXED);
	progress->remaining = __atomic_load_n(&p->remaining, __ATOMIC_RELAXED);
}

int ram_sender_look(struct ram_sender *s, bool last, uint64_t *bytes, struct err *err)
{
	int rc = 0;

	*bytes = 0;
	for (unsigned int i = 0; i < s->mem->n && !rc; i++) {
		rc = mem_log_fetch(s->mem, i, last, err);
		if (!rc)
			*bytes += mem_log_count(s->mem, i) * s->mem->page_size;
	}
	__atomic_store_n(&s->progress.remaining, *bytes, __ATOMIC_RELAXED);
	return rc;
}

static void count(struct ram_sender *s, uint64_t here, uint64_t zero, uint64_t data, uint64_t tags)
{
	struct ram_counts *c = &s->progress.counts;

	add(&c->pages, (uint64_t)__builtin_popcountll(here));
	add(&c->zero_pages, (uint64_t)__builtin_popcountll(zero));
	add(&c->data_bytes, data);
	add(&c->tag_bytes, tags);
	if (!here)
		add(&c->zero_bytes, s->ch->out.len);
}

static bool is_late(const struct ram_sender *s, unsigned int bank)
{
	return s->late && bank == s->late_bank;
}

/* @written: pages of the chunk to look at; @present: those that may hold something. */
static int send_chunk(struct ram_sender *s, unsigned int bank, uint64_t chunk, uint64_t written,
		      uint64_t present, struct err *err)
{
	struct mem *mem = s->mem;
	const struct mem_spec *spec = &mem->banks[bank].spec;
	uint64_t here = written & present, seen = here,
		 off = chunk * RAM_CHUNK_PAGES * mem->page_size, data, tags,
		 size = (uint64_t)RAM_CHUNK_PAGES * mem->page_size;
	struct stream_pages p = {.bank = (uint8_t)bank, .codec = s->codec, .chunk = chunk};
	const void *page[RAM_CHUNK_PAGES] = {NULL};
	uint8_t *host;
	int rc = 0;

	if (size > spec->size - off)
		size = spec->size - off;
	host = gpa_ptr(mem, spec->gpa + off, size, MEM_READ);
	if (!host)
		return err_set(err, -EFAULT, "bank %s ends before it should", spec->name);
	if (s->tag_bytes && s->drop_tags)
		memset(s->tags, 0, RAM_CHUNK_PAGES * s->tag_bytes);
	else if (s->tag_bytes)
		rc = ram_collect_tags(mem, host, spec->gpa + off, here, s->tags, err);
	if (rc)
		return rc;
	here &= ~ram_find_zero(host, mem->page_size, here, s->tags, s->tag_bytes);
	ram_squeeze_tags(s->tags, s->tag_bytes, seen, here);
	p.here = here;
	p.zero = written & ~here & (is_late(s, bank) ? ~0ull : s->known[bank][chunk]);
	s->known[bank][chunk] = (s->known[bank][chunk] & ~p.zero) | here;
	if (!(p.here | p.zero))
		return 0;
	for (unsigned int i = 0; i < RAM_CHUNK_PAGES; i++)
		if (here >> i & 1)
			page[i] = host + i * mem->page_size;
	stream_pages_encode(s->packer, channel_begin(s->ch, STREAM_PAGES), &p, page,
			    s->tag_bytes ? s->tags : NULL, &data, &tags);
	rc = channel_send(s->ch, err);
	count(s, p.here, p.zero, data, tags);
	return rc;
}

/* The words that are cleared together. */
static int send_piece(struct ram_sender *s, unsigned int bank, const struct presence *presence,
		      uint64_t word, struct err *err)
{
	uint64_t bits[MEM_LOG_CLEAR_WORDS] = {0}, any = 0, pages = 0;
	size_t page = s->mem->page_size;
	uint64_t off = word * 64 * page, len = sizeof(bits) * 8 * page;
	int rc;

	for (unsigned int i = 0; i < MEM_LOG_CLEAR_WORDS; i++)
		any |= mem_log_word(s->mem, bank, word + i);
	if (!any)
		return 0;
	if (len > s->mem->banks[bank].spec.size - off)
		len = s->mem->banks[bank].spec.size - off;
	rc = mem_log_clear(s->mem, bank, word, err);
	if (!rc)
		rc = presence_get(presence, off, len, bits, err);
	for (unsigned int i = 0; i < MEM_LOG_CLEAR_WORDS && !rc; i++) {
		uint64_t written = mem_log_word(s->mem, bank, word + i);

		pages += (uint64_t)__builtin_popcountll(written);
		if (written && is_late(s, bank))
			late_map_add(s->late, word + i,
				     written & (bits[i] | s->known[bank][word + i]));
		else if (written)
			rc = send_chunk(s, bank, word + i, written, bits[i], err);
	}
	add(&s->progress.remaining, -(pages * page));
	return rc;
}

int ram_sender_pass(struct ram_sender *s, struct err *err)
{
	int rc = 0;

	for (unsigned int bank = 0; bank < s->mem->n && !rc; bank++) {
		struct presence presence;
		uint64_t words = mem_log_words(s->mem, bank);

		rc = mem_presence(s->mem, &s->mem->banks[bank], &presence, err);
		if (rc)
			break;
		for (uint64_t word = 0; word < words && !rc; word += MEM_LOG_CLEAR_WORDS)
			rc = send_piece(s, bank, &presence, word, err);
		presence_release(&presence);
	}
	return rc;
}

void ram_sender_note(struct ram_sender *s, unsigned int bank, struct late_map *map)
{
	s->late = map;
	s->late_bank = bank;
}

int ram_sender_late(struct ram_sender *s, uint64_t word, uint64_t mask, struct err *err)
{
	uint64_t bits = late_map_take(s->late, word, mask);
	int rc = bits ? send_chunk(s, s->late_bank, word, bits, bits, err) : 0;

	__atomic_store_n(&s->progress.remaining, s->late->left * s->mem->page_size,
			 __ATOMIC_RELAXED);
	return rc;
}
