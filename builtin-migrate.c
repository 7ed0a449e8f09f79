/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm migrate NAME DEST: connects, hands the connection to the VM, asks how it goes, shows it. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "migrate/source.h"
#include "migrate/transport.h"
#include "util/json.h"
#include "vm/control.h"

#define POLL_MS 100
#define MS	1000000.0
#define STOP_S	10 /* for a VM whose guest is elsewhere to be gone */

static void show(const struct migrate_opts *opts, const struct source_status *s)
{
	if (!isatty(STDERR_FILENO) || opts->json)
		return;
	if (s->phase == SOURCE_PHASE_SERVING) {
		fprintf(stderr, "\r%-90s\r", "");
		fprintf(stderr,
			"the guest runs there, %" PRIu64 " MiB follow, %" PRIu64
			" pages were waited for",
			s->remaining >> 20, s->faults);
		return;
	}
	fprintf(stderr,
		"\rround %u, %" PRIu64
		" MiB left, %.1f MiB/s, guest writes %.1f MiB/s, downtime now %.0f ms   ",
		s->round + (s->phase == SOURCE_PHASE_COPYING), s->remaining >> 20,
		s->rate / 1048576.0, s->dirty_rate / 1048576.0, s->expected_ns / MS);
}

static int print_json(const struct source_status *s)
{
	static const char *const phases[] = {"none",	  "connecting", "copying",
					     "switching", "postcopy",	"done",
					     "failed",	  "undecided",	"broken"};
	struct wbuf out;
	struct json j;
	int rc;

	wbuf_init(&out, BUILTIN_OUT_MAX);
	json_init(&j, &out);
	json_object(&j, NULL);
	json_str(&j, "phase", phases[s->phase]);
	json_u64(&j, "round", s->round);
	json_u64(&j, "remaining", s->remaining);
	json_u64(&j, "dirty_rate", s->dirty_rate);
	json_u64(&j, "rate", s->rate);
	json_u64(&j, "throttle_percent", s->throttle);
	json_u64(&j, "expected_downtime_ns", s->expected_ns);
	json_u64(&j, "pages", s->counts.pages);
	json_u64(&j, "zero_pages", s->counts.zero_pages);
	json_u64(&j, "data_bytes", s->counts.data_bytes);
	json_u64(&j, "tag_bytes", s->counts.tag_bytes);
	json_u64(&j, "zero_bytes", s->counts.zero_bytes);
	json_u64(&j, "state_bytes", s->state_bytes);
	json_u64(&j, "sent_bytes", s->sent_bytes);
	json_u64(&j, "elapsed_ns", s->elapsed_ns);
	json_u64(&j, "faults", s->faults);
	if (s->phase == SOURCE_PHASE_DONE || s->phase == SOURCE_PHASE_SERVING) {
		json_u64(&j, "downtime_ns", s->downtime_ns);
		json_u64(&j, "destination_downtime_ns", s->their_downtime_ns);
	}
	if (s->phase > SOURCE_PHASE_DONE)
		json_str(&j, "error", s->err.msg);
	json_end(&j);
	rc = builtin_print("migrate", &out);
	wbuf_release(&out);
	return rc;
}

static int ask(const char *name, struct source_status *status, struct err *err)
{
	struct wbuf reply;
	struct rbuf in;
	int rc;

	wbuf_init(&reply, CONTROL_MAX_PAYLOAD);
	rc = control_call(name, CONTROL_MIGRATE_STATUS, NULL, &reply, err);
	if (!rc) {
		rbuf_init(&in, reply.data, reply.len);
		rc = source_status_decode(&in, status);
		if (rc)
			err_set(err, rc, "the VM's answer cannot be understood");
	}
	wbuf_release(&reply);
	return rc;
}

static void summary(const char *name, const struct source_status *s)
{
	printf("%s: moved in %.2f s, %u rounds: %" PRIu64 " KiB sent (data %" PRIu64
	       ", tags %" PRIu64 ", zero %" PRIu64 ", state %" PRIu64
	       "); guest stood still for %.1f ms (%.1f ms seen "
	       "from the destination)\n",
	       name, s->elapsed_ns / 1e9, s->round, s->sent_bytes >> 10, s->counts.data_bytes >> 10,
	       s->counts.tag_bytes >> 10, s->counts.zero_bytes >> 10, s->state_bytes >> 10,
	       s->downtime_ns / MS, s->their_downtime_ns / MS);
	if (s->faults)
		printf("%s: it went on before its memory was there, and waited for %" PRIu64
		       " pages\n",
		       name, s->faults);
}

