/* SPDX-License-Identifier: GPL-2.0-only */
/* The control socket's server in a real event loop. */
#include "unit.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "raw_client.h"

static void answers(void **state)
{
	struct fixture *x = *state;
	struct control_info info;
	struct err err = ERR_INIT;
	struct wbuf reply;
	struct rbuf r;

	assert_int_equal(fake_start(&x->f, "alpha", NULL), 0);
	assert_int_equal(control_call("alpha", CONTROL_INFO, NULL, &reply, &err), 0);
	rbuf_init(&r, reply.data, reply.len);
	assert_int_equal(control_info_decode(&r, &info), 0);
	assert_int_equal(rbuf_done(&r), 0);
	wbuf_release(&reply);
	assert_string_equal(info.name, "alpha");
	assert_int_equal(info.pid, getpid());
	assert_int_equal(info.state, CONTROL_RUNNING);
	assert_int_equal(control_call("alpha", CONTROL_PAUSE, NULL, NULL, &err), 0);
	assert_int_equal(x->f.vm.pauses, 1);
	assert_int_equal(control_call("alpha", CONTROL_PAUSE, NULL, NULL, &err), -EALREADY);
	assert_string_equal(err.msg, "alpha: is paused already");
	assert_int_equal(control_call("alpha", CONTROL_RESUME, NULL, NULL, &err), 0);
	assert_int_equal(x->f.vm.pauses, 0);
	fake_end(&x->f);
}

static void many_requests_on_one_connection(void **state)
{
	struct fixture *x = *state;
	char text[CONTROL_TEXT_MAX];
	struct wbuf one, all;
	int fd;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	fd = raw_connect(x);
	wbuf_init(&all, 1 << 20);
	for (int i = 0; i < 50; i++) {
		request(&one, i % 2 ? CONTROL_REGISTERS : CONTROL_INFO);
		wbuf_bytes(&all, one.data, one.len);
		wbuf_release(&one);
	}
	request(&one, 99);
	wbuf_bytes(&all, one.data, one.len);
	wbuf_release(&one);
	raw_send(fd, all.data, all.len);
	for (int i = 0; i < 50; i++)
		assert_int_equal(
			raw_reply(fd, i % 2 ? CONTROL_REGISTERS : CONTROL_INFO, text, NULL), 0);
	assert_int_equal(raw_reply(fd, 99, text, NULL), -EOPNOTSUPP);
	/* An unknown request leaves the connection as it was. And byte by byte is a request too. */
	request(&one, CONTROL_INFO);
	for (size_t i = 0; i < one.len; i++) {
		raw_send(fd, one.data + i, 1);
		nap_ms(1);
	}
	assert_int_equal(raw_reply(fd, CONTROL_INFO, text, NULL), 0);
	wbuf_release(&one);
	wbuf_release(&all);
	close(fd);
	fake_end(&x->f);
}

/* The client says all it has to say and closes its half; the answer comes all the same. */
static void half_closed_client_gets_its_reply(void **state)
{
	struct fixture *x = *state;
	char text[CONTROL_TEXT_MAX];
	int fd;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	x->f.registers = 20000;
	fd = raw_connect(x);
	raw_request(fd, CONTROL_REGISTERS);
	shutdown(fd, SHUT_WR);
	assert_int_equal(raw_reply(fd, CONTROL_REGISTERS, text, NULL), 0);
	assert_true(raw_closed(fd));
	close(fd);
	fake_end(&x->f);
}

