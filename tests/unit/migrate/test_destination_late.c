/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The destination of post-copy between its two threads: what the loop has done counts, whatever goes wrong with pages
 * meanwhile, and the loop never waits for the receiving thread.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/destination-job.h"

#define PAGES 64

struct bed {
	struct destination d;
	struct vm vm;
	struct channel source;
	int faults; /* the end of a pipe that plays userfaultfd: what the kernel writes */
	unsigned int called;
	int rc;
	struct err err;
};

/* In place of vm/vm.c and migrate/state.c. */
void vm_pause(struct vm *vm)
{
	vm->pauses++;
}

void vm_pause_begin(struct vm *vm)
{
	vm->pauses++;
}

void vm_resume(struct vm *vm)
{
	vm->pauses--;
}

int vm_user_pause(struct vm *vm)
{
	vm->user_paused = true;
	return 0;
}

void vm_finish(struct vm *vm, enum vm_end end, const struct err *why)
{
	(void)why;
	vm->end = end;
}

void vm_hold_serial(struct vm *vm, bool hold)
{
	(void)vm, (void)hold;
}

int state_compat_check(int kvm_fd, const struct wbuf *compat, struct wbuf *reasons, struct err *err)
{
	(void)kvm_fd, (void)compat, (void)reasons, (void)err;
	return 0;
}

int state_config(const struct wbuf *state, struct vm_config *config, char name[VM_NAME_MAX + 1],
		 struct err *err)
{
	(void)state, (void)config, (void)name, (void)err;
	return 0;
}

int state_load(struct vm *vm, const struct wbuf *state, struct state_options *options,
	       struct err *err)
{
	(void)vm, (void)state, (void)options, (void)err;
	return 0;
}

/* As migrate/destination.c does on the loop's thread, once. */
static void kicked(struct event_kick *kick)
{
	struct bed *b = kick->ctx;
	struct destination *d = &b->d;
	int rc = d->call(d, &d->answer_err);

	pthread_mutex_lock(&d->lock);
	d->call = NULL;
	d->answer = rc;
	pthread_cond_broadcast(&d->answered);
	pthread_mutex_unlock(&d->lock);
	event_stop(kick->loop);
}

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct destination *d = &b->d;
	struct err err = ERR_INIT;
	int ends[2];

	assert_non_null(b);
	d->vm = &b->vm;
	b->vm.arriving = d;
	b->vm.log.fd = -1;
	b->vm.mem.page_size = 4096;
	b->vm.mem.n = 1;
	b->vm.mem.banks[0].spec = (struct mem_spec){.name = "ram", .size = PAGES * 4096};
	b->vm.mem.banks[0].host = (uint8_t *)0x10000000; /* nobody looks */
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->answered, NULL);
	assert_int_equal(event_loop_init(&b->vm.loop, &err), 0);
	assert_int_equal(event_kick_init(&d->kick, &b->vm.loop, kicked, b, &err), 0);
	assert_int_equal(late_map_init(&d->late.map, PAGES, &err), 0);
	d->late.received = calloc(1, 8);
	assert_non_null(d->late.received);
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	d->late.uffd = ends[0];
	b->faults = ends[1];
	d->late.wake = eventfd(0, EFD_NONBLOCK);
	d->late.joining = -1;
	d->door = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(channel_open(&d->ch, ends[0], ends[0], &err), 0);
	assert_int_equal(channel_open(&b->source, ends[1], ends[1], &err), 0);
	memset(d->geometry.uuid, 7, sizeof(d->geometry.uuid));
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;
	struct destination *d = &b->d;

	event_kick_release(&d->kick);
	late_close(d);
	event_loop_release(&b->vm.loop);
	channel_close(&d->ch);
	channel_close(&b->source);
	close(b->faults);
	pthread_cond_destroy(&d->answered);
	pthread_mutex_destroy(&d->lock);
	free(b);
	return 0;
}

static int call(struct destination *d, struct err *err)
{
	(void)err;
	((struct bed *)d)->called++;
	return 0;
}

static void *ask(void *arg)
{
	struct bed *b = arg;

	b->rc = destination_ask_loop(&b->d, call, &b->err);
	return NULL;
}

