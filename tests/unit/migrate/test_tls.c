/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm-tls between two sockets of this machine: what passes, and each way in which it must not. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
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
#include "util/io.h"

#define KEY   "00112233445566778899aabbccddeeff"
#define OTHER "ff112233445566778899aabbccddeeff"
#define BIG   (3 << 20)

static char folder[] = "/tmp/lkvm-tls-XXXXXX", one[64], two[64];

static const char *keys(char path[64], const char *name, const char *text)
{
	int fd;

	snprintf(path, 64, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
	close(fd);
	return path;
}

struct end {
	struct transport t;
	bool server;
	int fd, rc;
	struct err err;
};

static void *start(void *arg)
{
	struct end *e = arg;

	e->rc = transport_tls(&e->t, e->server, &e->fd, &e->err);
	return NULL;
}

/* Both sides, with these files. */
static void both(struct end *c, struct end *s, const char *client, const char *server)
{
	pthread_t thread;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*c = (struct end){.t = {.kind = TRANSPORT_TCP, .rest = "there:1", .tls_psk = client},
			  .fd = ends[0]};
	*s = (struct end){.t = {.kind = TRANSPORT_TCP, .rest = "here:1", .tls_psk = server},
			  .fd = ends[1],
			  .server = true};
	assert_int_equal(pthread_create(&thread, NULL, start, s), 0);
	start(c);
	pthread_join(thread, NULL);
}

static void *send_big(void *arg)
{
	static char bytes[BIG];

	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)(i * 7 >> 3);
	assert_int_equal(io_write_full(*(int *)arg, bytes, BIG), 0);
	assert_int_equal(shutdown(*(int *)arg, SHUT_WR), 0);
	return NULL;
}

static void receive_big(int fd)
{
	static char got[BIG];
	char byte;

	assert_int_equal(io_read_full(fd, got, BIG), 0);
	for (size_t i = 0; i < BIG; i++)
		assert_true(got[i] == (char)(i * 7 >> 3));
	assert_int_equal(read(fd, &byte, 1), 0); /* and the end */
}

static void test_passes(void **state)
{
	struct end c, s;
	pthread_t up, down;
	struct pollfd p;

	(void)state;
	/* The server knows several, the second one is meant. */
	both(&c, &s, keys(one, "a", "me:" KEY "\n"), keys(two, "b", "you:" OTHER "\nme:" KEY "\n"));
	assert_string_equal(c.err.msg, "");
	assert_string_equal(s.err.msg, "");
	assert_true(!c.rc && !s.rc);
	/* One way ends, the other goes on. */
	pthread_create(&up, NULL, send_big, &c.fd);
	receive_big(s.fd);
	pthread_join(up, NULL);
	p = (struct pollfd){.fd = c.fd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 0);
	pthread_create(&down, NULL, send_big, &s.fd);
	receive_big(c.fd);
	pthread_join(down, NULL);
	close(c.fd);
	close(s.fd);
	/* Nobody is left for us to wait for. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void refused(const char *client, const char *server, const char *theirs, const char *ours)
{
	struct end c, s;

	both(&c, &s, client, server);
	assert_true(c.rc && s.rc);
	assert_true(c.fd == -1 && s.fd == -1);
	if (!strstr(c.err.msg, theirs) || !strstr(s.err.msg, ours))
		fail_msg("client \"%s\", server \"%s\"", c.err.msg, s.err.msg);
	assert_null(strstr(c.err.msg, KEY));
	assert_null(strstr(s.err.msg, KEY));
}

static void test_refused(void **state)
{
	(void)state;
	keys(one, "a", "me:" KEY "\n");
	refused(one, keys(two, "b", "me:" OTHER "\n"), "does not take the key of me in",
		"another key for me than");
	refused(one, keys(two, "b", "you:" KEY "\n"), "does not take the key of me in",
		"calls itself me, of which");
	assert_int_equal(chmod(two, 0644), 0);
	refused(one, two, "closed the line", "chmod 600");
	assert_int_equal(unlink(two), 0);
	refused(one, two, "closed the line", "No such file");
}

/* A side that speaks something else: @says comes from it, then it waits for the end. */
static void stranger(bool server, const char *says, size_t len, const char *word)
{
	struct end e = {.t = {.kind = TRANSPORT_TCP, .rest = "x:1", .tls_psk = one},
			.server = server};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(io_write_full(ends[1], says, len), 0);
	if (!len)
		shutdown(ends[1], SHUT_WR);
	e.fd = ends[0];
	start(&e);
	close(ends[1]);
	assert_true(e.rc < 0 && e.fd == -1);
	if (!strstr(e.err.msg, word))
		fail_msg("\"%s\" is not in \"%s\"", word, e.err.msg);
}

static void test_strangers(void **state)
{
	static const char hello[16] = "LKVMMIGR\1\0\1";

	(void)state;
	keys(one, "a", "me:" KEY "\n");
	stranger(true, hello, sizeof(hello), "--tls-psk is for both sides");
	stranger(false, hello, sizeof(hello), "--tls-psk is for both sides");
	stranger(true, "GET / HTTP/1.0\r\n\r\n", 18, "--tls-psk is for both sides");
	stranger(true, "", 0, "the other side has closed the line");
	stranger(false, "", 0, "the other side has closed the line");
}

/* Our own client, that knows no more than version 1.2, or has a key but no wish for an exchange. */
static unsigned int old_key(SSL *ssl, const char *hint, char *id, unsigned int id_len,
			    unsigned char *psk, unsigned int psk_len)
{
	(void)ssl, (void)hint, (void)id_len, (void)psk_len;
	memcpy(id, "me", 3);
	for (unsigned int i = 0; i < 16; i++)
		psk[i] = (unsigned char)(i * 0x11);
	return 16;
}

struct peer {
	int fd, version, rc;
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	SSL_CTX_set_max_proto_version(ctx, p->version);
	SSL_CTX_set_psk_client_callback(ctx, old_key);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, p->fd);
	p->rc = SSL_connect(ssl);
	if (p->rc == 1)
		SSL_write(ssl, "whole", 5);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(p->fd); /* without TLS's own end */
	return NULL;
}

