/* SPDX-License-Identifier: GPL-2.0-only */
/* The control requests about snapshots: encodings, and who may ask for what when. The snapshot itself is a fake. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "migrate/control.h"
#include "migrate/lazy.h"
#include "migrate/snapshot.h"
#include "migrate/source.h"
#include "vm/control.h"
#include "vm/vm.h"

struct snapshot_job {
	struct snapshot_events events;
};

/* First in struct vm's place, so that the fakes find what they count. */
struct fake {
	struct vm vm;
	struct vcpu vcpu;
	struct snapshot_job job;
	unsigned int started, cancelled, finished, wanted;
	bool late; /* what is cancelled was done before that was asked */
	int start_rc, check_rc;
	bool with_file; /* the last one came with a file */
	bool whole;	/* what is asked for has no base */
	bool stop_loop; /* when it is cancelled */
	struct migrate_control *mc;
};

static struct fake *fake_of(struct vm *vm)
{
	return (struct fake *)vm;
}

void vm_finish(struct vm *vm, enum vm_end end, const struct err *why)
{
	assert_int_equal(end, VM_END_STOP);
	assert_null(why);
	fake_of(vm)->finished++;
}

int snapshot_start(struct vm *vm, const struct snapshot_request *req,
		   const struct snapshot_events *events, struct snapshot_job **out, struct err *err)
{
	struct fake *f = fake_of(vm);

	f->with_file = req->fd >= 0;
	f->started++;
	if (f->start_rc)
		return err_set(err, f->start_rc, "no");
	f->job.events = *events;
	*out = &f->job;
	return 0;
}

int snapshot_check(const struct vm *vm, const struct snapshot_request *req, struct err *err)
{
	const struct fake *f = (const struct fake *)vm;

	(void)req;
	return f->check_rc ? err_set(err, f->check_rc, "never") : 0;
}

void lazy_want_all(struct lazy *lazy)
{
	((struct fake *)lazy)->wanted++;
}

static void end_job(struct fake *f, int rc, bool ends)
{
	const struct snapshot_result result = {.file_bytes = 7};
	struct err err = ERR_INIT;

	if (rc)
		err_set(&err, rc, "it failed");
	f->job.events.done(f->job.events.ctx, rc, &err, &result, ends);
}

bool snapshot_cancel(struct snapshot_job *job)
{
	struct fake *f = (struct fake *)((char *)job - offsetof(struct fake, job));

	if (f->late) {
		end_job(f, 0, false);
		return false;
	}
	f->cancelled++;
	if (f->stop_loop)
		event_stop(&f->vm.loop);
	return true;
}

void snapshot_forget(struct snapshot_leaving *leaving)
{
	assert_null(leaving->first);
}

/* Migration has a test of its own. */
int source_start(struct vm *vm, const struct source_request *req, int fd,
		 const struct source_events *events, struct source_job **out, struct err *err)
{
	(void)vm, (void)req, (void)fd, (void)events, (void)out, (void)err;
	return -ENOSYS;
}

void source_status(struct source_job *job, struct source_status *status)
{
	(void)job, (void)status;
}

int source_cancel(struct source_job *job)
{
	(void)job;
	return 0;
}

int source_rejoin(struct source_job *job, int fd, struct err *err)
{
	(void)job, (void)fd, (void)err;
	return -ENOSYS;
}

int source_resume(struct source_job *job, struct err *err)
{
	(void)job, (void)err;
	return -ENOSYS;
}

int destination_join(struct destination *d, int fd, struct err *err)
{
	(void)d, (void)fd, (void)err;
	return -ENOSYS;
}

