/* SPDX-License-Identifier: GPL-2.0-only */
/* The control requests about migration: encodings, and who may ask for what when. The migration itself is a fake. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/source.h"
#include "vm/control.h"
#include "vm/vm.h"

struct source_job {
	struct source_events events;
	struct source_status status;
	int fd;
	bool late;
};

/* First in struct vm's place, so that the fakes find what they count. */
struct fake {
	struct vm vm;
	struct vcpu vcpu;
	struct source_job job;
	unsigned int started, cancelled, left, finished, rejoined, joined;
	struct outgoing *out;
	int sockets[2];
};

void vm_finish(struct vm *vm, enum vm_end end, const struct err *why)
{
	assert_int_equal(end, VM_END_STOP);
	assert_null(why);
	((struct fake *)vm)->finished++;
}

int source_start(struct vm *vm, const struct source_request *req, int fd,
		 const struct source_events *events, struct source_job **out, struct err *err)
{
	struct fake *f = (struct fake *)vm;

	(void)err;
	assert_int_equal(req->downtime_ms, 300);
	f->started++;
	f->job.events = *events;
	f->job.fd = fd;
	f->job.status.phase = SOURCE_PHASE_COPYING;
	*out = &f->job;
	return 0;
}

void source_status(struct source_job *job, struct source_status *status)
{
	*status = job->status;
}

int source_cancel(struct source_job *job)
{
	struct fake *f = (struct fake *)((char *)job - offsetof(struct fake, job));

	f->cancelled++;
	return job->late ? -EBUSY : 0;
}

int source_rejoin(struct source_job *job, int fd, struct err *err)
{
	struct fake *f = (struct fake *)((char *)job - offsetof(struct fake, job));

	close(fd);
	f->rejoined++;
	return job->late ? 0 : err_set(err, -EBUSY, "in use");
}

int source_resume(struct source_job *job, struct err *err)
{
	return job->late ? err_set(err, -EBUSY, "it runs there") : 0;
}

int destination_join(struct destination *d, int fd, struct err *err)
{
	struct fake *f = (struct fake *)d;

	(void)err;
	close(fd);
	f->joined++;
	return 0;
}

static void end_job(struct fake *f, enum source_phase phase)
{
	f->job.status.phase = (uint8_t)phase;
	close(f->job.fd);
	f->job.events.done(f->job.events.ctx, &f->job.status);
}

