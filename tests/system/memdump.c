/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memdump PID [FILE]
 *
 * Looks at another process's guest memory, taken to be its largest writable mapping, from outside: data through
 * /proc/PID/mem, tags through ptrace. Of a mapping of a file, what the file holds counts too. Prints one line, "data SUM tags SUM pages N tagged N", which is the same for the same
 * content wherever it is and whatever of it is absent: a page counts if any of its bytes or tags is not zero. With FILE: a
 * line a page there, "OFFSET SUM-OF-DATA SUM-OF-TAGS".
 *
 * Nothing here is shared with lkvm: it is what its own reports are compared with.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_PEEKMTETAGS /* asm/ptrace.h of arm64 */
#define PTRACE_PEEKMTETAGS 33
#endif

#define GRANULE	 16
#define PAGE_MAX 65536
#define BATCH	 512 /* pages */
#define SEED	 0xcbf29ce484222325ull

struct ram {
	uint64_t start, size;
	bool tags; /* mapped with PROT_MTE */
	bool file;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "memdump: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
	return sum ^ sum >> 29;
}

/* Of whole words; 0 for nothing but zeroes. */
static uint64_t sum_of(const void *bytes, size_t n)
{
	const uint64_t *w = bytes;
	uint64_t sum = SEED, any = 0;

	for (size_t i = 0; i < n / 8; i++) {
		any |= w[i];
		sum = mix(sum, w[i]);
	}
	return any ? sum | 1 : 0;
}

static void find_ram(pid_t pid, struct ram *ram)
{
	char line[512], perms[8];
	unsigned long long inode;
	uint64_t start, end;
	bool here = false;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/smaps", (int)pid);
	f = fopen(line, "re");
	if (!f)
		die(line);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*x %*s %llu", &start, &end, perms,
			   &inode) == 4 &&
		    strlen(perms) == 4) {
			here = perms[1] == 'w' && end - start > ram->size;
			if (here)
				*ram = (struct ram){start, end - start, false, inode != 0};
		} else if (here && !strncmp(line, "VmFlags:", 8)) {
			ram->tags = strstr(line, " mt") != NULL;
		}
	}
	fclose(f);
	if (!ram->size)
		die("no guest memory");
}

static int open_proc(pid_t pid, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* Whether the file has something for that page. */
static bool in_file(int file, uint64_t off)
{
	return file >= 0 && lseek(file, (off_t)off, SEEK_DATA) == (off_t)off;
}

static uint64_t tags_of(pid_t pid, uint64_t at, size_t page)
{
	static uint8_t tags[PAGE_MAX / GRANULE];
	size_t have = 0, all = page / GRANULE;

	while (have < all) {
		struct iovec iov = {tags + have, all - have};

		if (ptrace(PTRACE_PEEKMTETAGS, pid, at + have * GRANULE, &iov) < 0 || !iov.iov_len)
			die("PTRACE_PEEKMTETAGS");
		have += iov.iov_len;
	}
	return sum_of(tags, all);
}

int main(int argc, char **argv)
{
	static uint8_t data[PAGE_MAX];
	static uint64_t map[BATCH];
	uint64_t data_sum = SEED, tag_sum = SEED, pages = 0, tagged = 0;
	size_t page = sysconf(_SC_PAGESIZE);
	FILE *list = argc > 2 ? fopen(argv[2], "we") : NULL;
	struct ram ram = {0, 0, false, false};
	int mem, pagemap, file = -1, status;
	char name[64];
	pid_t pid;

	if (argc < 2 || (argc > 2 && !list))
		die("usage: memdump PID [FILE]");
	pid = (int)strtol(argv[1], NULL, 10);
	find_ram(pid, &ram);
	mem = open_proc(pid, "mem");
	pagemap = open_proc(pid, "pagemap");
	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, ram.start,
		 ram.start + ram.size);
	if (ram.file)
		file = open_proc(pid, name);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid)
		die("ptrace");
	for (uint64_t i = 0; i < ram.size / page; i++) {
		uint64_t at = ram.start + i * page, d, t;

		if (i % BATCH == 0 && pread(pagemap, map, sizeof(map), at / page * 8) <= 0)
			die("pagemap");
		if (!(map[i % BATCH] >> 62) && /* neither present nor swapped */
		    !in_file(file, i * page))
			continue;
		if (pread(mem, data, page, at) != (ssize_t)page)
			die("mem");
		d = sum_of(data, page);
		t = ram.tags ? tags_of(pid, at, page) : 0;
		if (d)
			data_sum = mix(mix(data_sum, i), d);
		if (t)
			tag_sum = mix(mix(tag_sum, i), t);
		pages += d || t;
		tagged += t != 0;
		if (list && (d || t))
			fprintf(list, "%" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n", i * page, d,
				t);
	}
	if (list && fclose(list))
		die(argv[2]);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	printf("data %016" PRIx64 " tags %016" PRIx64 " pages %" PRIu64 " tagged %" PRIu64 "\n",
	       data_sum, tag_sum, pages, tagged);
	return 0;
}
