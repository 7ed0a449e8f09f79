/* SPDX-License-Identifier: GPL-2.0-only */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "state/checksum.h"
#include "state/record.h"
#include "state/snapfile-layout.h"

static const uint8_t no_uuid[16];

bool snap_has_parent(const struct snap_info *info)
{
	return memcmp(info->parent, no_uuid, sizeof(no_uuid)) != 0;
}

/* A name goes into messages, file names and options: letters, digits, '-', '_' and '.', then zeros. */
static bool name_ok(const char name[16])
{
	size_t len = strnlen(name, 16);

	if (!len || len == 16)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || c == '.'))
			return false;
	}
	for (size_t i = len; i < 16; i++)
		if (name[i])
			return false;
	return true;
}

static uint64_t bank_chunks(const struct snap_info *info, uint32_t bank)
{
	uint64_t chunk = (uint64_t)info->page_size * SNAP_CHUNK_PAGES;

	return info->bank[bank].size / chunk + (info->bank[bank].size % chunk != 0);
}

/* A bank is below 2^64 bytes, so that the sum of eight cannot wrap. */
static uint64_t all_chunks(const struct snap_info *info)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < info->nbanks; i++)
		n += bank_chunks(info, i);
	return n;
}

static int bank_check(const struct snap_info *info, uint32_t n, struct err *err)
{
	const struct snap_bank *b = &info->bank[n];

	if (!name_ok(b->name))
		return err_set(err, -EBADMSG, "bank %" PRIu32 " of RAM has no proper name", n);
	if (!b->size || b->size % info->page_size || b->gpa % info->page_size)
		return err_set(err, -EBADMSG,
			       "bank %s: 0x%" PRIx64 " bytes at 0x%" PRIx64
			       " are not whole pages of %" PRIu32,
			       b->name, b->size, b->gpa, info->page_size);
	if (b->size - 1 > UINT64_MAX - b->gpa)
		return err_set(err, -EBADMSG,
			       "bank %s: 0x%" PRIx64 " bytes at 0x%" PRIx64
			       " end after the last address",
			       b->name, b->size, b->gpa);
	for (uint32_t i = 0; i < n; i++) {
		const struct snap_bank *o = &info->bank[i];

		if (b->gpa + (b->size - 1) >= o->gpa && o->gpa + (o->size - 1) >= b->gpa)
			return err_set(err, -EBADMSG, "banks %s and %s overlap", o->name, b->name);
	}
	return 0;
}

int snap_info_check(const struct snap_info *info, struct err *err)
{
	uint64_t chunks;

	if (!tagcode_page_ok(info->page_size))
		return err_set(err, -EBADMSG, "page size %" PRIu32 " is none of 4096, 16384, 65536",
			       info->page_size);
	if (!memcmp(info->uuid, no_uuid, sizeof(no_uuid)))
		return err_set(err, -EBADMSG, "the uuid is all zeros");
	if (!memcmp(info->uuid, info->parent, sizeof(no_uuid)))
		return err_set(err, -EBADMSG, "it is its own parent");
	if (!info->nbanks || info->nbanks > SNAP_MAX_BANKS)
		return err_set(err, -EBADMSG, "%" PRIu32 " banks of RAM, where 1 to %d can be",
			       info->nbanks, SNAP_MAX_BANKS);
	for (uint32_t i = 0; i < info->nbanks; i++) {
		int rc = bank_check(info, i, err);

		if (rc)
			return rc;
	}
	chunks = all_chunks(info);
	if (chunks > SNAP_MAX_CHUNKS)
		return err_set(err, -EBADMSG,
			       "banks of %" PRIu64 " chunks of %d pages, where %u can be", chunks,
			       SNAP_CHUNK_PAGES, SNAP_MAX_CHUNKS);
	return 0;
}

uint64_t snap_chunk_mask(const struct snap_info *info, uint32_t bank, uint64_t chunk)
{
	uint64_t pages;

	if (bank >= info->nbanks || chunk >= bank_chunks(info, bank))
		return 0;
	pages = info->bank[bank].size / info->page_size - chunk * SNAP_CHUNK_PAGES;
	return pages >= SNAP_CHUNK_PAGES ? UINT64_MAX : (1ull << pages) - 1;
}

uint64_t snap_chunk_gpa(const struct snap_info *info, uint32_t bank, uint64_t chunk)
{
	return info->bank[bank].gpa + chunk * SNAP_CHUNK_PAGES * info->page_size;
}

