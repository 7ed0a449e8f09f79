/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fake_vm.h"
#include "vm/signals.h"

static const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGCONT, SIGPIPE, SIGXFSZ};

struct fixture {
	struct fake_vm f;
	sigset_t mask;
	struct sigaction before[sizeof(all) / sizeof(all[0])];
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct err err = ERR_INIT;

	alarm(120); /* what hangs is killed, and so fails */
	pthread_sigmask(SIG_SETMASK, NULL, &x->mask);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sigaction(all[i], NULL, &x->before[i]);
	fake_init(&x->f, "a");
	x->f.vm.signals.fd = -1;
	*state = x;
	return event_loop_init(&x->f.vm.loop, &err) ||
	       event_kick_init(&x->f.vm.end_kick, &x->f.vm.loop, fake_kicked, NULL, &err);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	vm_signals_close(&x->f.vm);
	vm_signals_close(&x->f.vm);
	fake_release(&x->f);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sigaction(all[i], &x->before[i], NULL);
	pthread_sigmask(SIG_SETMASK, &x->mask, NULL);
	free(x);
	return 0;
}

static bool heard(struct fixture *x)
{
	struct pollfd p = {.fd = x->f.vm.signals.fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Each of them, with SIGINT and SIGHUP as the program finds them at its start. */
static void ends(struct fixture *x, int number)
{
	struct err err = ERR_INIT;

	assert_int_equal(vm_signals_open(&x->f.vm, &err), 0);
	assert_false(heard(x));
	assert_int_equal(kill(getpid(), number), 0);
	assert_true(heard(x));
	assert_int_equal(event_run(&x->f.vm.loop, &err), 0);
	assert_int_equal(x->f.vm.end, VM_END_STOP);
}

static void term_ends(void **state)
{
	ends(*state, SIGTERM);
}

static void int_ends(void **state)
{
	signal(SIGINT, SIG_DFL);
	ends(*state, SIGINT);
}

static void hup_ends(void **state)
{
	signal(SIGHUP, SIG_DFL);
	ends(*state, SIGHUP);
}

/* Under nohup(1), or in the background of a shell without job control. */
static void ignored_stays_ignored(void **state)
{
	struct fixture *x = *state;
	struct err err = ERR_INIT;

	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	assert_int_equal(vm_signals_open(&x->f.vm, &err), 0);
	assert_int_equal(kill(getpid(), SIGINT), 0);
	assert_int_equal(kill(getpid(), SIGHUP), 0);
	assert_false(heard(x));
	/* Control: the others are heard. */
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	assert_true(heard(x));
	assert_int_equal(event_run(&x->f.vm.loop, &err), 0);
}

static void cont_is_no_end(void **state)
{
	struct fixture *x = *state;
	struct err err = ERR_INIT;

	assert_int_equal(vm_signals_open(&x->f.vm, &err), 0);
	assert_int_equal(kill(getpid(), SIGCONT), 0);
	assert_true(heard(x));
	x->f.vm.signals.ready(&x->f.vm.signals, POLLIN);
	assert_int_equal(x->f.vm.end, VM_END_NONE);
}

/* Output into a file that may not grow (ulimit -f): how a child ends that writes 4 KiB where 10 bytes are allowed. */
static int status_of_writer(struct fixture *x, bool opened)
{
	const struct rlimit little = {10, 10};
	char bytes[4096] = "";
	int fd, status = 0;
	pid_t pid = fork();

	if (!pid) {
		const struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGXFSZ, SIG_DFL);
		fd = memfd_create("out", MFD_CLOEXEC);
		if (fd < 0 || (opened && vm_signals_open(&x->f.vm, NULL)) ||
		    setrlimit(RLIMIT_FSIZE, &little))
			_exit(1);
		if (write(fd, bytes, sizeof(bytes)) != 10)
			_exit(2);
		_exit(write(fd, bytes, sizeof(bytes)) < 0 && errno == EFBIG ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void full_file_does_not_kill(void **state)
{
	int control = status_of_writer(*state, false);

	assert_true(WIFSIGNALED(control) && WTERMSIG(control) == SIGXFSZ);
	assert_int_equal(status_of_writer(*state, true), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(term_ends),      TEST(int_ends),
	TEST(hup_ends),	      TEST(ignored_stays_ignored),
	TEST(cont_is_no_end), TEST(full_file_does_not_kill),
};

UNIT_MAIN(tests)
