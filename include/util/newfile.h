/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file that gets its name when it is whole. Until then it has none, where the file system can do that (O_TMPFILE): it is gone
 * with its process, whatever ends that. Elsewhere, and for the moment in which it takes the place of an older file, it has a
 * temporary name beside it.
 */
#ifndef LKVM_UTIL_NEWFILE_H
#define LKVM_UTIL_NEWFILE_H

#include <limits.h>
#include <stdbool.h>

#include "util/err.h"

struct newfile {
	int fd; /* to be written to; read and write */
	int folder;
	bool named; /* it has its temporary name */
	char path[PATH_MAX], part[PATH_MAX];
};

/* The temporary name that the file @path has where process @pid makes it: /dir/.FILE.PID.part. -ENAMETOOLONG. */
int newfile_part(const char *path, int pid, char part[PATH_MAX]);

/* Mode 0600. After an error nothing is there. @always_named: as where there is no O_TMPFILE; for tests. */
int newfile_open(struct newfile *f, const char *path, bool always_named, struct err *err);

int newfile_sync(struct newfile *f, struct err *err);
/* After newfile_sync(): gives it its name, which until then is whose it was, and syncs the folder. */
int newfile_commit(struct newfile *f, struct err *err);

/* Closes it; one that was not committed is gone. */
void newfile_close(struct newfile *f);

#endif
