/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A snapshot's course in the VM: the real saving process, of a machine that is a bank of memory and two empty records. Nobody
 * waits for that process: waitpid() is ours, and says so if it is called in a way that could.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate/snapshot.h"
#include "migrate/state.h"
#include "state/record.h"
#include "state/snapchain.h"
#include "vm/arch.h"
#include "vm/vm.h"

#define PAGES 4096

static struct {
	struct vm vm;
	struct snapshot_leaving leaving;
	struct snapshot_job *job;
	struct snapshot_request req;
	char dir[32];
	unsigned int waited, progress, done;
	int rc;
	struct err err;
	bool ends, stubborn; /* the process does not die yet */
	pid_t child;
} t;

pid_t waitpid(pid_t pid, int *status, int options)
{
	t.waited += !(options & WNOHANG);
	t.child = pid;
	if (t.stubborn)
		return 0;
	return (pid_t)syscall(SYS_wait4, pid, status, options, NULL);
}

void vm_pause(struct vm *vm)
{
	vm->pauses++;
}

void vm_resume(struct vm *vm)
{
	vm->pauses--;
}

void vm_hold_serial(struct vm *vm, bool hold)
{
	(void)vm;
	(void)hold;
}

int arch_tags_by_kvm(struct vm *vm, bool kvm, struct err *err)
{
	(void)vm, (void)kvm, (void)err;
	return 0;
}

int state_save(struct vm *vm, struct wbuf *compat, struct wbuf *state, struct err *err)
{
	(void)vm, (void)err;
	record_end(compat, record_begin(compat, RECORD_COMPAT, 1, RECORD_MUST, 0));
	record_end(state, record_begin(state, RECORD_END, 1, RECORD_MUST, 0));
	return 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	(void)ctx;
	assert_true(done <= total);
	t.progress++;
}

static void on_done(void *ctx, int rc, const struct err *err, const struct snapshot_result *result,
		    bool ends)
{
	(void)ctx, (void)result;
	t.done++;
	t.rc = rc;
	t.err = *err;
	t.ends = ends;
	t.job = NULL;
}

static int setup(void **state)
{
	struct mem *mem = &t.vm.mem;
	struct err err = ERR_INIT;

	(void)state;
	memset(&t, 0, sizeof(t));
	snprintf(t.dir, sizeof(t.dir), "/tmp/lkvm-test-XXXXXX");
	if (!mkdtemp(t.dir) || mem_init(mem, &err) || event_loop_init(&t.vm.loop, &err))
		return -1;
	log_init(&t.vm.log, STDERR_FILENO, LOG_ERROR);
	mem->banks[0].spec = (struct mem_spec){
		.name = "ram", .gpa = 1 << 30, .size = PAGES * (uint64_t)mem->page_size};
	mem->banks[0].fd = -1;
	mem->banks[0].host = mmap(NULL, mem->banks[0].spec.size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem->n = 1;
	memset(mem->banks[0].host, 0x5a, mem->banks[0].spec.size);
	t.req = (struct snapshot_request){.fd = -1, .codec = SNAP_RAW, .level = 3, .threads = 1};
	snprintf(t.req.path, sizeof(t.req.path), "%s/f", t.dir);
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	assert_int_equal(t.vm.pauses, t.ends);
	assert_int_equal(t.waited, 0);
	assert_null(t.leaving.first);
	event_loop_release(&t.vm.loop);
	mem_release(&t.vm.mem);
	snprintf(command, sizeof(command), "rm -rf '%s'", t.dir);
	return system(command);
}

static void start(void)
{
	const struct snapshot_events events = {
		.leaving = &t.leaving, .progress = on_progress, .done = on_done};
	struct err err = ERR_INIT;

	if (snapshot_start(&t.vm, &t.req, &events, &t.job, &err))
		fail_msg("%s", err.msg);
}

static void tick(struct event_timer *timer)
{
	unsigned int *left = timer->ctx;

	if (!--*left)
		event_stop(timer->loop);
	else
		event_timer_arm(timer, 1000000);
}

/* Runs the loop until *@what is true; for seconds and no longer. */
static bool until(bool (*what)(void))
{
	struct event_timer timer;

	for (unsigned int n = 0; n < 30000 && !what(); n++) {
		unsigned int left = 2;

		assert_int_equal(event_timer_init(&timer, &t.vm.loop, tick, &left, NULL), 0);
		event_timer_arm(&timer, 0);
		assert_int_equal(event_run(&t.vm.loop, NULL), 0);
		event_timer_release(&timer);
	}
	return what();
}

static bool is_done(void)
{
	return t.done;
}

static bool nobody_left(void)
{
	return !t.leaving.first;
}

static bool is_asked(void)
{
	return t.child;
}

static bool there(void)
{
	struct snap_chain chain;
	struct err err = ERR_INIT;

	if (snap_chain_open(t.req.path, &chain, &err))
		return false;
	snap_chain_close(&chain);
	return true;
}

/* The process that saves: this one's only child. */
static pid_t saver(void)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return (pid_t)strtol(text, NULL, 10);
}

