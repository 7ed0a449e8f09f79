/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm snapshot merge: a snapshot and those it builds on, as one file that needs no other. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "state/snapchain.h"
#include "util/newfile.h"

struct merge {
	const struct snap_chain *chain;
	struct snap_writer *writer;
	struct snap_info info; /* of the new file */
	uint8_t *pages, *tags;
};

/* The pages that are there, one after the other, as the writer wants their tags. */
static void gather(struct merge *m, uint64_t present, const void *list[SNAP_CHUNK_PAGES])
{
	size_t tag = m->info.page_size / 32;
	unsigned int n = 0;

	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++) {
		if (!(present >> i & 1))
			continue;
		if (m->info.tags && n != i)
			memmove(m->tags + n * tag, m->tags + i * tag, tag);
		list[n++] = m->pages + (size_t)i * m->info.page_size;
	}
}

/* Ctrl-C and its like wait for a moment at which the new file can be taken back. */
static void signals_of(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGHUP);
}

static bool interrupted(void)
{
	const struct timespec now = {0};
	sigset_t signals;

	signals_of(&signals);
	return sigtimedwait(&signals, NULL, &now) > 0;
}

static int merge_bank(struct merge *m, uint32_t bank, struct err *err)
{
	uint64_t pages = m->info.bank[bank].size / m->info.page_size;
	int rc = 0;

	for (uint64_t at = 0; at * SNAP_CHUNK_PAGES < pages && !rc; at++) {
		uint64_t left = pages - at * SNAP_CHUNK_PAGES, present;
		uint64_t valid = left >= SNAP_CHUNK_PAGES ? ~0ull : (1ull << left) - 1;
		const void *list[SNAP_CHUNK_PAGES];

		if (!snap_chain_present(m->chain, bank, at))
			continue;
		if (interrupted())
			return err_set(err, -ECANCELED, "cancelled");
		rc = snap_chain_chunk(m->chain, bank, at, m->pages, m->info.tags ? m->tags : NULL,
				      &present, err);
		if (rc)
			break;
		gather(m, present, list);
		rc = snap_writer_chunk(m->writer, bank, at, present, valid & ~present, list,
				       m->info.tags ? m->tags : NULL, err);
	}
	return rc;
}

static int merge_records(struct merge *m, struct err *err)
{
	struct snap_reader *newest = m->chain->reader[0];
	struct wbuf compat, state;
	int rc;

	wbuf_init(&compat, SNAP_MAX_STATE);
	wbuf_init(&state, SNAP_MAX_STATE);
	rc = snap_reader_compat(newest, &compat, err);
	if (!rc)
		rc = snap_reader_state(newest, &state, err);
	if (!rc)
		rc = snap_writer_compat(m->writer, &compat, err);
	if (!rc)
		rc = snap_writer_state(m->writer, &state, err);
	wbuf_release(&compat);
	wbuf_release(&state);
	return rc;
}

static int merge_all(struct merge *m, int fd, const struct snapshot_opts *opts, struct err *err)
{
	int rc;

	m->info = *snap_chain_info(m->chain);
	memset(m->info.parent, 0, sizeof(m->info.parent));
	m->info.chunks = m->info.file_size = m->info.data_bytes = m->info.tag_bytes = 0;
	if (getrandom(m->info.uuid, sizeof(m->info.uuid), 0) != sizeof(m->info.uuid))
		return err_sys(err, -errno, "no entropy from the host");
	m->pages = malloc((size_t)SNAP_CHUNK_PAGES * m->info.page_size);
	m->tags = malloc((size_t)SNAP_CHUNK_PAGES * m->info.page_size / 32);
	if (!m->pages || !m->tags)
		return err_set(err, -ENOMEM, "out of memory");
	rc = snap_writer_open(fd, &m->info, opts->codec, opts->level, &m->writer, err);
	if (rc)
		return rc;
	rc = merge_records(m, err);
	for (uint32_t bank = 0; bank < m->info.nbanks && !rc; bank++)
		rc = merge_bank(m, bank, err);
	if (!rc)
		rc = snap_writer_finish(m->writer, &m->info, err);
	snap_writer_close(m->writer);
	return rc;
}

static int write_out(const struct snap_chain *chain, const char *out,
		     const struct snapshot_opts *opts, struct err *err)
{
	struct merge m = {.chain = chain};
	struct newfile file;
	int rc = newfile_open(&file, out, false, err);

	if (rc)
		return rc;
	rc = merge_all(&m, file.fd, opts, err);
	if (rc)
		err_prefix(err, "%s", out);
	if (!rc)
		rc = newfile_sync(&file, err);
	if (!rc)
		rc = newfile_commit(&file, err);
	newfile_close(&file);
	free(m.pages);
	free(m.tags);
	return rc;
}

static int merge(const struct snap_chain *chain, const char *out, const struct snapshot_opts *opts,
		 struct err *err)
{
	sigset_t signals;

	/* In the place of FILE itself it loses nothing that FILE needs. */
	if (snap_chain_place(chain, out) > 0)
		return err_set(err, -EINVAL,
			       "%s: others build on it; give the new file another name", out);
	signals_of(&signals);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGXFSZ, SIG_IGN);
	return write_out(chain, out, opts, err);
}

int builtin_snapshot_merge(const char *file, const char *out, const struct snapshot_opts *opts)
{
	struct err err = ERR_INIT;
	struct snap_chain chain;
	int rc = snap_chain_open(file, &chain, &err);

	if (rc)
		return builtin_failed("snapshot", &err);
	rc = merge(&chain, out, opts, &err);
	snap_chain_close(&chain);
	return rc ? builtin_failed("snapshot", &err) : EXIT_OK;
}
