/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory over a socket, from one process's banks to another's, with tags that are a fake sidecar: what arrives is what was
 * there, and no page is touched that nobody touched.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/ram-move.h"
#include "migrate/ram.h"
#include "state/stream.h"
#include "vm/memory-log.h"
#include "vm/presence.h"

#define PAGES  4124
#define RAM    0x80000000ull
#define SECOND 0x1000000ull

/* One side: two banks, and a byte of "tags" for each 32 bytes of them. */
struct side {
	struct mem mem;
	struct mem_sidecar sidecar;
	uint8_t *tags[2];
	struct channel ch;
};

struct both {
	struct side from, to;
	struct snap_info geometry;
	struct ram_sender *sender;
	struct ram_receiver *receiver;
	int rc; /* of the receiving thread */
	unsigned int rounds;
	size_t page;
};

static uint8_t *tags_at(struct side *s, uint64_t gpa)
{
	return gpa >= RAM ? s->tags[0] + (gpa - RAM) / 32 : s->tags[1] + (gpa - SECOND) / 32;
}

static int get(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, uint8_t *out, struct err *err)
{
	(void)host, (void)err;
	memcpy(out, tags_at(ctx, gpa), len / 32);
	return 0;
}

static int put(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, const uint8_t *in,
	       struct err *err)
{
	(void)host, (void)err;
	memcpy(tags_at(ctx, gpa), in, len / 32);
	return 0;
}

static void map(struct side *s, unsigned int i, const char *name, uint64_t gpa, uint64_t pages,
		bool tagged)
{
	struct mem_bank *bank = &s->mem.banks[i];

	bank->spec = (struct mem_spec){.name = name, .gpa = gpa, .size = pages * s->mem.page_size};
	bank->host = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(bank->host, MAP_FAILED);
	madvise(bank->host, bank->spec.size, MADV_NOHUGEPAGE);
	bank->fd = -1;
	s->mem.n = i + 1;
	s->tags[i] = calloc(pages, s->mem.page_size / 32);
	assert_non_null(s->tags[i]);
	s->sidecar = (struct mem_sidecar){get, put, s};
	s->mem.sidecar = tagged ? &s->sidecar : NULL;
}

static void open_side(struct side *s, bool tagged)
{
	struct err err = ERR_INIT;

	assert_int_equal(mem_init(&s->mem, &err), 0);
	map(s, 0, "ram", RAM, PAGES, tagged);
	map(s, 1, "second", SECOND, 10, tagged);
}

static void *receive(void *arg)
{
	struct both *b = arg;
	struct err err = ERR_INIT;
	struct rbuf payload;
	uint32_t type;

	while (!b->rc) {
		b->rc = channel_receive(&b->to.ch, &type, &payload, &err);
		if (b->rc || type == STREAM_LOADED)
			break;
		if (type == STREAM_PAGES) {
			b->rc = ram_receiver_pages(b->receiver, &payload, &err);
		} else {
			b->rounds++;
			b->rc = channel_send_empty(&b->to.ch, STREAM_SEEN, &err);
		}
	}
	return NULL;
}

static struct both *open_both(bool tagged, uint8_t codec)
{
	struct both *b = calloc(1, sizeof(*b));
	struct err err = ERR_INIT;
	int ends[2];

	assert_non_null(b);
	open_side(&b->from, tagged);
	open_side(&b->to, tagged);
	b->page = b->from.mem.page_size;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(channel_open(&b->from.ch, ends[0], ends[0], &err), 0);
	assert_int_equal(channel_open(&b->to.ch, ends[1], ends[1], &err), 0);
	ram_describe(&b->from.mem, &b->geometry);
	b->geometry.tags = tagged;
	b->from.ch.page_size = b->to.ch.page_size = b->geometry.page_size;
	assert_int_equal(ram_geometry_check(&b->to.mem, &b->geometry, &err), 0);
	assert_int_equal(mem_log_start(&b->from.mem, &err), 0);
	assert_int_equal(ram_sender_open(&b->from.mem, &b->from.ch, &b->geometry, codec, false,
					 &b->sender, &err),
			 0);
	assert_int_equal(ram_receiver_open(&b->to.mem, &b->geometry, &b->receiver, &err), 0);
	return b;
}

static void close_both(struct both *b)
{
	struct side *sides[] = {&b->from, &b->to};

	ram_sender_close(b->sender);
	ram_receiver_close(b->receiver);
	mem_log_stop(&b->from.mem);
	for (int i = 0; i < 2; i++) {
		channel_close(&sides[i]->ch);
		mem_release(&sides[i]->mem);
		free(sides[i]->tags[0]);
		free(sides[i]->tags[1]);
	}
	free(b);
}

