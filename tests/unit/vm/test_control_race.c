/* SPDX-License-Identifier: GPL-2.0-only */
/* Several who want the same name at the same moment. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fake_vm.h"
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

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int open_server(struct fixture *x)
{
	x->err = (struct err)ERR_INIT;
	return fake_open(&x->f, NULL, &x->err);
}

struct starter {
	struct fixture *x;
	int folder, fd;
};

/* The second half of a start; the first was bind(), with the folder locked. */
static void *listen_late(void *arg)
{
	const struct timespec late = {.tv_nsec = 200000000};
	struct starter *s = arg;

	nanosleep(&late, NULL);
	listen(s->fd, 5);
	flock(s->folder, LOCK_UN);
	return NULL;
}

/* Between bind() and listen() a socket refuses connections: nobody may take it for a left-over then. */
static void who_starts_is_not_stale(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct fixture *x = *state;
	struct starter s = {.x = x};
	struct control_vm *vms;
	char path[100];
	pthread_t thread;
	size_t n;

	assert_int_equal(mkdir(x->folder, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/alpha.sock", x->folder);
	memcpy(at.sun_path, path, strlen(path));
	s.folder = open(x->folder, O_RDONLY | O_DIRECTORY);
	for (int what = 0; what < 3; what++) {
		s.fd = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(flock(s.folder, LOCK_EX), 0);
		assert_int_equal(bind(s.fd, (struct sockaddr *)&at, sizeof(at)), 0);
		assert_int_equal(pthread_create(&thread, NULL, listen_late, &s), 0);
		if (what == 0) {
			assert_int_equal(control_list(&vms, &n, &x->err), 0);
			assert_int_equal(n, 1);
			assert_true(vms[0].alive);
			free(vms);
		} else if (what == 1) {
			assert_int_equal(control_remove_stale("alpha", &x->err), -EBUSY);
		} else {
			assert_int_equal(open_server(x), -EEXIST);
		}
		pthread_join(thread, NULL);
		assert_true(exists(path));
		unlink(path);
		close(s.fd);
	}
	close(s.folder);
}

#define GOERS 4000

/* A VM that ends takes its name away, then stops listening: it must at no time look like a left-over. */
static void who_goes_is_not_stale(void **state)
{
	struct fixture *x = *state;
	struct control_folder folder;
	int status = 0, stale = 0;
	char path[128];
	pid_t pid;

	assert_int_equal(mkdir(x->folder, 0700), 0);
	assert_int_equal(control_folder_open(&folder, false, &x->err), 0);
	in_folder(x, "alpha.sock", path);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un at = {.sun_family = AF_UNIX};

		(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/new", x->folder);
		for (int i = 0; i < GOERS; i++) {
			int fd = socket(AF_UNIX, SOCK_STREAM, 0);

			if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 5) < 0 ||
			    rename(at.sun_path, path) < 0 || unlink(path) < 0)
				_exit(1);
			close(fd);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		for (int i = 0; i < 50; i++)
			stale += control_folder_probe(&folder, "alpha.sock") == 0;
	assert_int_equal(status, 0);
	assert_int_equal(stale, 0);
	control_folder_close(&folder);
}

#define RACERS 12
#define ROUNDS 25

/*
 * The racers start together at a name where a dead VM's socket lies. One gets it and keeps it until all have tried.
 * Returns the racer's exit code: 0 won, 1 lost in good order, 2 anything else.
 */
static int race(struct fixture *x, int go, int all_done)
{
	char byte;
	int rc;

	(void)!read(go, &byte, 1); /* the end of the pipe is the signal */
	rc = open_server(x);
	if (rc == -EEXIST)
		return 1;
	if (rc) {
		fprintf(stderr, "# %s\n", x->err.msg);
		return 2;
	}
	(void)!read(all_done, &byte, 1);
	return 0; /* without closing: the next round finds the socket */
}

static void one_of_many_starters_wins(void **state)
{
	struct fixture *x = *state;

	for (int round = 0; round < ROUNDS; round++) {
		int go[2], done[2], count[3] = {0}, running = RACERS;
		pid_t pids[RACERS];
		int status;

		assert_int_equal(pipe(go), 0);
		assert_int_equal(pipe(done), 0);
		for (int i = 0; i < RACERS; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				close(go[1]);
				close(done[1]);
				_exit(race(x, go[0], done[0]));
			}
			assert_true(pids[i] > 0);
		}
		close(go[1]);
		/* The losers end by themselves; a second winner would be seen below as a loser too few. */
		while (running > 1 && count[0] + count[2] == 0) {
			struct timespec step = {.tv_nsec = 2000000};
			static const int patience = 10000 / 2;
			int waited = 0;
			pid_t pid;

			while ((pid = waitpid(-1, &status, WNOHANG)) == 0 && waited++ < patience)
				nanosleep(&step, NULL);
			if (pid <= 0)
				break;
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 3);
			count[WEXITSTATUS(status)]++;
			running--;
		}
		close(done[1]);
		while (running-- > 0) {
			assert_true(waitpid(-1, &status, 0) > 0);
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 3);
			count[WEXITSTATUS(status)]++;
		}
		close(go[0]);
		close(done[0]);
		assert_int_equal(count[2], 0);
		assert_int_equal(count[0], 1);
		assert_int_equal(count[1], RACERS - 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(who_starts_is_not_stale),
	TEST(who_goes_is_not_stale),
	TEST(one_of_many_starters_wins),
};

UNIT_MAIN(tests)