static void refusals(void **state)
{
	static const struct {
		uint8_t bytes[CONTROL_HEADER];
		uint16_t type;
		int result;
		const char *word;
	} cases[] = {
		{{'L', 'K', 'V', 'X', 1, 0, 1, 0, 0, 0, 0, 0}, 0, -EBADMSG, "not the control"},
		{{'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1'},
		 0,
		 -EBADMSG,
		 "not the control"},
		{{'L', 'K', 'V', 'C', 2, 0, 1, 0, 0, 0, 0, 0},
		 1,
		 -EPROTONOSUPPORT,
		 "speaks version 1 of the control protocol, not 2"},
		{{'L', 'K', 'V', 'C', 1, 0, 3, 0, 1, 64, 0, 0}, 3, -EMSGSIZE, "16384 bytes"},
		{{'L', 'K', 'V', 'C', 1, 0, 3, 0, 255, 255, 255, 255}, 3, -EMSGSIZE, "16384 bytes"},
	};
	struct fixture *x = *state;
	char text[CONTROL_TEXT_MAX];

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = raw_connect(x);

		raw_send(fd, cases[i].bytes, CONTROL_HEADER);
		assert_int_equal(raw_reply(fd, cases[i].type, text, NULL), cases[i].result);
		assert_non_null(strstr(text, cases[i].word));
		assert_true(raw_closed(fd));
		close(fd);
	}
	assert_serves(x);
	fake_end(&x->f);
}

static void slow_reader_gets_its_whole_reply(void **state)
{
	struct fixture *x = *state;
	struct wbuf all, expected;
	uint8_t chunk[5000];
	int fd;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	x->f.registers = 30000;
	wbuf_init(&expected, 0);
	{
		static const uint8_t zero[4];
		struct fake_vm other;

		fake_init(&other, "alpha");
		other.registers = 30000;
		assert_int_equal(control_handle(&other.vm, CONTROL_REGISTERS, zero, 4, &expected),
				 0);
		fake_release(&other);
	}
	assert_true(expected.len > 700000); /* more than a socket keeps */
	fd = raw_connect(x);
	raw_request(fd, CONTROL_REGISTERS);
	wbuf_init(&all, CONTROL_MAX_PAYLOAD + 100);
	for (int i = 0; all.len < expected.len; i++) {
		size_t left = expected.len - all.len;
		size_t n = raw_read(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk));

		assert_true(n > 0);
		wbuf_bytes(&all, chunk, n);
		if (i % 40 == 0)
			assert_serves(x); /* meanwhile others are served */
	}
	assert_memory_equal(all.data, expected.data, expected.len);
	raw_request(fd, CONTROL_INFO); /* and it can go on */
	assert_int_equal(raw_reply(fd, CONTROL_INFO, (char[CONTROL_TEXT_MAX]){0}, NULL), 0);
	wbuf_release(&all);
	wbuf_release(&expected);
	close(fd);
	fake_end(&x->f);
}

static void *one_call(void *arg)
{
	const struct fixture *x = arg;
	struct err err = ERR_INIT;
	struct wbuf reply;
	int rc;

	rc = control_call(x->f.vm.name, CONTROL_STAT, NULL, &reply, &err);
	if (rc)
		fprintf(stderr, "# %s\n", err.msg);
	wbuf_release(&reply);
	return rc ? arg : NULL;
}

static void hundred_at_once(void **state)
{
	struct fixture *x = *state;
	pthread_t threads[100];
	unsigned int bad = 0;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_call, x), 0);
	for (int i = 0; i < 100; i++) {
		void *result;

		pthread_join(threads[i], &result);
		bad += result != NULL;
	}
	assert_int_equal(bad, 0);
	fake_end(&x->f);
}

/* Nobody wanted it: it is closed with the answer, so the pipe has no writer any more. The caller's own is the caller's. */
static void descriptor_is_closed(void **state)
{
	struct fixture *x = *state;
	struct err err = ERR_INIT;
	struct wbuf reply;
	int ends[2];
	char byte;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		assert_int_equal(
			control_call_fd(x->f.vm.name, CONTROL_INFO, NULL, ends[1], &reply, &err),
			0);
		wbuf_release(&reply);
		assert_int_equal(write(ends[1], "x", 1), 1);
		close(ends[1]);
		assert_int_equal(read(ends[0], &byte, 1), 1);
		assert_int_equal(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 10000),
				 1);
		assert_int_equal(read(ends[0], &byte, 1), 0);
		close(ends[0]);
	}
	assert_serves(x);
	fake_end(&x->f);
}