void source_leave(struct source_job *job)
{
	struct fake *f = (struct fake *)((char *)job - offsetof(struct fake, job));

	f->left++;
	end_job(f, SOURCE_PHASE_FAILED);
}

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct err err = ERR_INIT;

	assert_non_null(f);
	assert_int_equal(event_loop_init(&f->vm.loop, &err), 0);
	log_init(&f->vm.log, -1, LOG_ERROR);
	f->vm.vcpus = &f->vcpu;
	f->vm.passed_fd = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->sockets), 0);
	assert_int_equal(outgoing_open(&f->vm, &f->out, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;

	outgoing_close(f->out);
	event_loop_release(&f->vm.loop);
	close(f->sockets[0]);
	close(f->sockets[1]);
	free(f);
	return 0;
}

static const struct source_request good = {
	.downtime_ms = 300,
	.bandwidth = 1ull << 40,
	.timeout_s = 60,
	.on_timeout = SOURCE_TIMEOUT_SWITCH,
	.codec = SNAP_ZSTD,
	.keep_paused = true,
	.postcopy = true,
	.rounds = SOURCE_MAX_ROUNDS,
};

static void test_request(void **state)
{
	struct err err = ERR_INIT;
	struct source_request got;
	struct wbuf bytes;
	struct rbuf in;

	(void)state;
	wbuf_init(&bytes, 1000);
	source_request_encode(&good, &bytes);
	rbuf_init(&in, bytes.data, bytes.len);
	assert_int_equal(source_request_decode(&in, &got, &err), 0);
	assert_int_equal(got.downtime_ms, 300);
	assert_int_equal(got.bandwidth, 1ull << 40);
	assert_int_equal(got.timeout_s, 60);
	assert_int_equal(got.on_timeout, SOURCE_TIMEOUT_SWITCH);
	assert_int_equal(got.codec, SNAP_ZSTD);
	assert_true(got.postcopy && !got.recover);
	assert_int_equal(got.rounds, SOURCE_MAX_ROUNDS);
	assert_true(got.keep_paused && !got.drop_tags && !got.auto_converge);
	for (size_t n = 0; n < bytes.len; n++) {
		rbuf_init(&in, bytes.data, n);
		assert_int_equal(source_request_decode(&in, &got, &err), -EBADMSG);
	}
	/* Flags and small numbers that are none. */
	for (size_t i = 16; i < bytes.len; i++) {
		uint8_t was = bytes.data[i];

		bytes.data[i] = i == bytes.len - 4 ? SOURCE_MAX_ROUNDS + 1 : 2;
		rbuf_init(&in, bytes.data, bytes.len);
		assert_int_equal(source_request_decode(&in, &got, &err), -EBADMSG);
		bytes.data[i] = was;
	}
	wbuf_u8(&bytes, 0);
	rbuf_init(&in, bytes.data, bytes.len);
	assert_int_equal(source_request_decode(&in, &got, &err), -EBADMSG);
	wbuf_release(&bytes);
}

static void test_status(void **state)
{
	struct source_status a = {.phase = SOURCE_PHASE_UNDECIDED,
				  .round = 2,
				  .remaining = 3,
				  .dirty_rate = 4,
				  .rate = 5,
				  .throttle = 20,
				  .expected_ns = 6,
				  .counts = {7, 8, 9, 10, 11},
				  .state_bytes = 12,
				  .sent_bytes = 13,
				  .elapsed_ns = 14,
				  .downtime_ns = 15,
				  .their_downtime_ns = 16,
				  .faults = 17,
				  .rc = -EPIPE},
			     b;
	struct wbuf bytes;
	struct rbuf in;

	(void)state;
	snprintf(a.err.msg, sizeof(a.err.msg), "%s", "ask your user");
	wbuf_init(&bytes, 1000);
	source_status_encode(&a, &bytes);
	rbuf_init(&in, bytes.data, bytes.len);
	assert_int_equal(source_status_decode(&in, &b), 0);
	assert_memory_equal(&a.counts, &b.counts, sizeof(a.counts));
	assert_int_equal(b.phase, SOURCE_PHASE_UNDECIDED);
	assert_int_equal(b.round, 2);
	assert_int_equal(b.throttle, 20);
	assert_int_equal(b.their_downtime_ns, 16);
	assert_int_equal(b.faults, 17);
	assert_int_equal(b.rc, -EPIPE);
	assert_string_equal(b.err.msg, "ask your user");
	for (size_t n = 0; n < bytes.len; n++) {
		rbuf_init(&in, bytes.data, n);
		assert_int_equal(source_status_decode(&in, &b), -EBADMSG);
	}
	bytes.data[0] = SOURCE_PHASES;
	rbuf_init(&in, bytes.data, bytes.len);
	assert_int_equal(source_status_decode(&in, &b), -EBADMSG);
	wbuf_release(&bytes);
}

/* One request, with @fd; the phase goes to @phase, if that was asked for. */
static int ask(struct fake *f, uint16_t type, int fd, int *phase)
{
	struct source_status status;
	struct err err = ERR_INIT;
	struct wbuf payload, reply;
	struct rbuf in;
	int rc;

	wbuf_init(&payload, 1000);
	wbuf_init(&reply, 1000);
	if (type == CONTROL_MIGRATE)
		source_request_encode(&good, &payload);
	f->vm.passed_fd = fd;
	rbuf_init(&in, payload.data, payload.len);
	rc = outgoing_answer(f->out, type, &in, &reply, &err);
	assert_true(!rc == !err.msg[0]);
	if (phase) {
		rbuf_init(&in, reply.data, reply.len);
		assert_int_equal(source_status_decode(&in, &status), 0);
		*phase = status.phase;
	}
	wbuf_release(&payload);
	wbuf_release(&reply);
	return rc;
}

static int socket_copy(struct fake *f)
{
	int fd = dup(f->sockets[0]);

	assert_true(fd >= 0);
	return fd;
}

static void test_course(void **state)
{
	struct fake *f = *state;
	int phase;

	assert_int_equal(ask(f, CONTROL_MIGRATE_STATUS, -1, &phase), 0);
	assert_int_equal(phase, SOURCE_PHASE_NONE);
	assert_int_equal(ask(f, CONTROL_MIGRATE_CANCEL, -1, NULL), -ENOENT);
	assert_int_equal(ask(f, CONTROL_MIGRATE, socket_copy(f), NULL), 0);
	assert_int_equal(f->vm.passed_fd, -1); /* it is the migration's now */
	assert_true(outgoing_busy(f->out));
	assert_int_equal(ask(f, CONTROL_MIGRATE, f->sockets[1], NULL), -EBUSY);
	assert_int_equal(f->vm.passed_fd, f->sockets[1]); /* and this one is not */
	assert_int_equal(f->started, 1);
	assert_int_equal(ask(f, CONTROL_MIGRATE_STATUS, -1, &phase), 0);
	assert_int_equal(phase, SOURCE_PHASE_COPYING);
	assert_int_equal(ask(f, CONTROL_MIGRATE_CANCEL, -1, NULL), 0);
	f->job.late = true;
	assert_int_equal(ask(f, CONTROL_MIGRATE_CANCEL, -1, NULL), -EBUSY);
	end_job(f, SOURCE_PHASE_FAILED);
	assert_false(outgoing_busy(f->out));
	assert_int_equal(ask(f, CONTROL_MIGRATE_STATUS, -1, &phase), 0);
	assert_int_equal(phase, SOURCE_PHASE_FAILED);
	/* Told once. */
	assert_int_equal(ask(f, CONTROL_MIGRATE_STATUS, -1, &phase), 0);
	assert_int_equal(phase, SOURCE_PHASE_NONE);
	assert_int_equal(f->finished, 0);
	assert_int_equal(ask(f, CONTROL_MIGRATE, socket_copy(f), NULL), 0);
	end_job(f, SOURCE_PHASE_DONE);
	assert_int_equal(f->finished, 0); /* not before somebody has heard of it */
	assert_int_equal(ask(f, CONTROL_MIGRATE, f->sockets[1], NULL), -EBUSY);
	assert_int_equal(ask(f, CONTROL_MIGRATE_STATUS, -1, &phase), 0);
	assert_int_equal(phase, SOURCE_PHASE_DONE);
	assert_int_equal(f->finished, 1);
}

static void test_connection(void **state)
{
	struct fake *f = *state;
	int datagrams[2], null = open("/dev/null", O_RDWR);

	assert_true(null >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams), 0);
	assert_int_equal(ask(f, CONTROL_MIGRATE, -1, NULL), -EBADMSG);
	assert_int_equal(ask(f, CONTROL_MIGRATE, null, NULL), -ENOTSOCK);
	assert_int_equal(f->vm.passed_fd, null);
	assert_int_equal(ask(f, CONTROL_MIGRATE, datagrams[0], NULL), -ENOTSOCK);
	f->vm.incoming = true;
	assert_int_equal(ask(f, CONTROL_MIGRATE, f->sockets[1], NULL), -EAGAIN);
	f->vm.incoming = false;
	f->vm.vcpus = NULL;
	assert_int_equal(ask(f, CONTROL_MIGRATE, f->sockets[1], NULL), -EAGAIN);
	assert_int_equal(f->started, 0);
	close(null);
	close(datagrams[0]);
	close(datagrams[1]);
}