static void meet_peer(int version, struct end *e, struct peer *p)
{
	pthread_t thread;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*e = (struct end){.t = {.kind = TRANSPORT_TCP, .rest = "x:1", .tls_psk = one},
			  .server = true,
			  .fd = ends[0]};
	*p = (struct peer){.fd = ends[1], .version = version};
	pthread_create(&thread, NULL, peer_main, p);
	start(e);
	pthread_join(thread, NULL);
}

static void test_old_version(void **state)
{
	struct peer p;
	struct end e;

	(void)state;
	keys(one, "a", "me:" KEY "\n");
	meet_peer(TLS1_2_VERSION, &e, &p);
	assert_true(p.rc != 1 && e.rc < 0);
	assert_non_null(strstr(e.err.msg, "does not know version 1.3"));
}

/* What came before the cut is passed on; the cut is not taken for an end: lkvm-tls says so. */
static void test_cut(void **state)
{
	struct peer p;
	struct end e;
	char got[16], said[256] = "";
	int out[2], saved = dup(STDERR_FILENO);

	(void)state;
	assert_int_equal(pipe(out), 0);
	dup2(out[1], STDERR_FILENO);
	close(out[1]);
	keys(one, "a", "me:" KEY "\n");
	meet_peer(TLS1_3_VERSION, &e, &p);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_string_equal(e.err.msg, "");
	assert_int_equal(p.rc, 1);
	assert_int_equal(read(e.fd, got, sizeof(got)), 5);
	assert_memory_equal(got, "whole", 5);
	assert_true(read(e.fd, got, sizeof(got)) <= 0);
	assert_true(read(out[0], said, sizeof(said) - 1) > 0);
	assert_non_null(strstr(said, "the line was cut"));
	close(out[0]);
	close(e.fd);
}

static void test_option(void **state)
{
	struct err err = ERR_INIT;
	struct transport t = {.kind = TRANSPORT_TCP};

	(void)state;
	assert_int_equal(transport_use_tls(&t, "tcp:x:1", "keys", &err), 0);
	assert_string_equal(t.tls_psk, "keys");
	t.kind = TRANSPORT_UNIX;
	assert_int_equal(transport_use_tls(&t, "unix:x", NULL, &err), 0);
	assert_null(t.tls_psk);
	assert_int_equal(transport_use_tls(&t, "unix:x", "keys", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "tcp:HOST:PORT alone"));
}

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(one);
	unlink(two);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_strangers), cmocka_unit_test(test_old_version),
		cmocka_unit_test(test_cut),	  cmocka_unit_test(test_option),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown) != 0;
}