static int finish(const char *name, const struct migrate_opts *opts, const struct source_status *s)
{
	struct err err = ERR_INIT;

	if (isatty(STDERR_FILENO) && !opts->json)
		fprintf(stderr, "\r%*s\r", 90, "");
	if (opts->json)
		print_json(s);
	if (s->phase > SOURCE_PHASE_DONE)
		return builtin_failed("migrate", &s->err);
	if (s->phase != SOURCE_PHASE_DONE)
		return err_set(&err, -ECANCELED, "the VM knows of no migration any more"),
		       builtin_failed("migrate", &err);
	if (!opts->json)
		summary(name, s);
	/* It ends by itself; when it is gone its name is free. */
	(void)control_stop(name, STOP_S, &err);
	return EXIT_OK;
}

/* Ctrl-C and its like are asked for between two looks, so that the VM is told. */
static bool interrupted(const sigset_t *signals)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000};

	return sigtimedwait(signals, NULL, &nap) > 0;
}

static void block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGHUP);
	sigprocmask(SIG_BLOCK, signals, NULL);
}

static int follow(const char *name, const struct migrate_opts *opts, const sigset_t *signals)
{
	struct source_status status;
	struct err err = ERR_INIT;

	for (;;) {
		/* The VM tells what comes of it: too late is possible. */
		if (interrupted(signals))
			(void)control_call(name, CONTROL_MIGRATE_CANCEL, NULL, NULL, &err);
		if (ask(name, &status, &err))
			return builtin_failed("migrate", &err);
		if (status.phase == SOURCE_PHASE_NONE || status.phase >= SOURCE_PHASE_DONE)
			return finish(name, opts, &status);
		show(opts, &status);
		if (opts->json)
			print_json(&status);
	}
}

static int hand_over(const char *name, const struct migrate_opts *opts, int fd, struct err *err)
{
	const struct source_request req = {
		.downtime_ms = opts->downtime,
		.bandwidth = opts->bandwidth,
		.timeout_s = opts->timeout,
		.on_timeout = (uint8_t)opts->on_timeout,
		.codec = (uint8_t)opts->codec,
		.auto_converge = opts->auto_converge,
		.keep_paused = opts->keep_paused,
		.drop_tags = opts->drop_tags,
		.postcopy = opts->postcopy,
		.recover = opts->recover,
		.rounds = opts->rounds,
	};
	struct wbuf payload;
	int rc;

	wbuf_init(&payload, CONTROL_MAX_REQUEST);
	source_request_encode(&req, &payload);
	rc = control_call_fd(name, CONTROL_MIGRATE, &payload, fd, NULL, err);
	wbuf_release(&payload);
	return rc;
}

static int migrate(const char *name, const struct transport *t, const struct migrate_opts *opts)
{
	struct source_status status;
	struct err err = ERR_INIT;
	sigset_t signals;
	pid_t child;
	int fd, rc;

	/* Nobody is disturbed at the other end for a VM that is not there. */
	if (ask(name, &status, &err))
		return builtin_failed("migrate", &err);
	if (transport_connect(t, &fd, &child, &err))
		return builtin_failed("migrate", &err);
	block_signals(&signals);
	rc = hand_over(name, opts, fd, &err);
	/* The line ends with the VM, not with us. */
	close(fd);
	rc = rc ? builtin_failed("migrate", &err) : follow(name, opts, &signals);
	if (child)
		waitpid(child, NULL, 0);
	return rc;
}

int cmd_migrate(int argc, char **argv)
{
	struct migrate_opts opts = {.downtime = 300, .rounds = 1};
	struct err err = ERR_INIT;
	struct transport t;
	bool help = false;
	int nargs;

	if (opt_parse(&verb_migrate, argc, argv, &opts, &nargs, &help, &err))
		return builtin_usage("migrate", &err);
	if (help)
		return builtin_help(&verb_migrate);
	if (opts.cancel && nargs == 1) {
		if (control_call(argv[0], CONTROL_MIGRATE_CANCEL, NULL, NULL, &err))
			return builtin_failed("migrate", &err);
		return EXIT_OK;
	}
	if (nargs != 2 || opts.cancel)
		return err_set(&err, -EINVAL, "%s",
			       opts.cancel ? "--cancel takes a VM's NAME alone"
					   : "name a VM and a DEST"),
		       builtin_usage("migrate", &err);
	if (transport_parse(argv[1], false, opts.insecure || opts.tls_psk, &t, &err) ||
	    transport_use_tls(&t, argv[1], opts.tls_psk, &err))
		return builtin_usage("migrate", &err);
	if (opts.recover)
		t.recover = argv[0];
	return migrate(argv[0], &t, &opts);
}
