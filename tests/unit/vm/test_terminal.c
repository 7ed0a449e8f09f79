/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "vm/terminal.h"
#include "vm/tty.h"

static struct tty tty;

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	/* What a dying child leaves behind comes to us, so that we see its end. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tty_open(&tty);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tty_close(&tty);
	/* No process is left, not even a dead one. */
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static bool blocked(int number)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return sigismember(&mask, number);
}

static void ordinary_end(void **state)
{
	struct terminal t;

	(void)state;
	assert_int_equal(terminal_init(&t, tty.fd, NULL), 0);
	assert_true(tty_has(&tty, &tty.modes)); /* not before it is asked for */
	assert_true(blocked(SIGTTIN) && blocked(SIGTTOU));
	assert_false(blocked(SIGTERM) || blocked(SIGINT));
	assert_true(
		terminal_is_ours(&t)); /* not our controlling terminal, so nobody else's either */
	assert_false(terminal_is_raw(&t));

	assert_int_equal(terminal_raw(&t), 0);
	assert_true(tty_is_raw(&tty));
	assert_true(terminal_is_raw(&t));
	terminal_release(&t);
	assert_true(tty_has(&tty, &tty.modes));
	assert_false(blocked(SIGTTIN) || blocked(SIGTTOU));

	/* Never made raw. */
	assert_int_equal(terminal_init(&t, tty.fd, NULL), 0);
	terminal_release(&t);
	assert_true(tty_has(&tty, &tty.modes));

	/* Forgotten: the modes belong to somebody else then. */
	assert_int_equal(terminal_init(&t, tty.fd, NULL), 0);
	assert_int_equal(terminal_raw(&t), 0);
	terminal_forget(&t);
	terminal_release(&t);
	assert_true(tty_is_raw(&tty));
}

static void refuses_what_is_none(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct terminal t;

	(void)state;
	assert_int_equal(terminal_init(&t, fd, NULL), 0);
	assert_int_equal(terminal_raw(&t), -ENOTTY);
	terminal_release(&t);
	close(fd);
}

/* A signal mask of the caller's own is kept. */
static void keeps_signal_mask(void **state)
{
	struct terminal t;
	sigset_t mask;

	(void)state;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTTOU);
	sigaddset(&mask, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	assert_int_equal(terminal_init(&t, tty.fd, NULL), 0);
	terminal_release(&t);
	assert_true(blocked(SIGTTOU) && blocked(SIGUSR1));
	assert_false(blocked(SIGTTIN));
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
}

/* --- the other ends --- */

enum end {
	END_KILL,      /* SIGKILL */
	END_CRASH,     /* SIGSEGV */
	END_EXIT,      /* exit() without a word */
	END_GROUP_HUP, /* SIGHUP to the whole process group, and so for the next */
	END_GROUP_TERM,
	END_GROUP_INT,
	END_GROUP_KILL,
	END_HEIR, /* SIGKILL, while a child of the dying one holds all of its descriptors */
	ENDS,
};

/* A process with a raw terminal; tells its watcher's pid, then waits for its end. */
static pid_t start(pid_t *watcher, enum end end)
{
	int p[2], go[2];
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		struct terminal t;
		char byte;

		setpgid(0, 0);
		signal(SIGSEGV, SIG_DFL); /* not the sanitizer's */
		signal(SIGHUP, SIG_DFL);  /* nor what nohup made of it */
		signal(SIGINT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0});
		close(go[1]);
		if (terminal_init(&t, tty.fd, NULL) || terminal_raw(&t))
			_exit(1);
		if (end == END_HEIR && !fork()) {
			close(p[0]);
			close(p[1]);
			/* Ends with the test's end of the pipe, after all is over. */
			if (read(go[0], &byte, 1) >= 0)
				_exit(0);
		}
		if (write(p[1], &t.watcher, sizeof(t.watcher)) != sizeof(t.watcher))
			_exit(1);
		if (end == END_EXIT) {
			usleep(20000);
			_exit(0);
		}
		for (;;)
			pause();
	}
	close(p[1]);
	close(go[0]);
	assert_int_equal(read(p[0], watcher, sizeof(*watcher)), sizeof(*watcher));
	close(p[0]);
	/* Left open for the heir; the test that has one closes it through here. */
	if (end == END_HEIR)
		dup2(go[1], 200);
	close(go[1]);
	return pid;
}

