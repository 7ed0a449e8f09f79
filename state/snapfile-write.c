/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A chunk's place in the file is reserved under the lock and written without it: threads wait for each other only while
 * a number is added up. Encoded tags are few bytes, and data is to start on a page: tags are gathered into blocks, which
 * are written when full, so that the gap before the next data is seldom.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "state/checksum.h"
#include "state/snapfile-layout.h"
#include "util/io.h"

#define TAG_BLOCK (256u << 10)

/* The tags of any one chunk fit into a block. */
_Static_assert(SNAP_CHUNK_PAGES *TAGCODE_BYTES_MAX <= TAG_BLOCK, "size of a block of tags");

/* What one call of snap_writer_chunk() needs; kept for the next call. */
struct work {
	struct work *next;
	ZSTD_CCtx *zstd;
	uint8_t *gathered, *packed; /* a chunk's size each; for SNAP_ZSTD */
	struct wbuf tags;
};

struct snap_writer {
	int fd;
	enum snap_codec codec;
	int level;

	pthread_mutex_t lock; /* over all below */
	struct snap_layout l;
	bool finished;
	int error;     /* the first one: there will be no header */
	uint64_t next; /* first offset that nothing is reserved at */
	struct work *idle;

	struct snap_entry *entry; /* tag_off: number of the block << 32, place in it */
	size_t nentries, max_entries;

	struct wbuf tags; /* the block that is being filled */
	uint64_t *block;  /* offsets of those that are written */
	size_t nblocks, max_blocks;
};

static int write_all(int fd, struct iovec *iov, int n, uint64_t off, struct err *err)
{
	int rc = io_pwritev_full(fd, iov, n, &off);

	return rc ? err_sys(err, rc, "cannot write the snapshot file at offset %" PRIu64, off) : 0;
}

static int write_bytes(int fd, const void *data, size_t len, uint64_t off, struct err *err)
{
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};

	return write_all(fd, &iov, 1, off, err);
}

/* Room for one more in an array that doubles. */
static int grow(void *array, size_t n, size_t *max, size_t size, struct err *err)
{
	void **a = array, *bigger;

	if (n < *max)
		return 0;
	bigger = reallocarray(*a, *max ? *max * 2 : 64, size);
	if (!bigger)
		return err_sys(err, -ENOMEM, "index of the snapshot file");
	*a = bigger;
	*max = *max ? *max * 2 : 64;
	return 0;
}

int snap_writer_open(int fd, const struct snap_info *info, enum snap_codec codec, int level,
		     struct snap_writer **out, struct err *err)
{
	struct snap_writer *w;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "snapshot file");
	if (st.st_size)
		return err_set(err, -EINVAL, "the snapshot file to write to is not empty");
	if (codec == SNAP_ZSTD && (level < 1 || level > ZSTD_maxCLevel()))
		return err_set(err, -EINVAL, "zstd has levels 1 to %d, and no %d", ZSTD_maxCLevel(),
			       level);
	rc = snap_info_check(info, err);
	if (rc) {
		err_prefix(err, "snapshot to write");
		return rc == -EBADMSG ? -EINVAL : rc;
	}

	w = calloc(1, sizeof(*w));
	if (!w)
		return err_sys(err, -ENOMEM, "snapshot file");
	w->fd = fd;
	w->codec = codec;
	w->level = level;
	pthread_mutex_init(&w->lock, NULL);
	w->l.packed = codec != SNAP_RAW;
	w->l.info = *info;
	w->l.info.version = SNAP_VERSION;
	w->next = SNAP_HEADER;
	wbuf_init(&w->tags, TAG_BLOCK);
	*out = w;
	return 0;
}