static int ask_recover(struct fake *f, int fd)
{
	struct source_request req = good;
	struct err err = ERR_INIT;
	struct wbuf payload, reply;
	struct rbuf in;
	int rc;

	req.recover = true;
	wbuf_init(&payload, 1000);
	wbuf_init(&reply, 1000);
	source_request_encode(&req, &payload);
	f->vm.passed_fd = fd;
	rbuf_init(&in, payload.data, payload.len);
	rc = outgoing_answer(f->out, CONTROL_MIGRATE, &in, &reply, &err);
	wbuf_release(&payload);
	wbuf_release(&reply);
	return rc;
}

/* A line that was lost in post-copy: a new one, to either side; and what is refused of a guest that is elsewhere. */
static void test_recover(void **state)
{
	struct fake *f = *state;

	assert_int_equal(ask_recover(f, f->sockets[1]), -ENOENT);
	assert_int_equal(ask(f, CONTROL_MIGRATE_JOIN, f->sockets[1], NULL), -ENOENT);
	f->vm.arriving = (struct destination *)f;
	assert_int_equal(ask(f, CONTROL_MIGRATE_JOIN, -1, NULL), -EBADMSG);
	assert_int_equal(ask(f, CONTROL_MIGRATE_JOIN, socket_copy(f), NULL), 0);
	assert_int_equal(f->joined, 1);
	f->vm.arriving = NULL;
	assert_int_equal(ask(f, CONTROL_MIGRATE, socket_copy(f), NULL), 0);
	assert_int_equal(ask_recover(f, -1), -EBADMSG);
	assert_int_equal(ask_recover(f, socket_copy(f)), -EBUSY);
	f->job.late = true;
	f->vm.shift = VM_SHIFT_KEPT;
	assert_int_equal(ask(f, CONTROL_PAUSE, -1, NULL), -EALREADY);
	assert_int_equal(ask(f, CONTROL_RESUME, -1, NULL), -EBUSY);
	assert_int_equal(ask(f, CONTROL_MIGRATE_CANCEL, -1, NULL), -EBUSY);
	assert_int_equal(ask(f, CONTROL_MIGRATE, f->sockets[1], NULL), -EBUSY);
	assert_int_equal(ask_recover(f, socket_copy(f)), 0);
	assert_int_equal(f->rejoined, 2);
	end_job(f, SOURCE_PHASE_FAILED);
}

static void test_machine_goes(void **state)
{
	struct fake *f = *state;

	outgoing_leave(f->out);
	assert_int_equal(f->left, 0);
	assert_int_equal(ask(f, CONTROL_MIGRATE, socket_copy(f), NULL), 0);
	outgoing_leave(f->out);
	assert_int_equal(f->left, 1);
	assert_false(outgoing_busy(f->out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_status),
		cmocka_unit_test_setup_teardown(test_course, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_machine_goes, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
