/* SPDX-License-Identifier: GPL-2.0-only */
#include "util/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int newfile_part(const char *path, int pid, char part[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	int before = slash ? (int)(slash - path + 1) : 0;
	int n = snprintf(part, PATH_MAX, "%.*s.%s.%d.part", before, path, path + before, pid);

	return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Its folder in front of all else: who could not sync that would find out when the old file is gone. */
static int open_folder(struct newfile *f, struct err *err)
{
	const char *slash = strrchr(f->path, '/');
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - f->path + 1) : 1,
		 slash ? f->path : ".");
	f->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->folder < 0 ? err_sys(err, -errno, "the folder of %s", f->path) : 0;
}

int newfile_open(struct newfile *f, const char *path, bool always_named, struct err *err)
{
	int rc;

	f->fd = f->folder = -1;
	f->named = false;
	if (snprintf(f->path, sizeof(f->path), "%s", path) >= (int)sizeof(f->path) ||
	    newfile_part(path, (int)getpid(), f->part))
		return err_set(err, -ENAMETOOLONG, "%s: path is too long", path);
	rc = open_folder(f, err);
	if (rc)
		return rc;
	if (!always_named)
		f->fd = openat(f->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	/* Whatever speaks against that will be said again if it is not the file system's lack of it. */
	if (f->fd < 0) {
		f->fd = open(f->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		f->named = f->fd >= 0;
	}
	if (f->fd >= 0)
		return 0;
	rc = err_sys(err, -errno, "%s", f->part);
	newfile_close(f);
	return rc;
}

/* open(2), O_TMPFILE: the way that needs no privilege. */
static int link_as(const struct newfile *f, const char *name)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int give_name(struct newfile *f, struct err *err)
{
	int rc = -EEXIST;

	if (!f->named) {
		rc = link_as(f, f->path);
		if (rc == -EEXIST) {
			rc = link_as(f, f->part);
			f->named = !rc;
		} else if (!rc) {
			return 0;
		}
		if (rc)
			return err_sys(err, rc, "%s", f->path);
	}
	if (rename(f->part, f->path) < 0)
		return err_sys(err, -errno, "%s", f->path);
	f->named = false;
	return 0;
}

int newfile_sync(struct newfile *f, struct err *err)
{
	return fsync(f->fd) < 0 ? err_sys(err, -errno, "%s: cannot write it to its disk", f->path)
				: 0;
}

int newfile_commit(struct newfile *f, struct err *err)
{
	int rc = give_name(f, err);

	if (!rc && fsync(f->folder) < 0)
		rc = err_sys(err, -errno, "cannot sync the folder of %s", f->path);
	return rc;
}

void newfile_close(struct newfile *f)
{
	if (f->named)
		unlink(f->part);
	f->named = false;
	if (f->fd >= 0)
		close(f->fd);
	if (f->folder >= 0)
		close(f->folder);
	f->fd = f->folder = -1;
}
