/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/passfd.h"

static int setup(void **state)
{
	static int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*state = ends;
	return 0;
}

static int teardown(void **state)
{
	int *ends = *state;

	close(ends[0]);
	close(ends[1]);
	return 0;
}

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void goes_with_its_bytes(void **state)
{
	int *ends = *state, file = memfd_create("file", MFD_CLOEXEC), got = 77;
	char text[16] = "";

	assert_int_equal(write(file, "inside", 6), 6);
	assert_int_equal(passfd_send(ends[0], "outside", 7, 0, file), 7);
	assert_int_equal(passfd_recv(ends[1], text, sizeof(text), 0, &got), 7);
	assert_memory_equal(text, "outside", 7);
	assert_true(got >= 0 && got != file);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pread(got, text, sizeof(text), 0), 6);
	assert_memory_equal(text, "inside", 6);
	close(got);
	assert_true(fcntl(file, F_GETFD) >= 0); /* the sender's stays */
	close(file);
}

static void bytes_alone(void **state)
{
	int *ends = *state, got = 77;
	char c;

	assert_int_equal(passfd_recv(ends[1], &c, 1, MSG_DONTWAIT, &got), -EAGAIN);
	assert_int_equal(got, -1);
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	assert_int_equal(passfd_recv(ends[1], &c, 1, 0, &got), 1);
	assert_int_equal(got, -1);
	shutdown(ends[0], SHUT_WR);
	assert_int_equal(passfd_recv(ends[1], &c, 1, 0, &got), 0);
	assert_int_equal(got, -1);
}

/* Who sends @n at once wants the receiver to run out of them. */
static void send_many(int sock, int fd, unsigned int n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} room = {0};
	struct iovec iov = {.iov_base = "x", .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &room,
			     .msg_controllen = CMSG_LEN(n * sizeof(int))};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned int i = 0; i < n; i++)
		memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

static void several_are_one(void **state)
{
	unsigned int before = open_fds();
	int *ends = *state;

	for (unsigned int n = 1; n <= 8; n++) {
		int got = -1;
		char c;

		send_many(ends[0], ends[1], n);
		assert_int_equal(passfd_recv(ends[1], &c, 1, 0, &got), 1);
		assert_true(got >= 0);
		assert_int_equal(open_fds(), before + 1);
		close(got);
	}
	assert_int_equal(open_fds(), before);
}

static void errors_are_negative(void **state)
{
	int *ends = *state, got = 77;
	char c = 0;

	assert_int_equal(passfd_send(ends[0], &c, 1, 0, -1), -EBADF);
	assert_int_equal(passfd_send(-1, &c, 1, 0, 0), -EBADF);
	assert_int_equal(passfd_recv(-1, &c, 1, 0, &got), -EBADF);
	assert_int_equal(got, -1);
	close(ends[1]);
	assert_int_equal(passfd_send(ends[0], &c, 1, 0, 0), -EPIPE); /* and no SIGPIPE */
	ends[1] = dup(ends[0]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(goes_with_its_bytes, setup, teardown),
	cmocka_unit_test_setup_teardown(bytes_alone, setup, teardown),
	cmocka_unit_test_setup_teardown(several_are_one, setup, teardown),
	cmocka_unit_test_setup_teardown(errors_are_negative, setup, teardown),
};

UNIT_MAIN(tests)
