/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VM's side of a snapshot: pause, encode, fork, and wait for the child on the event loop. A process that is at its disk
 * may take long to die, SIGKILL or not: nobody waits for that, a pidfd tells of it.
 */
#include "migrate/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "migrate/saver.h"
#include "migrate/state.h"
#include "migrate/tag-copy.h"
#include "util/clock.h"
#include "vm/arch.h"
#include "vm/vm.h"

struct snapshot_job {
	struct vm *vm;
	struct snapshot_events events;
	struct snapshot_request req;
	pid_t child;
	struct event_source process; /* the child's end */
	struct event_source pipe;    /* what the child says; -1 when it has said all */
	struct snapshot_job *next;   /* of those that are left to die */
	bool left;
	uint8_t heard[SAVER_MESSAGE_MAX]; /* part of a message */
	size_t have;
	bool holds_pause;
	uint64_t paused_at;
	struct snapshot_result result;
};

/* The bytes that are in a UART's buffers go on from the file, not here as well. */
static void let_go(struct snapshot_job *job)
{
	if (!job->holds_pause)
		return;
	if (job->req.stop)
		vm_hold_serial(job->vm, false);
	job->holds_pause = false;
	vm_resume(job->vm);
	job->result.pause_ns = clock_now_ns() - job->paused_at;
}

/* A VM that is to end does not run again: what it did would be lost, and be seen outside all the same. */
static void keep_paused(struct snapshot_job *job)
{
	job->holds_pause = false;
	job->result.pause_ns = clock_now_ns() - job->paused_at;
}

static void close_pipe(struct snapshot_job *job)
{
	if (job->pipe.fd < 0)
		return;
	event_remove(&job->vm->loop, &job->pipe);
	close(job->pipe.fd);
	job->pipe.fd = -1;
}

static void job_free(struct snapshot_job *job)
{
	close_pipe(job);
	event_remove(&job->vm->loop, &job->process);
	close(job->process.fd);
	free(job);
}

/* Over, but for the child's end, which is soon or some time later. */
static void leave(struct snapshot_job *job)
{
	close_pipe(job);
	let_go(job);
	job->left = true;
	job->next = job->events.leaving->first;
	job->events.leaving->first = job;
}

static void job_done(struct snapshot_job *job, int rc, const struct err *err)
{
	struct snapshot_events events = job->events;
	struct snapshot_result result;
	bool stop = job->req.stop && !rc;

	if (stop)
		keep_paused(job);
	else
		let_go(job);
	result = job->result;
	leave(job);
	events.done(events.ctx, rc, err, &result, stop);
}

/* 0: more is needed. 1: the job is over. */
static int hear(struct snapshot_job *job)
{
	struct saver_message msg;
	size_t used;

	while (saver_message_decode(job->heard, job->have, &msg, &used)) {
		memmove(job->heard, job->heard + used, job->have - used);
		job->have -= used;
		if (msg.kind == SAVER_PROGRESS) {
			job->events.progress(job->events.ctx, msg.done, msg.total);
			continue;
		}
		job->result.file_bytes = msg.file_bytes;
		job->result.data_bytes = msg.data_bytes;
		job->result.tag_bytes = msg.tag_bytes;
		job_done(job, msg.rc, &msg.err);
		return 1;
	}
	return 0;
}

/* What there is to hear now. 1: the job is over. */
static int listen_to(struct snapshot_job *job)
{
	while (job->pipe.fd >= 0) {
		ssize_t n =
			read(job->pipe.fd, job->heard + job->have, sizeof(job->heard) - job->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			close_pipe(job); /* its end is told of by itself */
			return 0;
		}
		job->have += (size_t)n;
		if (hear(job))
			return 1;
	}
	return 0;
}

static void pipe_ready(struct event_source *source, uint32_t events)
{
	(void)events;
	listen_to(source->ctx);
}

static void forget(struct snapshot_job *job)
{
	struct snapshot_job **at = &job->events.leaving->first;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	job_free(job);
}

static void process_ready(struct event_source *source, uint32_t events)
{
	struct snapshot_job *job = source->ctx;
	struct err err = ERR_INIT;
	int status = 0;

	(void)events;
	if (waitpid(job->child, &status, WNOHANG) != job->child)
		return;
	saver_clean(&job->req, job->child);
	if (!job->left && !listen_to(job)) {
		if (WIFSIGNALED(status))
			err_set(&err, -EIO,
				"the saving process was killed by signal %d; the VM goes on",
				WTERMSIG(status));
		else
			err_set(&err, -EIO, "the saving process ended too early; the VM goes on");
		job_done(job, -EIO, &err);
	}
	forget(job);
}

