/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading from a snapshot file that is open. A checksum is computed over the very bytes that are handed out. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "state/checksum.h"
#include "state/snapfile-layout.h"
#include "util/io.h"

/* What one call of snap_reader_chunk() needs; kept for the next call. Buffers come with their first use. */
struct snap_read_work {
	struct snap_read_work *next;
	ZSTD_DCtx *zstd;
	uint8_t *packed, *unpacked; /* a chunk's size each */
	uint8_t *tags;		    /* encoded */
};

static void work_free(struct snap_read_work *work)
{
	ZSTD_freeDCtx(work->zstd);
	free(work->packed);
	free(work->unpacked);
	free(work->tags);
	free(work);
}

void snap_reader_close(struct snap_reader *r)
{
	if (!r)
		return;
	while (r->idle) {
		struct snap_read_work *work = r->idle;

		r->idle = work->next;
		work_free(work);
	}
	pthread_mutex_destroy(&r->lock);
	free(r->entry);
	free(r->name);
	free(r);
}

const struct snap_info *snap_reader_info(const struct snap_reader *r)
{
	return &r->l.info;
}

static int read_section(struct snap_reader *r, bool compat, struct wbuf *out, struct err *err)
{
	uint64_t off = compat ? SNAP_HEADER : snap_state_off(&r->l);
	size_t len = (size_t)(compat ? r->l.compat_len : r->l.state_len), start = out->len;
	const char *what = compat ? "compat section" : "state section";
	uint8_t *bytes = malloc(len ? len : 1);
	int rc;

	if (!bytes)
		return err_sys(err, -ENOMEM, "%s: %s", r->name, what);
	rc = snap_read(r, bytes, len, off, what, err);
	if (!rc) {
		rc = snap_records_check(bytes, len, compat, err);
		if (rc)
			err_prefix(err, "%s, which starts at offset %" PRIu64, what, off);
	}
	if (!rc) {
		wbuf_bytes(out, bytes, len);
		rc = out->error;
		if (rc) {
			out->len = start;
			err_sys(err, rc, "%s", what);
		}
	}
	free(bytes);
	if (rc)
		err_prefix(err, "%s", r->name);
	return rc;
}

int snap_reader_compat(struct snap_reader *r, struct wbuf *out, struct err *err)
{
	return read_section(r, true, out, err);
}

int snap_reader_state(struct snap_reader *r, struct wbuf *out, struct err *err)
{
	return read_section(r, false, out, err);
}

static const struct snap_entry *find(const struct snap_reader *r, uint32_t bank, uint64_t chunk)
{
	struct snap_entry key = {.bank = (uint16_t)bank, .chunk = (uint32_t)chunk};

	if (!r->nentries || bank > UINT16_MAX || chunk > UINT32_MAX)
		return NULL;
	return bsearch(&key, r->entry, r->nentries, sizeof(key), snap_entry_compare);
}

void snap_reader_look(const struct snap_reader *r, uint32_t bank, uint64_t chunk, uint64_t *here,
		      uint64_t *absent)
{
	const struct snap_entry *e = find(r, bank, chunk);

	*here = e ? e->here : 0;
	if (e)
		*absent = e->absent;
	else
		*absent =
			snap_has_parent(&r->l.info) ? 0 : snap_chunk_mask(&r->l.info, bank, chunk);
}

