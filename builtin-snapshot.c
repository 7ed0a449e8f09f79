/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm snapshot NAME FILE: starts one in the VM, asks after it, shows how it goes. The rest is builtin-snapshot-file.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "migrate/control.h"
#include "util/json.h"
#include "vm/control.h"

#define POLL_MS 100

/* Absolute, since the VM has a folder of its own. The file need not be there. */
static int absolute(const char *path, char out[PATH_MAX], struct err *err)
{
	char cwd[PATH_MAX];
	int n;

	if (path[0] == '/')
		n = snprintf(out, PATH_MAX, "%s", path);
	else if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(err, -errno, "this folder");
	else
		n = snprintf(out, PATH_MAX, "%s/%s", cwd, path);
	return n >= PATH_MAX ? err_set(err, -ENAMETOOLONG, "%s: path is too long", path) : 0;
}

static void show(const struct snapshot_opts *opts, const struct snapshot_status *s, double seconds)
{
	double rate = seconds > 0 ? s->done / seconds : 0;
	unsigned int percent = s->total ? s->done * 100 / s->total : 0;

	if (!isatty(STDERR_FILENO) || opts->json)
		return;
	fprintf(stderr,
		"\r%3u%% [%-25.*s] %" PRIu64 " of %" PRIu64 " MiB, %.0f MiB/s, %.0f s left   ",
		percent, (int)(percent / 4), "=========================", s->done >> 20,
		s->total >> 20, rate / (1 << 20), rate > 0 ? (s->total - s->done) / rate : 0.0);
}

static int print_json(const struct snapshot_status *s)
{
	static const char *const phases[] = {"none", "running", "done", "failed"};
	struct wbuf out;
	struct json j;
	int rc;

	wbuf_init(&out, BUILTIN_OUT_MAX);
	json_init(&j, &out);
	json_object(&j, NULL);
	json_str(&j, "phase", phases[s->phase]);
	json_u64(&j, "done", s->done);
	json_u64(&j, "total", s->total);
	if (s->phase == SNAPSHOT_FAILED)
		json_str(&j, "error", s->err.msg);
	if (s->phase == SNAPSHOT_DONE) {
		json_u64(&j, "file_bytes", s->result.file_bytes);
		json_u64(&j, "data_bytes", s->result.data_bytes);
		json_u64(&j, "tag_bytes", s->result.tag_bytes);
		json_u64(&j, "pause_ns", s->result.pause_ns);
	}
	json_end(&j);
	rc = builtin_print("snapshot", &out);
	wbuf_release(&out);
	return rc;
}

static int ask(const char *name, struct snapshot_status *status, struct err *err)
{
	struct wbuf reply;
	struct rbuf in;
	int rc;

	wbuf_init(&reply, CONTROL_MAX_PAYLOAD);
	rc = control_call(name, CONTROL_SNAPSHOT_STATUS, NULL, &reply, err);
	if (!rc) {
		rbuf_init(&in, reply.data, reply.len);
		rc = snapshot_status_decode(&in, status);
		if (rc)
			err_set(err, rc, "the VM's answer cannot be understood");
	}
	wbuf_release(&reply);
	return rc;
}

static int finish(const struct snapshot_opts *opts, const char *file,
		  const struct snapshot_status *s)
{
	struct err err = ERR_INIT;

	if (isatty(STDERR_FILENO) && !opts->json)
		fprintf(stderr, "\r%*s\r", 78, "");
	if (opts->json)
		print_json(s);
	if (s->phase == SNAPSHOT_FAILED)
		return builtin_failed("snapshot", &s->err);
	if (s->phase != SNAPSHOT_DONE)
		return err_set(&err, -ECANCELED, "cancelled"), builtin_failed("snapshot", &err);
	if (!opts->json)
		printf("%s: %" PRIu64 " KiB (data %" PRIu64 ", tags %" PRIu64
		       "), guest paused for %.1f ms\n",
		       file, s->result.file_bytes >> 10, s->result.data_bytes >> 10,
		       s->result.tag_bytes >> 10, s->result.pause_ns / 1e6);
	return EXIT_OK;
}

/* Ctrl-C and its like are asked for between two looks, so that the VM is told. */
static bool interrupted(const sigset_t *signals)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000};

	return sigtimedwait(signals, NULL, &nap) > 0;
}

static int follow(const char *name, const char *file, const struct snapshot_opts *opts)
{
	struct snapshot_status status = {.phase = SNAPSHOT_RUNNING};
	struct err err = ERR_INIT;
	struct timespec start, now;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (status.phase == SNAPSHOT_RUNNING) {
		if (interrupted(&signals)) {
			/* Perhaps too late: then it says so. */
			control_call(name, CONTROL_SNAPSHOT_CANCEL, NULL, NULL, &err);
			if (ask(name, &status, &err))
				status.phase = SNAPSHOT_NONE;
			break;
		}
		if (ask(name, &status, &err))
			return builtin_failed("snapshot", &err);
		clock_gettime(CLOCK_MONOTONIC, &now);
		show(opts, &status,
		     now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9);
		if (opts->json && status.phase == SNAPSHOT_RUNNING)
			print_json(&status);
	}
	return finish(opts, file, &status);
}

