/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the two system call filters of util/confine.c, as constant tables, on the machine that compiles:
 *   confine-gen ARCH >confine-filter.h        ARCH: aarch64, x86_64 (for the unit tests)
 * So nothing of libseccomp is in the program that runs. What is not allowed gives EPERM: a call that was forgotten
 * here costs one function of a VM, not the VM and its guest.
 */
#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE(c)	  (0xff00u), ((c) << 8)
#define WHOLE(c)  (0xffffffffu), (c)
#define NEW_SPACE 0x7e020080u /* CLONE_NEW*: namespaces */

/* By the thread that decodes what the other side sends, once the machine is built. */
static const char *const receiving[] = {
	"read",
	"write",
	"readv",
	"writev",
	"recvfrom",
	"sendto",
	"recvmsg",
	"sendmsg",
	"ppoll",
	"poll",
	"close",
	"shutdown",
	"fcntl",
	"fstat",
	"newfstatat",
	"lseek",
	"pread64",
	"dup",
	"dup2",
	"dup3",
	/* memory and locks */
	"brk",
	"munmap",
	"mremap",
	"madvise",
	"fallocate",
	"mincore",
	"futex",
	"membarrier",
	"sched_yield",
	"sched_getaffinity",
	/* time, signals, the thread itself */
	"clock_gettime",
	"clock_getres",
	"gettimeofday",
	"nanosleep",
	"clock_nanosleep",
	"restart_syscall",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"gettid",
	"getpid",
	"tgkill",
	"exit",
	"exit_group",
	"set_robust_list",
	"rseq",
	"getrandom",
	"eventfd2",
	"epoll_ctl",
	"timerfd_settime",
	NULL,
};

/* And by the process, for as long as its VM lives. Files are Landlock's. */
static const char *const living[] = {
	"open",
	"openat",
	"unlinkat",
	"unlink",
	"mkdirat",
	"fchmod",
	"umask",
	"flock",
	"getdents64",
	"readlinkat",
	"readlink",
	"access",
	"faccessat",
	"stat",
	"lstat",
	"statx",
	"statfs",
	"fstatfs",
	"pwrite64",
	"preadv",
	"pwritev",
	"ftruncate",
	"fsync",
	"fdatasync",
	"msync",
	"memfd_create",
	"userfaultfd",
	"close_range",
	/* the control socket, and pipes to children */
	"bind",
	"listen",
	"accept4",
	"accept",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"socketpair",
	"pipe2",
	/* the loop */
	"epoll_create1",
	"epoll_pwait",
	"epoll_wait",
	"timerfd_create",
	"timerfd_gettime",
	"signalfd4",
	"pselect6",
	"rt_sigtimedwait",
	"rt_sigpending",
	"rt_sigsuspend",
	"rt_sigqueueinfo",
	"rt_tgsigqueueinfo",
	/* the saving child, the terminal's watcher */
	"fork",
	"vfork",
	"wait4",
	"waitid",
	"kill",
	"tkill",
	"pidfd_open",
	"getppid",
	"getpgid",
	"getpgrp",
	"getsid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"uname",
	"sysinfo",
	"getrusage",
	"times",
	"sched_setaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"set_tid_address",
	"getcpu",
	"seccomp",
	NULL,
};

static scmp_filter_ctx filter;
static const char *arch;

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "confine-gen: %s: %s\n", what, strerror(-rc));
	exit(1);
}

/* The library takes numbers of this machine, some made up, and finds those of the other one. */
static int number(const char *name)
{
	int n = seccomp_syscall_resolve_name(name);

	if (n != __NR_SCMP_ERROR)
		return n;
	fprintf(stderr, "confine-gen: libseccomp does not know %s\n", name);
	exit(1);
}

static void allow(const char *const names[])
{
	for (; *names; names++)
		must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number(*names), 0), *names);
}

/* The call, if the bits of @mask in argument @arg are @value: as the kernel, which looks at 32 bits only. */
static void allow_if(const char *name, unsigned int arg, uint32_t mask, uint32_t value)
{
	must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number(name), 1,
			      SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value)),
	     name);
}

