/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "util/io.h"

#define BIG (1 << 20)

static char sent[BIG], got[BIG];

/* Writes all of sent[], late and in odd pieces. */
static void *trickle(void *arg)
{
	int fd = *(int *)arg;

	for (size_t at = 0; at < sizeof(sent);) {
		size_t n = 1 + at % 5000;
		ssize_t w;

		if (n > sizeof(sent) - at)
			n = sizeof(sent) - at;
		w = write(fd, sent + at, n);
		if (w > 0)
			at += (size_t)w;
		if (at % 7 == 0)
			usleep(100);
	}
	close(fd);
	return NULL;
}

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 31 + i / 256);
	memset(got, 0, sizeof(got));
	return 0;
}

static void nothing(int sig)
{
	(void)sig;
}

/* Signals without SA_RESTART, so that calls end with EINTR; 0 ends them. */
static void interrupt_every(int microseconds)
{
	struct itimerval often = {{0, microseconds}, {0, microseconds}};
	struct sigaction action = {.sa_handler = nothing};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

/* The timer's signal is for the thread that tests. */
static void start(pthread_t *thread, void *(*run)(void *), int *fd)
{
	sigset_t alarms;

	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	assert_int_equal(pthread_create(thread, NULL, run, fd), 0);
	pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
}

static void reads_whole(void **state)
{
	for (int nonblock = 0; nonblock < 2; nonblock++) {
		pthread_t thread;
		int p[2];

		setup(state);
		interrupt_every(300);
		assert_int_equal(pipe(p), 0);
		if (nonblock)
			fcntl(p[0], F_SETFL, O_NONBLOCK);
		start(&thread, trickle, &p[1]);
		assert_int_equal(io_read_full(p[0], got, sizeof(got)), 0);
		interrupt_every(0);
		assert_memory_equal(got, sent, sizeof(got));
		/* All is read and the writer has closed. */
		assert_int_equal(io_read_full(p[0], got, 1), -ENODATA);
		assert_int_equal(io_read_full(p[0], got, 0), 0);
		pthread_join(thread, NULL);
		close(p[0]);
	}
}

static void *drain(void *arg)
{
	int fd = *(int *)arg;
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, got + at, sizeof(got) - at < 777 ? sizeof(got) - at : 777)) > 0) {
		at += (size_t)n;
		if (at % 5 == 0)
			usleep(50);
	}
	return NULL;
}

static void writes_whole(void **state)
{
	for (int nonblock = 0; nonblock < 2; nonblock++) {
		pthread_t thread;
		int p[2];

		setup(state);
		interrupt_every(300);
		assert_int_equal(pipe(p), 0);
		if (nonblock)
			fcntl(p[1], F_SETFL, O_NONBLOCK);
		start(&thread, drain, &p[0]);
		assert_int_equal(io_write_full(p[1], sent, sizeof(sent)), 0);
		interrupt_every(0);
		close(p[1]);
		pthread_join(thread, NULL);
		assert_memory_equal(got, sent, sizeof(got));
		close(p[0]);
	}
}

static void errors_are_negative(void **state)
{
	char c;

	(void)state;
	assert_int_equal(io_read_full(-1, &c, 1), -EBADF);
	assert_int_equal(io_write_full(-1, &c, 1), -EBADF);
	assert_int_equal(io_pread_full(-1, &c, 1, 0), -EBADF);
	assert_int_equal(io_read_some(-1, &c, 1), -EBADF);
	assert_int_equal(io_write_some(-1, &c, 1), -EBADF);
	assert_int_equal(io_private_nonblock(-1, O_RDONLY), -EBADF);
}

static void pread_is_bounded(void **state)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char text[8] = "";

	(void)state;
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(io_pread_full(fd, text, 4, 6), 0);
	assert_memory_equal(text, "6789", 4);
	assert_int_equal(io_pread_full(fd, text, 4, 7), -ENODATA);
	assert_int_equal(io_pread_full(fd, text, 1, 1000), -ENODATA);
	assert_int_equal(io_pread_full(fd, text, 1, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(io_pread_full(fd, text, 2, INT64_MAX - 1), -EOVERFLOW);
	/* The descriptor's own position has not moved. */
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 10);
	close(fd);
}

