/* SPDX-License-Identifier: GPL-2.0-only */
/* The client's side against servers that do not do as they should. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fake_vm.h"

#define MS 1000000ull

struct fixture {
	char dir[FAKE_DIR];
	struct fake_vm f;
	struct err err;
	int ours, theirs;
	struct wbuf reply;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int pair[2];

	*state = x;
	if (!x || fake_dir_make(x->dir) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	x->ours = pair[0];
	x->theirs = pair[1];
	wbuf_init(&x->reply, CONTROL_MAX_PAYLOAD);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	wbuf_release(&x->reply);
	close(x->ours);
	if (x->theirs >= 0)
		close(x->theirs);
	fake_dir_remove(x->dir);
	free(x);
	return 0;
}

static void assert_said(const struct fixture *x, const char *words)
{
	if (!strstr(x->err.msg, words))
		fail_msg("'%s' does not say '%s'", x->err.msg, words);
}

/* A new connection for the next case: nothing of the last one is left in it. */
static void reconnect(struct fixture *x)
{
	int pair[2];

	close(x->ours);
	if (x->theirs >= 0)
		close(x->theirs);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	x->ours = pair[0];
	x->theirs = pair[1];
}

/* The reply lies ready when the request is sent. */
static int exchange(struct fixture *x, const void *bytes, size_t len, unsigned int ms)
{
	x->err = (struct err)ERR_INIT;
	x->reply.len = 0;
	if (len)
		assert_int_equal(send(x->theirs, bytes, len, MSG_NOSIGNAL), len);
	return control_exchange(x->ours, CONTROL_INFO, NULL, &x->reply, clock_now_ns() + ms * MS,
				&x->err);
}

struct message {
	uint8_t bytes[2048];
	size_t len;
};

static struct message message(uint32_t magic, uint16_t version, uint16_t type, int result,
			      const char *text, size_t body)
{
	static const uint8_t filler[64] = {1, 2, 3};
	struct message m = {.len = 0};
	struct wbuf out;

	wbuf_init(&out, sizeof(m.bytes));
	wbuf_u32(&out, magic);
	wbuf_u16(&out, version);
	wbuf_u16(&out, type);
	wbuf_u32(&out, (uint32_t)(4 + 2 + strlen(text) + body));
	wbuf_u32(&out, (uint32_t)result);
	wbuf_str(&out, text);
	wbuf_bytes(&out, filler, body);
	memcpy(m.bytes, out.data, out.len);
	m.len = out.len;
	wbuf_release(&out);
	return m;
}

static void good_reply(void **state)
{
	struct message m = message(CONTROL_MAGIC, 1, 0x8001, 0, "", 3);
	struct fixture *x = *state;
	uint8_t sent[100];

	assert_int_equal(exchange(x, m.bytes, m.len, 5000), 0);
	assert_int_equal(recv(x->theirs, sent, sizeof(sent), 0), CONTROL_HEADER);
	assert_memory_equal(sent, "LKVC\1\0\1\0\0\0\0\0", CONTROL_HEADER);
	assert_int_equal(x->reply.len, 3);
	assert_memory_equal(x->reply.data, "\1\2\3", 3);
}

static void errors_are_passed_on_and_made_printable(void **state)
{
	struct message m = message(CONTROL_MAGIC, 1, 0x8001, -EBUSY, "no\x1b[2Jw\n\xff", 0);
	struct fixture *x = *state;

	assert_int_equal(exchange(x, m.bytes, m.len, 5000), -EBUSY);
	assert_string_equal(x->err.msg, "no?[2Jw??");
	m = message(CONTROL_MAGIC, 1, 0x8001, -EBUSY, "", 0);
	assert_int_equal(exchange(x, m.bytes, m.len, 5000), -EBUSY);
	assert_said(x, "refused: ");
	assert_int_equal(x->reply.len, 0);
}

static void bad_replies(void **state)
{
	static const struct {
		uint32_t magic;
		uint16_t version, type;
		int result, want;
		const char *words;
	} cases[] = {
		{CONTROL_MAGIC + 1, 1, 0x8001, 0, -EBADMSG, "cannot be understood"},
		{CONTROL_MAGIC, 7, 0x8001, 0, -EPROTONOSUPPORT, "speaks version 7 of the control"},
		{CONTROL_MAGIC, 1, 0x8002, 0, -EBADMSG, "cannot be understood"}, /* another's */
		{CONTROL_MAGIC, 1, 0x0001, 0, -EBADMSG, "cannot be understood"}, /* a request */
		{CONTROL_MAGIC, 1, 0x8001, 5, -EBADMSG, "cannot be understood"},
	};
	struct fixture *x = *state;
	struct message m;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = message(cases[i].magic, cases[i].version, cases[i].type, cases[i].result, "",
			    0);
		assert_int_equal(exchange(x, m.bytes, m.len, 5000), cases[i].want);
		assert_said(x, cases[i].words);
		reconnect(x);
	}
	/* Longer than any reply: refused by its header alone. */
	m = message(CONTROL_MAGIC, 1, 0x8001, 0, "", 0);
	m.bytes[8] = 1;
	m.bytes[10] = 0x10;
	assert_int_equal(exchange(x, m.bytes, m.len, 5000), -EMSGSIZE);
}