int snapshot_check(const struct vm *vm, const struct snapshot_request *req, struct err *err)
{
	if (req->live && req->stop)
		return err_set(
			err, -EINVAL,
			"--live and --stop exclude each other: what the guest did in between "
			"would be lost");
	if (req->live && !mem_is_private(&vm->mem))
		return err_set(
			err, -EOPNOTSUPP,
			"--live needs private guest memory, of which a copy can be made at one moment; this VM has "
			"%s memory: leave --live out",
			vm->config.lazy	       ? "lazily restored"
			: vm->config.hugetlbfs ? "hugetlbfs"
					       : "memfd");
	return 0;
}

static int start_child(struct snapshot_job *job, const struct saver_input *input, struct err *err)
{
	pid_t vm = getpid();
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe");
	job->child = fork();
	if (job->child == 0) {
		close(ends[0]);
		saver_main(input, vm, ends[1]);
	}
	close(ends[1]);
	if (job->child < 0) {
		rc = -errno;
		close(ends[0]);
		return err_sys(err, rc, "cannot fork the saving process");
	}
	job->pipe = (struct event_source){.fd = ends[0], .ready = pipe_ready, .ctx = job};
	job->process = (struct event_source){
		.fd = (int)syscall(SYS_pidfd_open, job->child, 0),
		.ready = process_ready,
		.ctx = job,
	};
	rc = job->process.fd < 0 ? -errno : 0;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	if (!rc)
		rc = event_add(&job->vm->loop, &job->pipe, EPOLLIN);
	if (!rc)
		rc = event_add(&job->vm->loop, &job->process, EPOLLIN);
	if (!rc)
		return 0;
	/* It would write a file that nobody hears of. It has hardly begun. */
	kill(job->child, SIGKILL);
	waitpid(job->child, NULL, 0);
	saver_clean(&job->req, job->child);
	event_remove(&job->vm->loop, &job->pipe);
	close(ends[0]);
	if (job->process.fd >= 0)
		close(job->process.fd);
	return err_sys(err, rc, "cannot hear the saving process");
}

/* KVM knows the child's memory no more than any stranger's, so it is asked before there is a child. */
static int collect_tags(struct vm *vm, struct tag_copy *copy, struct err *err)
{
	struct err ignored = ERR_INIT;
	int rc = arch_tags_by_kvm(vm, true, err);

	if (!rc)
		rc = tag_copy_init(copy, &vm->mem, err);
	(void)arch_tags_by_kvm(vm, false, &ignored);
	return rc;
}

static int save_everything(struct snapshot_job *job, struct err *err)
{
	struct saver_input input = {.req = &job->req, .mem = &job->vm->mem};
	struct tag_copy copy = {.mem = NULL};
	int rc;

	if (getrandom(input.uuid, sizeof(input.uuid), 0) != sizeof(input.uuid))
		return err_sys(err, -errno, "no entropy from the host");
	wbuf_init(&input.compat, SNAP_MAX_STATE);
	wbuf_init(&input.state, SNAP_MAX_STATE);
	rc = state_save(job->vm, &input.compat, &input.state, err);
	if (!rc && job->req.kvm_tags && job->vm->mem.sidecar) {
		rc = collect_tags(job->vm, &copy, err);
		input.tags = &copy.sidecar;
	}
	if (!rc)
		rc = mem_before_fork(&job->vm->mem, err);
	if (!rc)
		rc = start_child(job, &input, err);
	mem_after_fork(&job->vm->mem);
	tag_copy_release(&copy);
	wbuf_release(&input.compat);
	wbuf_release(&input.state);
	return rc;
}

int snapshot_start(struct vm *vm, const struct snapshot_request *req,
		   const struct snapshot_events *events, struct snapshot_job **out, struct err *err)
{
	struct snapshot_job *job;
	int rc = snapshot_check(vm, req, err);

	if (rc)
		return rc;
	job = calloc(1, sizeof(*job));
	if (!job)
		return err_set(err, -ENOMEM, "no memory for a snapshot");
	job->vm = vm;
	job->req = *req;
	job->events = *events;
	job->paused_at = clock_now_ns();
	vm_pause(vm);
	job->holds_pause = true;
	if (job->req.stop)
		vm_hold_serial(job->vm, true);
	/* The guest may have ended before it was paused: then its vCPUs are past the call that did it. */
	if (vm->end != VM_END_NONE)
		rc = err_set(err, -EAGAIN, "the guest has just ended or reset");
	else
		rc = save_everything(job, err);
	if (rc || req->live)
		let_go(job);
	if (rc)
		free(job);
	else
		*out = job;
	return rc;
}

bool snapshot_cancel(struct snapshot_job *job)
{
	kill(job->child, SIGKILL);
	/* What it said before it was killed counts: then the file is there. */
	if (listen_to(job))
		return false;
	saver_clean(&job->req, job->child);
	leave(job);
	return true;
}

void snapshot_forget(struct snapshot_leaving *leaving)
{
	while (leaving->first)
		forget(leaving->first);
}
