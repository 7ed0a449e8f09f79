/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for the reader of snapshot files: opens the input and reads all there is. Checksums would keep nearly
 * every changed input out, so that the mutator signs most of them again; inputs are files as they are, and the
 * corpus loads with `lkvm snapshot info` too.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/state/snap-resign.h"
#include "state/snapfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define MOST_CHUNKS 8 /* of a bank; the corpus has less */
#define MOST_PAGE   65536

struct buffers {
	uint8_t data[SNAP_CHUNK_PAGES * MOST_PAGE];
	uint8_t tags[SNAP_CHUNK_PAGES * MOST_PAGE / 32];
};

static void must(bool what)
{
	if (!what)
		abort();
}

static void read_chunk(struct snap_reader *r, uint32_t bank, uint64_t chunk, struct buffers *b)
{
	const struct snap_info *info = snap_reader_info(r);
	void *pages[SNAP_CHUNK_PAGES];
	struct err err = ERR_INIT;
	uint64_t here, absent;
	int rc;

	snap_reader_look(r, bank, chunk, &here, &absent);
	must(!(here & absent));
	if (here | absent) {
		uint64_t last =
			chunk * SNAP_CHUNK_PAGES + 63 - (uint64_t)__builtin_clzll(here | absent);

		must(bank < info->nbanks && last < info->bank[bank].size / info->page_size);
	}
	/* Some next to each other, some not, some not wanted. */
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++)
		pages[i] = chunk % 2 && i % 3 == 2 ? NULL : b->data + (size_t)i * info->page_size;
	rc = snap_reader_chunk(r, bank, chunk, pages, b->tags, &err);
	must(!rc || (rc < 0 && err.msg[0]));
	must(!rc || here);
}

static void read_all(struct snap_reader *r, size_t size, struct buffers *b)
{
	const struct snap_info *info = snap_reader_info(r);
	struct err err = ERR_INIT;
	struct wbuf out;
	int rc;

	must(info->file_size == size && info->nbanks && info->nbanks <= SNAP_MAX_BANKS);
	must(info->page_size <= MOST_PAGE);
	wbuf_init(&out, SNAP_MAX_STATE);
	rc = snap_reader_compat(r, &out, &err);
	must(!rc || err.msg[0]);
	rc = snap_reader_state(r, &out, &err);
	must(!rc || err.msg[0]);
	must(out.len < size);
	wbuf_release(&out);
	for (uint32_t bank = 0; bank < info->nbanks + 1; bank++)
		for (uint64_t chunk = 0; chunk < MOST_CHUNKS; chunk++)
			read_chunk(r, bank, chunk, b);
	read_chunk(r, UINT32_MAX, UINT64_MAX, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	static struct buffers b; /* four MiB anew for each input would take longer than the rest */
	struct err err = ERR_INIT;
	struct snap_reader *r;

	must(fd >= 0);
	must(write(fd, data, size) == (ssize_t)size);
	if (!snap_reader_open(fd, "input", &r, &err)) {
		read_all(r, size, &b);
		snap_reader_close(r);
	} else {
		must(err.msg[0]);
	}
	close(fd);
	return 0;
}

/* A number where it counts: an offset or length in the header or the index. */
static void change_number(uint8_t *data, size_t size, unsigned int seed)
{
	static const uint64_t values[] = {0,	      1,	 63,	    64,		4095,
					  4096,	      65536,	 1 << 20,   1ull << 26, 1ull << 32,
					  1ull << 60, INT64_MAX, UINT64_MAX};
	uint64_t index = get_le(data + AT_INDEX, 8), at = 8 + seed / 64 % 48 * 4;
	unsigned int width = seed & 32 ? 8 : 4;
	uint64_t v;

	if (seed & 8 && index < size)
		at = index + seed / 64 % 64 * 4;
	if (!inside(at, width, size))
		return;
	v = get_le(data + at, width);
	if (seed & 16)
		v += (uint64_t)(int)(seed >> 20 & 7) - 3;
	else
		v = values[(seed >> 20) % (sizeof(values) / sizeof(values[0]))];
	set_le(data + at, width, v);
}

/* The entry of the index that @seed picks, or NULL; @n: how many there are. */
static uint8_t *pick_entry(uint8_t *data, size_t size, unsigned int seed, uint64_t *n)
{
	uint64_t index = get_le(data + AT_INDEX, 8);

	*n = get_le(data + AT_INDEX + 8, 8);
	if (!*n || *n > size / SNAP_ENTRY || !inside(index, *n * SNAP_ENTRY, size))
		return NULL;
	return data + index + seed / 16 % *n * SNAP_ENTRY;
}

/* Within the data or tags of a chunk, which stay as long as they are. */
static void change_chunk(uint8_t *data, size_t size, unsigned int seed)
{
	uint64_t n, off, len;
	uint8_t *e = pick_entry(data, size, seed, &n);

	if (!e)
		return;
	off = get_le(e + (seed & 8 ? AT_TAG_OFF : AT_DATA_OFF), 8);
	len = get_le(e + (seed & 8 ? AT_TAG_LEN : AT_DATA_LEN), 4);
	if (len && inside(off, len, size))
		(void)LLVMFuzzerMutate(data + off, len, len);
}

/* Data or tags of a chunk become longer or shorter; all that follows moves, and every offset agrees. */
static size_t resize_chunk(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	static const unsigned int steps[] = {1, 2, 8, 128, 129, 1000, 4096, 16384};
	uint64_t n, off, len, index, step = steps[seed / 512 % 8];
	uint8_t *e = pick_entry(data, size, seed, &n);
	uint8_t *at_len;

	if (!e)
		return size;
	off = get_le(e + (seed & 8 ? AT_TAG_OFF : AT_DATA_OFF), 8);
	at_len = e + (seed & 8 ? AT_TAG_LEN : AT_DATA_LEN);
	len = get_le(at_len, 4);
	index = get_le(data + AT_INDEX, 8);
	if (!len || !inside(off, len, index))
		return size;
	if (seed & 4096) {
		step = len < step ? len : step;
		set_le(at_len, 4, len - step);
		step = -step;
	} else {
		if (step > max_size - size)
			return size;
		set_le(at_len, 4, len + step);
	}
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *x = data + index + i * SNAP_ENTRY;

		for (unsigned int at = AT_DATA_OFF; at <= AT_TAG_OFF; at += 8)
			if (get_le(x + at, 8) >= off + len)
				set_le(x + at, 8, get_le(x + at, 8) + step);
	}
	for (unsigned int i = 0; i < 3; i++) {
		static const unsigned int sums[] = {AT_FILE_SIZE, AT_RAM + 8, AT_INDEX};

		set_le(data + sums[i], 8, get_le(data + sums[i], 8) + step);
	}
	n = seed & 8 ? AT_TAG_BYTES : AT_DATA_BYTES;
	set_le(data + n, 8, get_le(data + n, 8) + step);
	off += len;
	len = off + step; /* where what follows comes to lie */
	memmove(data + len, data + off, size - off);
	return size + step;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned int what = seed % 8;

	if (size < SNAP_HEADER || what < 2)
		size = LLVMFuzzerMutate(data, size, max_size);
	else if (what < 4)
		change_number(data, size, seed);
	else if (what < 6)
		change_chunk(data, size, seed);
	else
		size = resize_chunk(data, size, max_size, seed);
	if (seed >> 28 != 7)
		resign(data, size);
	return size;
}