static int fail(struct snap_writer *w, int rc)
{
	pthread_mutex_lock(&w->lock);
	if (!w->error)
		w->error = rc;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* The compat and the state section, whose records are looked over: a file that cannot be read back is none. */
static int write_section(struct snap_writer *w, const struct wbuf *in, bool compat, uint64_t most,
			 struct err *err)
{
	const char *name = compat ? "compat" : "state";
	int rc = in->error;

	if (rc)
		err_sys(err, rc, "%s records", name);
	else if (in->len > most)
		rc = err_set(err, -E2BIG, "%s records of %zu bytes, where %" PRIu64 " can be", name,
			     in->len, most);
	else if (w->error || w->finished || w->next != SNAP_HEADER + w->l.compat_len ||
		 (w->l.compat_len != 0) == compat)
		rc = err_set(err, -EINVAL, "%s records come once, compat, state and RAM in order",
			     name);
	else
		rc = snap_records_check(in->data, in->len, compat, err);
	if (!rc)
		rc = write_bytes(w->fd, in->data, in->len, w->next, err);
	if (rc)
		return fail(w, rc);
	*(compat ? &w->l.compat_len : &w->l.state_len) = in->len;
	w->next += in->len;
	return 0;
}

int snap_writer_compat(struct snap_writer *w, const struct wbuf *compat, struct err *err)
{
	return write_section(w, compat, true, SNAP_MAX_COMPAT, err);
}

int snap_writer_state(struct snap_writer *w, const struct wbuf *state, struct err *err)
{
	return write_section(w, state, false, SNAP_MAX_STATE, err);
}

static void work_free(struct work *work)
{
	ZSTD_freeCCtx(work->zstd);
	free(work->gathered);
	free(work->packed);
	wbuf_release(&work->tags);
	free(work);
}

static struct work *work_get(struct snap_writer *w, struct err *err)
{
	size_t chunk = (size_t)SNAP_CHUNK_PAGES * w->l.info.page_size;
	struct work *work;

	pthread_mutex_lock(&w->lock);
	work = w->idle;
	if (work)
		w->idle = work->next;
	pthread_mutex_unlock(&w->lock);
	if (work)
		return work;

	work = calloc(1, sizeof(*work));
	if (!work)
		goto no_memory;
	wbuf_init(&work->tags, TAG_BLOCK);
	if (w->codec == SNAP_ZSTD) {
		work->zstd = ZSTD_createCCtx();
		work->gathered = malloc(chunk);
		work->packed = malloc(chunk);
		if (!work->zstd || !work->gathered || !work->packed)
			goto no_memory;
		ZSTD_CCtx_setParameter(work->zstd, ZSTD_c_compressionLevel, w->level);
	}
	return work;

no_memory:
	if (work)
		work_free(work);
	err_sys(err, -ENOMEM, "writing the snapshot file");
	return NULL;
}

static void work_put(struct snap_writer *w, struct work *work)
{
	pthread_mutex_lock(&w->lock);
	work->next = w->idle;
	w->idle = work;
	pthread_mutex_unlock(&w->lock);
}

/* Pages that lie one after the other in memory become one piece: fewer for the kernel to look at. */
static int pieces(const struct snap_writer *w, const void *const *pages, unsigned int n,
		  struct iovec *iov)
{
	size_t size = w->l.info.page_size;
	int last = -1;

	for (unsigned int i = 0; i < n; i++) {
		char *page = (char *)pages[i];

		if (last >= 0 && page == (char *)iov[last].iov_base + iov[last].iov_len)
			iov[last].iov_len += size;
		else
			iov[++last] = (struct iovec){.iov_base = page, .iov_len = size};
	}
	return last + 1;
}

/* Compressed into work->packed. False if it would not become smaller. */
static int compress(const struct work *work, const struct iovec *iov, int n, size_t len,
		    size_t *packed_len, struct err *err)
{
	const void *from = iov->iov_base;
	size_t done = 0;

	if (n > 1) {
		for (int i = 0; i < n; i++) {
			memcpy(work->gathered + done, iov[i].iov_base, iov[i].iov_len);
			done += iov[i].iov_len;
		}
		from = work->gathered;
	}
	done = ZSTD_compress2(work->zstd, work->packed, len - 1, from, len);
	if (!ZSTD_isError(done)) {
		*packed_len = done;
		return 1;
	}
	if (ZSTD_getErrorCode(done) == ZSTD_error_dstSize_tooSmall)
		return 0;
	return err_set(err,
		       ZSTD_getErrorCode(done) == ZSTD_error_memory_allocation ? -ENOMEM : -EIO,
		       "zstd: %s", ZSTD_getErrorName(done));
}

static void encode_tags(struct snap_writer *w, struct work *work, unsigned int pages,
			const uint8_t *tags, struct snap_entry *e)
{
	size_t page = w->l.info.page_size, size = tagcode_packed_size(page);
	struct tag_shape shape;
	bool alike;

	work->tags.len = 0;
	alike = tagcode_encode_alike(tags, page, pages, &work->tags);
	for (unsigned int i = 0; !alike && i < pages; i++, tags += size) {
		tagcode_classify(tags, page, &shape);
		tagcode_encode(&shape, tags, page, &work->tags);
	}
	e->tag_len = (uint32_t)work->tags.len;
	e->tag_sum = checksum(work->tags.data, work->tags.len);
}

/* With the lock held. */
static int flush_tags(struct snap_writer *w, struct err *err)
{
	int rc;

	if (!w->tags.len)
		return 0;
	rc = grow(&w->block, w->nblocks, &w->max_blocks, sizeof(*w->block), err);
	if (!rc)
		rc = write_bytes(w->fd, w->tags.data, w->tags.len, w->next, err);
	if (rc)
		return rc;
	w->block[w->nblocks++] = w->next;
	w->next += w->tags.len;
	w->tags.len = 0;
	return 0;
}

/* Offsets of data and tags; with the lock held. */
static int reserve(struct snap_writer *w, const struct work *work, struct snap_entry *e,
		   struct err *err)
{
	int rc;

	if (w->error || w->finished || !w->l.state_len)
		return err_set(err, -EINVAL,
			       "RAM comes after state, before the end, and not after an error");
	rc = grow(&w->entry, w->nentries, &w->max_entries, sizeof(*w->entry), err);
	if (rc)
		return rc;
	if (e->tag_len) {
		if (e->tag_len > w->tags.max - w->tags.len) {
			rc = flush_tags(w, err);
			if (rc)
				return rc;
		}
		e->tag_off = (uint64_t)w->nblocks << 32 | w->tags.len;
		wbuf_bytes(&w->tags, work->tags.data, work->tags.len);
		if (w->tags.error)
			return err_sys(err, w->tags.error, "tags for the snapshot file");
	}
	if (e->data_len) {
		e->data_off = w->l.packed ? w->next : snap_align(w->next);
		w->next = e->data_off + e->data_len;
	}
	w->l.info.data_bytes += e->data_len;
	w->l.info.tag_bytes += e->tag_len;
	w->entry[w->nentries++] = *e;
	return 0;
}

static int write_chunk(struct snap_writer *w, struct snap_entry *e, const void *const *pages,
		       const uint8_t *tags, struct work *work, struct err *err)
{
	unsigned int npages = (unsigned int)__builtin_popcountll(e->here);
	size_t len = (size_t)npages * w->l.info.page_size, packed = 0;
	struct iovec iov[SNAP_CHUNK_PAGES];
	int n = pieces(w, pages, npages, iov);
	int rc = 0;

	if (npages && w->codec == SNAP_ZSTD) {
		rc = compress(work, iov, n, len, &packed, err);
		if (rc < 0)
			return rc;
	}
	if (rc) {
		e->codec = SNAP_ZSTD;
		iov[0] = (struct iovec){.iov_base = work->packed, .iov_len = packed};
		len = packed;
		n = 1;
	}
	if (npages) {
		struct checksum sum;

		checksum_init(&sum);
		for (int i = 0; i < n; i++)
			checksum_add(&sum, iov[i].iov_base, iov[i].iov_len);
		e->data_sum = checksum_end(&sum);
		e->data_len = (uint32_t)len;
		if (tags)
			encode_tags(w, work, npages, tags, e);
		if (work->tags.error)
			return err_sys(err, work->tags.error, "tags for the snapshot file");
	}

	pthread_mutex_lock(&w->lock);
	rc = reserve(w, work, e, err);
	pthread_mutex_unlock(&w->lock);
	return rc ? rc : write_all(w->fd, iov, n, e->data_off, err);
}

int snap_writer_chunk(struct snap_writer *w, uint32_t bank, uint64_t chunk, uint64_t here,
		      uint64_t absent, const void *const *pages, const uint8_t *tags,
		      struct err *err)
{
	const struct snap_info *info = &w->l.info;
	uint64_t mask = snap_chunk_mask(info, bank, chunk);
	bool parent = snap_has_parent(info);
	struct snap_entry e = {.here = here, .absent = absent};
	struct work *work;
	int rc;

	if (!mask || (here & absent) || ((here | absent) & ~mask) ||
	    (!parent && (here | absent) != mask) || (here && info->tags != (tags != NULL)))
		return fail(w, err_set(err, -EINVAL,
				       "chunk %" PRIu64 " of bank %" PRIu32
				       " cannot be saved like this",
				       chunk, bank));
	if (!here && (!parent || !absent))
		return 0; /* what has no entry is absent, or as in the parent */

	e.bank = (uint16_t)bank;
	e.chunk = (uint32_t)chunk;
	work = work_get(w, err);
	if (!work)
		return fail(w, -ENOMEM);
	rc = write_chunk(w, &e, pages, tags, work, err);
	work_put(w, work);
	return rc ? fail(w, rc) : 0;
}

/* Sorted, with offsets of tags that are final, and each chunk once. */
static int settle_entries(struct snap_writer *w, struct err *err)
{
	for (size_t i = 0; i < w->nentries; i++) {
		struct snap_entry *e = &w->entry[i];

		if (e->tag_len)
			e->tag_off = w->block[e->tag_off >> 32] + (uint32_t)e->tag_off;
	}
	if (w->nentries)
		qsort(w->entry, w->nentries, sizeof(*w->entry), snap_entry_compare);
	for (size_t i = 1; i < w->nentries; i++)
		if (!snap_entry_compare(&w->entry[i - 1], &w->entry[i]))
			return err_set(err, -EINVAL, "chunk %" PRIu32 " of bank %u was saved twice",
				       w->entry[i].chunk, w->entry[i].bank);
	return 0;
}

static int write_index(struct snap_writer *w, struct err *err)
{
	struct checksum sum;
	struct wbuf piece;
	int rc = 0;

	checksum_init(&sum);
	wbuf_init(&piece, SNAP_PIECE);
	for (size_t i = 0; !rc && i < w->nentries; i++) {
		snap_entry_encode(&w->entry[i], &piece);
		if (piece.len < SNAP_PIECE && i + 1 < w->nentries)
			continue;
		rc = piece.error;
		if (rc) {
			err_sys(err, rc, "index of the snapshot file");
			break;
		}
		rc = write_bytes(w->fd, piece.data, piece.len, w->next, err);
		checksum_add(&sum, piece.data, piece.len);
		w->next += piece.len;
		piece.len = 0;
	}
	wbuf_release(&piece);
	w->l.index_sum = checksum_end(&sum);
	return rc;
}

static int write_header(struct snap_writer *w, struct err *err)
{
	struct wbuf header;
	int rc;

	wbuf_init(&header, SNAP_HEADER);
	snap_header_encode(&w->l, &header);
	rc = header.error;
	if (rc)
		err_sys(err, rc, "header of the snapshot file");
	else
		rc = write_bytes(w->fd, header.data, header.len, 0, err);
	wbuf_release(&header);
	return rc;
}

int snap_writer_finish(struct snap_writer *w, struct snap_info *info, struct err *err)
{
	int rc;

	pthread_mutex_lock(&w->lock);
	if (w->error || w->finished || !w->l.state_len) {
		rc = err_set(err, w->error ? w->error : -EINVAL,
			     "a snapshot file ends once, after its state and without an error");
	} else {
		rc = flush_tags(w, err);
		if (!rc)
			rc = settle_entries(w, err);
	}
	if (!rc) {
		w->l.info.chunks = w->nentries;
		w->l.ram_len = w->next - snap_ram_off(&w->l);
		rc = write_index(w, err);
	}
	if (!rc) {
		w->l.info.file_size = w->next;
		rc = write_header(w, err);
	}
	w->finished = true;
	if (rc && !w->error)
		w->error = rc;
	if (!rc && info)
		*info = w->l.info;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

void snap_writer_close(struct snap_writer *w)
{
	if (!w)
		return;
	while (w->idle) {
		struct work *work = w->idle;

		w->idle = work->next;
		work_free(work);
	}
	pthread_mutex_destroy(&w->lock);
	wbuf_release(&w->tags);
	free(w->entry);
	free(w->block);
	free(w);
}
