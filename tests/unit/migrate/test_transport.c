/* SPDX-License-Identifier: GPL-2.0-only */
/* What a migration can travel over: texts, and connections within this machine. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate/transport.h"
#include "state/stream.h"
#include "util/opt.h"
#include "util/passfd.h"

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

static char away[4096]; /* what was said of those who were sent away */

static int ends_wait = -1;

static void sent_away(const char *why)
{
	size_t len = strlen(away);

	if (strstr(why, " more ") && ends_wait >= 0)
		assert_int_equal(write(ends_wait, "", 1), 1);
	snprintf(away + len, sizeof(away) - len, "%s\n", why);
}

static unsigned int lines(void)
{
	unsigned int n = 0;

	for (const char *c = away; *c; c++)
		n += *c == '\n';
	return n;
}

static int dial(const struct transport *t)
{
	struct err err = ERR_INIT;
	pid_t child;
	int fd;

	assert_int_equal(transport_connect(t, &fd, &child, &err), 0);
	assert_int_equal(child, 0);
	return fd;
}

static void meet(const char *at)
{
	struct transport_hall hall = {.ms = 60000, .sent_away = sent_away};
	struct err err = ERR_INIT;
	struct transport_listener l;
	struct transport t, there;
	uint8_t bytes[STREAM_HELLO];
	struct wbuf hello;
	pid_t child;
	int fd, got;

	wbuf_init(&hello, 64);
	stream_hello_encode(&hello);
	assert_int_equal(parse(at, true, false, &t), 0);
	assert_int_equal(transport_listen(&t, &l, &err), 0);
	assert_int_equal(parse(l.where, false, false, &there), 0);
	fd = dial(&there);
	assert_int_equal(write(fd, hello.data, hello.len), hello.len);
	assert_int_equal(transport_wait(&t, &l, -1, &hall, &got, &err), 0);
	assert_int_equal(hall.n, 0);
	assert_int_equal(recv(got, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	assert_memory_equal(bytes, hello.data, sizeof(bytes));
	talk(fd, got, got);
	close(fd);
	close(got);
	wbuf_release(&hello);
	/* No more of them. */
	transport_stop_listening(&t, &l);
	assert_true(transport_connect(&there, &fd, &child, &err) < 0);
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

/* A line on which @says came first, and that maybe has ended since. */
static int visit(const struct transport *t, const void *says, size_t len, bool hangs_up)
{
	int fd = dial(t);

	assert_int_equal(send(fd, says, len, 0), len);
	if (!hangs_up)
		return fd;
	close(fd);
	return -1;
}

/*
 * Before the source come all who are none, or no more; one that says nothing, and one that says half of it, before and behind it: they
 * neither hold it up nor are sent away, since they may be its further connections.
 */
static void test_strangers(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\n\r\n";
	char dir[] = "/tmp/lkvm-transport-XXXXXX", at[64];
	struct transport_hall hall = {.ms = 60000, .sent_away = sent_away};
	struct err err = ERR_INIT;
	struct transport_listener l;
	struct transport t, there;
	struct wbuf hello;
	uint8_t bytes[STREAM_HELLO];
	int fd[8], n = 0, got;
	char byte;

	(void)state;
	wbuf_init(&hello, 64);
	stream_hello_encode(&hello);
	assert_non_null(mkdtemp(dir));
	snprintf(at, sizeof(at), "unix:%s/s", dir);
	assert_int_equal(parse(at, true, false, &t), 0);
	assert_int_equal(transport_listen(&t, &l, &err), 0);
	assert_int_equal(parse(l.where, false, false, &there), 0);
	away[0] = '\0';
	(void)visit(&there, "", 0, true);
	for (size_t i = 1; i <= STREAM_HELLO; i++)
		(void)visit(&there, hello.data, i, true);
	fd[n++] = visit(&there, http, sizeof(http), false);
	fd[n++] = visit(&there, "\x16\x03\x01", 3, false);
	fd[n++] = visit(&there, "", 0, false);
	fd[n++] = visit(&there, hello.data, STREAM_HELLO - 1, false);
	fd[n++] = visit(&there, hello.data, hello.len, false);
	fd[n++] = visit(&there, "", 0, false);
	assert_int_equal(transport_wait(&t, &l, -1, &hall, &got, &err), 0);
	assert_int_equal(recv(got, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	assert_memory_equal(bytes, hello.data, sizeof(bytes));
	talk(fd[4], got, got);
	assert_int_equal(hall.n, 2);
	assert_int_equal(n, 6);
	assert_int_equal(lines(), 1 + STREAM_HELLO + 2);
	assert_non_null(strstr(away, "closed the line"));
	assert_non_null(strstr(away, "no migration of lkvm"));
	assert_non_null(strstr(away, "--tls-psk"));
	close(got);

	transport_hall_close(&hall);
	assert_int_equal(recv(fd[2], &byte, 1, 0), 0);
	for (int i = 0; i < 6; i++)
		close(fd[i]);
	transport_stop_listening(&t, &l);
	rmdir(dir);
	wbuf_release(&hello);
}

/* However many strangers come, they are not told of without end; and how many there were is told though nobody else comes. */
static void test_lines(void **state)
{
	struct transport_hall hall = {.ms = 60000, .sent_away = sent_away, .lines_ms = 1500};
	struct err err = ERR_INIT;
	struct transport_listener l;
	struct transport t, there;
	int got, ends[2];

	(void)state;
	assert_int_equal(parse("tcp:127.0.0.1:0", true, false, &t), 0);
	assert_int_equal(transport_listen(&t, &l, &err), 0);
	assert_int_equal(parse(l.where, false, false, &there), 0);
	assert_int_equal(pipe(ends), 0);
	away[0] = '\0';
	for (int i = 0; i < TRANSPORT_LINES + 9; i++)
		(void)visit(&there, "GET / ", 6, true);
	ends_wait = ends[1];
	assert_int_equal(transport_wait(&t, &l, ends[0], &hall, &got, &err), -ECANCELED);
	ends_wait = -1;
	assert_int_equal(lines(), TRANSPORT_LINES + 1);
	assert_string_equal(strstr(away, "9 more"), "9 more who connected\n");
	close(ends[0]);
	close(ends[1]);
	transport_stop_listening(&t, &l);
}

static void *end_later(void *arg)
{
	usleep(1500000);
	assert_int_equal(write(*(int *)arg, "", 1), 1);
	return NULL;
}

/* Each gets his time, and no more. */
static void test_limit(void **state)
{
	struct transport_hall hall = {.ms = 100, .sent_away = sent_away};
	struct err err = ERR_INIT;
	struct transport_listener l;
	struct transport t, there;
	int silent, half, got, ends[2];
	pthread_t thread;
	char byte;

	(void)state;
	assert_int_equal(parse("tcp:127.0.0.1:0", true, false, &t), 0);
	assert_int_equal(transport_listen(&t, &l, &err), 0);
	assert_int_equal(parse(l.where, false, false, &there), 0);
	assert_int_equal(pipe(ends), 0);
	away[0] = '\0';
	silent = visit(&there, "", 0, false);
	half = visit(&there, "LKVM", 4, false);
	assert_int_equal(pthread_create(&thread, NULL, end_later, &ends[1]), 0);
	assert_int_equal(transport_wait(&t, &l, ends[0], &hall, &got, &err), -ECANCELED);
	pthread_join(thread, NULL);
	assert_int_equal(hall.n, 0);
	assert_non_null(strstr(away, "did not say"));
	assert_non_null(strstr(strstr(away, "did not say") + 1, "did not say"));
	assert_int_equal(recv(silent, &byte, 1, 0), 0);
	assert_true(recv(half, &byte, 1, 0) <= 0);
	close(silent);
	close(half);
	transport_stop_listening(&t, &l);
}

/* The one process of our group with that name, or -1. */
static pid_t door_pid(void)
{
	DIR *proc = opendir("/proc");
	pid_t found = -1;
	struct dirent *e;

	assert_non_null(proc);
	while ((e = readdir(proc))) {
		char path[64], comm[32] = "";
		uint64_t pid;
		FILE *f;

		if (opt_parse_u64(e->d_name, &pid, NULL) || getpgid((pid_t)pid) != getpgrp())
			continue;
		snprintf(path, sizeof(path), "/proc/%u/comm", (unsigned int)pid);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && !strcmp(comm, "lkvm-door\n"))
			found = (pid_t)pid;
		fclose(f);
	}
	closedir(proc);
	return found;
}

/* Further connections come in until the destination is gone, whatever a terminal or pkill(1) sends; then nothing is left. */
static void test_door(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	char dir[] = "/tmp/lkvm-transport-XXXXXX", at[64], byte;
	struct transport_hall hall = {.ms = 60000, .sent_away = sent_away};
	struct err err = ERR_INIT;
	struct transport_listener l;
	struct transport t, there;
	int door, fd, got;
	pid_t pid = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(at, sizeof(at), "unix:%s/s", dir);
	assert_int_equal(parse(at, true, false, &t), 0);
	assert_int_equal(parse(at, false, false, &there), 0);
	assert_int_equal(setpgid(0, 0), 0);
	assert_int_equal(transport_listen(&t, &l, &err), 0);
	assert_int_equal(transport_door(&t, &l, &hall, &door, &err), 0);
	for (int i = 0; i < 1000 && pid < 0; i++) {
		usleep(10000);
		pid = door_pid();
	}
	assert_true(pid > 0);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(kill(pid, signals[i]), 0);
	fd = dial(&there);
	assert_int_equal(passfd_recv(door, &byte, 1, 0, &got), 1);
	assert_true(got >= 0);
	talk(fd, got, got);
	close(fd);
	close(got);
	close(door);
	for (int i = 0; i < 1000 && access(at + 5, F_OK) == 0; i++)
		usleep(10000);
	assert_int_equal(rmdir(dir), 0); /* the socket is gone */
}

static void test_exec(void **state)
{
	struct err err = ERR_INIT;
	struct transport t;
	char bytes[3] = "";
	pid_t child;
	int fd, wfd;

	(void)state;
	assert_int_equal(parse("exec:cat", false, false, &t), 0);
	assert_int_equal(transport_connect(&t, &fd, &child, &err), 0);
	assert_int_equal(write(fd, "ab", 2), 2);
	assert_int_equal(recv(fd, bytes, 2, MSG_WAITALL), 2);
	assert_string_equal(bytes, "ab");
	close(fd);
	assert_int_equal(waitpid(child, NULL, 0), child);
	/* Of the side that waits it is no child: nobody there would hear of its end. */
	assert_int_equal(parse("exec:cat", true, false, &t), 0);
	assert_int_equal(transport_take(&t, &fd, &wfd, &err), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(write(wfd, "ab", 2), 2);
	assert_int_equal(recv(fd, bytes, 2, MSG_WAITALL), 2);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),  cmocka_unit_test(test_bad),
		cmocka_unit_test(test_meet),  cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_lines), cmocka_unit_test(test_limit),
		cmocka_unit_test(test_door),  cmocka_unit_test(test_exec),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
