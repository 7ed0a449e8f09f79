/* SPDX-License-Identifier: GPL-2.0-only */
/* The folder of the control sockets: who may be in it, what in it is alive. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fake_vm.h"
#include "util/clock.h"
#include "vm/control-dir.h"

struct fixture {
	char dir[FAKE_DIR];
	char folder[FAKE_DIR + 8];
	struct fake_vm f;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	*state = x;
	if (!x || fake_dir_make(x->dir))
		return -1;
	(void)snprintf(x->folder, sizeof(x->folder), "%s/lkvm", x->dir);
	fake_init(&x->f, "alpha");
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	fake_release(&x->f);
	fake_dir_remove(x->dir);
	free(x);
	return 0;
}

static const char *in_folder(const struct fixture *x, const char *file, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", x->folder, file);
	return path;
}

static unsigned int mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* What a VM that was killed leaves: bound, and nobody listens. */
static void leave_socket(const struct fixture *x, const char *file, int type)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", x->folder, file);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
}

static int open_server(struct fixture *x)
{
	x->err = (struct err)ERR_INIT;
	return fake_open(&x->f, NULL, &x->err);
}

static void assert_said(const struct fixture *x, const char *words)
{
	if (!strstr(x->err.msg, words))
		fail_msg("'%s' does not say '%s'", x->err.msg, words);
}

static void modes_do_not_depend_on_umask(void **state)
{
	static const mode_t masks[] = {0, 022, 077, 0777};
	struct fixture *x = *state;
	char path[128];

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t old = umask(masks[i]);

		assert_int_equal(open_server(x), 0);
		umask(old);
		assert_int_equal(mode_of(x->folder), 0700);
		assert_int_equal(mode_of(in_folder(x, "alpha.sock", path)), 0600);
		fake_release(&x->f);
		assert_false(exists(path));
		rmdir(x->folder);
		fake_init(&x->f, "alpha");
	}
}

static void environment_is_checked(void **state)
{
	struct fixture *x = *state;
	struct control_vm *vms;
	char path[200], longer[300];
	size_t n;

	assert_int_equal(control_dir(path, sizeof(path), &x->err), 0);
	assert_string_equal(path, x->folder);
	setenv("XDG_RUNTIME_DIR", "run", 1);
	assert_true(open_server(x) < 0);
	assert_said(x, "XDG_RUNTIME_DIR is run: it must be an absolute path");
	(void)snprintf(path, sizeof(path), "%s/nowhere", x->dir);
	setenv("XDG_RUNTIME_DIR", path, 1);
	assert_true(open_server(x) < 0);
	assert_said(x, "XDG_RUNTIME_DIR: ");
	assert_said(x, "No such file");
	/* A wrong one must not look like "no VM". */
	assert_true(control_list(&vms, &n, &x->err) < 0);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("XDG_RUNTIME_DIR", longer, 1);
	assert_true(open_server(x) < 0);
	assert_said(x, "XDG_RUNTIME_DIR has 299 bytes: too long");
	setenv("XDG_RUNTIME_DIR", x->dir, 1);
}