void source_leave(struct source_job *job)
{
	(void)job;
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
	assert_int_equal(migrate_control_open(&f->vm, &f->mc, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;

	migrate_control_close(f->mc);
	event_loop_release(&f->vm.loop);
	free(f);
	return 0;
}

static void good_request(struct snapshot_request *req)
{
	memset(req, 0, sizeof(*req));
	snprintf(req->path, sizeof(req->path), "%s", "/a/b");
	snprintf(req->base, sizeof(req->base), "%s", "/a/c");
	req->live = true;
	req->codec = SNAP_ZSTD;
	req->level = 19;
	req->threads = 2;
	req->rate = 1ull << 40;
	req->kvm_tags = true;
}

static int decoded(const struct snapshot_request *req, struct snapshot_request *out)
{
	struct err err = ERR_INIT;
	struct wbuf bytes;
	struct rbuf in;
	int rc;

	wbuf_init(&bytes, 1 << 16);
	snapshot_request_encode(req, &bytes);
	assert_int_equal(bytes.error, 0);
	rbuf_init(&in, bytes.data, bytes.len);
	rc = snapshot_request_decode(&in, out, &err);
	wbuf_release(&bytes);
	assert_true(!rc == !err.msg[0]);
	return rc;
}

static void test_request(void **state)
{
	struct snapshot_request *req = calloc(2, sizeof(*req));

	(void)state;
	assert_non_null(req);
	good_request(req);
	assert_int_equal(decoded(req, req + 1), 0);
	assert_string_equal(req[1].path, "/a/b");
	assert_string_equal(req[1].base, "/a/c");
	assert_true(req[1].live && !req[1].stop && !req[1].drop_tags);
	assert_int_equal(req[1].codec, SNAP_ZSTD);
	assert_int_equal(req[1].level, 19);
	assert_int_equal(req[1].threads, 2);
	assert_int_equal(req[1].rate, 1ull << 40);
	assert_true(req[1].kvm_tags);

	snprintf(req->path, sizeof(req->path), "%s", "b");
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	good_request(req);
	snprintf(req->base, sizeof(req->base), "%s", "c");
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	good_request(req);
	req->level = 20;
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	good_request(req);
	req->level = 0;
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	good_request(req);
	req->codec = 2;
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	good_request(req);
	req->threads = 0;
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	req->threads = 1u << 31;
	assert_int_equal(decoded(req, req + 1), -EINVAL);
	free(req);
}

static void test_request_hostile(void **state)
{
	struct snapshot_request *req = calloc(1, sizeof(*req));
	struct wbuf bytes;

	(void)state;
	assert_non_null(req);
	good_request(req);
	wbuf_init(&bytes, 1 << 16);
	snapshot_request_encode(req, &bytes);
	/* Cut at every byte; one byte more; a flag that is neither 0 nor 1. */
	for (size_t n = 0; n <= bytes.len; n++) {
		struct err err = ERR_INIT;
		struct rbuf in;

		rbuf_init(&in, bytes.data, n);
		assert_int_equal(snapshot_request_decode(&in, req, &err),
				 n < bytes.len ? -EBADMSG : 0);
	}
	wbuf_u8(&bytes, 0);
	for (unsigned int flag = 0; flag < 3; flag++) {
		size_t at = bytes.len - 1 - 1 - 8 - 4 - 2 - 3 + flag;
		struct err err = ERR_INIT;
		struct rbuf in;

		rbuf_init(&in, bytes.data, bytes.len);
		assert_int_equal(snapshot_request_decode(&in, req, &err), -EBADMSG);
		bytes.data[at] += 2;
		rbuf_init(&in, bytes.data, bytes.len - 1);
		assert_int_equal(snapshot_request_decode(&in, req, &err), -EBADMSG);
		bytes.data[at] -= 2;
	}
	wbuf_release(&bytes);
	free(req);
}

static void test_status(void **state)
{
	struct snapshot_status a = {.phase = SNAPSHOT_FAILED,
				    .done = 1,
				    .total = 2,
				    .rc = -ENOSPC,
				    .result = {3, 4, 5, 6}},
			       b;
	struct wbuf bytes;
	struct rbuf in;

	(void)state;
	snprintf(a.err.msg, sizeof(a.err.msg), "%s", "full");
	wbuf_init(&bytes, 1 << 16);
	snapshot_status_encode(&a, &bytes);
	rbuf_init(&in, bytes.data, bytes.len);
	assert_int_equal(snapshot_status_decode(&in, &b), 0);
	assert_int_equal(b.phase, SNAPSHOT_FAILED);
	assert_int_equal(b.done, 1);
	assert_int_equal(b.total, 2);
	assert_int_equal(b.rc, -ENOSPC);
	assert_string_equal(b.err.msg, "full");
	assert_int_equal(b.result.file_bytes, 3);
	assert_int_equal(b.result.data_bytes, 4);
	assert_int_equal(b.result.tag_bytes, 5);
	assert_int_equal(b.result.pause_ns, 6);
	for (size_t n = 0; n < bytes.len; n++) {
		rbuf_init(&in, bytes.data, n);
		assert_int_equal(snapshot_status_decode(&in, &b), -EBADMSG);
	}
	bytes.data[0] = SNAPSHOT_FAILED + 1;
	rbuf_init(&in, bytes.data, bytes.len);
	assert_int_equal(snapshot_status_decode(&in, &b), -EBADMSG);
	wbuf_release(&bytes);
}

/* One request to the VM; its status, if that was asked for, in @status. */
static int ask(struct fake *f, uint16_t type, struct snapshot_status *status)
{
	struct err err = ERR_INIT;
	struct wbuf payload, reply;
	struct rbuf in;
	int rc;

	wbuf_init(&payload, 1 << 16);
	wbuf_init(&reply, 1 << 16);
	if (type == CONTROL_SNAPSHOT) {
		struct snapshot_request *req = calloc(1, sizeof(*req));

		assert_non_null(req);
		good_request(req);
		if (f->whole)
			req->base[0] = '\0';
		snapshot_request_encode(req, &payload);
		free(req);
	}
	rbuf_init(&in, payload.data, payload.len);
	rc = f->vm.extra(&f->vm, f->vm.extra_ctx, type, &in, &reply, &err);
	if (status) {
		rbuf_init(&in, reply.data, reply.len);
		assert_int_equal(snapshot_status_decode(&in, status), 0);
	}
	wbuf_release(&payload);
	wbuf_release(&reply);
	return rc;
}

/* A VM that came by migration opens no file: it is handed one. */
static void test_confined(void **state)
{
	struct fake *f = *state;
	int ends[2];

	f->vm.confined = true;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), SNAPSHOT_NEEDS_FILE);
	assert_int_equal(f->started, 0);
	assert_int_equal(pipe(ends), 0);
	f->vm.passed_fd = ends[0];
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EINVAL);
	assert_int_equal(f->vm.passed_fd, ends[0]);
	close(ends[0]);
	close(ends[1]);
	f->vm.passed_fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_true(f->vm.passed_fd >= 0);
	ends[0] = f->vm.passed_fd;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EOPNOTSUPP);
	assert_int_equal(f->vm.passed_fd, ends[0]);
	f->whole = true;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_true(f->started == 1 && f->with_file);
	assert_int_equal(f->vm.passed_fd, -1);
	assert_true(fcntl(ends[0], F_GETFD) < 0); /* the child alone has it */
	end_job(f, 0, false);
	/* Whoever is not confined may be handed one, and need not. */
	f->vm.confined = false;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_true(f->started == 2 && !f->with_file);
	end_job(f, 0, false);
}