static void allow_in_part(bool all)
{
	static const uint32_t terminal[] = {0x5401, 0x5402, 0x5403, 0x5404, 0x540f,	0x5413,
					    0x541b, 0x5421, 0x5441, 0x5429, 0x80045430, 0x40045431};
	static const uint32_t prctls[] = {
		PR_SET_NAME,	  PR_SET_TAGGED_ADDR_CTRL, PR_GET_TAGGED_ADDR_CTRL,
		PR_SET_PDEATHSIG, PR_GET_DUMPABLE,	   0x53564d41 /* PR_SET_VMA */};

	/* Nothing becomes code that was not. */
	allow_if("mmap", 2, PROT_EXEC, 0);
	allow_if("mprotect", 2, PROT_EXEC, 0);
	allow_if("ioctl", 1, TYPE(0xae)); /* KVM */
	allow_if("ioctl", 1, TYPE(0xaa)); /* userfaultfd */
	allow_if("ioctl", 1, TYPE('f'));  /* pagemap: PAGEMAP_SCAN */
	for (unsigned int i = 0; i < sizeof(prctls) / sizeof(*prctls); i++)
		allow_if("prctl", 0, WHOLE(prctls[i]));
	/* A library that meets this falls back to clone, whose flags can be looked at. */
	must(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number("clone3"), 0), "clone3");
	if (!all) {
		allow_if("clone", 0, CLONE_THREAD | NEW_SPACE, CLONE_THREAD);
		return;
	}
	allow_if("clone", 0, NEW_SPACE, 0);
	must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number("socket"), 2,
			      SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, 0xffffffffu, AF_UNIX),
			      SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM)),
	     "socket");
	/* Asked, never set. */
	allow_if("prlimit64", 2, WHOLE(0));
	/* No TIOCSTI: it types into the user's shell. */
	for (unsigned int i = 0; i < sizeof(terminal) / sizeof(*terminal); i++)
		allow_if("ioctl", 1, WHOLE(terminal[i]));
}

/*
 * mseal is younger than the library. Its number is the same everywhere, and who calls it takes something away from
 * itself: it stands in front of all else.
 */
static const struct sock_filter first[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 462, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0x7fff0000u),
};

static void print(const char *name)
{
	struct sock_filter code[4096];
	FILE *file = tmpfile();
	size_t n;

	must(file ? seccomp_export_bpf(filter, fileno(file)) : -errno, "export");
	rewind(file);
	memcpy(code, first, sizeof(first));
	n = sizeof(first) / sizeof(first[0]);
	n += fread(code + n, sizeof(code[0]), sizeof(code) / sizeof(code[0]) - n, file);
	fclose(file);
	printf("static const struct sock_filter %s[%zu] = {\n", name, n);
	for (size_t i = 0; i < n; i++)
		printf("\t{0x%x, %u, %u, 0x%x},\n", code[i].code, code[i].jt, code[i].jf,
		       code[i].k);
	printf("};\n");
}

static void make(const char *name, bool all)
{
	uint32_t token = seccomp_arch_resolve_name(arch);

	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	must(filter ? 0 : -ENOMEM, "init");
	if (token != seccomp_arch_native()) {
		must(seccomp_arch_add(filter, token), arch);
		must(seccomp_arch_remove(filter, seccomp_arch_native()), "native");
	}
	/* Another calling convention has other numbers. */
	must(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "badarch");
	must(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimize");
	allow(receiving);
	if (all)
		allow(living);
	allow_in_part(all);
	print(name);
	seccomp_release(filter);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: confine-gen ARCH\n");
		return 2;
	}
	arch = argv[1];
	printf("/* SPDX-License-Identifier: GPL-2.0-only */\n/* Made by tools/confine-gen.c for %s. */\n",
	       arch);
	make("filter_process", true);
	make("filter_receiver", false);
	return fflush(stdout) || ferror(stdout);
}