/* In a child that is not root. */
static void without_runtime_dir(void **state)
{
	struct fixture *x = *state;
	char path[128];
	int status;
	pid_t pid;

	unsetenv("XDG_RUNTIME_DIR");
	if (geteuid() == 0) {
		assert_int_equal(control_dir(path, sizeof(path), &x->err), 0);
		assert_string_equal(path, "/run/lkvm");
	}
	setenv("XDG_RUNTIME_DIR", "", 1); /* counts as unset */
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(2);
		_exit(control_dir(path, sizeof(path), &x->err) < 0 &&
				      strstr(x->err.msg, "XDG_RUNTIME_DIR is not set")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	setenv("XDG_RUNTIME_DIR", x->dir, 1);
}

/* A long folder is refused with both ways out, and the longest that fits works. */
static void path_length(void **state)
{
	struct fixture *x = *state;
	char longdir[128], folder[140];
	struct control_vm *vms;
	size_t len, n;

	/* folder + "/lkvm/alpha.sock" is 107 bytes, then 108 */
	for (len = 107 - 16; len <= 108 - 16; len++) {
		memset(longdir, 'd', sizeof(longdir));
		memcpy(longdir, x->dir, strlen(x->dir));
		longdir[strlen(x->dir)] = '/';
		longdir[len] = '\0';
		assert_int_equal(mkdir(longdir, 0700), 0);
		setenv("XDG_RUNTIME_DIR", longdir, 1);
		if (len == 107 - 16) {
			assert_int_equal(open_server(x), 0);
			assert_int_equal(control_list(&vms, &n, NULL), 0);
			assert_int_equal(n, 1);
			free(vms);
		} else {
			assert_int_equal(open_server(x), -ENAMETOOLONG);
			assert_said(x, "has 108 bytes, 107 are possible");
			assert_said(x, "shorter --name or XDG_RUNTIME_DIR");
		}
		fake_release(&x->f);
		fake_init(&x->f, "alpha");
		(void)snprintf(folder, sizeof(folder), "%s/lkvm", longdir);
		rmdir(folder);
		assert_int_equal(rmdir(longdir), 0);
	}
	setenv("XDG_RUNTIME_DIR", x->dir, 1);
}

static void folder_must_be_ours_alone(void **state)
{
	struct fixture *x = *state;
	char other[128];
	struct control_vm *vms;
	size_t n;

	assert_int_equal(mkdir(x->folder, 0700), 0);
	assert_int_equal(chmod(x->folder, 0750), 0);
	assert_int_equal(open_server(x), -EPERM);
	assert_said(x, "has mode 0750");
	assert_said(x, "chmod 700");
	assert_int_equal(control_list(&vms, &n, &x->err), -EPERM);
	assert_int_equal(control_call("alpha", CONTROL_INFO, NULL, NULL, &x->err), -EPERM);
	rmdir(x->folder);

	/* A link to a folder that is good in itself. */
	(void)snprintf(other, sizeof(other), "%s/other", x->dir);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink("other", x->folder), 0);
	assert_int_equal(open_server(x), -ENOTDIR);
	assert_said(x, "is not a folder");
	assert_int_equal(control_list(&vms, &n, &x->err), -ENOTDIR);
	assert_int_equal(rmdir(other), 0); /* nothing was put into it */
	unlink(x->folder);

	close(open(x->folder, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(open_server(x), -ENOTDIR);
	unlink(x->folder);
}

static void folder_of_another_owner(void **state)
{
	struct fixture *x = *state;

	if (geteuid() != 0) {
		print_message("# not tried: only root can give a folder away\n");
		return; /* cmocka 1.1.5 says "not ok" for skip() */
	}
	assert_int_equal(mkdir(x->folder, 0700), 0);
	assert_int_equal(chown(x->folder, 65534, 65534), 0);
	assert_int_equal(open_server(x), -EPERM);
	assert_said(x, "belongs to uid 65534, not to you (0)");
	rmdir(x->folder);
	/* Nor may the one above be another's, who could exchange ours. */
	assert_int_equal(chown(x->dir, 65534, 65534), 0);
	assert_int_equal(open_server(x), -EPERM);
	assert_said(x, "set XDG_RUNTIME_DIR to a folder of your own");
	assert_false(exists(x->folder));
	assert_int_equal(chown(x->dir, 0, 0), 0);
}

/* What is at the name and is no VM's socket stays untouched, and is not followed. */
static void foreign_files_stay(void **state)
{
	struct fixture *x = *state;
	struct control_vm *vms;
	char path[128], real[128];
	struct stat before, after;
	struct fake_vm beta;
	size_t n;

	assert_int_equal(fake_start(&beta, "beta", NULL), 0);
	in_folder(x, "alpha.sock", path);
	in_folder(x, "beta.sock", real);
	assert_int_equal(lstat(real, &before), 0);

	for (int what = 0; what < 4; what++) {
		if (what == 0)
			assert_int_equal(symlink("beta.sock", path), 0); /* alive */
		else if (what == 1)
			assert_int_equal(symlink("nothing", path), 0);
		else if (what == 2)
			close(open(path, O_CREAT | O_WRONLY, 0600));
		else
			leave_socket(x, "alpha.sock", SOCK_DGRAM);
		if (what == 3) { /* cannot be told from one left over, and cannot be used either */
			assert_int_equal(open_server(x), 0);
			fake_release(&x->f);
			fake_init(&x->f, "alpha");
			continue;
		}
		assert_int_equal(open_server(x), -ENOTSOCK);
		assert_said(x, "is not a socket of a VM: remove it");
		fake_release(&x->f);
		fake_init(&x->f, "alpha");
		assert_int_equal(control_call("alpha", CONTROL_INFO, NULL, NULL, &x->err),
				 -ENOTSOCK);
		assert_int_equal(control_stop("alpha", 1, &x->err), -ENOTSOCK);
		assert_int_equal(control_remove_stale("alpha", &x->err), -ENOTSOCK);
		assert_int_equal(control_list(&vms, &n, &x->err), 0);
		assert_int_equal(n, 1);
		assert_string_equal(vms[0].name, "beta");
		free(vms);
		assert_true(exists(path));
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(lstat(real, &after), 0);
	assert_true(before.st_ino == after.st_ino);
	assert_int_equal(beta.finished, 0);
	fake_end(&beta);
}

static void list_is_sorted_and_tells_the_dead(void **state)
{
	struct fixture *x = *state;
	struct control_vm *vms;
	char path[128];
	struct fake_vm b, d;
	size_t n;

	assert_int_equal(control_list(&vms, &n, &x->err), 0); /* no folder */
	assert_int_equal(n, 0);
	assert_int_equal(fake_start(&d, "d", NULL), 0);
	assert_int_equal(fake_start(&b, "b", NULL), 0);
	leave_socket(x, "c.sock", SOCK_STREAM);
	leave_socket(x, ".hidden.sock", SOCK_STREAM);
	leave_socket(x, ".sock", SOCK_STREAM);
	leave_socket(x, "other", SOCK_STREAM);
	assert_int_equal(control_list(&vms, &n, &x->err), 0);
	assert_int_equal(n, 3);
	assert_string_equal(vms[0].name, "b");
	assert_string_equal(vms[1].name, "c");
	assert_string_equal(vms[2].name, "d");
	assert_true(vms[0].alive && !vms[1].alive && vms[2].alive);
	free(vms);

	assert_int_equal(control_call("c", CONTROL_INFO, NULL, NULL, &x->err), -ECONNREFUSED);
	assert_said(x, "c: no VM of that name runs; one that did left its socket");
	assert_int_equal(control_remove_stale("b", &x->err), -EBUSY);
	assert_true(exists(in_folder(x, "b.sock", path)));
	assert_int_equal(control_remove_stale("c", &x->err), 0);
	assert_false(exists(in_folder(x, "c.sock", path)));
	assert_int_equal(control_remove_stale("c", &x->err), -ENOENT);
	assert_int_equal(control_remove_stale("../lkvm/b", &x->err), -EINVAL);
	fake_end(&b);
	fake_end(&d);
}

static void a_name_is_taken_once(void **state)
{
	struct fixture *x = *state;
	struct fake_vm other;
	char path[128];

	assert_int_equal(fake_start(&other, "alpha", NULL), 0);
	assert_int_equal(open_server(x), -EEXIST);
	assert_said(x, "a VM named alpha runs already");
	fake_release(&x->f); /* and must not take the other's socket away */
	fake_init(&x->f, "alpha");
	assert_true(exists(in_folder(x, "alpha.sock", path)));
	assert_int_equal(control_call("alpha", CONTROL_PAUSE, NULL, NULL, &x->err), 0);
	fake_end(&other);
	assert_int_equal(open_server(x), 0);
}

static void left_over_is_taken_over(void **state)
{
	struct fixture *x = *state;
	char path[128];
	int status;
	pid_t pid;

	/* A real death, not an imitation of it. */
	pid = fork();
	if (pid == 0) {
		if (open_server(x))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(exists(in_folder(x, "alpha.sock", path)));
	assert_int_equal(open_server(x), 0);
	assert_true(exists(path));
}

/* Somebody removed our socket and another VM took the name: closing ours leaves its alone. */
static void close_leaves_another_ones_socket(void **state)
{
	struct fixture *x = *state;
	struct fake_vm other;
	char path[128];

	assert_int_equal(open_server(x), 0);
	assert_int_equal(unlink(in_folder(x, "alpha.sock", path)), 0);
	assert_int_equal(fake_start(&other, "alpha", NULL), 0);
	fake_release(&x->f);
	fake_init(&x->f, "alpha");
	assert_true(exists(path));
	fake_end(&other);
	assert_false(exists(path));
}

/* The owner has accepted nobody for long: its queue is full, and it is alive all the same. */
static void full_queue_is_alive(void **state)
{
	struct fixture *x = *state;
	struct control_folder folder;
	int fds[300], n = 0, rc = 0;

	assert_int_equal(open_server(x), 0); /* its loop does not run */
	assert_int_equal(control_folder_open(&folder, false, &x->err), 0);
	while (n < 300 && (rc = control_folder_connect(&folder, "alpha.sock")) >= 0)
		fds[n++] = rc;
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(control_folder_probe(&folder, "alpha.sock"), 1);
	while (n)
		close(fds[--n]);
	control_folder_close(&folder);
}

static void lock_is_not_waited_for_without_end(void **state)
{
	struct fixture *x = *state;
	uint64_t start = clock_now_ns();
	int fd;

	assert_int_equal(mkdir(x->folder, 0700), 0);
	fd = open(x->folder, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(open_server(x), -ETIMEDOUT);
	assert_said(x, "has been locked by another process");
	assert_in_range((clock_now_ns() - start) / 1000000000, 1, 20);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(modes_do_not_depend_on_umask),
	TEST(environment_is_checked),
	TEST(without_runtime_dir),
	TEST(path_length),
	TEST(folder_must_be_ours_alone),
	TEST(folder_of_another_owner),
	TEST(foreign_files_stay),
	TEST(list_is_sorted_and_tells_the_dead),
	TEST(a_name_is_taken_once),
	TEST(left_over_is_taken_over),
	TEST(close_leaves_another_ones_socket),
	TEST(full_queue_is_alive),
	TEST(lock_is_not_waited_for_without_end),
};

UNIT_MAIN(tests)
