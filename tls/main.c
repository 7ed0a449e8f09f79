/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lkvm-tls client|server FILE: TLS 1.3 with a pre-shared key, for lkvm, which starts it. FILE: tls/psk.h.
 *   0  a socket, plain      3  a connected socket, TLS
 *   1  a pipe: "ok" when the two sides know each other, or else one line that says why not: with "TLS: " in front if that is the
 *      other side's doing
 * A program of its own, so that keys and TLS are not in the process of a VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tls/psk.h"
#include "tls/relay.h"
#include "util/clock.h"
#include "util/confine.h"
#include "util/io.h"

#define PLAIN	     0
#define STATUS	     1
#define NET	     3
#define HANDSHAKE_MS 30000

/* Both are of SHA-256, to which a key of such a file belongs (RFC 8446, 4.2.11). */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

struct side {
	struct psks psks;
	const char *file;
	bool server;
	char asked[PSK_IDENTITY_MAX + 1]; /* server: what the client called itself */
	bool known;
};

static const unsigned char suite[] = {0x13, 0x01};

static SSL_SESSION *session_of(SSL *ssl, const struct psk *psk)
{
	SSL_SESSION *session = SSL_SESSION_new();
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);

	if (session && cipher && SSL_SESSION_set1_master_key(session, psk->key, psk->len) &&
	    SSL_SESSION_set_cipher(session, cipher) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int client_key(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *len,
		      SSL_SESSION **session)
{
	struct side *s = SSL_get_app_data(ssl);
	const struct psk *psk = &s->psks.all[0];

	(void)md;
	*session = session_of(ssl, psk);
	*id = (const unsigned char *)psk->identity;
	*len = strlen(psk->identity);
	return *session != NULL;
}

static int server_key(SSL *ssl, const unsigned char *identity, size_t len, SSL_SESSION **session)
{
	struct side *s = SSL_get_app_data(ssl);
	const struct psk *psk = psk_find(&s->psks, identity, len);

	for (size_t i = 0; i < len && i < PSK_IDENTITY_MAX; i++)
		s->asked[i] = identity[i] > ' ' && identity[i] <= '~' ? (char)identity[i] : '?';
	s->known = psk != NULL;
	*session = psk ? session_of(ssl, psk) : NULL;
	return !psk || *session;
}

static SSL_CTX *context(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, SUITES) || !SSL_CTX_set_num_tickets(ctx, 0)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* A client that is shown a certificate instead knows nobody who could have signed it. */
	SSL_CTX_set_verify(ctx, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (server)
		SSL_CTX_set_psk_find_session_callback(ctx, server_key);
	else
		SSL_CTX_set_psk_use_session_callback(ctx, client_key);
	return ctx;
}

static int why_not(const struct side *s, int reason, struct err *err)
{
	const char *text;

	if (s->server && s->asked[0] && !s->known)
		return err_set(err, -EACCES,
			       "TLS: the other side calls itself %s, of which %s has no key",
			       s->asked, s->file);
	switch (reason) {
	case SSL_R_BINDER_DOES_NOT_VERIFY:
		return err_set(err, -EACCES,
			       "TLS: the other side has another key for %s than %s has", s->asked,
			       s->file);
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_MESSAGE:
		return err_set(
			err, -EPROTO,
			"TLS: the other side does not speak it: --tls-psk is for both sides");
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
		return err_set(err, -EPROTO, "TLS: the other side does not know version 1.3");
	case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
	case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
	case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY:
		return err_set(err, -EACCES,
			       "TLS: the other side does not take the key of %s in %s",
			       s->psks.all[0].identity, s->file);
	case 0: /* an error of the socket */
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		/* One that waits without TLS looks at what comes, and says nothing. */
		return err_set(err, -ECONNRESET, "TLS: the other side has closed the line%s",
			       s->server ? "" : "; does it wait with --tls-psk?");
	}
	text = ERR_reason_error_string(ERR_peek_error());
	return err_set(err, -EPROTO, "TLS: %s", text ? text : "the line is broken");
}

static int handshake(struct side *s, SSL *ssl, struct err *err)
{
	const uint64_t until = clock_now_ns() + HANDSHAKE_MS * 1000000ull;

	for (;;) {
		struct pollfd p = {.fd = NET};
		int rc = s->server ? SSL_accept(ssl) : SSL_connect(ssl), e;
		uint64_t now = clock_now_ns(), left = now < until ? until - now : 0;

		if (rc == 1)
			break;
		e = SSL_get_error(ssl, rc);
		p.events = e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			return why_not(s, ERR_GET_REASON(ERR_peek_error()), err);
		if (!left || poll(&p, 1, (int)(left / 1000000) + 1) == 0)
			return err_set(err, -ETIMEDOUT,
				       "TLS: the other side did not finish within %d s",
				       HANDSHAKE_MS / 1000);
	}
	/* By a key, and by no other means there may be. */
	return SSL_session_reused(ssl)
		       ? 0
		       : err_set(err, -EACCES, "TLS: the other side has not shown the key");
}

/* All that is needed is open: nothing more is opened, started, or left in a core file. */
static int shut_in(struct err *err)
{
	const struct rlimit none = {0, 0};
	int rc;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_FSIZE, &none);
	rc = confine_process(err);
	return rc ? rc : confine_receiver(err);
}

static int serve(struct side *s, struct err *err)
{
	SSL_CTX *ctx;
	SSL *ssl;
	int rc;

	fcntl(NET, F_SETFL, fcntl(NET, F_GETFL) | O_NONBLOCK);
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	rc = shut_in(err);
	if (rc)
		return rc;
	ctx = context(s->server);
	ssl = ctx ? SSL_new(ctx) : NULL;
	if (!ssl || !SSL_set_fd(ssl, NET) || !SSL_set_app_data(ssl, s))
		return err_set(err, -ENOMEM, "TLS cannot be set up");
	rc = handshake(s, ssl, err);
	psk_wipe(&s->psks);
	if (rc)
		return rc;
	(void)io_write_full(STATUS, "ok\n", 3);
	close(STATUS);
	rc = relay(ssl, NET, PLAIN, err);
	if (rc)
		fprintf(stderr, "lkvm-tls: %s\n", err->msg);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return rc;
}

int main(int argc, char **argv)
{
	static const int keep[] = {PLAIN, STATUS, STDERR_FILENO, NET};
	struct side side = {.known = false};
	struct err err = ERR_INIT;
	int rc;

	if (argc != 3 || (strcmp(argv[1], "client") && strcmp(argv[1], "server")) ||
	    fcntl(NET, F_GETFD) < 0) {
		fprintf(stderr, "lkvm-tls: is started by lkvm, for --tls-psk\n");
		return 2;
	}
	/* What the terminal sends is for lkvm, which says last words over this line. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	side.file = argv[2];
	side.server = argv[1][0] == 's';
	rc = confine_descriptors(keep, sizeof(keep) / sizeof(keep[0]), &err);
	if (!rc)
		rc = psk_load(side.file, &side.psks, &err);
	if (!rc)
		rc = serve(&side, &err);
	psk_wipe(&side.psks);
	if (rc) {
		(void)io_write_full(STATUS, err.msg, strlen(err.msg));
		(void)io_write_full(STATUS, "\n", 1);
	}
	return rc != 0;
}
