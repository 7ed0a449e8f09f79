/* SPDX-License-Identifier: GPL-2.0-only */
/* The folder of the control sockets: where it is, whether it can be trusted, which sockets in it are alive. */
#include "vm/control-dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm/control.h"

#define FOLDER	  "lkvm"
#define LOCK_WAIT 3000 /* ms; who holds it does so for a few system calls */
#define LOCK_STEP 5

/* The folder that ours is in. */
static int parent_dir(const char **dir, struct err *err)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (run && run[0]) {
		if (run[0] != '/')
			return err_set(err, -EINVAL,
				       "XDG_RUNTIME_DIR is %s: it must be an absolute path", run);
		*dir = run;
		return 0;
	}
	if (geteuid() != 0)
		return err_set(err, -EINVAL,
			       "XDG_RUNTIME_DIR is not set: set it to a folder of your own "
			       "(mode 0700) for the VMs' control sockets");
	*dir = "/run";
	return 0;
}

int control_dir(char *path, size_t size, struct err *err)
{
	const char *parent;
	int rc, n;

	rc = parent_dir(&parent, err);
	if (rc)
		return rc;
	n = snprintf(path, size, "%s/" FOLDER, parent);
	if (n < 0 || (size_t)n >= size)
		return err_set(err, -ENAMETOOLONG,
			       "XDG_RUNTIME_DIR has %zu bytes: too long for a socket's path, "
			       "which ends at %zu (unix(7))",
			       strlen(parent), CONTROL_PATH_MAX - 1);
	return 0;
}

/* Whoever owns the folder above could put another one in place of ours. */
static int check_parent(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, -EPERM,
			       "%s belongs to uid %u: set XDG_RUNTIME_DIR to a folder of your own",
			       path, (unsigned int)st.st_uid);
	return 0;
}

static int check_folder(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	if (st.st_uid != geteuid())
		return err_set(err, -EPERM, "%s belongs to uid %u, not to you (%u): remove it",
			       path, (unsigned int)st.st_uid, (unsigned int)geteuid());
	if (st.st_mode & 077)
		return err_set(err, -EPERM,
			       "%s has mode %04o, others can get in: look at what is there, then "
			       "chmod 700 it",
			       path, (unsigned int)(st.st_mode & 07777));
	return 0;
}

static int open_in(int parent, const char *path, bool create, int *out, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent, FOLDER, flags);

	if (fd < 0 && errno == ENOENT && create) {
		/* EEXIST is another starter's, looked at below. The mode: whatever the umask. */
		if (mkdirat(parent, FOLDER, 0700) < 0 ? errno != EEXIST
						      : fchmodat(parent, FOLDER, 0700, 0) < 0)
			return err_sys(err, -errno, "cannot create %s", path);
		fd = openat(parent, FOLDER, flags);
	}
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return err_set(err, -ENOTDIR,
			       "%s is not a folder (links are not followed): remove it", path);
	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	*out = fd;
	return 0;
}

int control_folder_open(struct control_folder *f, bool create, struct err *err)
{
	const char *parent;
	int pfd, rc;

	f->fd = -1;
	rc = parent_dir(&parent, err);
	if (!rc)
		rc = control_dir(f->path, sizeof(f->path), err);
	if (rc)
		return rc;
	pfd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pfd < 0) {
		(void)err_sys(err, -errno, "XDG_RUNTIME_DIR: %s", parent);
		return -EINVAL; /* -ENOENT says that the folder in it is not there */
	}
	rc = check_parent(pfd, parent, err);
	if (!rc)
		rc = open_in(pfd, f->path, create, &f->fd, err);
	close(pfd);
	if (!rc)
		rc = check_folder(f->fd, f->path, err);
	if (rc)
		control_folder_close(f);
	return rc;
}