static void test_course(void **state)
{
	struct fake *f = *state;
	struct snapshot_status s;

	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_NONE);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EBUSY);
	assert_int_equal(f->started, 1);
	f->job.events.progress(f->job.events.ctx, 10, 20);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_RUNNING);
	assert_int_equal(s.done, 10);
	assert_int_equal(s.total, 20);
	end_job(f, 0, false);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_DONE);
	assert_int_equal(s.result.file_bytes, 7);
	/* Told once; a next one starts from nothing. */
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_NONE);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	end_job(f, -EIO, false);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_FAILED);
	assert_string_equal(s.err.msg, "it failed");
	assert_int_equal(f->finished, 0);
	assert_int_equal(f->cancelled, 0);
}

static void test_cancel(void **state)
{
	struct fake *f = *state;
	struct snapshot_status s;

	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_CANCEL, NULL), 0);
	assert_int_equal(f->cancelled, 1);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_NONE);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_CANCEL, NULL), 0);
	assert_int_equal(f->cancelled, 1);
	assert_int_equal(f->finished, 0);
}

/* --stop: the VM ends when its client has heard of it, or when nobody will any more, and not before. */
static void test_stop(void **state)
{
	struct fake *f = *state;
	struct snapshot_status s;

	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	end_job(f, 0, true);
	assert_int_equal(f->finished, 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EBUSY);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_DONE);
	assert_int_equal(f->finished, 1);
}

/* A request to cancel that comes when all is over undoes nothing, and how it ended is still told. */
static void test_cancel_too_late(void **state)
{
	struct fake *f = *state;
	struct snapshot_status s;

	for (int rc = 0; rc >= -EIO; rc -= EIO) {
		assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
		end_job(f, rc, false);
		assert_int_equal(ask(f, CONTROL_SNAPSHOT_CANCEL, NULL), 0);
		assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
		assert_int_equal(s.phase, rc ? SNAPSHOT_FAILED : SNAPSHOT_DONE);
		assert_int_equal(s.rc, rc);
	}
	f->late = true;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_CANCEL, NULL), 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_DONE);
	f->late = false;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	end_job(f, 0, true);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_CANCEL, NULL), 0);
	assert_int_equal(f->finished, 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_DONE);
	assert_int_equal(f->finished, 1);
	assert_int_equal(f->cancelled, 0);
}

