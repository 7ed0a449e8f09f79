/* SPDX-License-Identifier: GPL-2.0-only */
#include "state/snapchain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t no_uuid[16];

/* @uuid: nothing but that snapshot is looked at more closely, -ENOENT without a word for all else; or NULL. */
static int open_file(int dir, const char *name, const char *shown, const uint8_t *uuid, int *fd,
		     struct snap_reader **r, struct err *err)
{
	struct stat st;
	int rc;

	/* NONBLOCK: a FIFO in the folder must not hold us. */
	*fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return uuid ? -ENOENT : err_sys(err, -errno, "%s", shown);
	if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = uuid ? -ENOENT : err_set(err, -EINVAL, "%s: not a regular file", shown);
	else if (uuid && !snap_file_claims(*fd, uuid))
		rc = -ENOENT;
	else
		rc = snap_reader_open(*fd, shown, r, err);
	/* It may have been changed between the two looks. */
	if (!rc && uuid && memcmp(snap_reader_info(*r)->uuid, uuid, 16)) {
		snap_reader_close(*r);
		rc = -ENOENT;
	}
	if (rc) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

static void uuid_text(const uint8_t uuid[16], char text[33])
{
	for (unsigned int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", uuid[i]);
}

bool snap_same_shape(const struct snap_info *a, const struct snap_info *b)
{
	if (a->page_size != b->page_size || a->tags != b->tags || a->nbanks != b->nbanks)
		return false;
	for (uint32_t i = 0; i < a->nbanks; i++)
		if (strcmp(a->bank[i].name, b->bank[i].name) || a->bank[i].gpa != b->bank[i].gpa ||
		    a->bank[i].size != b->bank[i].size)
			return false;
	return true;
}

/* The next name that could be a snapshot's. */
static const char *next_name(DIR *d)
{
	for (;;) {
		const struct dirent *entry = readdir(d);

		if (!entry)
			return NULL;
		if (entry->d_name[0] != '.' &&
		    (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN ||
		     entry->d_type == DT_LNK))
			return entry->d_name;
	}
}

/*
 * Adds the snapshot of the folder that has this uuid. What is none, or another, is passed over without a word; one that
 * is damaged is told if there is no good copy of it.
 */
static int find_parent(int dir, const char *folder, const uint8_t uuid[16],
		       struct snap_chain *chain, struct err *err)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0), rc = -ENOENT;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	unsigned int n = chain->n;
	struct err why = ERR_INIT;
	const char *name;
	char text[33];

	if (!d) {
		if (copy >= 0)
			close(copy);
		return err_sys(err, -errno, "%s", folder);
	}
	rewinddir(d);
	while (chain->n == n && (name = next_name(d))) {
		struct err bad = ERR_INIT;
		int one = open_file(dir, name, name, uuid, &chain->fd[n], &chain->reader[n], &bad);

		if (!one) {
			chain->n++;
		} else if (one != -ENOENT) {
			rc = one;
			why = bad;
		}
	}
	closedir(d);
	if (chain->n > n)
		return 0;
	uuid_text(uuid, text);
	if (rc != -ENOENT)
		return err_set(err, rc, "what it builds on cannot be used: %s", why.msg);
	return err_set(err, -ENOENT, "the snapshot it builds on (uuid %s) is not in %s", text,
		       folder);
}