void control_folder_close(struct control_folder *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Not by a flock() that waits: a stopped process that holds it must not hold us for ever. */
int control_folder_lock(const struct control_folder *f, int operation, struct err *err)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP * 1000000};

	for (int waited = 0;; waited += LOCK_STEP) {
		if (flock(f->fd, operation | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(err, -errno, "cannot lock %s", f->path);
		if (waited >= LOCK_WAIT)
			return err_set(
				err, -ETIMEDOUT,
				"%s has been locked by another process for %d s (fuser -v %s "
				"shows which)",
				f->path, LOCK_WAIT / 1000, f->path);
		nanosleep(&step, NULL);
	}
}

void control_folder_unlock(const struct control_folder *f)
{
	(void)flock(f->fd, LOCK_UN);
}

void control_file_name(const char *name, char file[CONTROL_FILE_MAX])
{
	(void)snprintf(file, CONTROL_FILE_MAX, "%s" CONTROL_SUFFIX, name);
}

/*
 * Nobody listens at the socket that was opened. It is a left-over only if the name still means that one: a VM that
 * ends takes its name away before it stops listening.
 */
static int refused(const struct control_folder *f, const char *file, const struct stat *opened)
{
	struct stat now;

	if (fstatat(f->fd, file, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (now.st_ino != opened->st_ino || now.st_dev != opened->st_dev)
		return -EAGAIN; /* another VM's by now */
	return -ECONNREFUSED;
}

int control_folder_connect(const struct control_folder *f, const char *file)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int path_fd, fd, rc = 0;
	struct stat st;

	path_fd = openat(f->fd, file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		rc = -errno;
		goto out;
	}
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", path_fd);
	if (fstat(path_fd, &st) < 0)
		rc = -errno;
	else if (!S_ISSOCK(st.st_mode))
		rc = -ENOTSOCK;
	else if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		rc = errno == EPROTOTYPE ? -ENOTSOCK : -errno;
	if (rc == -ECONNREFUSED)
		rc = refused(f, file, &st);
out:
	if (rc && fd >= 0)
		close(fd);
	close(path_fd);
	return rc ? rc : fd;
}

int control_folder_probe(const struct control_folder *f, const char *file)
{
	int fd = control_folder_connect(f, file);

	if (fd >= 0)
		close(fd);
	if (fd >= 0 || fd == -EAGAIN)
		return 1;
	return fd == -ECONNREFUSED ? 0 : fd;
}

/* "NAME.sock" -> NAME */
static bool name_of_file(const char *file, char name[VM_NAME_MAX + 1])
{
	size_t len = strlen(file), suffix = sizeof(CONTROL_SUFFIX) - 1;

	if (len <= suffix || len - suffix > VM_NAME_MAX ||
	    strcmp(file + len - suffix, CONTROL_SUFFIX) != 0)
		return false;
	memcpy(name, file, len - suffix);
	name[len - suffix] = '\0';
	return vm_name_valid(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct control_vm *)a)->name, ((const struct control_vm *)b)->name);
}

struct vm_list {
	struct control_vm *vms;
	size_t n, cap;
};

static int list_add(struct vm_list *list, const struct control_vm *vm)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		void *vms = reallocarray(list->vms, cap, sizeof(*list->vms));

		if (!vms)
			return -ENOMEM;
		list->vms = vms;
		list->cap = cap;
	}
	list->vms[list->n++] = *vm;
	return 0;
}

static int list_folder(const struct control_folder *f, struct vm_list *list, struct err *err)
{
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct control_vm vm;
	struct dirent *d;
	int rc = 0;

	if (!dir) {
		rc = err_sys(err, -errno, "%s", f->path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!rc && (errno = 0, d = readdir(dir))) {
		int alive;

		if (!name_of_file(d->d_name, vm.name))
			continue;
		alive = control_folder_probe(f, d->d_name);
		if (alive == -ENOENT || alive == -ENOTSOCK || alive == -EACCES)
			continue; /* gone by now, or not a VM's */
		vm.alive = alive == 1;
		rc = alive < 0 ? alive : list_add(list, &vm);
	}
	if (!rc && errno)
		rc = -errno;
	closedir(dir);
	return rc ? err_sys(err, rc, "%s", f->path) : 0;
}

int control_list(struct control_vm **vms, size_t *n, struct err *err)
{
	struct err why = ERR_INIT;
	struct vm_list list = {0};
	struct control_folder f;
	int rc;

	*vms = NULL;
	*n = 0;
	rc = control_folder_open(&f, false, &why);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return err_set(err, rc, "%s", why.msg);
	/* Shared: a VM that starts has its socket there and does not listen yet. */
	rc = control_folder_lock(&f, LOCK_SH, err);
	if (!rc)
		rc = list_folder(&f, &list, err);
	control_folder_close(&f);
	if (rc) {
		free(list.vms);
		return rc;
	}
	if (list.n)
		qsort(list.vms, list.n, sizeof(*list.vms), by_name);
	*vms = list.vms;
	*n = list.n;
	return 0;
}

int control_remove_stale(const char *name, struct err *err)
{
	char file[CONTROL_FILE_MAX];
	struct control_folder f;
	int rc;

	if (!vm_name_valid(name))
		return err_set(err, -EINVAL, "'%s' is not a VM's name", name);
	control_file_name(name, file);
	rc = control_folder_open(&f, false, err);
	if (rc)
		return rc;
	rc = control_folder_lock(&f, LOCK_EX, err);
	if (!rc) {
		rc = control_folder_probe(&f, file);
		if (rc == 1)
			rc = err_set(err, -EBUSY, "%s/%s is in use", f.path, file);
		else if (rc < 0 || unlinkat(f.fd, file, 0) < 0)
			rc = err_sys(err, rc ? rc : -errno, "%s/%s", f.path, file);
	}
	control_folder_close(&f);
	return rc;
}