/* The loop does what it is asked for while a page cannot be shown to who waits for it. */
static void ask_with_bad_fault(struct bed *b, enum course_destination course)
{
	struct uffd_msg msg = {.event = UFFD_EVENT_PAGEFAULT};
	struct err err = ERR_INIT;
	pthread_t thread;
	int left = 1;

	b->d.course = course;
	b->d.late.received[0] = ~0ull; /* it is here; but a pipe can show nobody a page */
	msg.arg.pagefault.address = (uintptr_t)b->vm.mem.banks[0].host;
	assert_int_equal(write(b->faults, &msg, sizeof(msg)), sizeof(msg));
	assert_int_equal(pthread_create(&thread, NULL, ask, b), 0);
	while (left) { /* until the fault was read */
		assert_int_equal(ioctl(b->d.late.uffd, FIONREAD, &left), 0);
		sched_yield();
	}
	assert_int_equal(event_run(&b->vm.loop, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(b->called, 1);
}

/* Who was let run is not said to have failed: the source would let its own guest run. */
static void test_run_counts(void **state)
{
	struct bed *b = *state;

	ask_with_bad_fault(b, DESTINATION_LATE_LOADED);
	assert_int_equal(b->rc, 0);
}

static void test_load_fails(void **state)
{
	struct bed *b = *state;

	ask_with_bad_fault(b, DESTINATION_LATE_LOADING);
	assert_true(b->rc < 0);
	assert_non_null(strstr(b->err.msg, "cannot be mapped"));
	assert_true(b->d.late.over);
}

static void *next_message(void *arg)
{
	struct bed *b = arg;

	b->rc = destination_next_message(&b->d, &b->err);
	return NULL;
}

/* COMMIT comes when the VM has been told to end: the guest does not begin, and the source hears that. */
static void test_stopped_at_commit(void **state)
{
	struct bed *b = *state;
	struct destination *d = &b->d;
	struct err err = ERR_INIT;
	pthread_t thread;

	close(d->late.uffd);
	d->late.uffd = -1;
	d->course = DESTINATION_LOADED;
	b->vm.pauses = 1;
	b->vm.end = VM_END_STOP;
	wbuf_u8(channel_begin(&b->source, STREAM_COMMIT), 0);
	assert_int_equal(channel_send(&b->source, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, next_message, b), 0);
	assert_int_equal(event_run(&b->vm.loop, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(b->rc, -ECANCELED);
	assert_int_equal(b->vm.pauses, 1);
	assert_false(d->told);
}

static void *wait_for_byte(void *arg)
{
	struct bed *b = arg;
	char byte;

	assert_int_equal(read(b->rc, &byte, 1), 1);
	destination_idle(&b->d);
	return NULL;
}

/* A line for a VM that has all, while its thread is not through with the last one. */
static void test_join_waits_for_nobody(void **state)
{
	struct bed *b = *state;
	struct destination *d = &b->d;
	struct err err = ERR_INIT;
	int hold[2], line[2];
	bool idle = false;

	assert_int_equal(pipe(hold), 0);
	b->rc = hold[0];
	d->course = DESTINATION_RUNNING;
	assert_int_equal(pthread_create(&d->thread, NULL, wait_for_byte, b), 0);
	d->threaded = true;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, line), 0);
	assert_int_equal(destination_join(d, line[0], &err), -EBUSY);
	assert_int_equal(fcntl(line[0], F_GETFD), -1); /* closed */
	close(line[1]);

	assert_int_equal(write(hold[1], "", 1), 1);
	while (!idle) {
		pthread_mutex_lock(&d->lock);
		idle = d->idle;
		pthread_mutex_unlock(&d->lock);
		sched_yield();
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, line), 0);
	close(line[1]);
	assert_int_equal(destination_join(d, line[0], &err), 0);
	pthread_join(d->thread, NULL);
	assert_int_equal(fcntl(line[0], F_GETFD), -1);
	assert_int_equal(d->late.joining, -1);
	close(hold[0]);
	close(hold[1]);
}

/* A guest that has reset while it stood still for its line boots again, and stands still no more. */
static void test_broken_is_over(void **state)
{
	struct bed *b = *state;

	b->vm.shift = VM_SHIFT_BROKEN;
	b->vm.pauses = 1;
	late_close(&b->d);
	assert_int_equal(b->vm.pauses, 0);
	assert_int_equal(b->vm.shift, VM_SHIFT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_run_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_load_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopped_at_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join_waits_for_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_is_over, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
