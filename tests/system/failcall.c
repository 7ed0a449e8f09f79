/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * failcall CALL N ERRNO PID              lets the Nth such system call of a process fail from now on (1: the next), then lets
 *                                        the process go on as it likes
 * failcall CALL N ERRNO -- COMMAND...    the same of a command that it starts, whose exit code it returns
 *
 * The call is not made, and gives ERRNO, a number: what a disk does that dies. It is of the process's first thread, or of
 * the thread whose number PID is. CALL is one of those in calls[] below; CALL@NAME counts only calls about an open file of that
 * name, without its folder.
 * Exit code with PID: 0 it failed, 1 the process ended before; else 2 this program could not do it.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

static const struct {
	const char *name;
	int number;
} calls[] = {
	{"pwrite", SYS_pwrite64}, {"pwritev", SYS_pwritev}, {"pread", SYS_pread64},
	{"preadv", SYS_preadv},	  {"fsync", SYS_fsync},	    {"rename", SYS_renameat},
};

struct wanted {
	int number;
	unsigned int nth;
	int error;
	const char *name; /* of the file, or NULL */
};

/* struct user_pt_regs of arm64 (asm/ptrace.h, which does not go with sys/ptrace.h) */
struct regs {
	uint64_t x[31], sp, pc, pstate;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "failcall: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void regset(int request, pid_t pid, int set, void *bytes, size_t size)
{
	struct iovec iov = {bytes, size};

	if (ptrace(request, pid, set, &iov) < 0)
		die("registers");
}

/* To its next stop; false when it has ended, with its wait status in *status. */
static bool go_on(pid_t pid, int how, int signal, int *status)
{
	if (ptrace(how, pid, NULL, signal) < 0 || waitpid(pid, status, __WALL) != pid)
		die("the process does not go on");
	return WIFSTOPPED(*status);
}

static bool is_about(pid_t pid, int fd, const char *name)
{
	char link[64], path[4096];
	const char *base;
	ssize_t n;

	if (!name)
		return true;
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	base = strrchr(path, '/');
	return base && !strcmp(base + 1, name);
}

/* Whether that call of it was made to fail; else it has ended. */
static bool fail_call(pid_t pid, struct wanted w, int *status)
{
	int signal = 0, none = -1;
	struct regs regs;

	for (;;) {
		if (!go_on(pid, PTRACE_SYSCALL, signal, status))
			return false;
		signal = 0;
		if (WSTOPSIG(*status) != (SIGTRAP | 0x80)) {
			signal = *status >> 16 ? 0 : WSTOPSIG(*status); /* a signal of its own */
			continue;
		}
		regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &regs, sizeof(regs));
		if ((int)regs.x[8] == w.number && is_about(pid, (int)regs.x[0], w.name) &&
		    --w.nth == 0) {
			regset(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &none, sizeof(none));
			if (!go_on(pid, PTRACE_SYSCALL, 0, status))
				return false;
			regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &regs, sizeof(regs));
			regs.x[0] = (uint64_t)-w.error;
			regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &regs, sizeof(regs));
			return true;
		}
		if (!go_on(pid, PTRACE_SYSCALL, 0, status)) /* the call's end */
			return false;
	}
}

static int of_process(pid_t pid, const struct wanted *w)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid)
		die("ptrace");
	if (!fail_call(pid, *w, &status))
		return 1;
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return 0;
}

static int of_command(char **argv, const struct wanted *w)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid) {
		raise(SIGSTOP);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid ||
	    ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		die("ptrace");
	kill(pid, SIGCONT);
	if (fail_call(pid, *w, &status)) {
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		if (waitpid(pid, &status, 0) != pid)
			die("wait");
	} else {
		fprintf(stderr, "failcall: there was no such call\n");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

int main(int argc, char **argv)
{
	struct wanted w = {.number = -1};
	char *at;

	if (argc < 5) {
		fprintf(stderr, "usage: failcall CALL[@NAME] N ERRNO PID | -- COMMAND...\n");
		return 2;
	}
	at = strchr(argv[1], '@');
	if (at) {
		*at = '\0';
		w.name = at + 1;
	}
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(argv[1], calls[i].name))
			w.number = calls[i].number;
	w.nth = (unsigned int)strtoul(argv[2], NULL, 10);
	w.error = (int)strtol(argv[3], NULL, 10);
	if (w.number < 0 || !w.nth || w.error <= 0)
		return 2;
	if (!strcmp(argv[4], "--") && argc > 5)
		return of_command(argv + 5, &w);
	return of_process((pid_t)strtol(argv[4], NULL, 10), &w);
}
