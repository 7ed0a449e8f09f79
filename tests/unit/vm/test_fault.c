/* SPDX-License-Identifier: GPL-2.0-only */
/* What happens to this process when it touches guest memory that is gone: in a child each, since that is its end. */
#include "unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/fault.h"
#include "vm/vm.h"

#define CODE 3
#define GPA  0x80000000ull

static struct vm vm;
static uint8_t *ram;
static size_t page;

/* KVM takes the slot. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return request == KVM_SET_USER_MEMORY_REGION ? 0
						     : (int)syscall(SYS_ioctl, fd, request, arg);
}

static void touch(uint64_t offset)
{
	*(volatile uint8_t *)(ram + offset) = 1;
}

static void unmapped(void)
{
	munmap(ram + page, page);
	touch(page + 5);
}

static void protected(void)
{
	mprotect(ram, page, PROT_NONE);
	touch(0);
}

static void file_without_the_page(void)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);

	if (mmap(ram + 2 * page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) !=
	    MAP_FAILED)
		touch(2 * page + 1);
}

static void *thread_main(void *arg)
{
	if (fault_thread_init(&vm, NULL) == 0)
		unmapped();
	return arg;
}

static void in_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_main, NULL) == 0)
		pthread_join(thread, NULL);
}

static void elsewhere(void)
{
	*(volatile uint8_t *)16 = 1;
}

static void sent_segv(void)
{
	kill(getpid(), SIGSEGV);
	pause();
}

static void sent_bus(void)
{
	kill(getpid(), SIGBUS);
	pause();
}

static void nothing(void)
{
	touch(0);
}

/* Everything as a VM has it; then @act. Returns the status of the process and what it said. */
static int status_after(void (*act)(void), char *said, size_t size)
{
	const struct mem_spec spec = {.name = "ram", .gpa = GPA, .size = 0x100000};
	const struct rlimit no_core = {0, 0};
	int pipes[2], status = 0;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	alarm(120); /* what hangs is killed, and so fails */
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		alarm(60);
		close(pipes[0]);
		setrlimit(RLIMIT_CORE, &no_core);
		log_init(&vm.log, pipes[1], LOG_INFO);
		vm.memory_exit_code = CODE;
		if (mem_init(&vm.mem, NULL) || mem_add(&vm.mem, &spec, NULL) ||
		    fault_install(NULL) || fault_thread_init(&vm, NULL))
			_exit(99);
		page = vm.mem.page_size;
		ram = gpa_ptr(&vm.mem, GPA, spec.size, MEM_WRITE);
		act();
		fault_thread_release();
		_exit(0);
	}
	close(pipes[1]);
	while ((n = read(pipes[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void lost(void (*act)(void), uint64_t offset, const char *what)
{
	char said[512], want[512];
	int status = status_after(act, said, sizeof(said));

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CODE);
	(void)snprintf(want, sizeof(want),
		       "\r\nlkvm: guest memory at 0x%llx %s; the guest cannot go on\r\n",
		       (unsigned long long)(GPA + offset), what);
	assert_string_equal(said, want);
}

static void guest_memory_is_named(void **state)
{
	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	lost(unmapped, page + 5, "is not mapped any more");
	lost(protected, 0, "is not mapped any more");
	lost(file_without_the_page, 2 * page + 1, "was lost by the host");
	lost(in_a_thread, page + 5, "is not mapped any more");
}

/* All else is a crash, and looks like one. */
static void other_faults_kill(void **state)
{
	static const struct {
		void (*act)(void);
		int number;
	} cases[] = {{elsewhere, SIGSEGV}, {sent_segv, SIGSEGV}, {sent_bus, SIGBUS}};
	char said[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = status_after(cases[i].act, said, sizeof(said));

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), cases[i].number);
		assert_string_equal(said, "");
	}
	assert_int_equal(status_after(nothing, said, sizeof(said)), 0); /* control */
	assert_string_equal(said, "");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(guest_memory_is_named),
	cmocka_unit_test(other_faults_kill),
};

UNIT_MAIN(tests)