static int open_parents(struct snap_chain *chain, int dir, const char *folder, struct err *err)
{
	for (;;) {
		const struct snap_info *last = snap_reader_info(chain->reader[chain->n - 1]);
		int rc;

		if (!memcmp(last->parent, no_uuid, sizeof(no_uuid)))
			return 0;
		for (unsigned int i = 0; i < chain->n; i++)
			if (!memcmp(snap_reader_info(chain->reader[i])->uuid, last->parent, 16))
				return err_set(err, -ELOOP,
					       "its chain of snapshots leads back to itself");
		if (chain->n == SNAP_CHAIN_MAX)
			return err_set(err, -ELOOP,
				       "its chain has more than %d snapshots: merge some",
				       SNAP_CHAIN_MAX);
		rc = find_parent(dir, folder, last->parent, chain, err);
		if (rc)
			return rc;
		if (!snap_same_shape(last, snap_reader_info(chain->reader[chain->n - 1])))
			return err_set(err, -EBADMSG,
				       "the snapshot it builds on is of another machine");
	}
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* With its slash. */
static int folder_of(const char *path, char folder[PATH_MAX], struct err *err)
{
	const char *slash = strrchr(path, '/');
	int n = snprintf(folder, PATH_MAX, "%.*s", slash ? (int)(slash - path + 1) : 2,
			 slash ? path : "./");

	return n >= PATH_MAX ? err_set(err, -ENAMETOOLONG, "%s: path is too long", path) : 0;
}

int snap_chain_open(const char *path, struct snap_chain *chain, struct err *err)
{
	char folder[PATH_MAX];
	int dir, rc;

	chain->n = 0;
	if (folder_of(path, folder, err))
		return -ENAMETOOLONG;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, -errno, "%s", folder);
	rc = open_file(dir, base_name(path), path, NULL, &chain->fd[0], &chain->reader[0], err);
	if (!rc) {
		chain->n = 1;
		rc = open_parents(chain, dir, folder, err);
		if (rc) {
			err_prefix(err, "%s", path);
			snap_chain_close(chain);
		}
	}
	close(dir);
	return rc;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int snap_chain_place(const struct snap_chain *chain, const char *path)
{
	struct stat a, b;

	if (stat(path, &a) < 0)
		return -1;
	for (unsigned int i = 0; i < chain->n; i++)
		if (fstat(chain->fd[i], &b) == 0 && same_file(&a, &b))
			return (int)i;
	return -1;
}

static int stat_folder(const char *path, struct stat *st, struct err *err)
{
	char folder[PATH_MAX];

	if (folder_of(path, folder, err))
		return -ENAMETOOLONG;
	return stat(folder, st) < 0 ? err_sys(err, -errno, "%s", folder) : 0;
}

int snap_chain_check_child(const struct snap_chain *chain, const char *base, const char *path,
			   struct err *err)
{
	struct stat a, b;
	int rc = stat_folder(base, &a, err);

	if (!rc)
		rc = stat_folder(path, &b, err);
	if (rc)
		return rc;
	if (base_name(base)[0] == '.')
		return err_set(err, -EINVAL,
			       "%s: a name that begins with a dot is not looked at when a chain is "
			       "opened: nothing can build on it",
			       base);
	if (chain->n == SNAP_CHAIN_MAX)
		return err_set(err, -EINVAL, "%s: %d snapshots build on each other: merge some",
			       base, SNAP_CHAIN_MAX);
	if (!same_file(&a, &b))
		return err_set(err, -EINVAL,
			       "%s: it must be in the same folder as what it builds on, %s", path,
			       base);
	if (snap_chain_place(chain, path) >= 0)
		return err_set(
			err, -EINVAL,
			"%s: it would take the place of a snapshot that it builds on: give it "
			"another name",
			path);
	return 0;
}

void snap_chain_close(struct snap_chain *chain)
{
	while (chain->n) {
		chain->n--;
		snap_reader_close(chain->reader[chain->n]);
		close(chain->fd[chain->n]);
	}
}

const struct snap_info *snap_chain_info(const struct snap_chain *chain)
{
	return snap_reader_info(chain->reader[0]);
}

uint64_t snap_chain_present(const struct snap_chain *chain, uint32_t bank, uint64_t chunk)
{
	uint64_t decided = 0, present = 0;

	for (unsigned int i = 0; i < chain->n; i++) {
		uint64_t here, absent;

		snap_reader_look(chain->reader[i], bank, chunk, &here, &absent);
		present |= here & ~decided;
		decided |= here | absent;
	}
	return present;
}

/* A chunk that a file has pages of may still be absent: a newer file says so. */
bool snap_chain_next(const struct snap_chain *chain, uint32_t bank, uint64_t from, uint64_t *chunk)
{
	for (;;) {
		uint64_t next = UINT64_MAX, c;

		for (unsigned int i = 0; i < chain->n; i++)
			if (snap_reader_next(chain->reader[i], bank, from, &c) && c < next)
				next = c;
		if (next == UINT64_MAX)
			return false;
		if (snap_chain_present(chain, bank, next)) {
			*chunk = next;
			return true;
		}
		from = next + 1;
	}
}

/* The @want pages of one file's chunk; the others of its HERE pages are read for their checksum and dropped. */
static int read_level(struct snap_reader *r, uint32_t bank, uint64_t chunk, uint64_t here,
		      uint64_t want, uint8_t *pages, uint8_t *tags, struct err *err)
{
	uint32_t page_size = snap_reader_info(r)->page_size;
	size_t tag_size = page_size / 32;
	bool with_tags = tags && snap_reader_info(r)->tags;
	void *to[SNAP_CHUNK_PAGES];
	uint8_t *packed = NULL;
	unsigned int n = 0;
	int rc;

	if (with_tags) {
		packed = malloc(SNAP_CHUNK_PAGES * tag_size);
		if (!packed)
			return err_set(err, -ENOMEM, "no memory for tags");
	}
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++)
		if (here >> i & 1)
			to[n++] = want >> i & 1 ? pages + (size_t)i * page_size : NULL;
	rc = snap_reader_chunk(r, bank, chunk, to, packed, err);
	n = 0;
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES && !rc && with_tags; i++) {
		if (want >> i & 1)
			memcpy(tags + i * tag_size, packed + n * tag_size, tag_size);
		n += here >> i & 1;
	}
	free(packed);
	return rc;
}

int snap_chain_chunk(const struct snap_chain *chain, uint32_t bank, uint64_t chunk, uint8_t *pages,
		     uint8_t *tags, uint64_t *present, struct err *err)
{
	uint64_t decided = 0;

	*present = 0;
	for (unsigned int i = 0; i < chain->n; i++) {
		uint64_t here, absent, want;
		int rc;

		snap_reader_look(chain->reader[i], bank, chunk, &here, &absent);
		want = here & ~decided;
		rc = want ? read_level(chain->reader[i], bank, chunk, here, want, pages, tags, err)
			  : 0;
		if (rc)
			return rc;
		*present |= want;
		decided |= here | absent;
	}
	return 0;
}
