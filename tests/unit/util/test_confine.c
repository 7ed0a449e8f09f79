/* SPDX-License-Identifier: GPL-2.0-only */
/* What can be done before and not after. Each test is a child: none of it can be taken back. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/confine.h"

/* No assertions in the child: it says by its exit code which line was wrong. */
#define MUST(what)                             \
	do {                                   \
		if (!(what))                   \
			_exit(__LINE__ % 251); \
	} while (0)

static void in_child(void (*body)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status)
		print_message("# wait status 0x%x: line %d modulo 251\n", status,
			      WEXITSTATUS(status));
	assert_int_equal(status, 0);
}

static bool refused(long result)
{
	return result < 0 && (errno == EPERM || errno == EACCES);
}

static bool exits(void)
{
	char *argv[] = {(char *)"true", NULL};
	int status;
	pid_t child = fork();

	if (child == 0) {
		execv("/bin/true", argv);
		_exit(errno == EPERM ? 9 : 8);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd >= 0)
		close(fd);
	return fd;
}

/* -1 with errno: refused by us rather than for what is asked. */
static bool knows_connect(void)
{
	const struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool known;

	MUST(fd >= 0);
	known = connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 && errno == ENOENT;
	close(fd);
	return known;
}

static void process_body(void)
{
	struct err err = ERR_INIT;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	char byte = 0;
	int fd, ends[2];

	/* Control: all of it works before. */
	MUST(exits());
	MUST(tcp() >= 0);
	MUST(knows_connect());
	MUST(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
	MUST(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
	MUST(ptrace(PTRACE_PEEKDATA, getpid(), 0, 0) < 0 && errno == ESRCH);
	MUST(fchmodat(AT_FDCWD, "/nowhere", 0, 0) < 0 && errno == ENOENT);
	errno = 0;
	MUST(ioctl(STDIN_FILENO, TIOCSTI, &byte) == 0 || errno != EPERM || geteuid());

	MUST(confine_process(&err) == 0);
	MUST(prctl(PR_SET_NAME, "confined") == 0);
	MUST(!exits());
	MUST(refused(tcp()));
	MUST(!knows_connect() && errno == EPERM);
	MUST(refused(socket(AF_UNIX, SOCK_DGRAM, 0)));
	MUST(refused(mprotect(page, 4096, PROT_READ | PROT_EXEC)));
	MUST(mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	     errno == EPERM);
	MUST(refused(ptrace(PTRACE_PEEKDATA, getpid(), 0, 0)));
	MUST(refused(ioctl(STDIN_FILENO, TIOCSTI, &byte)));
	MUST(refused(syscall(SYS_bpf, 0, NULL, 0)));
	MUST(refused(syscall(SYS_unshare, 0x10000000)));
	MUST(refused(syscall(SYS_io_uring_setup, 1, NULL)));
	MUST(refused(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0)));
	MUST(refused(chdir("/")));
	/* Landlock lets anybody open up the user's files to all: the filter must not. */
	MUST(refused(chmod("/nowhere", 0)));
	MUST(refused(fchmodat(AT_FDCWD, "/nowhere", 0, 0)));
	MUST(refused(rename("/nowhere", "/else")));
	MUST(refused(prctl(PR_SET_DUMPABLE, 1)));

	/* What a VM does in its life. */
	MUST(mprotect(page, 4096, PROT_READ) == 0 && munmap(page, 4096) == 0);
	MUST(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	MUST(fd >= 0 && write(fd, &byte, 1) == 1 && close(fd) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && pipe(ends) == 0);
	MUST(memfd_create("x", MFD_CLOEXEC) >= 0);
	MUST(eventfd(0, EFD_CLOEXEC) >= 0);

	/* And less than that, which is only tightened. */
	MUST(confine_receiver(&err) == 0);
	MUST(refused(open("/dev/null", O_RDWR)));
	MUST(refused(socket(AF_UNIX, SOCK_STREAM, 0)));
	MUST(refused(fork()));
	MUST(refused(memfd_create("x", 0)));
	MUST(refused(kill(getpid(), 0)));
	MUST(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
	free(malloc(10 << 20));
	MUST(write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
}

static void test_process(void **state)
{
	(void)state;
	in_child(process_body);
}

static void *other_thread(void *arg)
{
	pthread_barrier_t *barrier = arg;

	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return tcp() < 0 && errno == EPERM ? arg : NULL;
}

static void threads_body(void)
{
	struct err err = ERR_INIT;
	pthread_barrier_t barrier;
	pthread_t thread;
	void *said;

	pthread_barrier_init(&barrier, NULL, 2);
	MUST(pthread_create(&thread, NULL, other_thread, &barrier) == 0);
	pthread_barrier_wait(&barrier);
	MUST(confine_process(&err) == 0);
	pthread_barrier_wait(&barrier);
	MUST(pthread_join(thread, &said) == 0 && said);
}

static void test_threads(void **state)
{
	(void)state;
	in_child(threads_body);
}

static void descriptors_body(void)
{
	struct err err = ERR_INIT;
	int a = fcntl(0, F_DUPFD, 40), b = fcntl(0, F_DUPFD, 41), c = fcntl(0, F_DUPFD, 200);
	const int keep[] = {b, 2, -1, 0, 1, 2};

	MUST(a == 40 && b == 41 && c == 200);
	MUST(confine_descriptors(keep, 6, &err) == 0);
	for (int fd = 0; fd < 300; fd++)
		MUST((fcntl(fd, F_GETFD) >= 0) == (fd <= 2 || fd == 41));
}

static void test_descriptors(void **state)
{
	(void)state;
	in_child(descriptors_body);
}

static char folder[64], inside[96], outside[96];

static int make_socket(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), rc;

	MUST(fd >= 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
	close(fd);
	return rc;
}

static void files_body(void)
{
	const struct confine_path paths[] = {
		{folder, CONFINE_READ | CONFINE_SOCKET},
		{"/dev/null", CONFINE_READ | CONFINE_WRITE},
		{"/proc", CONFINE_READ},
		{NULL, CONFINE_READ},
		{"/nowhere", CONFINE_READ},
	};
	struct err err = ERR_INIT;
	int fd = open(outside, O_RDWR | O_CREAT, 0600);
	pid_t child;

	MUST(fd >= 0 && kill(getppid(), 0) == 0 && write(fd, "x", 1) == 1);
	MUST(confine_files(paths, sizeof(paths) / sizeof(paths[0]), &err) == 0);
	MUST(refused(open(outside, O_RDONLY)));
	MUST(refused(open(outside, O_WRONLY)));
	MUST(refused(unlink(outside)));
	MUST(refused(open("/etc/passwd", O_RDONLY)));
	MUST(refused(open(inside, O_RDWR | O_CREAT, 0600)));
	MUST(refused(make_socket(outside)) || errno == EADDRINUSE);
	MUST(make_socket(inside) == 0 && unlink(inside) == 0);
	MUST(open("/dev/null", O_RDWR) >= 0);
	MUST(open("/proc/self/smaps", O_RDONLY) >= 0);
	MUST(refused(open("/proc/self/mem", O_RDWR)));
	/* What was open stays so: that is how a VM is handed a file. */
	MUST(pwrite(fd, "yz", 2, 0) == 2);
	/* Signals: to ourselves and our children, not to who is there besides. */
	child = fork();
	if (child == 0)
		for (;;)
			pause();
	MUST(kill(getpid(), 0) == 0 && kill(child, SIGKILL) == 0);
	MUST(waitpid(child, NULL, 0) == child);
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 6)
		MUST(refused(kill(getppid(), 0)));
}

static void test_files(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
		skip();
	snprintf(folder, sizeof(folder), "/tmp/lkvm-confine-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(inside, sizeof(inside), "%s/a", folder);
	snprintf(outside, sizeof(outside), "%s.out", folder);
	in_child(files_body);
	unlink(outside);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_files),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