bool snap_reader_next(const struct snap_reader *r, uint32_t bank, uint64_t from, uint64_t *chunk)
{
	struct snap_entry key = {.bank = (uint16_t)bank, .chunk = (uint32_t)from};
	size_t low = 0, high = r->nentries;

	if (bank > UINT16_MAX || from > UINT32_MAX)
		return false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (snap_entry_compare(&r->entry[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low < r->nentries && r->entry[low].bank == bank && !r->entry[low].here)
		low++;
	if (low == r->nentries || r->entry[low].bank != bank)
		return false;
	*chunk = r->entry[low].chunk;
	return true;
}

static struct snap_read_work *work_get(struct snap_reader *r)
{
	struct snap_read_work *work;

	pthread_mutex_lock(&r->lock);
	work = r->idle;
	if (work)
		r->idle = work->next;
	pthread_mutex_unlock(&r->lock);
	return work ? work : calloc(1, sizeof(*work));
}

static void work_put(struct snap_reader *r, struct snap_read_work *work)
{
	pthread_mutex_lock(&r->lock);
	work->next = r->idle;
	r->idle = work;
	pthread_mutex_unlock(&r->lock);
}

/* A buffer for @page bytes from each page of a chunk: what is put there has been found to fit. */
static uint8_t *room(uint8_t **buf, size_t page, struct err *err)
{
	if (!*buf)
		*buf = malloc(SNAP_CHUNK_PAGES * page);
	if (!*buf)
		err_sys(err, -ENOMEM, "buffer for a chunk");
	return *buf;
}

static int bad_sum(const char *what, uint64_t off, struct err *err)
{
	return err_set(err, -EBADMSG, "%s at offset %" PRIu64 ": the checksum is wrong", what, off);
}

static int read_pieces(const struct snap_reader *r, const struct iovec *pieces, int n, uint64_t off,
		       struct err *err)
{
	struct iovec iov[SNAP_CHUNK_PAGES];
	int rc;

	memcpy(iov, pieces, (size_t)n * sizeof(*iov));
	rc = io_preadv_full(r->fd, iov, n, &off);
	if (rc == -ENODATA)
		return err_set(err, -EBADMSG, "data: the file ends at offset %" PRIu64, off);
	return rc ? err_sys(err, rc, "cannot read data at offset %" PRIu64, off) : 0;
}

/* Straight into the caller's pages; pages that are not wanted go to a buffer, for the checksum needs them too. */
static int read_raw(const struct snap_reader *r, const struct snap_entry *e, void *const *pages,
		    unsigned int npages, struct snap_read_work *work, struct err *err)
{
	size_t size = r->l.info.page_size;
	struct iovec iov[SNAP_CHUNK_PAGES];
	struct checksum sum;
	int last = -1, rc;

	for (unsigned int i = 0; i < npages; i++) {
		char *page = pages[i];

		if (!page) {
			if (!room(&work->unpacked, size, err))
				return -ENOMEM;
			page = (char *)work->unpacked + i * size;
		}
		if (last >= 0 && page == (char *)iov[last].iov_base + iov[last].iov_len)
			iov[last].iov_len += size;
		else
			iov[++last] = (struct iovec){.iov_base = page, .iov_len = size};
	}
	rc = read_pieces(r, iov, last + 1, e->data_off, err);
	if (rc)
		return rc;
	checksum_init(&sum);
	for (int i = 0; i <= last; i++)
		checksum_add(&sum, iov[i].iov_base, iov[i].iov_len);
	return checksum_end(&sum) == e->data_sum ? 0 : bad_sum("data", e->data_off, err);
}

static int read_zstd(const struct snap_reader *r, const struct snap_entry *e, void *const *pages,
		     unsigned int npages, struct snap_read_work *work, struct err *err)
{
	size_t size = r->l.info.page_size, len = npages * size, got;
	bool straight = pages[0] != NULL;
	uint8_t *to = pages[0];
	int rc;

	if (!work->zstd)
		work->zstd = ZSTD_createDCtx();
	if (!work->zstd)
		return err_sys(err, -ENOMEM, "zstd");
	if (!room(&work->packed, size, err))
		return -ENOMEM;
	rc = snap_read(r, work->packed, e->data_len, e->data_off, "data", err);
	if (rc)
		return rc;
	if (checksum(work->packed, e->data_len) != e->data_sum)
		return bad_sum("data", e->data_off, err);

	for (unsigned int i = 1; straight && i < npages; i++)
		straight = pages[i] == (uint8_t *)pages[0] + i * size;
	if (!straight) {
		to = room(&work->unpacked, size, err);
		if (!to)
			return -ENOMEM;
	}
	/* One frame, and nothing that follows it. */
	got = ZSTD_findFrameCompressedSize(work->packed, e->data_len);
	if (!ZSTD_isError(got) && got == e->data_len)
		got = ZSTD_decompressDCtx(work->zstd, to, len, work->packed, e->data_len);
	else
		got = 0;
	if (ZSTD_isError(got) || got != len)
		return err_set(err, -EBADMSG,
			       "data at offset %" PRIu64
			       ": not one zstd frame of %u pages, though the checksum is right",
			       e->data_off, npages);
	for (unsigned int i = 0; !straight && i < npages; i++)
		if (pages[i])
			memcpy(pages[i], to + i * size, size);
	return 0;
}

static int read_tags(const struct snap_reader *r, const struct snap_entry *e, uint8_t *tags,
		     unsigned int npages, struct snap_read_work *work, struct err *err)
{
	size_t page = r->l.info.page_size;
	struct tag_shape shape;
	struct rbuf in;
	int rc;

	if (!room(&work->tags, tagcode_packed_size(page) + 1, err))
		return -ENOMEM;
	rc = snap_read(r, work->tags, e->tag_len, e->tag_off, "tags", err);
	if (rc)
		return rc;
	if (checksum(work->tags, e->tag_len) != e->tag_sum)
		return bad_sum("tags", e->tag_off, err);

	rbuf_init(&in, work->tags, e->tag_len);
	if (tagcode_decode_alike(&in, page, npages, tags))
		return 0;
	for (unsigned int i = 0; i < npages; i++, tags += tagcode_packed_size(page)) {
		rc = tagcode_decode(&in, page, &shape, tags, err);
		if (rc) {
			err_prefix(err, "page %u of the chunk, at offset %" PRIu64, i,
				   e->tag_off + in.pos);
			return rc;
		}
		tagcode_expand(&shape, page, tags);
	}
	if (rbuf_left(&in))
		return err_set(err, -EBADMSG,
			       "tags at offset %" PRIu64 ": %zu bytes are left over after %u pages",
			       e->tag_off, rbuf_left(&in), npages);
	return 0;
}

int snap_reader_chunk(struct snap_reader *r, uint32_t bank, uint64_t chunk, void *const *pages,
		      uint8_t *tags, struct err *err)
{
	const struct snap_entry *e = find(r, bank, chunk);
	struct snap_read_work *work;
	unsigned int n;
	int rc = 0;

	if (!e || !e->here)
		return 0;
	work = work_get(r);
	if (!work)
		return err_sys(err, -ENOMEM, "%s", r->name);
	n = (unsigned int)__builtin_popcountll(e->here);
	if (pages && e->codec == SNAP_RAW)
		rc = read_raw(r, e, pages, n, work, err);
	else if (pages)
		rc = read_zstd(r, e, pages, n, work, err);
	if (!rc && tags && r->l.info.tags)
		rc = read_tags(r, e, tags, n, work, err);
	if (rc)
		err_prefix(err, "%s: bank %s, chunk at guest address 0x%" PRIx64, r->name,
			   r->l.info.bank[bank].name, snap_chunk_gpa(&r->l.info, bank, chunk));
	work_put(r, work);
	return rc;
}