static void finish(pid_t pid, enum end end)
{
	switch (end) {
	case END_CRASH:
		kill(pid, SIGSEGV);
		break;
	case END_EXIT:
		break;
	case END_GROUP_HUP:
		kill(-pid, SIGHUP);
		break;
	case END_GROUP_TERM:
		kill(-pid, SIGTERM);
		break;
	case END_GROUP_INT:
		kill(-pid, SIGINT);
		break;
	case END_GROUP_KILL:
		kill(-pid, SIGKILL);
		break;
	default:
		kill(pid, SIGKILL);
		break;
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int count_fds(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static bool is_named(pid_t pid, const char *name)
{
	char path[64], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, name);
}

static void every_other_end(void **state)
{
	(void)state;
	for (enum end end = 0; end < ENDS; end++) {
		pid_t watcher, pid = start(&watcher, end);

		if (end != END_EXIT)
			assert_true(tty_is_raw(&tty));
		finish(pid, end);
		if (!EVENTUALLY(tty_has(&tty, &tty.modes)))
			fail_msg("the terminal was left raw by end %d", end);
		/* And then it goes, too. */
		assert_int_equal(waitpid(watcher, NULL, 0), watcher);
		if (end == END_HEIR) {
			close(200);
			assert_true(waitpid(-1, NULL, 0) > 0);
		}
	}
}

/* The control of the test above: without the watcher the terminal stays raw. */
static void without_watcher_it_stays_raw(void **state)
{
	pid_t watcher, pid = start(&watcher, END_KILL);

	(void)state;
	kill(watcher, SIGKILL);
	/* The parent has not waited for it: it is a zombie until the parent goes. */
	finish(pid, END_KILL);
	assert_int_equal(waitpid(watcher, NULL, 0), watcher);
	usleep(50000);
	assert_true(tty_is_raw(&tty));
}

static void watcher_is_small_and_deaf(void **state)
{
	static const int deaf_to[] = {SIGHUP,  SIGINT,	SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU,
				      SIGTSTP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};
	pid_t watcher, pid = start(&watcher, END_KILL);

	(void)state;
	assert_true(EVENTUALLY(is_named(watcher, "lkvm-tty")));
	/* Terminal, socket, and the parent's pidfd: no pipe of ours, no memory of a guest. */
	assert_true(EVENTUALLY(count_fds(watcher) == 3));
	assert_int_not_equal(getpgid(watcher), getpgid(pid));
	for (unsigned int i = 0; i < sizeof(deaf_to) / sizeof(deaf_to[0]); i++)
		kill(watcher, deaf_to[i]);
	usleep(20000);
	assert_int_equal(kill(watcher, 0), 0);
	assert_true(tty_is_raw(&tty));
	finish(pid, END_KILL);
	assert_true(EVENTUALLY(tty_has(&tty, &tty.modes)));
	assert_int_equal(waitpid(watcher, NULL, 0), watcher);
}

/* Somebody has stopped it: the ordinary end does not wait for that somebody. */
static void stopped_watcher(void **state)
{
	struct terminal t;

	(void)state;
	assert_int_equal(terminal_init(&t, tty.fd, NULL), 0);
	assert_int_equal(terminal_raw(&t), 0);
	kill(t.watcher, SIGSTOP);
	terminal_release(&t);
	assert_true(tty_has(&tty, &tty.modes));

	/* Or has killed it. */
	assert_int_equal(terminal_init(&t, tty.fd, NULL), 0);
	kill(t.watcher, SIGKILL);
	assert_int_equal(terminal_raw(&t), 0);
	terminal_release(&t);
	assert_true(tty_has(&tty, &tty.modes));
}

/* --- under a shell with job control --- */

/* A child that is the leader of a session with the terminal: a shell. Its exit code is the line that failed. */
#define CHECK(condition)                           \
	do {                                       \
		if (!(condition))                  \
			_exit(1 + __LINE__ % 255); \
	} while (0)

static void in_session(void (*shell)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		CHECK(setsid() > 0);
		CHECK(!ioctl(tty.fd, TIOCSCTTY, 0));
		signal(SIGTTOU, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		shell();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status 0x%x: line %d", status, (status >> 8) - 1);
}

static void job(int ready)
{
	struct terminal t;
	char byte = terminal_init(&t, tty.fd, NULL) || !terminal_is_ours(&t) || terminal_raw(&t);

	CHECK(write(ready, &byte, 1) == 1);
	for (;;)
		pause();
}

/* Starts a job in the foreground and returns when it has made the terminal raw. */
static pid_t foreground_job(void)
{
	char failed = 1;
	pid_t pid;
	int p[2];

	CHECK(!pipe(p));
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		CHECK(read(p[0], &failed, 1) == 1); /* the terminal is ours now */
		job(p[1]);
	}
	setpgid(pid, pid);
	CHECK(!tcsetpgrp(tty.fd, pid));
	CHECK(write(p[1], "x", 1) == 1);
	close(p[1]);
	usleep(1000);
	CHECK(EVENTUALLY(tty_is_raw(&tty)));
	close(p[0]);
	return pid;
}

/* The shell has its own modes by the time the watcher looks: they stay. */
static void shell_takes_terminal_back(void)
{
	pid_t pid = foreground_job();
	struct termios own = tty.modes;

	kill(pid, SIGSTOP);
	own.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* a line editor's */
	CHECK(!tcsetpgrp(tty.fd, getpgrp()));
	CHECK(!tcsetattr(tty.fd, TCSANOW, &own));
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	usleep(100000);
	CHECK(tty_has(&tty, &own));
}

/* The shell has taken the terminal, but left the modes: then they are put back, or nobody would. */
static void shell_leaves_modes(void)
{
	pid_t pid = foreground_job();

	CHECK(!tcsetpgrp(tty.fd, getpgrp()));
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(EVENTUALLY(tty_has(&tty, &tty.modes)));
}

static void job_dies_in_foreground(void)
{
	pid_t pid = foreground_job();

	kill(-pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(EVENTUALLY(tty_has(&tty, &tty.modes)));
}

/* Both ends in one process: started in the background it is not stopped, and knows. */
static void background_job(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct terminal t;

		setpgid(0, 0);
		signal(SIGTTOU, SIG_DFL);
		CHECK(!terminal_init(&t, tty.fd, NULL));
		CHECK(!terminal_is_ours(&t));
		terminal_release(&t);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, WUNTRACED) == pid);
	CHECK(status == 0);
	CHECK(tty_has(&tty, &tty.modes));
}

static void reap_watchers(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void session_test(void (*shell)(void))
{
	in_session(shell);
	reap_watchers();
}

static void shell_has_own_modes(void **state)
{
	(void)state;
	session_test(shell_takes_terminal_back);
}

static void shell_has_left_modes(void **state)
{
	(void)state;
	session_test(shell_leaves_modes);
}

static void killed_in_foreground(void **state)
{
	(void)state;
	session_test(job_dies_in_foreground);
}

static void in_background(void **state)
{
	(void)state;
	session_test(background_job);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(ordinary_end, setup, teardown),
	cmocka_unit_test_setup_teardown(refuses_what_is_none, setup, teardown),
	cmocka_unit_test_setup_teardown(keeps_signal_mask, setup, teardown),
	cmocka_unit_test_setup_teardown(every_other_end, setup, teardown),
	cmocka_unit_test_setup_teardown(without_watcher_it_stays_raw, setup, teardown),
	cmocka_unit_test_setup_teardown(watcher_is_small_and_deaf, setup, teardown),
	cmocka_unit_test_setup_teardown(stopped_watcher, setup, teardown),
	cmocka_unit_test_setup_teardown(shell_has_own_modes, setup, teardown),
	cmocka_unit_test_setup_teardown(shell_has_left_modes, setup, teardown),
	cmocka_unit_test_setup_teardown(killed_in_foreground, setup, teardown),
	cmocka_unit_test_setup_teardown(in_background, setup, teardown),
};

UNIT_MAIN(tests)
