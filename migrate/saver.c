/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/saver.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "migrate/ram.h"
#include "util/io.h"
#include "util/newfile.h"

#define PROGRESS_NS 100000000ull

struct saver {
	const struct saver_input *in;
	pid_t vm; /* the process that wants it */
	int pipe;
	uint64_t said_at;
};

static void say(const struct saver *s, const struct saver_message *msg)
{
	struct wbuf out;

	wbuf_init(&out, SAVER_MESSAGE_MAX);
	wbuf_u16(&out, 0);
	wbuf_u8(&out, msg->kind);
	if (msg->kind == SAVER_PROGRESS) {
		wbuf_u64(&out, msg->done);
		wbuf_u64(&out, msg->total);
	} else {
		wbuf_u32(&out, (uint32_t)msg->rc);
		wbuf_u64(&out, msg->file_bytes);
		wbuf_u64(&out, msg->data_bytes);
		wbuf_u64(&out, msg->tag_bytes);
		wbuf_str(&out, msg->err.msg);
	}
	if (!out.error) {
		out.data[0] = out.len & 0xff;
		out.data[1] = out.len >> 8;
		(void)io_write_full(s->pipe, out.data, out.len);
	}
	wbuf_release(&out);
}

bool saver_message_decode(const uint8_t *bytes, size_t have, struct saver_message *msg,
			  size_t *used)
{
	size_t len = have < 2 ? 0 : bytes[0] | (size_t)bytes[1] << 8;
	struct rbuf in;

	if (len < 3 || have < len)
		return false;
	memset(msg, 0, sizeof(*msg));
	rbuf_init(&in, bytes + 2, len - 2);
	msg->kind = rbuf_u8(&in);
	if (msg->kind == SAVER_PROGRESS) {
		msg->done = rbuf_u64(&in);
		msg->total = rbuf_u64(&in);
	} else {
		msg->rc = (int)rbuf_u32(&in);
		msg->file_bytes = rbuf_u64(&in);
		msg->data_bytes = rbuf_u64(&in);
		msg->tag_bytes = rbuf_u64(&in);
		rbuf_str(&in, msg->err.msg, sizeof(msg->err.msg));
	}
	*used = len;
	return true;
}

static int progress(void *ctx, uint64_t done, uint64_t total)
{
	const struct saver_message msg = {.kind = SAVER_PROGRESS, .done = done, .total = total};
	struct saver *s = ctx;
	struct timespec ts;
	uint64_t now;

	if (getppid() != s->vm)
		return -ECANCELED;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	if (now - s->said_at >= PROGRESS_NS || done == total) {
		s->said_at = now;
		say(s, &msg);
	}
	return 0;
}

static int write_file(struct saver *s, int fd, const struct snap_chain *parent,
		      struct snap_info *info, struct err *err)
{
	const struct snapshot_request *req = s->in->req;
	struct ram_save save = {
		.mem = s->in->mem,
		.parent = parent,
		.threads = req->threads,
		.rate = req->rate,
		.drop_tags = req->drop_tags,
		.progress = progress,
		.ctx = s,
	};
	int rc;

	memcpy(info->uuid, s->in->uuid, sizeof(info->uuid));
	info->tags = s->in->mem->sidecar != NULL;
	ram_describe(s->in->mem, info);
	if (parent)
		memcpy(info->parent, snap_chain_info(parent)->uuid, sizeof(info->parent));
	rc = snap_writer_open(fd, info, req->codec, req->level, &save.writer, err);
	if (rc)
		return rc;
	rc = snap_writer_compat(save.writer, &s->in->compat, err);
	if (!rc)
		rc = snap_writer_state(save.writer, &s->in->state, err);
	if (!rc)
		rc = ram_save(&save, err);
	if (!rc)
		rc = snap_writer_finish(save.writer, info, err);
	snap_writer_close(save.writer);
	return rc;
}

static int write_new(struct saver *s, struct newfile *file, const struct snap_chain *parent,
		     struct snap_info *info, struct err *err)
{
	int rc = write_file(s, file->fd, parent, info, err);

	if (rc)
		err_prefix(err, "%s", file->path);
	else
		rc = newfile_sync(file, err);
	if (!rc && getppid() != s->vm)
		rc = err_set(err, -ECANCELED, "the VM is gone");
	return rc ? rc : newfile_commit(file, err);
}

static int save_by_name(struct saver *s, struct snap_info *info, struct err *err)
{
	const struct snapshot_request *req = s->in->req;
	struct snap_chain parent = {.n = 0};
	struct newfile file;
	int rc = newfile_open(&file, req->path, false, err);

	if (rc)
		return rc;
	if (req->base[0])
		rc = snap_chain_open(req->base, &parent, err);
	if (!rc && req->base[0])
		rc = snap_chain_check_child(&parent, req->base, req->path, err);
	if (!rc)
		rc = write_new(s, &file, req->base[0] ? &parent : NULL, info, err);
	snap_chain_close(&parent);
	newfile_close(&file);
	return rc;
}

static int save(struct saver *s, struct snap_info *info, struct err *err)
{
	const struct snapshot_request *req = s->in->req;
	int rc;

	if (req->fd < 0)
		return save_by_name(s, info, err);
	rc = write_file(s, req->fd, NULL, info, err);
	if (rc)
		err_prefix(err, "%s", req->path);
	return rc;
}

/* All but what the file needs would keep sockets open, and a name taken, beyond the VM's end. Fails on Linux before 5.9. */
static void close_others(const struct saver *s)
{
	const struct mem *mem = s->in->mem;
	int keep[MEM_MAX_BANKS + 4] = {STDERR_FILENO, s->pipe, mem->pagemap, s->in->req->fd}, n = 4;
	unsigned int next = 0;

	for (uint32_t i = 0; i < mem->n; i++)
		keep[n++] = mem->banks[i].fd;
	for (;;) {
		int least = INT_MAX;

		for (int i = 0; i < n; i++)
			if (keep[i] >= (int)next && keep[i] < least)
				least = keep[i];
		if (least == INT_MAX)
			break;
		/* stdin, stdout and stderr stay what they are: the first of @keep stands for all three. */
		if ((unsigned int)least > next && next)
			(void)close_range(next, (unsigned int)least - 1, 0);
		next = (unsigned int)least + 1;
	}
	(void)close_range(next, ~0u, 0);
}

_Noreturn void saver_main(const struct saver_input *input, pid_t vm, int pipe)
{
	struct saver s = {.in = input, .vm = vm, .pipe = pipe};
	struct saver_message msg = {.kind = SAVER_RESULT};
	struct snap_info info = {0};
	sigset_t none;

	prctl(PR_SET_NAME, "lkvm-save");
	/* What the terminal or an operator sends to the VM's group is the VM's to answer; EFBIG comes as an error. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close_others(&s);
	if (input->tags)
		input->mem->sidecar = input->tags; /* this process's own */
	msg.rc = save(&s, &info, &msg.err);
	msg.file_bytes = info.file_size;
	msg.data_bytes = info.data_bytes;
	msg.tag_bytes = info.tag_bytes;
	say(&s, &msg);
	_exit(msg.rc ? 1 : 0);
}

void saver_clean(const struct snapshot_request *req, pid_t child)
{
	char part[PATH_MAX];

	if (req->fd < 0 && newfile_part(req->path, (int)child, part) == 0)
		unlink(part);
}
