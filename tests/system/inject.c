/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inject PID OPERATION [ARG...]
 *
 * Makes another process do to its guest's memory what nobody should: stops its first thread (its other threads, the
 * vCPUs, go on), lets it make one system call, and gives it its registers back. Guest memory is taken to be its
 * largest writable mapping. OFFSET and LEN are bytes within it.
 *
 *   where                        prints address, length and VmFlags of guest memory
 *   munmap OFFSET LEN
 *   mprotect OFFSET LEN PROT     PROT is a number as in mmap(2)
 *   mmap-file OFFSET LEN FILE    maps a file over it, shared
 *   mmap-anon OFFSET LEN         maps private memory without tags over it
 *   madvise OFFSET LEN ADVICE    ADVICE is a number
 *   tags OFFSET LEN              prints how often each tag occurs, as "TAG COUNT" lines
 *   clear-tags OFFSET LEN        makes all tags zero
 *
 * Exit code: 0 done; 1 the system call failed, with its errno's name printed; 2 this program could not do it.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_PEEKMTETAGS /* asm/ptrace.h of arm64 */
#define PTRACE_PEEKMTETAGS 33
#define PTRACE_POKEMTETAGS 34
#endif
#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

#define GRANULE	 16
#define INSN_SVC 0xd4000001u

/* As in user_pt_regs of asm/ptrace.h. */
struct regs {
	uint64_t x[31];
	uint64_t sp, pc, pstate;
};

struct victim {
	pid_t pid;
	int mem;
	uint64_t ram, ram_size;
	uint64_t svc; /* address of an SVC instruction in its program */
	char flags[128];
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(2);
}

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	f = fopen(path, "re");
	if (!f)
		die(path);
	return f;
}

static void find_svc(struct victim *v, uint64_t start, uint64_t end)
{
	uint32_t code[1024];

	for (uint64_t at = start; at < end && !v->svc; at += sizeof(code)) {
		ssize_t n = pread(v->mem, code, sizeof(code), (off_t)at);

		for (ssize_t i = 0; i < n / 4 && !v->svc; i++)
			if (code[i] == INSN_SVC)
				v->svc = at + (uint64_t)i * 4;
	}
}

static void look_at(struct victim *v)
{
	FILE *smaps = open_proc(v->pid, "smaps");
	char line[512], perms[8], path[64];
	uint64_t start, end;
	bool ram = false;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)v->pid);
	v->mem = open(path, O_RDWR | O_CLOEXEC);
	if (v->mem < 0)
		die(path);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) == 3 &&
		    strlen(perms) == 4) {
			ram = perms[1] == 'w' && end - start > v->ram_size;
			if (ram) {
				v->ram = start;
				v->ram_size = end - start;
			}
			if (perms[2] == 'x' && perms[0] == 'r' && !v->svc)
				find_svc(v, start, end);
		} else if (ram && !strncmp(line, "VmFlags:", 8)) {
			snprintf(v->flags, sizeof(v->flags), "%.100s", line + 9);
		}
	}
	fclose(smaps);
	if (!v->ram || !v->svc) {
		fprintf(stderr, "inject: no guest memory, or no program, in process %d\n",
			(int)v->pid);
		exit(2);
	}
}

static void stop(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		die("ptrace");
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		die("the process did not stop");
}

static void get_regs(pid_t pid, struct regs *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov) < 0)
		die("PTRACE_GETREGSET");
}

static void set_regs(pid_t pid, struct regs *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};

	if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov) < 0)
		die("PTRACE_SETREGSET");
}

static void step_to_stop(const struct victim *v)
{
	int status;

	if (ptrace(PTRACE_SYSCALL, v->pid, NULL, NULL) < 0 ||
	    waitpid(v->pid, &status, __WALL) != v->pid)
		die("PTRACE_SYSCALL");
	if (!WIFSTOPPED(status)) {
		fprintf(stderr, "inject: the process ended (wait status 0x%x)\n", status);
		exit(2);
	}
	/* A signal for it (none is expected) would be lost: it comes again when the thread goes on. */
	if (WSTOPSIG(status) != SIGTRAP) {
		fprintf(stderr, "inject: signal %d came in between\n", WSTOPSIG(status));
		exit(2);
	}
}

/* One system call of the victim's: to its entry, to its exit, and back to where it was. */
static int64_t victim_call(const struct victim *v, uint64_t number, const uint64_t args[6])
{
	struct regs saved, regs;
	int64_t result;

	get_regs(v->pid, &saved);
	regs = saved;
	memcpy(regs.x, args, 6 * sizeof(args[0]));
	regs.x[8] = number;
	regs.pc = v->svc;
	set_regs(v->pid, &regs);
	step_to_stop(v);
	step_to_stop(v);
	get_regs(v->pid, &regs);
	result = (int64_t)regs.x[0];
	set_regs(v->pid, &saved);
	return result;
}