static void body_where_none_belongs(void **state)
{
	struct message m = message(CONTROL_MAGIC, 1, 0x8003, 0, "", 1);
	struct fixture *x = *state;

	assert_int_equal(send(x->theirs, m.bytes, m.len, 0), m.len);
	assert_int_equal(control_exchange(x->ours, CONTROL_PAUSE, NULL, NULL,
					  clock_now_ns() + 5000 * MS, &x->err),
			 -EBADMSG);
}

/* Every truncation, once as a server that says no more and once as one that dies. */
static void truncated_replies(void **state)
{
	struct message m = message(CONTROL_MAGIC, 1, 0x8001, 0, "", 3);
	struct fixture *x = *state;

	for (size_t len = 0; len < m.len; len++) {
		for (int dies = 0; dies < 2; dies++) {
			reconnect(x);
			if (dies) {
				assert_int_equal(send(x->theirs, m.bytes, len, 0), len);
				close(x->theirs);
				x->theirs = -1;
				assert_int_equal(exchange(x, NULL, 0, 5000), -ECONNRESET);
				assert_said(x, "before it answered");
			} else {
				assert_int_equal(exchange(x, m.bytes, len, 5), -ETIMEDOUT);
				assert_said(x, "does not answer");
			}
			assert_int_equal(x->reply.len, 0);
		}
	}
}

/* One byte at a time, never late, never done. */
static void *trickle(void *arg)
{
	const struct timespec step = {.tv_nsec = 20000000};
	struct message m = message(CONTROL_MAGIC, 1, 0x8001, 0, "", 0);
	int fd = *(int *)arg;

	m.bytes[10] = 1; /* 65542 bytes: most of an hour */
	for (size_t i = 0; i < 500; i++) {
		if (send(fd, i < m.len ? m.bytes + i : m.bytes, 1, MSG_NOSIGNAL) < 0)
			break;
		nanosleep(&step, NULL);
	}
	return NULL;
}

static void a_trickle_does_not_prolong(void **state)
{
	struct fixture *x = *state;
	uint64_t start = clock_now_ns();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, trickle, &x->theirs), 0);
	assert_int_equal(exchange(x, NULL, 0, 300), -ETIMEDOUT);
	assert_in_range((clock_now_ns() - start) / MS, 290, 8000);
	shutdown(x->ours, SHUT_RDWR);
	pthread_join(thread, NULL);
}

/* Nobody reads what we send: the request does not go through, and we do not wait for ever. */
static void server_that_does_not_read(void **state)
{
	struct fixture *x = *state;
	struct wbuf payload;
	static char page[CONTROL_MAX_REQUEST];

	while (send(x->ours, page, sizeof(page), MSG_DONTWAIT) > 0)
		;
	wbuf_init(&payload, CONTROL_MAX_REQUEST);
	wbuf_bytes(&payload, page, CONTROL_MAX_REQUEST);
	assert_int_equal(control_exchange(x->ours, CONTROL_SYSRQ, &payload, NULL,
					  clock_now_ns() + 50 * MS, &x->err),
			 -ETIMEDOUT);
	wbuf_release(&payload);
}

static void names_are_checked_before_they_are_paths(void **state)
{
	static const char *const bad[] = {"", ".", "..", "../x", "a/b", "/etc", "-n", "a b"};
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(control_call(bad[i], CONTROL_INFO, NULL, NULL, &x->err), -EINVAL);
		assert_int_equal(control_stop(bad[i], 1, &x->err), -EINVAL);
	}
}

static void stop_says_when_it_did_not(void **state)
{
	struct fixture *x = *state;
	uint64_t start;

	assert_int_equal(fake_start(&x->f, "alpha", NULL), 0);
	x->f.stubborn = true;
	start = clock_now_ns();
	assert_int_equal(control_stop("alpha", 1, &x->err), -ETIMEDOUT);
	assert_string_equal(x->err.msg, "alpha: was told to stop but still runs after 1 s");
	assert_in_range((clock_now_ns() - start) / MS, 990, 9000);
	fake_end(&x->f);
}

/* The VM is killed while it ends: its socket stays, and is known for what it is. */
static void stop_of_one_that_dies(void **state)
{
	struct fixture *x = *state;
	int ready[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		fake_init(&x->f, "alpha");
		if (fake_open(&x->f, NULL, &x->err))
			_exit(1);
		(void)!write(ready[1], "", 1);
		event_run(&x->f.vm.loop, NULL);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(control_stop("alpha", 10, &x->err), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	close(ready[0]);
	close(ready[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(good_reply),
	TEST(errors_are_passed_on_and_made_printable),
	TEST(bad_replies),
	TEST(body_where_none_belongs),
	TEST(truncated_replies),
	TEST(a_trickle_does_not_prolong),
	TEST(server_that_does_not_read),
	TEST(names_are_checked_before_they_are_paths),
	TEST(stop_says_when_it_did_not),
	TEST(stop_of_one_that_dies),
};

UNIT_MAIN(tests)
