/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opening a snapshot file. Every number in it is a stranger's: it is compared with what is there before anything is
 * allocated, read or added up for it. What opening has let through cannot point outside of the file.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "state/checksum.h"
#include "state/snapfile-layout.h"
#include "util/io.h"

/* A part of the RAM section. */
struct extent {
	uint64_t off;
	uint64_t len;
};

int snap_read(const struct snap_reader *r, void *buf, size_t len, uint64_t off, const char *what,
	      struct err *err)
{
	int rc = io_pread_full(r->fd, buf, len, off);

	if (rc == -ENODATA)
		return err_set(err, -EBADMSG,
			       "%s at offset %" PRIu64 ": the file ends before its %zu bytes do",
			       what, off, len);
	if (rc)
		return err_sys(err, rc, "cannot read %s at offset %" PRIu64, what, off);
	return 0;
}

bool snap_file_claims(int fd, const uint8_t uuid[16])
{
	uint8_t start[SNAP_UUID_AT + 16];

	return !io_pread_full(fd, start, sizeof(start), 0) &&
	       !memcmp(start, SNAP_MAGIC, strlen(SNAP_MAGIC)) &&
	       !memcmp(start + SNAP_UUID_AT, uuid, 16);
}

static int open_header(struct snap_reader *r, struct err *err)
{
	uint8_t header[SNAP_HEADER];
	struct stat st;
	int rc;

	if (fstat(r->fd, &st) < 0)
		return err_sys(err, -errno, "cannot look at the file");
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EBADMSG, "not a snapshot file, not even a regular file");
	if ((uint64_t)st.st_size < SNAP_HEADER)
		return err_set(err, -EBADMSG,
			       "not a snapshot file: %" PRIu64
			       " bytes, where the header alone has %u",
			       (uint64_t)st.st_size, SNAP_HEADER);
	rc = snap_read(r, header, sizeof(header), 0, "header", err);
	if (rc)
		return rc;
	return snap_header_decode(header, (uint64_t)st.st_size, &r->l, err);
}

/* Calls @each for pieces of the index one after the other; pieces are whole entries. */
static int for_index(struct snap_reader *r, void *arg,
		     int (*each)(struct snap_reader *r, const uint8_t *bytes, size_t len, void *arg,
				 struct err *err),
		     struct err *err)
{
	uint64_t off = snap_index_off(&r->l), left = r->l.info.chunks * SNAP_ENTRY;
	uint8_t *piece = malloc(SNAP_PIECE);
	int rc = 0;

	if (!piece)
		return err_sys(err, -ENOMEM, "index");
	while (!rc && left) {
		size_t len = left < SNAP_PIECE ? (size_t)left : SNAP_PIECE;

		rc = snap_read(r, piece, len, off, "index", err);
		if (!rc)
			rc = each(r, piece, len, arg, err);
		off += len;
		left -= len;
	}
	free(piece);
	return rc;
}

static int sum_piece(struct snap_reader *r, const uint8_t *bytes, size_t len, void *arg,
		     struct err *err)
{
	(void)r;
	(void)err;
	checksum_add(arg, bytes, len);
	return 0;
}

struct taking {
	size_t room;
	struct checksum
		sum; /* of what is taken: the file may have been changed since it was first summed */
};

/* Grows with the entries that are good, not with the number of them that the header claims. */
static int take_piece(struct snap_reader *r, const uint8_t *bytes, size_t len, void *arg,
		      struct err *err)
{
	struct taking *t = arg;
	size_t n = len / SNAP_ENTRY;

	checksum_add(&t->sum, bytes, len);
	if (n > t->room - r->nentries) {
		size_t want = t->room * 2 > r->nentries + n ? t->room * 2 : r->nentries + n;
		struct snap_entry *bigger = reallocarray(r->entry, want, sizeof(*bigger));

		if (!bigger)
			return err_sys(err, -ENOMEM, "index");
		r->entry = bigger;
		t->room = want;
	}
	for (; n; n--, bytes += SNAP_ENTRY) {
		struct snap_entry *e = &r->entry[r->nentries];
		int rc;

		snap_entry_decode(bytes, e);
		rc = snap_entry_check(&r->l, e, err);
		if (!rc && r->nentries && snap_entry_compare(e - 1, e) >= 0)
			rc = err_set(err, -EBADMSG,
				     "chunk %" PRIu32 " of bank %u: out of order, or there twice",
				     e->chunk, e->bank);
		if (rc) {
			err_prefix(err, "index, entry at offset %" PRIu64,
				   snap_index_off(&r->l) + r->nentries * SNAP_ENTRY);
			return rc;
		}
		r->nentries++;
	}
	return 0;
}