/* The file of a VM that opens none: made here with another name, which it keeps until all of it is there. */
struct part {
	char path[PATH_MAX];
	int fd; /* or -1: the VM makes the file */
};

static int part_make(struct part *part, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');

	if (snprintf(part->path, PATH_MAX, "%.*s.%s.%d.part", (int)(slash - path + 1), path,
		     slash + 1, (int)getpid()) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%s: path is too long", path);
	part->fd = open(part->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return part->fd < 0 ? err_sys(err, -errno, "%s", part->path) : 0;
}

/* The VM has written and synced it, or has failed. */
static int part_finish(struct part *part, const char *path, int code)
{
	struct err err = ERR_INIT;
	int folder;

	if (part->fd < 0)
		return code;
	close(part->fd);
	if (code != EXIT_OK) {
		unlink(part->path);
		return code;
	}
	if (rename(part->path, path) < 0)
		return err_sys(&err, -errno, "%s is there, but cannot become %s", part->path, path),
		       builtin_failed("snapshot", &err);
	*strrchr(part->path, '/') = '\0';
	folder = open(part->path[0] ? part->path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || fsync(folder) < 0)
		code = (err_sys(&err, -errno, "cannot sync the folder of %s", path),
			builtin_failed("snapshot", &err));
	if (folder >= 0)
		close(folder);
	return code;
}

/* Asks the VM; what it cannot open it is handed. */
static int request(const char *name, const struct snapshot_request *req, struct part *part,
		   struct err *err)
{
	struct err first = ERR_INIT;
	struct wbuf payload;
	int rc;

	wbuf_init(&payload, CONTROL_MAX_REQUEST);
	snapshot_request_encode(req, &payload);
	rc = control_call(name, CONTROL_SNAPSHOT, &payload, NULL, &first);
	if (rc != SNAPSHOT_NEEDS_FILE) {
		*err = first;
	} else {
		rc = part_make(part, req->path, err);
		if (!rc)
			rc = control_call_fd(name, CONTROL_SNAPSHOT, &payload, part->fd, NULL, err);
	}
	wbuf_release(&payload);
	return rc;
}

static int save(const char *name, const char *file, const struct snapshot_opts *opts)
{
	struct part part = {.fd = -1};
	struct snapshot_request *req = calloc(1, sizeof(*req));
	struct err err = ERR_INIT;
	int rc, code;

	if (!req)
		return err_set(&err, -ENOMEM, "out of memory"), builtin_failed("snapshot", &err);
	req->fd = -1;
	req->live = opts->live;
	req->stop = opts->stop;
	req->drop_tags = opts->drop_tags;
	req->codec = opts->codec;
	req->level = opts->level;
	req->threads = opts->threads;
	req->rate = opts->rate;
	req->kvm_tags = opts->tag_walker;
	rc = absolute(file, req->path, &err);
	if (!rc && opts->base)
		rc = absolute(opts->base, req->base, &err);
	if (!rc)
		rc = request(name, req, &part, &err);
	if (rc) {
		err_prefix(&err, "%s", name);
		code = builtin_failed("snapshot", &err);
	} else {
		code = follow(name, file, opts);
	}
	code = part_finish(&part, req->path, code);
	free(req);
	return code;
}

int cmd_snapshot(int argc, char **argv)
{
	struct snapshot_opts opts = {.threads = 1, .level = 3};
	struct err err = ERR_INIT;
	bool help = false;
	int nargs;

	if (opt_parse(&verb_snapshot, argc, argv, &opts, &nargs, &help, &err))
		return builtin_usage("snapshot", &err);
	if (help)
		return builtin_help(&verb_snapshot);
	if (nargs == 2 && !strcmp(argv[0], "info"))
		return builtin_snapshot_info(argv[1], &opts);
	if (nargs == 2 && !strcmp(argv[0], "verify"))
		return builtin_snapshot_verify(argv[1], &opts);
	if (nargs == 3 && !strcmp(argv[0], "diff"))
		return builtin_snapshot_diff(argv[1], argv[2], &opts);
	if (nargs == 3 && !strcmp(argv[0], "merge"))
		return builtin_snapshot_merge(argv[1], argv[2], &opts);
	if (nargs == 2)
		return save(argv[0], argv[1], &opts);
	return err_set(&err, -EINVAL, "name a VM and a FILE"), builtin_usage("snapshot", &err);
}