void snap_header_encode(const struct snap_layout *l, struct wbuf *out)
{
	static const uint8_t zeros[SNAP_HEADER];
	const struct snap_info *info = &l->info;
	size_t start = out->len;

	wbuf_bytes(out, SNAP_MAGIC, 8);
	wbuf_u32(out, SNAP_VERSION);
	wbuf_u32(out, SNAP_HEADER);
	wbuf_u64(out, (info->tags ? SNAP_TAGS : 0) | (l->packed ? SNAP_PACKED : 0));
	wbuf_u32(out, info->page_size);
	wbuf_u32(out, SNAP_CHUNK_PAGES);
	wbuf_bytes(out, info->uuid, 16);
	wbuf_bytes(out, info->parent, 16);
	wbuf_u64(out, info->file_size);
	wbuf_u64(out, info->data_bytes);
	wbuf_u64(out, info->tag_bytes);
	wbuf_u64(out, SNAP_HEADER);
	wbuf_u64(out, l->compat_len);
	wbuf_u64(out, snap_state_off(l));
	wbuf_u64(out, l->state_len);
	wbuf_u64(out, snap_ram_off(l));
	wbuf_u64(out, l->ram_len);
	wbuf_u64(out, snap_index_off(l));
	wbuf_u64(out, info->chunks);
	wbuf_u64(out, l->index_sum);
	wbuf_u32(out, info->nbanks);
	wbuf_u32(out, 0);
	for (uint32_t i = 0; i < info->nbanks; i++) {
		wbuf_bytes(out, info->bank[i].name, 16);
		wbuf_u64(out, info->bank[i].gpa);
		wbuf_u64(out, info->bank[i].size);
	}
	wbuf_bytes(out, zeros, SNAP_HEADER_SUM - (out->len - start));
	if (!out->error)
		wbuf_u64(out, checksum(out->data + start, SNAP_HEADER_SUM));
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Magic, version, checksum: in this order, for a later version may have its checksum elsewhere. */
static int header_is_ours(const uint8_t *bytes, struct err *err)
{
	uint32_t version;
	struct rbuf r;

	if (memcmp(bytes, SNAP_MAGIC, 8)) {
		if (all_zero(bytes, SNAP_HEADER))
			return err_set(err, -EBADMSG,
				       "no header at offset 0: saving was never finished");
		return err_set(err, -EBADMSG, "not a snapshot file: no " SNAP_MAGIC " at offset 0");
	}
	rbuf_init(&r, bytes + 8, SNAP_HEADER - 8);
	version = rbuf_u32(&r);
	if (version != SNAP_VERSION)
		return err_set(err, -EOPNOTSUPP,
			       "snapshot format version %" PRIu32
			       ", but this program reads version %d",
			       version, SNAP_VERSION);
	rbuf_init(&r, bytes + SNAP_HEADER_SUM, 8);
	if (rbuf_u64(&r) != checksum(bytes, SNAP_HEADER_SUM))
		return err_set(err, -EBADMSG,
			       "header at offset 0: the checksum at offset %u is wrong",
			       SNAP_HEADER_SUM);
	return 0;
}

/*
 * Sections lie one after the other, so that each offset follows from the lengths: what is written there can only agree.
 * Each length is compared with what is left of the file before it is added up, so that nothing wraps.
 */
static int decode_sections(struct rbuf *r, uint64_t file_size, struct snap_layout *l,
			   struct err *err)
{
	static const char *const names[] = {"compat", "state", "RAM", "index"};
	static const uint64_t most[] = {SNAP_MAX_COMPAT, SNAP_MAX_STATE, UINT64_MAX,
					SNAP_MAX_CHUNKS};
	uint64_t len[4], at = SNAP_HEADER;

	for (unsigned int i = 0; i < 4; i++) {
		uint64_t off = rbuf_u64(r), size;

		len[i] = rbuf_u64(r);
		if (off != at)
			return err_set(err, -EBADMSG,
				       "header: the %s section is at offset %" PRIu64
				       ", but the one before it ends at %" PRIu64,
				       names[i], off, at);
		if (len[i] > most[i])
			return err_set(err, -EBADMSG,
				       "header: the length of the %s section, %" PRIu64
				       ", is more than %" PRIu64,
				       names[i], len[i], most[i]);
		size = i == 3 ? len[i] * SNAP_ENTRY : len[i];
		if (size > file_size - at)
			return err_set(err, -EBADMSG,
				       "header: the %s section, %" PRIu64
				       " bytes at offset %" PRIu64
				       ", reaches past the end of the file at %" PRIu64,
				       names[i], size, at, file_size);
		at += size;
	}
	if (at != file_size)
		return err_set(err, -EBADMSG,
			       "%" PRIu64 " bytes after the end of the index at offset %" PRIu64
			       " do not belong to it",
			       file_size - at, at);
	l->compat_len = len[0];
	l->state_len = len[1];
	l->ram_len = len[2];
	l->info.chunks = len[3];
	return 0;
}

int snap_header_decode(const uint8_t *bytes, uint64_t file_size, struct snap_layout *l,
		       struct err *err)
{
	struct snap_info *info = &l->info;
	uint64_t flags;
	uint32_t v;
	struct rbuf r;
	int rc;

	*l = (struct snap_layout){.info.version = SNAP_VERSION};
	rc = header_is_ours(bytes, err);
	if (rc)
		return rc;

	rbuf_init(&r, bytes, SNAP_HEADER_SUM);
	r.pos = 12; /* after magic and version */
	v = rbuf_u32(&r);
	if (v != SNAP_HEADER)
		return err_set(err, -EBADMSG, "header: its length is %" PRIu32 " and not %u", v,
			       SNAP_HEADER);
	flags = rbuf_u64(&r);
	if (flags & ~(uint64_t)(SNAP_TAGS | SNAP_PACKED))
		return err_set(err, -EOPNOTSUPP,
			       "header: flags 0x%" PRIx64 ", of which this program knows 0x%x",
			       flags, SNAP_TAGS | SNAP_PACKED);
	info->tags = flags & SNAP_TAGS;
	l->packed = flags & SNAP_PACKED;
	info->page_size = rbuf_u32(&r);
	v = rbuf_u32(&r);
	if (v != SNAP_CHUNK_PAGES)
		return err_set(err, -EBADMSG, "header: chunks of %" PRIu32 " pages and not %d", v,
			       SNAP_CHUNK_PAGES);
	rbuf_bytes(&r, info->uuid, 16);
	rbuf_bytes(&r, info->parent, 16);

	info->file_size = rbuf_u64(&r);
	info->data_bytes = rbuf_u64(&r);
	info->tag_bytes = rbuf_u64(&r);
	if (file_size < info->file_size)
		return err_set(err, -EBADMSG, "cut short: %" PRIu64 " bytes are left of %" PRIu64,
			       file_size, info->file_size);
	if (file_size > info->file_size)
		return err_set(err, -EBADMSG,
			       "%" PRIu64
			       " bytes follow the end of the snapshot at offset %" PRIu64,
			       file_size - info->file_size, info->file_size);
	rc = decode_sections(&r, file_size, l, err);
	if (rc)
		return rc;
	l->index_sum = rbuf_u64(&r);
	info->nbanks = rbuf_u32(&r);
	v = rbuf_u32(&r);
	for (uint32_t i = 0; i < info->nbanks && i < SNAP_MAX_BANKS; i++) {
		rbuf_bytes(&r, info->bank[i].name, 16);
		info->bank[i].gpa = rbuf_u64(&r);
		info->bank[i].size = rbuf_u64(&r);
	}
	if (v || !all_zero(bytes + r.pos, SNAP_HEADER_SUM - r.pos))
		return err_set(err, -EBADMSG, "header: bytes that must be zero are not");
	rc = snap_info_check(info, err);
	if (!rc && info->chunks > all_chunks(info))
		rc = err_set(err, -EBADMSG,
			     "%" PRIu64 " chunks in the index, where the banks have %" PRIu64,
			     info->chunks, all_chunks(info));
	if (rc)
		err_prefix(err, "header");
	return rc;
}

void snap_entry_encode(const struct snap_entry *e, struct wbuf *out)
{
	wbuf_u16(out, e->bank);
	wbuf_u16(out, e->codec);
	wbuf_u32(out, e->chunk);
	wbuf_u64(out, e->here);
	wbuf_u64(out, e->absent);
	wbuf_u64(out, e->data_off);
	wbuf_u64(out, e->tag_off);
	wbuf_u32(out, e->data_len);
	wbuf_u32(out, e->tag_len);
	wbuf_u64(out, e->data_sum);
	wbuf_u64(out, e->tag_sum);
}

static uint64_t le(const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	memcpy(&v, p, width);
	return le64toh(v);
}

/* There is one for each 64 pages of a guest, and lazy restore waits for the last of them: no reader's bookkeeping. */
void snap_entry_decode(const uint8_t *bytes, struct snap_entry *e)
{
	e->bank = (uint16_t)le(bytes, 2);
	e->codec = (uint16_t)le(bytes + 2, 2);
	e->chunk = (uint32_t)le(bytes + 4, 4);
	e->here = le(bytes + 8, 8);
	e->absent = le(bytes + 16, 8);
	e->data_off = le(bytes + 24, 8);
	e->tag_off = le(bytes + 32, 8);
	e->data_len = (uint32_t)le(bytes + 40, 4);
	e->tag_len = (uint32_t)le(bytes + 44, 4);
	e->data_sum = le(bytes + 48, 8);
	e->tag_sum = le(bytes + 56, 8);
}

static const char *bits_wrong(const struct snap_layout *l, const struct snap_entry *e)
{
	uint64_t mask = snap_chunk_mask(&l->info, e->bank, e->chunk);

	if (!mask)
		return "there is no such chunk";
	if ((e->here | e->absent) & ~mask)
		return "it has pages after the end of the bank";
	if (e->here & e->absent)
		return "a page is both here and absent";
	if (snap_has_parent(&l->info)) {
		if (!(e->here | e->absent))
			return "an entry that says nothing";
	} else {
		if ((e->here | e->absent) != mask)
			return "pages are left to a parent, and there is none";
		if (!e->here)
			return "an entry for a chunk that is wholly absent";
	}
	return NULL;
}

static bool within_ram(const struct snap_layout *l, uint64_t off, uint64_t len)
{
	uint64_t end = snap_index_off(l);

	return off >= snap_ram_off(l) && off <= end && len <= end - off;
}

static const char *data_wrong(const struct snap_layout *l, const struct snap_entry *e)
{
	uint64_t raw = (uint64_t)__builtin_popcountll(e->here) * l->info.page_size;

	if (e->codec != SNAP_RAW && (e->codec != SNAP_ZSTD || !l->packed))
		return "its data is stored in an unknown way";
	if (e->codec == SNAP_RAW ? e->data_len != raw : !e->data_len || e->data_len >= raw)
		return "the length of the data does not fit its pages";
	if (!l->packed && e->data_off % SNAP_ALIGN)
		return "its data is not aligned";
	if (!within_ram(l, e->data_off, e->data_len))
		return "its data is not within the RAM section";
	return NULL;
}

static const char *tags_wrong(const struct snap_layout *l, const struct snap_entry *e)
{
	uint64_t pages = (uint64_t)__builtin_popcountll(e->here);

	if (!l->info.tags) {
		if (e->tag_off || e->tag_len || e->tag_sum)
			return "it has tags, and the file has none";
		return NULL;
	}
	if (e->tag_len < pages || e->tag_len > pages * (tagcode_packed_size(l->info.page_size) + 1))
		return "the length of the tags does not fit its pages";
	if (!within_ram(l, e->tag_off, e->tag_len))
		return "its tags are not within the RAM section";
	return NULL;
}

int snap_entry_check(const struct snap_layout *l, const struct snap_entry *e, struct err *err)
{
	const char *wrong = bits_wrong(l, e);

	if (!wrong && e->here) {
		wrong = data_wrong(l, e);
		if (!wrong)
			wrong = tags_wrong(l, e);
	} else if (!wrong && (e->codec || e->data_off || e->tag_off || e->data_len || e->tag_len ||
			      e->data_sum || e->tag_sum)) {
		wrong = "it has no pages here, but data or tags";
	}
	if (!wrong)
		return 0;
	return err_set(err, -EBADMSG, "chunk %" PRIu32 " of bank %u: %s", e->chunk, e->bank, wrong);
}

int snap_entry_compare(const void *a, const void *b)
{
	const struct snap_entry *x = a, *y = b;

	if (x->bank != y->bank)
		return x->bank < y->bank ? -1 : 1;
	return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

int snap_records_check(const uint8_t *bytes, size_t len, bool compat, struct err *err)
{
	struct record rec;
	struct rbuf r;
	int rc;

	rbuf_init(&r, bytes, len);
	do {
		rc = record_next(&r, &rec, err);
		if (rc < 0)
			return rc;
		if (compat != (rec.type == RECORD_COMPAT))
			return err_set(err, -EBADMSG,
				       "%s record at offset %" PRIu64 " does not belong there",
				       record_type_name(rec.type), rec.offset);
	} while (rc && !compat);
	if (rbuf_left(&r))
		return err_set(err, -EBADMSG, "%zu bytes are left over at offset %zu",
			       rbuf_left(&r), r.pos);
	return 0;
}