/* Summed before an entry is looked at, so that damage is called by its name; and what is taken, while it is taken. */
static int open_index(struct snap_reader *r, struct err *err)
{
	struct taking taking = {.room = 0};
	struct checksum sum;
	int rc;

	checksum_init(&sum);
	rc = for_index(r, &sum, sum_piece, err);
	if (rc)
		return rc;
	if (checksum_end(&sum) != r->l.index_sum)
		return err_set(err, -EBADMSG, "index at offset %" PRIu64 ": the checksum is wrong",
			       snap_index_off(&r->l));
	checksum_init(&taking.sum);
	rc = for_index(r, &taking, take_piece, err);
	if (!rc && checksum_end(&taking.sum) != r->l.index_sum)
		rc = err_set(err, -EBADMSG,
			     "index at offset %" PRIu64 ": it was changed while it was read",
			     snap_index_off(&r->l));
	return rc;
}

static int compare_extents(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

/* What one thread has written is sorted as it is. */
static void sort_extents(struct extent *x, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (x[i - 1].off <= x[i].off)
			continue;
		qsort(x, n, sizeof(*x), compare_extents);
		return;
	}
}

static int check_gap(struct snap_reader *r, uint64_t off, uint64_t end, struct err *err)
{
	uint8_t gap[SNAP_ALIGN];
	size_t len = (size_t)(end - off);
	int rc = snap_read(r, gap, len, off, "padding", err);

	for (size_t i = 0; !rc && i < len; i++)
		if (gap[i])
			rc = err_set(err, -EBADMSG, "padding at offset %" PRIu64 " is not zero",
				     off + i);
	return rc;
}

/*
 * Data and tags of all chunks are the RAM section: nothing twice, nothing left over but the padding that alignment asks
 * for. @data and @tags are sorted.
 */
static int check_extents(struct snap_reader *r, const struct extent *data, size_t ndata,
			 const struct extent *tags, size_t ntags, struct err *err)
{
	uint64_t at = snap_ram_off(&r->l), end = snap_index_off(&r->l);

	while (ndata || ntags) {
		bool is_data = ndata && (!ntags || data->off < tags->off);
		const struct extent *x = is_data ? data : tags;
		uint64_t from = is_data && !r->l.packed ? snap_align(at) : at;
		int rc;

		if (x->off != from)
			return err_set(err, -EBADMSG,
				       "RAM: %s at offset %" PRIu64
				       " where the next should be at %" PRIu64
				       ": chunks overlap or leave something out",
				       is_data ? "data" : "tags", x->off, from);
		if (from != at) {
			rc = check_gap(r, at, from, err);
			if (rc)
				return rc;
		}
		at = from + x->len;
		if (is_data) {
			data++;
			ndata--;
		} else {
			tags++;
			ntags--;
		}
	}
	if (at != end)
		return err_set(err, -EBADMSG,
			       "RAM: %" PRIu64 " bytes at offset %" PRIu64 " belong to no chunk",
			       end - at, at);
	return 0;
}

static int open_extents(struct snap_reader *r, struct err *err)
{
	struct extent *x = NULL, *data, *tags;
	uint64_t data_bytes = 0, tag_bytes = 0;
	size_t ndata = 0, ntags = 0;
	int rc = 0;

	if (r->nentries) {
		x = reallocarray(NULL, r->nentries, 2 * sizeof(*x));
		if (!x)
			return err_sys(err, -ENOMEM, "index");
	}
	data = x;
	tags = x ? x + r->nentries : x;
	for (size_t i = 0; i < r->nentries; i++) {
		const struct snap_entry *e = &r->entry[i];

		if (e->data_len)
			data[ndata++] = (struct extent){e->data_off, e->data_len};
		if (e->tag_len)
			tags[ntags++] = (struct extent){e->tag_off, e->tag_len};
		data_bytes += e->data_len;
		tag_bytes += e->tag_len;
	}
	sort_extents(data, ndata);
	sort_extents(tags, ntags);
	rc = check_extents(r, data, ndata, tags, ntags, err);
	free(x);
	if (!rc && (data_bytes != r->l.info.data_bytes || tag_bytes != r->l.info.tag_bytes))
		rc = err_set(err, -EBADMSG,
			     "header: the totals of data and tags are not those of the index");
	return rc;
}

int snap_reader_open(int fd, const char *name, struct snap_reader **out, struct err *err)
{
	struct snap_reader *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_sys(err, -ENOMEM, "%s", name);
	r->fd = fd;
	pthread_mutex_init(&r->lock, NULL);
	r->name = strdup(name);
	rc = r->name ? 0 : err_sys(err, -ENOMEM, "snapshot");
	if (!rc)
		rc = open_header(r, err);
	if (!rc)
		rc = open_index(r, err);
	if (!rc)
		rc = open_extents(r, err);
	if (rc) {
		err_prefix(err, "%s", name);
		snap_reader_close(r);
		return rc;
	}
	*out = r;
	return 0;
}
