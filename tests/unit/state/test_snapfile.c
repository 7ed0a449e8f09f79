/* SPDX-License-Identifier: GPL-2.0-only */
/* What goes into a snapshot file comes out of it, now and from files written long ago. */
#include "snap-sample.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#define GOLDEN "tests/unit/state/golden"

static const struct sample samples[] = {
	{"raw-4k", 4096, false, SNAP_RAW, false},
	{"raw-tags-4k", 4096, true, SNAP_RAW, false},
	{"raw-tags-4k-child", 4096, true, SNAP_RAW, true},
	{"zstd-4k", 4096, false, SNAP_ZSTD, false},
	{"zstd-tags-4k", 4096, true, SNAP_ZSTD, false},
	{"zstd-tags-4k-child", 4096, true, SNAP_ZSTD, true},
	{"raw-tags-16k", 16384, true, SNAP_RAW, false},
	{"zstd-tags-16k", 16384, true, SNAP_ZSTD, false},
	{"raw-tags-64k", 65536, true, SNAP_RAW, false},
	{"zstd-tags-64k-child", 65536, true, SNAP_ZSTD, true},
};

#define NSAMPLES (sizeof(samples) / sizeof(samples[0]))

static void round_trips(void **state)
{
	(void)state;
	for (size_t i = 0; i < NSAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct err err = ERR_INIT;
		struct snap_info info;
		struct stat st;
		int fd = new_file();

		if (sample_write(fd, s, &info, &err) || sample_check(fd, s, &err))
			fail_msg("%s: %s", s->name, err.msg);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(info.file_size, st.st_size);
		assert_int_equal(info.chunks, 2);
		if (s->codec == SNAP_RAW)
			assert_int_equal(info.data_bytes, 5 * s->page_size);
		else
			assert_in_range(info.data_bytes, 3 * s->page_size, 4 * s->page_size);
		assert_true(info.tag_bytes ? s->tags : !s->tags);
		close(fd);
	}
}

/* ---- files of this version, kept for ever ---- */

static const char *const golden[] = {"raw-4k", "raw-tags-4k", "raw-tags-4k-child", "zstd-tags-4k",
				     "zstd-tags-16k"};

static const struct sample *sample_named(const char *name)
{
	for (size_t i = 0; i < NSAMPLES; i++)
		if (!strcmp(samples[i].name, name))
			return &samples[i];
	return NULL;
}

static void golden_files_load(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		const struct sample *s = sample_named(golden[i]);
		struct err err = ERR_INIT;
		char path[128];
		int fd;

		assert_non_null(s);
		(void)snprintf(path, sizeof(path), GOLDEN "/v1-%s.snap", s->name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fail_msg("%s is missing", path);
		if (sample_check(fd, s, &err))
			fail_msg("%s: %s", path, err.msg);
		close(fd);
	}
}

/* "test_snapfile --golden FOLDER": once for each version of the format, and then never again. */
static int write_golden(const char *folder)
{
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct err err = ERR_INIT;
		char path[256];
		int fd;

		(void)snprintf(path, sizeof(path), "%s/v%d-%s.snap", folder, SNAP_VERSION,
			       golden[i]);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0) {
			perror(path);
			return 1;
		}
		if (sample_write(fd, sample_named(golden[i]), NULL, &err)) {
			(void)fprintf(stderr, "%s: %s\n", path, err.msg);
			return 1;
		}
		close(fd);
	}
	return 0;
}

/* The writer may change what it compresses to, but not what it writes else. */
static void same_bytes_as_golden(void **state)
{
	static const char *const raw[] = {"raw-4k", "raw-tags-4k", "raw-tags-4k-child"};

	(void)state;
	for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
		char path[128], a[4096], b[4096];
		int old, new = sample_file(sample_named(raw[i]));
		ssize_t n;

		(void)snprintf(path, sizeof(path), GOLDEN "/v1-%s.snap", raw[i]);
		old = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(old >= 0);
		assert_int_equal(lseek(new, 0, SEEK_SET), 0);
		do {
			n = read(old, a, sizeof(a));
			assert_int_equal(read(new, b, sizeof(b)), n);
			if (n > 0)
				assert_memory_equal(a, b, n);
		} while (n > 0);
		assert_int_equal(n, 0);
		close(old);
		close(new);
	}
}

/* ---- many chunks, many threads ---- */

#define BIG_CHUNKS 96 /* their packed tags fill three blocks of tags */
#define THREADS	   4

struct big {
	struct snap_writer *w;
	struct snap_reader *r;
	uint32_t first, threads;
	struct sample s;
	struct snap_info info;
};

static uint32_t big_seed(uint64_t chunk, unsigned int page)
{
	return (uint32_t)(chunk * 64 + page + 1);
}

/* Of three chunks, one compresses well, one does a little, one not at all. */
static void big_page(uint64_t chunk, unsigned int page, uint8_t *data)
{
	unsigned int step = chunk % 3 == 2 ? 1 : 4;
	uint32_t x = big_seed(chunk, page);

	for (unsigned int i = 0; i < 4096; i += step) {
		x = x * 1664525 + 1013904223;
		memset(data + i, chunk % 3 ? (int)(x >> 24) : (int)page, step);
	}
}

static void big_tags(uint64_t chunk, unsigned int page, uint8_t *tags)
{
	uint32_t x = big_seed(chunk, page);

	for (unsigned int i = 0; i < 128; i++) {
		x = x * 1664525 + 1013904223;
		tags[i] = page % 8 ? (uint8_t)(x >> 24) : (uint8_t)(0x11 * (chunk % 16));
	}
}

