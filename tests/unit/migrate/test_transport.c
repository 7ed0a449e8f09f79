/* SPDX-License-Identifier: GPL-2.0-only */
/* What a migration can travel over: texts, and connections within this machine. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate/transport.h"

static int parse(const char *text, bool incoming, bool insecure, struct transport *t)
{
	struct err err = ERR_INIT;
	int rc = transport_parse(text, incoming, insecure, t, &err);

	assert_true(!rc == !err.msg[0]);
	assert_true(!rc || strstr(err.msg, text));
	return rc;
}

static void test_good(void **state)
{
	struct transport t;

	(void)state;
	assert_int_equal(parse("unix:a/b", false, false, &t), 0);
	assert_int_equal(t.kind, TRANSPORT_UNIX);
	assert_string_equal(t.rest, "a/b");
	assert_int_equal(parse("tcp:127.0.0.1:80", false, false, &t), 0);
	assert_string_equal(t.peer, "127.0.0.1");
	assert_string_equal(t.port, "80");
	assert_int_equal(parse("tcp:127.9.9.9:0", true, false, &t), 0);
	assert_int_equal(parse("tcp:localhost:65535", false, false, &t), 0);
	assert_int_equal(parse("tcp:[::1]:5", false, false, &t), 0);
	assert_string_equal(t.peer, "::1");
	assert_int_equal(parse("tcp:192.0.2.1:5", false, true, &t), 0);
	assert_int_equal(parse("tcp:[2001:db8::1]:5", true, true, &t), 0);
	assert_int_equal(parse("fd:0", false, false, &t), 0);
	assert_int_equal(t.rfd, 0);
	assert_int_equal(t.wfd, 0);
	assert_int_equal(parse("fd:0,1", true, false, &t), 0);
	assert_int_equal(t.wfd, 1);
	assert_int_equal(parse("exec:cat", true, false, &t), 0);
	assert_int_equal(parse("ssh://me@there:22", false, false, &t), 0);
	assert_string_equal(t.peer, "me@there");
	assert_string_equal(t.port, "22");
	assert_int_equal(parse("ssh://there", false, false, &t), 0);
	assert_string_equal(t.port, "");
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"unix:",
		"tcp:",
		"tcp:127.0.0.1",
		"tcp:127.0.0.1:",
		"tcp::1",
		"tcp:host:1",
		"tcp:127.1:1",
		"tcp:1:65536",
		"tcp:[::1]",
		"tcp:[::1:5",
		"tcp:[::1]5",
		"tcp:::1:5x",
		"tcp:127.0.0.1:1x",
		"tcp:127.0.0.1:0001234",
		"fd:",
		"fd:x",
		"fd:-1",
		"fd:9999",
		"fd:0,9999",
		"fd:0,1,2",
		"exec:",
		"ssh://",
		"ssh://:1",
		"ssh://a:b",
		"http://a",
		"/a/b",
		"tcp:0.0.0.0:1",
		"tcp:192.0.2.1:1",
		"tcp:[::]:1",
	};
	char text[400] = "unix:";
	struct transport t;

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], false, false, &t), -EINVAL);
		assert_int_equal(parse(bad[i], true, false, &t), -EINVAL);
	}
	/* Each side has its own. */
	assert_int_equal(parse("fd:0,1", false, false, &t), -EINVAL);
	assert_int_equal(parse("ssh://there", true, false, &t), -EINVAL);
	memset(text + 5, 'a', 200);
	assert_int_equal(parse(text, false, false, &t), -EINVAL);
	memcpy(text, "ssh:/", 5);
	memset(text + 5, '/', 1);
	memset(text + 6, 'a', 300);
	assert_int_equal(parse(text, false, false, &t), -EINVAL);
}

struct waiting {
	struct transport t;
	struct transport_listener l;
	int rfd, wfd, rc;
};

static void *wait_for_it(void *arg)
{
	struct waiting *w = arg;
	struct err err = ERR_INIT;

	w->rc = transport_accept(&w->t, &w->l, &w->rfd, &w->wfd, &err);
	return NULL;
}

/* From one end to the other and back. */
static void talk(int fd, int rfd, int wfd)
{
	char c = 0;

	assert_int_equal(write(fd, "a", 1), 1);
	assert_int_equal(read(rfd, &c, 1), 1);
	assert_int_equal(c, 'a');
	assert_int_equal(write(wfd, "b", 1), 1);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, 'b');
}

static void meet(const char *at)
{
	struct err err = ERR_INIT;
	struct waiting w;
	struct transport t;
	pthread_t thread;
	pid_t child;
	int fd;

	assert_int_equal(parse(at, true, false, &w.t), 0);
	assert_int_equal(transport_listen(&w.t, &w.l, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &w), 0);
	assert_int_equal(parse(w.l.where, false, false, &t), 0);
	assert_int_equal(transport_connect(&t, &fd, &child, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(w.rc, 0);
	assert_int_equal(child, 0);
	talk(fd, w.rfd, w.wfd);
	close(fd);
	close(w.rfd);
	/* One connection, and no second. */
	assert_true(transport_connect(&t, &fd, &child, &err) < 0);
}

static void test_meet(void **state)
{
	char dir[] = "/tmp/lkvm-transport-XXXXXX", at[64];
	struct transport_listener first, second;
	struct err err = ERR_INIT;
	struct transport t;
	struct stat st;

	(void)state;
	meet("tcp:127.0.0.1:0");
	assert_non_null(mkdtemp(dir));
	snprintf(at, sizeof(at), "unix:%s/s", dir);
	meet(at);
	/* What a dead one left is taken over; one that lives is not. */
	assert_int_equal(parse(at, true, false, &t), 0);
	assert_int_equal(transport_listen(&t, &first, &err), 0);
	assert_int_equal(stat(at + 5, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(transport_listen(&t, &second, &err), -EADDRINUSE);
	close(first.fd);
	assert_int_equal(transport_listen(&t, &second, &err), 0);
	close(second.fd);
	unlink(at + 5);
	rmdir(dir);
}

static void test_exec(void **state)
{
	struct err err = ERR_INIT;
	struct transport t;
	char bytes[3] = "";
	pid_t child;
	int fd;

	(void)state;
	assert_int_equal(parse("exec:cat", false, false, &t), 0);
	assert_int_equal(transport_connect(&t, &fd, &child, &err), 0);
	assert_int_equal(write(fd, "ab", 2), 2);
	assert_int_equal(recv(fd, bytes, 2, MSG_WAITALL), 2);
	assert_string_equal(bytes, "ab");
	close(fd);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_meet),
		cmocka_unit_test(test_exec),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