/* As the VMM's own code writes: through the gate. */
static void poke(struct both *b, uint64_t gpa, int data, int tag)
{
	uint8_t *p = gpa_ptr(&b->from.mem, gpa, b->page, MEM_WRITE);

	assert_non_null(p);
	memset(p, data, b->page);
	memset(tags_at(&b->from, gpa), tag, b->page / 32);
}

static uint64_t pass(struct both *b, bool last)
{
	struct err err = ERR_INIT;
	uint64_t bytes;
	struct rbuf in;
	uint32_t type;

	assert_int_equal(ram_sender_look(b->sender, last, &bytes, &err), 0);
	assert_int_equal(ram_sender_pass(b->sender, &err), 0);
	assert_int_equal(channel_send_empty(&b->from.ch, STREAM_PAUSED, &err), 0);
	assert_int_equal(channel_receive(&b->from.ch, &type, &in, &err), 0);
	return bytes / b->page;
}

static void same(struct both *b)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t size = b->from.mem.banks[i].spec.size;

		assert_memory_equal(b->from.mem.banks[i].host, b->to.mem.banks[i].host, size);
		assert_memory_equal(b->from.tags[i], b->to.tags[i], size / 32);
	}
}

static uint64_t present(struct mem *mem)
{
	uint64_t bits[PAGES / 64 + 1], n = 0;
	struct err err = ERR_INIT;
	struct presence p;

	assert_int_equal(mem_presence(mem, &mem->banks[0], &p, &err), 0);
	assert_int_equal(presence_get(&p, 0, mem->banks[0].spec.size, bits, &err), 0);
	presence_release(&p);
	for (unsigned int i = 0; i < PAGES / 64 + 1; i++)
		n += (uint64_t)__builtin_popcountll(bits[i]);
	return n;
}

