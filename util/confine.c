/* SPDX-License-Identifier: GPL-2.0-only */
#include "util/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/confine-filter.h"

#define KEEP_MAX 96

/* Of Landlock's rights those that every kernel with it knows; the last two came later. */
#define FIRST_RIGHTS ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define REFER	     (1ull << 13)
#define TRUNCATE     (1ull << 14)
#define SCOPE_SIGNAL (1ull << 1)
#define ON_FILES \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int confine_descriptors(const int *keep, size_t n, struct err *err)
{
	int sorted[KEEP_MAX];
	unsigned int from = 0;

	if (n > KEEP_MAX)
		return err_set(err, -EINVAL, "too many descriptors to keep");
	memcpy(sorted, keep, n * sizeof(*keep));
	qsort(sorted, n, sizeof(*sorted), by_number);
	for (size_t i = 0; i <= n; i++) {
		unsigned int to = i < n ? (unsigned int)sorted[i] : UINT_MAX;

		if (i < n && sorted[i] < 0)
			continue;
		if (to > from && syscall(SYS_close_range, from, i < n ? to - 1 : to, 0) < 0)
			return err_sys(err, -errno, "cannot close descriptors");
		if (i < n && to >= from)
			from = to + 1;
	}
	return 0;
}

static int add_path(int ruleset, const struct confine_path *p)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = 0};
	struct stat st;
	int rc = 0;

	rule.parent_fd = p->path ? open(p->path, O_PATH | O_CLOEXEC) : -1;
	if (rule.parent_fd < 0)
		return 0;
	if (p->rights & CONFINE_READ)
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (p->rights & CONFINE_WRITE)
		rule.allowed_access |= LANDLOCK_ACCESS_FS_WRITE_FILE;
	if (p->rights & CONFINE_SOCKET)
		rule.allowed_access |=
			LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	if (fstat(rule.parent_fd, &st) < 0)
		rc = -errno;
	else if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= ON_FILES;
	/* EBADFD: a pipe or socket, which has no place among files and needs none. */
	if (!rc &&
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 &&
	    errno != EBADFD)
		rc = -errno;
	close(rule.parent_fd);
	return rc;
}

static int no_new_privileges(struct err *err)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
		       ? err_sys(err, -errno, "no new privileges")
		       : 0;
}

int confine_files(const struct confine_path *paths, size_t n, struct err *err)
{
	/* As in the headers of a kernel of today: ours may be older. A kernel reads as much of it as it knows. */
	struct {
		uint64_t files, network, scoped;
	} attr = {.files = FIRST_RIGHTS};
	size_t size = sizeof(attr.files);
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset, rc = 0;

	if (version < 1)
		return err_set(err, -EOPNOTSUPP, "this kernel has no Landlock");
	if (version >= 2)
		attr.files |= REFER;
	if (version >= 3)
		attr.files |= TRUNCATE;
	if (version >= 6) { /* Linux 6.12: signals go to our own threads and children alone */
		attr.scoped = SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return err_sys(err, -errno, "Landlock");
	for (size_t i = 0; i < n && !rc; i++)
		rc = add_path(ruleset, &paths[i]);
	if (rc)
		err_sys(err, rc, "Landlock");
	if (!rc)
		rc = no_new_privileges(err);
	if (!rc && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = err_sys(err, -errno, "Landlock");
	close(ruleset);
	return rc;
}

static int apply(const struct sock_filter *filter, size_t n, unsigned int flags, struct err *err)
{
	const struct sock_fprog program = {.len = (unsigned short)n,
					   .filter = (struct sock_filter *)filter};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program))
		return err_sys(err, errno ? -errno : -ESRCH, "system call filter");
	return 0;
}

int confine_process(struct err *err)
{
	struct __user_cap_header_struct who = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
	int rc = no_new_privileges(err);

	if (!rc && syscall(SYS_capset, &who, none) < 0)
		rc = err_sys(err, -errno, "capabilities");
	return rc ? rc
		  : apply(filter_process, sizeof(filter_process) / sizeof(filter_process[0]),
			  SECCOMP_FILTER_FLAG_TSYNC, err);
}

int confine_receiver(struct err *err)
{
	return apply(filter_receiver, sizeof(filter_receiver) / sizeof(filter_receiver[0]), 0, err);
}