/* A string that the victim can read: in a page of its own. */
static uint64_t put_string(const struct victim *v, const char *text)
{
	const uint64_t args[6] = {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  ~0ull};
	int64_t page = victim_call(v, SYS_mmap, args);

	if (page < 0 && page > -4096) {
		errno = (int)-page;
		die("mmap in the victim");
	}
	if (pwrite(v->mem, text, strlen(text) + 1, (off_t)page) < 0)
		die("writing to the victim");
	return (uint64_t)page;
}

static int64_t map_file(const struct victim *v, uint64_t addr, uint64_t len, const char *path)
{
	const uint64_t name = put_string(v, path);
	const uint64_t open_args[6] = {(uint64_t)AT_FDCWD, name, O_RDWR | O_CLOEXEC};
	int64_t fd = victim_call(v, SYS_openat, open_args), result;
	const uint64_t map_args[6] = {addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				      (uint64_t)fd};
	const uint64_t close_args[6] = {(uint64_t)fd};
	const uint64_t unmap_args[6] = {name, 4096};

	if (fd < 0) {
		errno = (int)-fd;
		die(path);
	}
	result = victim_call(v, SYS_mmap, map_args);
	victim_call(v, SYS_close, close_args);
	victim_call(v, SYS_munmap, unmap_args);
	return result;
}

/* Tags of the victim's memory, a byte each; the kernel does a part at a time. */
static int move_tags(const struct victim *v, int request, uint64_t addr, uint8_t *tags, size_t n)
{
	size_t done = 0;

	while (done < n) {
		struct iovec iov = {tags + done, n - done};

		if (ptrace(request, v->pid, (void *)(addr + done * GRANULE), &iov) < 0)
			return -errno;
		if (!iov.iov_len)
			return -EIO;
		done += iov.iov_len;
	}
	return 0;
}

static int64_t print_tags(const struct victim *v, uint64_t addr, uint64_t len)
{
	size_t n = len / GRANULE, counts[16] = {0};
	uint8_t *tags = calloc(n, 1);
	int rc;

	if (!tags)
		die("calloc");
	rc = move_tags(v, PTRACE_PEEKMTETAGS, addr, tags, n);
	for (size_t i = 0; i < n && !rc; i++)
		counts[tags[i] & 15]++;
	for (int tag = 0; tag < 16 && !rc; tag++)
		if (counts[tag])
			printf("%d %zu\n", tag, counts[tag]);
	free(tags);
	return rc;
}

static int64_t clear_tags(const struct victim *v, uint64_t addr, uint64_t len)
{
	uint8_t *tags = calloc(len / GRANULE, 1);
	int rc;

	if (!tags)
		die("calloc");
	rc = move_tags(v, PTRACE_POKEMTETAGS, addr, tags, len / GRANULE);
	free(tags);
	return rc;
}

static int64_t operate(const struct victim *v, const char *what, uint64_t addr, uint64_t len,
		       const char *arg)
{
	const uint64_t number = arg ? strtoull(arg, NULL, 0) : 0;
	const uint64_t plain[6] = {addr, len, number};
	const uint64_t anon[6] = {addr, len, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~0ull};

	if (!strcmp(what, "munmap"))
		return victim_call(v, SYS_munmap, plain);
	if (!strcmp(what, "mprotect") && arg)
		return victim_call(v, SYS_mprotect, plain);
	if (!strcmp(what, "madvise") && arg)
		return victim_call(v, SYS_madvise, plain);
	if (!strcmp(what, "mmap-anon"))
		return victim_call(v, SYS_mmap, anon);
	if (!strcmp(what, "mmap-file") && arg)
		return map_file(v, addr, len, arg);
	if (!strcmp(what, "tags"))
		return print_tags(v, addr, len);
	if (!strcmp(what, "clear-tags"))
		return clear_tags(v, addr, len);
	fprintf(stderr, "inject: unknown operation, or an argument is missing\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct victim v = {.pid = argc > 2 ? (pid_t)strtol(argv[1], NULL, 10) : 0};
	int64_t result;

	if (v.pid <= 0) {
		fprintf(stderr, "usage: inject PID OPERATION [ARG...]\n");
		return 2;
	}
	look_at(&v);
	if (!strcmp(argv[2], "where")) {
		printf("0x%" PRIx64 " 0x%" PRIx64 " %s", v.ram, v.ram_size, v.flags);
		return 0;
	}
	if (argc < 5) {
		fprintf(stderr, "inject: OFFSET and LEN are missing\n");
		return 2;
	}
	stop(v.pid);
	result = operate(&v, argv[2], v.ram + strtoull(argv[3], NULL, 0),
			 strtoull(argv[4], NULL, 0), argc > 5 ? argv[5] : NULL);
	ptrace(PTRACE_DETACH, v.pid, NULL, NULL);
	if (result < 0 && result > -4096) {
		printf("%s\n", strerrorname_np((int)-result));
		return 1;
	}
	return 0;
}