static void move(bool tagged, uint8_t codec)
{
	struct both *b = open_both(tagged, codec);
	int tag = tagged ? 0x33 : 0;
	struct ram_progress progress;
	struct err err = ERR_INIT;
	pthread_t thread;

	poke(b, RAM, 1, tag);
	poke(b, RAM + 63 * b->page, 2, tag * 2);
	poke(b, RAM + 64 * b->page, 3, 0);
	poke(b, RAM + 100 * b->page, 0, tag);	      /* zero data, but tags */
	poke(b, RAM + 200 * b->page, 0, 0);	      /* wholly zero */
	poke(b, RAM + (PAGES - 1) * b->page, 4, tag); /* the last, in a word of its own */
	poke(b, SECOND + 9 * b->page, 5, tag);
	assert_int_equal(pthread_create(&thread, NULL, receive, b), 0);
	assert_int_equal(pass(b, false), PAGES + 10); /* at first all of them are looked at */
	same(b);
	assert_int_equal(present(&b->from.mem), 6);
	assert_int_equal(present(&b->to.mem), tagged ? 5 : 4);
	ram_sender_progress(b->sender, &progress);
	assert_int_equal(progress.counts.pages, tagged ? 6 : 5);
	assert_int_equal(progress.counts.zero_pages, 0);
	assert_int_equal(progress.remaining, 0);

	/* Only tags, only data, one to zero, one anew. */
	poke(b, RAM, 1, tag * 3);
	poke(b, RAM + 63 * b->page, 7, tag * 2);
	poke(b, RAM + 64 * b->page, 0, 0);
	poke(b, RAM + 300 * b->page, 8, tag);
	poke(b, SECOND, 0, tag);
	/* What was told before is told again in the end alone. */
	assert_int_equal(pass(b, false), 2);

	/* A mark comes before its write: what was taken too early is told once more in the end. */
	poke(b, RAM + 400 * b->page, 9, tag);
	assert_int_equal(pass(b, false), 1);
	memset(b->from.mem.banks[0].host + 400 * b->page, 10, b->page);
	assert_int_equal(pass(b, false), 0);
	assert_int_equal(pass(b, true), 10);
	same(b);
	ram_sender_progress(b->sender, &progress);
	assert_int_equal(progress.counts.zero_pages, 1);
	assert_int_equal(progress.remaining, 0);
	assert_int_equal(channel_send_empty(&b->from.ch, STREAM_LOADED, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(b->rc, 0);
	assert_int_equal(b->rounds, 5);
	close_both(b);
}

static void test_move(void **state)
{
	(void)state;
	move(true, SNAP_RAW);
}

static void test_move_compressed(void **state)
{
	(void)state;
	move(true, SNAP_ZSTD);
}

static void test_move_without_tags(void **state)
{
	(void)state;
	move(false, SNAP_RAW);
}

/* ---- several connections ---- */

#define MANY 3

struct more {
	struct both *b;
	struct channel from, to;
	struct ram_receiver *receiver;
	pthread_t thread;
	unsigned int pages, rounds;
	int rc;
};

static void *receive_more(void *arg)
{
	struct more *m = arg;
	struct err err = ERR_INIT;
	struct rbuf payload;
	uint32_t type;

	while (!m->rc) {
		m->rc = channel_receive_late(&m->to, &type, &payload, &err);
		if (m->rc || type == STREAM_LOADED)
			break;
		if (type == STREAM_PAGES) {
			m->rc = ram_receiver_pages(m->receiver, &payload, &err);
			__atomic_fetch_add(&m->pages, 1, __ATOMIC_RELAXED);
		} else {
			m->rc = channel_send_empty(&m->to, STREAM_SEEN, &err);
		}
	}
	return NULL;
}

static int entered(void *ctx, struct err *err)
{
	(void)err;
	__atomic_fetch_add((unsigned int *)ctx, 1, __ATOMIC_RELAXED);
	return 0;
}

static void left(void)
{
}

static void open_more(struct both *b, struct more more[MANY])
{
	struct err err = ERR_INIT;
	int ends[2];

	for (unsigned int i = 0; i < MANY; i++) {
		struct more *m = &more[i];

		memset(m, 0, sizeof(*m));
		m->b = b;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		assert_int_equal(channel_open(&m->from, ends[0], ends[0], &err), 0);
		assert_int_equal(channel_open(&m->to, ends[1], ends[1], &err), 0);
		assert_int_equal(channel_follow(&m->from, &b->from.ch, &err), 0);
		m->from.page_size = m->to.page_size = b->geometry.page_size;
		assert_int_equal(ram_sender_add(b->sender, &m->from, &err), 0);
		assert_int_equal(ram_receiver_open(&b->to.mem, &b->geometry, &m->receiver, &err),
				 0);
		assert_int_equal(pthread_create(&m->thread, NULL, receive_more, m), 0);
	}
}

/* All pages of a pass are in their places when each connection has said so: then the next one may begin. */
static void pass_more(struct both *b, struct more more[MANY], bool last)
{
	struct err err = ERR_INIT;
	struct rbuf in;
	uint32_t type;

	pass(b, last);
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(channel_send_empty(&more[i].from, STREAM_PAUSED, &err), 0);
		assert_int_equal(channel_receive(&more[i].from, &type, &in, &err), 0);
	}
	same(b);
}

static void test_several(void **state)
{
	struct both *b = open_both(true, SNAP_ZSTD);
	unsigned int threads = 0, used = 0;
	const struct ram_threads hooks = {.enter = entered, .leave = left, .ctx = &threads};
	struct ram_progress progress;
	struct err err = ERR_INIT;
	struct more more[MANY];
	pthread_t thread;

	(void)state;
	open_more(b, more);
	ram_sender_threads(b->sender, &hooks);
	assert_int_equal(pthread_create(&thread, NULL, receive, b), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		poke(b, RAM + i * b->page, (int)(i * 7 + 1), (int)i);
	pass_more(b, more, false);
	assert_int_equal(threads, MANY);
	/* The same pages once more: those of the second round are the ones that stay, whoever brings them. */
	for (unsigned int round = 0; round < 8; round++) {
		mem_log_stop(&b->from.mem);
		assert_int_equal(mem_log_start(&b->from.mem, &err), 0);
		for (uint64_t i = 0; i < PAGES; i++)
			poke(b, RAM + i * b->page, (int)(i + round * 3), (int)(i + round));
		pass_more(b, more, round == 7);
	}
	ram_sender_progress(b->sender, &progress);
	assert_int_equal(progress.remaining, 0);
	assert_true(progress.counts.pages > 8 * PAGES);
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(channel_send_empty(&more[i].from, STREAM_LOADED, &err), 0);
		pthread_join(more[i].thread, NULL);
		assert_int_equal(more[i].rc, 0);
		used += more[i].pages > 0;
		channel_close(&more[i].from);
		channel_close(&more[i].to);
		ram_receiver_close(more[i].receiver);
	}
	assert_true(used > 0);
	assert_int_equal(channel_send_empty(&b->from.ch, STREAM_LOADED, &err), 0);
	pthread_join(thread, NULL);
	close_both(b);
}

/* One line that is cut is the end of the pass; and who is cancelled waits on none of them. */
static void test_several_cut(void **state)
{
	struct both *b = open_both(true, SNAP_RAW);
	struct err err = ERR_INIT;
	struct more more[MANY];
	pthread_t thread;
	uint64_t bytes;
	int rc;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	open_more(b, more);
	assert_int_equal(pthread_create(&thread, NULL, receive, b), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		poke(b, RAM + i * b->page, (int)(i * 7 + 1), (int)i);
	for (unsigned int i = 0; i < MANY; i++) {
		channel_cancel(&more[i].to);
		pthread_join(more[i].thread, NULL);
		assert_int_equal(more[i].rc, -ECANCELED);
		channel_close(&more[i].to);
	}
	assert_int_equal(ram_sender_look(b->sender, false, &bytes, &err), 0);
	/* It may be that the first connection's thread has taken all there was before the others had begun. */
	do {
		rc = ram_sender_pass(b->sender, &err);
		mem_log_stop(&b->from.mem);
		assert_int_equal(mem_log_start(&b->from.mem, &err), 0);
		assert_int_equal(ram_sender_look(b->sender, false, &bytes, &err), 0);
	} while (!rc);
	assert_true(rc == -EPIPE || rc == -ECONNRESET);
	channel_cancel(&b->from.ch); /* the others follow */
	assert_int_equal(channel_send_empty(&more[0].from, STREAM_PAUSED, &err), -ECANCELED);
	for (unsigned int i = 0; i < MANY; i++) {
		channel_close(&more[i].from);
		ram_receiver_close(more[i].receiver);
	}
	channel_hang_up(&b->from.ch);
	pthread_join(thread, NULL);
	close_both(b);
}

/* What is malformed changes nothing. */
static void test_hostile(void **state)
{
	struct both *b = open_both(true, SNAP_RAW);
	struct stream_pages p = {.here = 1};
	struct stream_packer *packer;
	struct err err = ERR_INIT;
	uint64_t data, tags;
	uint8_t *page = calloc(1, b->page), *sets = calloc(1, b->page / 32);
	const void *list[STREAM_CHUNK_PAGES] = {page};
	struct wbuf out;

	(void)state;
	assert_non_null(page);
	assert_non_null(sets);
	memset(page, 7, b->page);
	for (unsigned int i = 0; i < b->page / 32; i++)
		sets[i] = (uint8_t)(i * 5);
	wbuf_init(&out, 1 << 20);
	assert_int_equal(stream_packer_init(&packer, b->geometry.page_size, SNAP_RAW, &err), 0);
	stream_pages_encode(packer, &out, &p, list, sets, &data, &tags);
	for (size_t n = 0; n < out.len; n++) {
		struct rbuf in;

		rbuf_init(&in, out.data, n);
		assert_int_equal(ram_receiver_pages(b->receiver, &in, &err), -EBADMSG);
	}
	assert_int_equal(present(&b->to.mem), 0);
	stream_packer_release(packer);
	wbuf_release(&out);
	free(page);
	free(sets);
	close_both(b);
}

static void test_geometry(void **state)
{
	struct both *b = open_both(true, SNAP_RAW);
	struct snap_info g = b->geometry;
	struct err err = ERR_INIT;

	(void)state;
	g.bank[1].gpa += b->page;
	assert_int_equal(ram_geometry_check(&b->to.mem, &g, &err), -EBADMSG);
	g = b->geometry;
	g.bank[0].name[0] = 'x';
	assert_int_equal(ram_geometry_check(&b->to.mem, &g, &err), -EBADMSG);
	g = b->geometry;
	g.nbanks = 1;
	assert_int_equal(ram_geometry_check(&b->to.mem, &g, &err), -EBADMSG);
	g = b->geometry;
	g.tags = false;
	assert_int_equal(ram_geometry_check(&b->to.mem, &g, &err), -EBADMSG);
	g = b->geometry;
	g.page_size *= 4;
	assert_int_equal(ram_geometry_check(&b->to.mem, &g, &err), -EOPNOTSUPP);
	close_both(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_compressed),
		cmocka_unit_test(test_move_without_tags),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_several_cut),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_geometry),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