static void stop_replies_first(void **state)
{
	struct fixture *x = *state;
	char path[256], text[CONTROL_TEXT_MAX];
	struct err err = ERR_INIT;
	struct stat st;

	/* On the wire: the reply, and then the end, at which the name is free. */
	for (int i = 0; i < 20; i++) {
		int fd;

		assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
		fd = raw_connect(x);
		raw_request(fd, CONTROL_STOP);
		assert_int_equal(raw_reply(fd, CONTROL_STOP, text, NULL), 0);
		assert_true(raw_closed(fd));
		(void)snprintf(path, sizeof(path), "%s/lkvm/alpha.sock", x->dir);
		assert_true(lstat(path, &st) < 0 && errno == ENOENT);
		close(fd);
		fake_join(&x->f);
	}
	/* And by the function that `lkvm stop` uses. */
	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	assert_int_equal(control_stop("alpha", 10, &err), 0);
	assert_true(lstat(path, &st) < 0 && errno == ENOENT);
	fake_join(&x->f);
	assert_int_equal(control_stop("alpha", 10, &err), -ENOENT);
	assert_string_equal(err.msg, "alpha: no VM of that name runs");
}

/* The last reply is under way when the VM ends: what the socket takes is still sent, and nothing hangs. */
static void end_with_clients_connected(void **state)
{
	struct fixture *x = *state;
	int fds[CONTROL_MAX_CLIENTS];
	uint64_t start;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	x->f.registers = 30000;
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		fds[i] = raw_connect(x);
		if (i % 3 == 0)
			raw_request(fds[i], CONTROL_REGISTERS);
		if (i % 3 == 1)
			raw_send(fds[i], "LKVC\1", 5);
	}
	nap_ms(50);
	start = clock_now_ns();
	fake_end(&x->f);
	assert_in_range(ms_since(start), 0, BOUND_MS);
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++)
		close(fds[i]);
}

/* A client that cannot be accepted for want of descriptors must not turn the loop into a busy one. */
static void no_descriptor_left(void **state)
{
	struct fixture *x = *state;
	char text[CONTROL_TEXT_MAX];
	struct timespec before, after;
	struct rlimit old, low;
	uint64_t cpu_ms;
	int fd;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	assert_serves(x);
	fd = raw_socket();
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &low);
	raw_connect_fd(x, fd);
	raw_request(fd, CONTROL_INFO);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	nap_ms(500);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	setrlimit(RLIMIT_NOFILE, &old);
	cpu_ms = (uint64_t)(after.tv_sec - before.tv_sec) * 1000 +
		 (uint64_t)((after.tv_nsec - before.tv_nsec) / 1000000);
	assert_in_range(cpu_ms, 0, 50);
	assert_int_equal(raw_reply(fd, CONTROL_INFO, text, NULL), 0);
	close(fd);
	fake_end(&x->f);
}

/* Even if folder and socket were opened up to everyone. */
static void other_users_are_refused(void **state)
{
	struct fixture *x = *state;
	char path[256];
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("# not tried: only root can become another user\n");
		return; /* cmocka 1.1.5 says "not ok" for skip() */
	}
	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	(void)snprintf(path, sizeof(path), "%s/lkvm/alpha.sock", x->dir);
	assert_int_equal(chmod(path, 0666), 0);
	(void)snprintf(path, sizeof(path), "%s/lkvm", x->dir);
	assert_int_equal(chmod(path, 0711), 0);
	assert_int_equal(chmod(x->dir, 0711), 0);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un to = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char byte;

		(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/lkvm/alpha.sock", x->dir);
		if (setuid(65534) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			_exit(2);
		(void)!send(fd, "LKVC\1\0\5\0\0\0\0\0", 12, MSG_NOSIGNAL); /* STOP */
		_exit(recv(fd, &byte, 1, 0) <= 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(x->f.finished, 0);
	chmod(path, 0700);
	assert_serves(x);
	fake_end(&x->f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(answers),
	TEST(many_requests_on_one_connection),
	TEST(half_closed_client_gets_its_reply),
	TEST(refusals),
	TEST(slow_reader_gets_its_whole_reply),
	TEST(hundred_at_once),
	TEST(descriptor_is_closed),
	TEST(stop_replies_first),
	TEST(end_with_clients_connected),
	TEST(no_descriptor_left),
	TEST(other_users_are_refused),
};

UNIT_MAIN(tests)
