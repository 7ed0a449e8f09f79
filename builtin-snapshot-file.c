/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm snapshot info, verify and diff: looking into files, without a VM. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arm/compat.h"
#include "arm/gic.h"
#include "builtin.h"
#include "cli.h"
#include "state/record.h"
#include "state/snapchain.h"
#include "util/json.h"

static void hex(const uint8_t uuid[16], char text[33])
{
	for (unsigned int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", uuid[i]);
}

static int read_compat(const struct snap_chain *chain, struct wbuf *bytes, struct compat *c,
		       struct err *err)
{
	struct record rec;
	struct rbuf in;
	int rc = snap_reader_compat(chain->reader[0], bytes, err);

	if (rc)
		return rc;
	rbuf_init(&in, bytes->data, bytes->len);
	rc = record_next(&in, &rec, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EBADMSG, "the compatibility record is missing");
	return compat_decode(&rec.payload, c, err);
}

static void info_text(struct wbuf *out, const struct snap_info *info, const struct compat *c)
{
	char uuid[33], parent[33];

	hex(info->uuid, uuid);
	hex(info->parent, parent);
	builtin_printf(out, "format     %u\nuuid       %s\nparent     %s\n", info->version, uuid,
		       strspn(parent, "0") == 32 ? "none" : parent);
	builtin_printf(out, "file       %" PRIu64 " bytes: data %" PRIu64 ", tags %" PRIu64 "\n",
		       info->file_size, info->data_bytes, info->tag_bytes);
	builtin_printf(out, "page size  %u\ntags       %s\n", info->page_size,
		       info->tags ? "yes" : "no");
	for (uint32_t i = 0; i < info->nbanks; i++)
		builtin_printf(out, "bank       %.16s: 0x%" PRIx64 " bytes at 0x%" PRIx64 "\n",
			       info->bank[i].name, info->bank[i].size, info->bank[i].gpa);
	builtin_printf(out, "saved on   Linux %s, MIDR 0x%" PRIx64 "\n", c->kernel, c->midr);
	builtin_printf(out, "needs      %u vCPUs, %u address bits, %s, MTE %u, counter %u Hz%s\n",
		       c->cpus, c->ipa_bits, gic_kind_name(c->gic), c->mte, c->cntfrq,
		       c->pmu ? ", PMU" : "");
	if (c->sve_vls[0])
		builtin_printf(out,
			       "SVE        lengths 0x%" PRIx64
			       ", a bit for each multiple of 128 bits\n",
			       c->sve_vls[0]);
}

static void info_json(struct wbuf *out, const struct snap_info *info, const struct compat *c)
{
	char uuid[33], parent[33];
	struct json j;

	hex(info->uuid, uuid);
	hex(info->parent, parent);
	json_init(&j, out);
	json_object(&j, NULL);
	json_u64(&j, "format", info->version);
	json_str(&j, "uuid", uuid);
	json_str(&j, "parent", strspn(parent, "0") == 32 ? "" : parent);
	json_u64(&j, "file_bytes", info->file_size);
	json_u64(&j, "data_bytes", info->data_bytes);
	json_u64(&j, "tag_bytes", info->tag_bytes);
	json_u64(&j, "page_size", info->page_size);
	json_bool(&j, "tags", info->tags);
	json_array(&j, "banks");
	for (uint32_t i = 0; i < info->nbanks; i++) {
		json_object(&j, NULL);
		json_str(&j, "name", info->bank[i].name);
		json_u64(&j, "address", info->bank[i].gpa);
		json_u64(&j, "size", info->bank[i].size);
		json_end(&j);
	}
	json_end(&j);
	json_str(&j, "kernel", c->kernel);
	json_u64(&j, "midr", c->midr);
	json_u64(&j, "cpus", c->cpus);
	json_u64(&j, "ipa_bits", c->ipa_bits);
	json_str(&j, "irqchip", gic_kind_name(c->gic));
	json_u64(&j, "mte", c->mte);
	json_u64(&j, "cntfrq", c->cntfrq);
	json_bool(&j, "pmu", c->pmu);
	json_u64(&j, "sve_lengths", c->sve_vls[0]);
	json_end(&j);
}

int builtin_snapshot_info(const char *file, const struct snapshot_opts *opts)
{
	struct err err = ERR_INIT;
	struct snap_chain chain;
	struct wbuf out, bytes;
	struct compat compat;
	int rc = snap_chain_open(file, &chain, &err);

	if (rc)
		return builtin_failed("snapshot", &err);
	wbuf_init(&out, BUILTIN_OUT_MAX);
	wbuf_init(&bytes, SNAP_MAX_STATE);
	rc = read_compat(&chain, &bytes, &compat, &err);
	if (rc) {
		rc = builtin_failed("snapshot", &err);
	} else {
		if (opts->json)
			info_json(&out, snap_chain_info(&chain), &compat);
		else
			info_text(&out, snap_chain_info(&chain), &compat);
		rc = builtin_print("snapshot", &out);
		if (!rc && opts->check)
			rc = builtin_restore_check(file);
	}
	wbuf_release(&bytes);
	wbuf_release(&out);
	snap_chain_close(&chain);
	return rc;
}

/* One chunk of memory with its tags, as a chain of files has it. */
struct chunk {
	uint8_t *pages, *tags;
	uint64_t present;
};

static int chunk_init(struct chunk *c, const struct snap_info *info, struct err *err)
{
	c->pages = malloc((size_t)info->page_size * SNAP_CHUNK_PAGES);
	c->tags = malloc((size_t)info->page_size / 32 * SNAP_CHUNK_PAGES);
	return c->pages && c->tags ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static void chunk_release(struct chunk *c)
{
	free(c->pages);
	free(c->tags);
}

/* Absent pages are zero, data and tags. */
static int chunk_read(struct chunk *c, const struct snap_chain *chain, uint32_t bank, uint64_t at,
		      struct err *err)
{
	const struct snap_info *info = snap_chain_info(chain);

	memset(c->pages, 0, (size_t)info->page_size * SNAP_CHUNK_PAGES);
	memset(c->tags, 0, (size_t)info->page_size / 32 * SNAP_CHUNK_PAGES);
	return snap_chain_chunk(chain, bank, at, c->pages, c->tags, &c->present, err);
}

static uint64_t chunks_of(const struct snap_info *info, uint32_t bank)
{
	uint64_t chunk = (uint64_t)info->page_size * SNAP_CHUNK_PAGES;

	return (info->bank[bank].size + chunk - 1) / chunk;
}

/* Every file of the chain by itself: what a newer one hides has a checksum too. */
static int verify_file(struct snap_reader *r, struct err *err)
{
	const struct snap_info *info = snap_reader_info(r);
	void *pages[SNAP_CHUNK_PAGES];
	struct chunk c;
	int rc = chunk_init(&c, info, err);

	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES && !rc; i++)
		pages[i] = c.pages + (size_t)i * info->page_size;
	for (uint32_t bank = 0; bank < info->nbanks && !rc; bank++) {
		for (uint64_t at = 0; at < chunks_of(info, bank) && !rc; at++) {
			uint64_t here, absent;

			snap_reader_look(r, bank, at, &here, &absent);
			if (here)
				rc = snap_reader_chunk(r, bank, at, pages, c.tags, err);
		}
	}
	chunk_release(&c);
	return rc;
}

int builtin_snapshot_verify(const char *file, const struct snapshot_opts *opts)
{
	struct err err = ERR_INIT;
	struct snap_chain chain;
	struct wbuf bytes, out;
	struct compat compat;
	int rc = snap_chain_open(file, &chain, &err);

	if (rc)
		return builtin_failed("snapshot", &err);
	wbuf_init(&bytes, SNAP_MAX_STATE);
	wbuf_init(&out, BUILTIN_OUT_MAX);
	rc = read_compat(&chain, &bytes, &compat, &err);
	for (unsigned int i = 0; i < chain.n && !rc; i++) {
		bytes.len = 0;
		rc = snap_reader_state(chain.reader[i], &bytes, &err);
		if (!rc)
			rc = verify_file(chain.reader[i], &err);
	}
	if (opts->json)
		builtin_printf(&out, "{\"files\":%u,\"good\":%s}\n", chain.n,
			       rc ? "false" : "true");
	else if (!rc)
		builtin_printf(&out, "%s: every checksum of %u file%s is right\n", file, chain.n,
			       chain.n == 1 ? "" : "s");
	rc = rc ? builtin_failed("snapshot", &err) : EXIT_OK;
	if (out.len && builtin_print("snapshot", &out))
		rc = EXIT_FAILED;
	wbuf_release(&out);
	wbuf_release(&bytes);
	snap_chain_close(&chain);
	return rc;
}

/* A range that differs, while it grows. */
struct range {
	uint64_t start, end;
	bool data, tags;
};

static void range_print(struct wbuf *out, const struct range *r, bool json)
{
	const char *what = r->data && r->tags ? "data and tags" : r->data ? "data" : "tags";

	if (r->start == r->end)
		return;
	if (json)
		builtin_printf(out,
			       "{\"address\":%" PRIu64 ",\"bytes\":%" PRIu64
			       ",\"data\":%s,\"tags\":%s}\n",
			       r->start, r->end - r->start, r->data ? "true" : "false",
			       r->tags ? "true" : "false");
	else
		builtin_printf(out, "0x%" PRIx64 "-0x%" PRIx64 ": %s\n", r->start, r->end - 1,
			       what);
}

static void range_add(struct wbuf *out, struct range *r, uint64_t gpa, uint64_t size, bool data,
		      bool tags, bool json)
{
	if (r->end == gpa && r->data == data && r->tags == tags) {
		r->end += size;
		return;
	}
	range_print(out, r, json);
	*r = (struct range){gpa, gpa + size, data, tags};
}

static int diff_bank(const struct snap_chain *a, const struct snap_chain *b, uint32_t bank,
		     struct chunk c[2], struct wbuf *out, bool json, struct err *err)
{
	const struct snap_info *info = snap_chain_info(a);
	size_t page = info->page_size, tag = page / 32;
	struct range r = {0};
	int rc = 0;

	for (uint64_t at = 0; at < chunks_of(info, bank) && !rc; at++) {
		uint64_t gpa = info->bank[bank].gpa + at * page * SNAP_CHUNK_PAGES;

		if (!snap_chain_present(a, bank, at) && !snap_chain_present(b, bank, at))
			continue;
		rc = chunk_read(&c[0], a, bank, at, err);
		if (!rc)
			rc = chunk_read(&c[1], b, bank, at, err);
		for (unsigned int i = 0; i < SNAP_CHUNK_PAGES && !rc; i++) {
			bool data = memcmp(c[0].pages + i * page, c[1].pages + i * page, page) != 0;
			bool tags = memcmp(c[0].tags + i * tag, c[1].tags + i * tag, tag) != 0;

			if (data || tags)
				range_add(out, &r, gpa + i * page, page, data, tags, json);
		}
	}
	range_print(out, &r, json);
	return rc;
}

static int diff(const struct snap_chain *a, const struct snap_chain *b, struct wbuf *out, bool json,
		struct err *err)
{
	const struct snap_info *x = snap_chain_info(a), *y = snap_chain_info(b);
	struct chunk c[2] = {0};
	int rc = 0;

	if (x->page_size != y->page_size || x->nbanks != y->nbanks ||
	    memcmp(x->bank, y->bank, sizeof(x->bank)))
		return err_set(err, -EINVAL,
			       "the two snapshots are of machines with different memory");
	if (chunk_init(&c[0], x, err) || chunk_init(&c[1], x, err))
		rc = -ENOMEM;
	for (uint32_t bank = 0; bank < x->nbanks && !rc; bank++)
		rc = diff_bank(a, b, bank, c, out, json, err);
	chunk_release(&c[0]);
	chunk_release(&c[1]);
	return rc;
}

int builtin_snapshot_diff(const char *one, const char *other, const struct snapshot_opts *opts)
{
	struct snap_chain a = {.n = 0}, b = {.n = 0};
	struct err err = ERR_INIT;
	struct wbuf out;
	int rc = snap_chain_open(one, &a, &err);

	wbuf_init(&out, BUILTIN_OUT_MAX);
	if (!rc)
		rc = snap_chain_open(other, &b, &err);
	if (!rc)
		rc = diff(&a, &b, &out, opts->json, &err);
	rc = rc ? builtin_failed("snapshot", &err) : builtin_print("snapshot", &out);
	wbuf_release(&out);
	snap_chain_close(&a);
	snap_chain_close(&b);
	return rc;
}