static uint64_t big_here(uint64_t chunk)
{
	return chunk % 7 == 3 ? 0xf0f0 : UINT64_MAX;
}

static void *big_write(void *arg)
{
	struct big *b = arg;
	uint8_t *data = malloc(64 * 4096), *tags = malloc(64 * 128);

	for (uint64_t i = b->first; data && tags && i < BIG_CHUNKS; i += b->threads) {
		/* From the last on, so that nothing is in order. */
		uint64_t chunk = BIG_CHUNKS - 1 - i, here = big_here(chunk);
		const void *pages[64];
		unsigned int n = 0;

		for (unsigned int p = 0; p < 64; p++) {
			if (!(here >> p & 1))
				continue;
			pages[n] = data + p * 4096;
			big_page(chunk, p, data + p * 4096);
			big_tags(chunk, p, tags + n * 128);
			n++;
		}
		if (snap_writer_chunk(b->w, 0, chunk, here, ~here, pages, tags, NULL))
			break;
	}
	free(data);
	free(tags);
	return NULL;
}

/* NULL if all is well. Asserting is for the main thread alone. */
static void *big_read(void *arg)
{
	struct big *b = arg;
	uint8_t *data = malloc(64 * 4096), *tags = malloc(64 * 128), want[4096];
	void *bad = NULL;

	for (uint64_t chunk = b->first; data && tags && chunk < BIG_CHUNKS; chunk += b->threads) {
		uint64_t here, absent;
		void *pages[64];
		unsigned int n = 0;

		snap_reader_look(b->r, 0, chunk, &here, &absent);
		if (here != big_here(chunk) || absent != ~here)
			bad = b;
		/* Each fourth one is not wanted. */
		for (unsigned int p = 0; p < 64; p++)
			if (here >> p & 1)
				pages[n++] = p % 4 == 1 ? NULL : data + p * 4096;
		if (snap_reader_chunk(b->r, 0, chunk, pages, chunk % 5 ? tags : NULL, NULL))
			bad = b;
		n = 0;
		for (unsigned int p = 0; p < 64; p++) {
			if (!(here >> p & 1))
				continue;
			big_page(chunk, p, want);
			if (pages[n] && memcmp(pages[n], want, 4096))
				bad = b;
			big_tags(chunk, p, want);
			if (chunk % 5 && memcmp(tags + n * 128, want, 128))
				bad = b;
			n++;
		}
		/* Tags alone. */
		if (snap_reader_chunk(b->r, 0, chunk, NULL, tags, NULL) ||
		    memcmp(tags + (n - 1) * 128, want, 128))
			bad = b;
	}
	if (!data || !tags)
		bad = b;
	free(data);
	free(tags);
	return bad;
}

static void in_threads(struct big *b, unsigned int n, void *(*fn)(void *arg))
{
	struct big each[THREADS];
	pthread_t thread[THREADS];
	void *bad;

	for (unsigned int i = 0; i < n; i++) {
		each[i] = *b;
		each[i].first = i;
		each[i].threads = n;
		assert_int_equal(pthread_create(&thread[i], NULL, fn, &each[i]), 0);
	}
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(pthread_join(thread[i], &bad), 0);
		assert_null(bad);
	}
}

static void several_threads(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct big b = {.s = {"big", 4096, true, i & 1 ? SNAP_ZSTD : SNAP_RAW, false}};
		unsigned int threads = i & 2 ? THREADS : 1;
		struct wbuf compat, records;
		struct err err = ERR_INIT;
		int fd = new_file();

		sample_info(&b.s, &b.info);
		b.info.nbanks = 1;
		b.info.bank[0].size = BIG_CHUNKS * 64ull * 4096;
		sample_records(&compat, &records);
		assert_int_equal(snap_writer_open(fd, &b.info, b.s.codec, 1, &b.w, &err), 0);
		assert_int_equal(snap_writer_compat(b.w, &compat, &err), 0);
		assert_int_equal(snap_writer_state(b.w, &records, &err), 0);
		in_threads(&b, threads, big_write);
		if (snap_writer_finish(b.w, &b.info, &err))
			fail_msg("%s", err.msg);
		snap_writer_close(b.w);
		assert_int_equal(b.info.chunks, BIG_CHUNKS);
		assert_in_range(b.info.tag_bytes, 2 * (256 << 10) + 1, 3 * (256 << 10));
		/* What alignment costs beside the tags: less than a page for each block of them. */
		if (b.s.codec == SNAP_ZSTD)
			assert_in_range(b.info.data_bytes, 29 << 18, 64 << 18);
		else
			assert_in_range(b.info.file_size - b.info.data_bytes - b.info.tag_bytes, 0,
					4096 + 4096 + BIG_CHUNKS * 64 + 3 * 4096);

		if (snap_reader_open(fd, "big", &b.r, &err))
			fail_msg("%s", err.msg);
		in_threads(&b, threads, big_read);
		snap_reader_close(b.r);
		wbuf_release(&compat);
		wbuf_release(&records);
		close(fd);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(round_trips),
	cmocka_unit_test(golden_files_load),
	cmocka_unit_test(same_bytes_as_golden),
	cmocka_unit_test(several_threads),
};

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--golden"))
		return write_golden(argv[2]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