/* In a child, since the test's own output is descriptor 1. Bits: which of 0, 1 and 2 to close. */
static void std_fds_are_filled(void **state)
{
	(void)state;
	for (int closed = 0; closed < 8; closed++) {
		int status = -1;
		pid_t pid = fork();

		if (!pid) {
			int bad = 0, fd, next = dup(2);

			close(next);
			for (fd = 0; fd < 3; fd++)
				if (closed & 1 << fd)
					close(fd);
			if (io_fill_std_fds())
				bad = 1;
			for (fd = 0; fd < 3; fd++)
				if (fcntl(fd, F_GETFD) < 0)
					bad = 2;
			fd = open("/dev/zero", O_RDONLY);
			if (fd != next) /* nothing more was opened */
				bad = 3;
			/* Both ways: a closed stdout can be written and a closed stdin read. */
			for (fd = 0; fd < 3; fd++)
				if (closed & 1 << fd && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
					bad = 4;
			_exit(bad);
		}
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static bool nonblock(int fd)
{
	return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static void pipe_is_opened_anew(void **state)
{
	char c = 'a';
	int p[2], in, tx;

	(void)state;
	assert_int_equal(pipe(p), 0);
	in = io_private_nonblock(p[0], O_RDONLY);
	tx = io_private_nonblock(p[1], O_WRONLY);
	assert_true(in > 2 && tx > 2);
	assert_true(nonblock(in) && nonblock(tx));
	/* The point of it: what the shell shares is as it was. */
	assert_false(nonblock(p[0]) || nonblock(p[1]));
	assert_true(fcntl(in, F_GETFD) & FD_CLOEXEC);

	assert_int_equal(io_read_some(in, &c, 1), -EAGAIN);
	assert_int_equal(io_write_some(tx, "x", 1), 1);
	assert_int_equal(io_read_some(in, &c, 1), 1);
	assert_int_equal(c, 'x');
	close(tx);
	close(p[1]);
	assert_int_equal(io_read_some(in, &c, 1), 0); /* end of file */
	close(in);
	close(p[0]);
}

/* A master of a terminal pair: opening that anew would make another pair. */
static int open_pair(int *slave)
{
	struct termios raw;
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	assert_true(master >= 0);
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	*slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(*slave >= 0);
	assert_int_equal(tcgetattr(*slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(*slave, TCSANOW, &raw), 0);
	return master;
}

static void terminal_is_opened_anew(void **state)
{
	int slave, master = open_pair(&slave), tty, dup_master;
	char c = 'a';

	(void)state;
	tty = io_private_nonblock(slave, O_RDWR);
	assert_true(nonblock(tty) && !nonblock(slave));
	assert_int_equal(io_write_some(tty, "x", 1), 1);
	assert_int_equal(read(master, &c, 1), 1);
	assert_int_equal(c, 'x');

	dup_master = io_private_nonblock(master, O_RDWR);
	assert_true(dup_master >= 0);
	assert_string_equal(ptsname(dup_master), ptsname(master));
	assert_int_equal(io_write_some(tty, "y", 1), 1);
	assert_int_equal(io_read_some(dup_master, &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_int_equal(io_read_some(dup_master, &c, 1), -EAGAIN);
	close(dup_master);
	close(tty);
	close(slave);
	close(master);
}

/* A file goes on where the shell's position is, and is written once. */
static void file_is_duplicated(void **state)
{
	int fd = memfd_create("file", MFD_CLOEXEC), dup_fd;
	char text[4] = "";

	(void)state;
	assert_int_equal(write(fd, "before", 6), 6);
	dup_fd = io_private_nonblock(fd, O_RDWR);
	assert_true(dup_fd >= 0 && dup_fd != fd);
	assert_false(nonblock(fd));
	assert_int_equal(io_write_some(dup_fd, "after", 5), 5);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 11);
	lseek(fd, 6, SEEK_SET);
	assert_int_equal(io_read_some(dup_fd, text, 3), 3);
	assert_memory_equal(text, "aft", 3);
	lseek(fd, 0, SEEK_END);
	assert_int_equal(io_read_some(dup_fd, text, 3), 0);
	close(dup_fd);
	close(fd);
}

/* Fills @fd by io_write_some() alone; an alarm ends the test if that ever sleeps. */
static size_t fill(int fd)
{
	size_t total = 0;
	ssize_t n;

	signal(SIGALRM, SIG_DFL);
	alarm(20);
	while ((n = io_write_some(fd, sent, sizeof(sent))) > 0)
		total += (size_t)n;
	alarm(0);
	assert_int_equal(n, -EAGAIN);
	return total;
}

static void never_blocks(void **state)
{
	int p[2], s[2], slave, master, fd;
	char c;

	setup(state);

	/* A socket: cannot be opened anew, so its description still blocks. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	fd = io_private_nonblock(s[0], O_RDWR);
	assert_true(fd >= 0);
	assert_false(nonblock(s[0]));
	assert_int_equal(io_read_some(fd, &c, 1), -EAGAIN);
	assert_true(fill(fd) > 4096);
	while (recv(s[1], got, sizeof(got), MSG_DONTWAIT) > 0)
		; /* unread bytes would make it a reset */
	close(s[1]);
	assert_int_equal(io_read_some(fd, &c, 1), 0);
	assert_int_equal(io_write_some(fd, "x", 1), -EPIPE); /* and no SIGPIPE */
	close(fd);
	close(s[0]);

	/* A pipe and a terminal that block, as where opening anew was not allowed. */
	assert_int_equal(pipe(p), 0);
	assert_int_equal(io_read_some(p[0], &c, 1), -EAGAIN);
	assert_true(fill(p[1]) > 4096);
	assert_int_equal(io_read_some(p[0], &c, 1), 1);
	assert_int_equal(c, sent[0]);
	close(p[0]);
	close(p[1]);

	master = open_pair(&slave);
	assert_int_equal(io_read_some(slave, &c, 1), -EAGAIN);
	assert_true(fill(slave) > 256);
	assert_int_equal(io_read_some(master, &c, 1), 1);
	assert_int_equal(c, sent[0]);
	/* Reading is not byte by byte: what is there comes at once. */
	assert_int_equal(write(master, "paste", 5), 5);
	usleep(1000);
	assert_int_equal(io_read_some(slave, got, sizeof(got)), 5);
	close(slave);
	close(master);
}

static void some_of_nothing(void **state)
{
	int p[2];
	char c;

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(io_write_some(p[1], &c, 0), 0);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(io_write_some(p[1], "x", 1), -EPIPE);
	assert_int_equal(io_write_full(p[1], "x", 1), -EPIPE);
	close(p[1]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(reads_whole),
	cmocka_unit_test(writes_whole),
	cmocka_unit_test(errors_are_negative),
	cmocka_unit_test(pread_is_bounded),
	cmocka_unit_test(std_fds_are_filled),
	cmocka_unit_test(pipe_is_opened_anew),
	cmocka_unit_test(terminal_is_opened_anew),
	cmocka_unit_test(file_is_duplicated),
	cmocka_unit_test(never_blocks),
	cmocka_unit_test(some_of_nothing),
};

UNIT_MAIN(tests)