static void saves(void **state)
{
	(void)state;
	for (int live = 0; live < 2; live++) {
		t.done = 0;
		t.req.live = live;
		start();
		assert_int_equal(t.vm.pauses, !live);
		assert_true(until(is_done));
		assert_int_equal(t.rc, 0);
		assert_int_equal(t.vm.pauses, 0);
		assert_true(t.progress > 0);
		assert_true(there());
		assert_true(until(nobody_left));
	}
	t.req.live = false;
	t.req.stop = true;
	t.done = 0;
	start();
	assert_true(until(is_done));
	assert_true(t.ends);
	assert_true(until(nobody_left));
}

static void is_killed(void **state)
{
	(void)state;
	t.req.rate = 1 << 20;
	start();
	kill(saver(), SIGKILL);
	assert_true(until(is_done));
	assert_int_equal(t.rc, -EIO);
	assert_non_null(strstr(t.err.msg, "killed by signal 9"));
	assert_false(there());
	assert_true(until(nobody_left));
}

static void fails(void **state)
{
	(void)state;
	snprintf(t.req.path, sizeof(t.req.path), "%s/none/f", t.dir);
	start();
	assert_true(until(is_done));
	assert_int_equal(t.rc, -ENOENT);
	assert_true(until(nobody_left));
}

/* A process at a disk that does not answer: neither Ctrl-C nor the guest waits for its end. */
static void is_cancelled_and_does_not_die(void **state)
{
	(void)state;
	t.req.rate = 1 << 20;
	start();
	t.stubborn = true;
	assert_true(snapshot_cancel(t.job));
	assert_int_equal(t.vm.pauses, 0);
	assert_non_null(t.leaving.first);
	/* A next one meanwhile; its process may die. */
	assert_true(until(is_asked));
	t.req.rate = 0;
	start();
	assert_true(until(is_done));
	assert_int_equal(t.rc, 0);
	assert_non_null(t.leaving.first);
	t.stubborn = false;
	assert_true(until(nobody_left));
	assert_int_equal(t.done, 1);
	assert_true(there());
}

static bool has_ended(void)
{
	siginfo_t info = {0};

	return !waitid(P_PID, (id_t)t.child, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

/* It has said that all is there, and nobody has heard it yet. */
static void is_cancelled_too_late(void **state)
{
	(void)state;
	start();
	t.child = saver();
	for (unsigned int i = 0; i < 30000 && !has_ended(); i++)
		usleep(1000);
	assert_false(snapshot_cancel(t.job));
	assert_int_equal(t.done, 1);
	assert_int_equal(t.rc, 0);
	assert_true(there());
	assert_true(until(nobody_left));
}

/* The VM ends with such a process still there. */
static void is_forgotten(void **state)
{
	(void)state;
	t.req.rate = 1 << 20;
	start();
	assert_true(snapshot_cancel(t.job));
	snapshot_forget(&t.leaving);
	assert_int_equal(t.done, 0);
	while (syscall(SYS_wait4, -1, NULL, 0, NULL) > 0)
		;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(saves, setup, teardown),
	cmocka_unit_test_setup_teardown(is_killed, setup, teardown),
	cmocka_unit_test_setup_teardown(fails, setup, teardown),
	cmocka_unit_test_setup_teardown(is_cancelled_and_does_not_die, setup, teardown),
	cmocka_unit_test_setup_teardown(is_cancelled_too_late, setup, teardown),
	cmocka_unit_test_setup_teardown(is_forgotten, setup, teardown),
};

UNIT_MAIN(tests)