/* The timer that is armed: there is one in this process. Its descriptor; the time that is left in @left. */
static int armed_timer(struct itimerspec *left)
{
	for (int fd = 0; fd < 64; fd++)
		if (!timerfd_gettime(fd, left) && (left->it_value.tv_sec || left->it_value.tv_nsec))
			return fd;
	return -1;
}

/* A client that was killed asks no more: its snapshot is cancelled when the time is up. */
static void test_lease(void **state)
{
	const struct itimerspec now = {.it_value = {.tv_nsec = 1}};
	struct fake *f = *state;
	struct itimerspec left;
	int fd;

	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	fd = armed_timer(&left);
	assert_true(fd >= 0);
	assert_in_range(left.it_value.tv_sec, SNAPSHOT_LEASE_SECONDS - 10, SNAPSHOT_LEASE_SECONDS);
	f->stop_loop = true;
	assert_int_equal(timerfd_settime(fd, 0, &now, NULL), 0);
	assert_int_equal(event_run(&f->vm.loop, NULL), 0);
	assert_int_equal(f->cancelled, 1);
	assert_int_equal(f->finished, 0);
	assert_true(armed_timer(&left) < 0);
}

static void test_refused(void **state)
{
	struct fake *f = *state;

	f->start_rc = -EOPNOTSUPP;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EOPNOTSUPP);
	f->start_rc = 0;
	f->vm.vcpus = NULL; /* between two boots */
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EAGAIN);
	f->vm.vcpus = &f->vcpu;
	f->check_rc = -EINVAL;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EINVAL);
	f->check_rc = 0;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_int_equal(f->started, 2);
}

/* While a lazy restore brings memory in: all of it is asked for, and the first question after it came begins. */
static void test_waits_for_memory(void **state)
{
	static uint8_t second;
	struct fake *f = *state;
	struct snapshot_status s;

	f->vm.lazy = (struct lazy *)f;
	f->vm.mem.n = 1;
	f->vm.mem.banks[0].fill = &second;
	f->check_rc = -EINVAL;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EINVAL);
	assert_int_equal(f->wanted, 0);
	f->check_rc = 0;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_int_equal(f->wanted, 1);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), -EBUSY);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_RUNNING);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_CANCEL, NULL), 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_NONE);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	assert_int_equal(f->started, 0);

	f->vm.mem.banks[0].fill = NULL;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(f->started, 1);
	assert_int_equal(s.phase, SNAPSHOT_RUNNING);
	end_job(f, 0, false);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_DONE);

	f->vm.mem.banks[0].fill = &second;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	f->vm.mem.banks[0].fill = NULL;
	f->start_rc = -EAGAIN;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_FAILED);
	assert_string_equal(s.err.msg, "no");
	assert_int_equal(f->cancelled, 0);
	/* One that still waits at the VM's end goes with it. */
	f->vm.mem.banks[0].fill = &second;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
}

/* A saving process has its own copy of memory over a reset, but not of the file behind memory that was restored lazily. */
static void test_reset(void **state)
{
	struct fake *f = *state;
	struct snapshot_status s;

	f->vm.mem.n = 1;
	f->vm.mem.banks[0].fd = -1;
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	migrate_control_leave(f->mc);
	assert_int_equal(f->cancelled, 0);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_RUNNING);

	f->vm.mem.banks[0].fd = 7;
	migrate_control_leave(f->mc);
	assert_int_equal(f->cancelled, 1);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT_STATUS, &s), 0);
	assert_int_equal(s.phase, SNAPSHOT_FAILED);
	assert_int_equal(s.rc, -ECANCELED);
	assert_int_equal(ask(f, CONTROL_SNAPSHOT, NULL), 0);
	end_job(f, 0, false);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_request),
	cmocka_unit_test(test_request_hostile),
	cmocka_unit_test(test_status),
	cmocka_unit_test_setup_teardown(test_course, setup, teardown),
	cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
	cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	cmocka_unit_test_setup_teardown(test_cancel_too_late, setup, teardown),
	cmocka_unit_test_setup_teardown(test_lease, setup, teardown),
	cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	cmocka_unit_test_setup_teardown(test_waits_for_memory, setup, teardown),
	cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	cmocka_unit_test_setup_teardown(test_confined, setup, teardown),
};

UNIT_MAIN(tests)
