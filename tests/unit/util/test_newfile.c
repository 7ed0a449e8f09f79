/* SPDX-License-Identifier: GPL-2.0-only */
/* A file that gets its name when it is whole, and is gone with its process before. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/newfile.h"

static char dir[32];
static char path[sizeof(dir) + 8];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/lkvm-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

/* How many names there are. */
static unsigned int names(void)
{
	const struct dirent *e;
	DIR *d = opendir(dir);
	unsigned int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_holds(const char *text)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
	close(fd);
}

static void make(const char *text, bool named)
{
	struct newfile f;
	struct err err = ERR_INIT;

	assert_int_equal(newfile_open(&f, path, named, &err), 0);
	put(f.fd, text);
	assert_int_equal(newfile_sync(&f, &err), 0);
	assert_int_equal(newfile_commit(&f, &err), 0);
	newfile_close(&f);
}

static void gets_its_name_last(void **state)
{
	struct stat st;

	(void)state;
	for (int named = 0; named < 2; named++) {
		make("one", named);
		assert_holds("one");
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		make("another", named); /* in the place of the first */
		assert_holds("another");
		assert_int_equal(names(), 1);
		assert_int_equal(unlink(path), 0);
	}
}

static void given_up(void **state)
{
	struct err err = ERR_INIT;
	struct newfile f;

	(void)state;
	make("old", false);
	for (int named = 0; named < 2; named++) {
		assert_int_equal(newfile_open(&f, path, named, &err), 0);
		put(f.fd, "new");
		newfile_close(&f);
		assert_holds("old");
		assert_int_equal(names(), 1);
	}
}

/* Killed: nobody can clean up. Control: with a name from the start, something stays. */
static void killed(void **state)
{
	int probe = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	if (probe < 0)
		skip(); /* this file system has no files without a name */
	close(probe);
	make("old", false);
	for (int named = 0; named < 2; named++) {
		pid_t child = fork();
		int status;

		if (!child) {
			struct newfile f;

			if (newfile_open(&f, path, named, NULL) || write(f.fd, "new", 3) != 3)
				_exit(1);
			kill(getpid(), SIGKILL);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_holds("old");
		assert_int_equal(names(), 1 + named);
	}
}

static void no_place(void **state)
{
	char name[PATH_MAX + 8];
	struct err err = ERR_INIT;
	struct newfile f;

	(void)state;
	snprintf(name, sizeof(name), "%s/none/file", dir);
	assert_int_equal(newfile_open(&f, name, false, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "the folder of "));
	/* A folder in its place shows when it is to get its name. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(newfile_open(&f, path, false, &err), 0);
	assert_int_equal(newfile_commit(&f, &err), -EISDIR);
	newfile_close(&f);
	assert_int_equal(names(), 1);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(newfile_open(&f, name, false, &err), -ENAMETOOLONG);
}

static void in_this_folder(void **state)
{
	char was[PATH_MAX];

	(void)state;
	assert_non_null(getcwd(was, sizeof(was)));
	assert_int_equal(chdir(dir), 0);
	snprintf(path, sizeof(path), "file");
	make("one", false);
	make("two", false);
	assert_holds("two");
	assert_int_equal(chdir(was), 0);
	assert_int_equal(names(), 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(gets_its_name_last, setup, teardown),
	cmocka_unit_test_setup_teardown(given_up, setup, teardown),
	cmocka_unit_test_setup_teardown(killed, setup, teardown),
	cmocka_unit_test_setup_teardown(no_place, setup, teardown),
	cmocka_unit_test_setup_teardown(in_this_folder, setup, teardown),
};

UNIT_MAIN(tests)
