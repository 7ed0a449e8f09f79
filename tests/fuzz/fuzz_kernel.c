/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for what is given as a kernel, plain or packed: the first bytes, the EFI zboot and PE headers, gzip
 * data, and where all of it is put. tests/fuzz/corpus/kernel holds one of each kind.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arm/boot.h"

#define RAM_BASE 0x80000000ull
#define RAM_SIZE 0x600000ull
#define GUARD	 0x100000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *ram;

/* In place of vm/memory.c: one bank, with nothing accessible behind it. */
void *gpa_ptr(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	uint64_t offset = gpa - RAM_BASE;

	(void)mem;
	(void)access;
	return offset < RAM_SIZE && len && len <= RAM_SIZE - offset ? ram + offset : NULL;
}

static void must(bool what)
{
	if (!what)
		abort();
}

static int new_file(char path[32])
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	must(fd >= 0);
	(void)snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void load(struct mem *mem, const char *kernel, const char *initrd, size_t initrd_size)
{
	struct boot_layout l = {.ram_base = RAM_BASE, .ram_size = RAM_SIZE};
	const uint64_t end = RAM_BASE + RAM_SIZE;
	struct err err = ERR_INIT;
	uint32_t page_size = 0;
	int rc = boot_load_kernel(mem, kernel, initrd, &l, &page_size, &err);

	must(rc <= 0 && (rc == 0) == (err.msg[0] == '\0'));
	for (const char *p = err.msg; *p; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f);
	if (rc)
		return;
	must(l.entry >= RAM_BASE && l.entry < l.fdt);
	must(l.fdt % 0x200000 == 0 && l.fdt_room && l.fdt + l.fdt_room <= end);
	must(page_size == 0 || page_size == 4096 || page_size == 16384 || page_size == 65536);
	if (initrd)
		must(l.initrd >= l.fdt + l.fdt_room && l.initrd_size == initrd_size &&
		     l.initrd + l.initrd_size <= end);
	else
		must(!l.initrd && !l.initrd_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mem mem;
	static char path[32];
	static int fd;

	if (!ram) {
		ram = mmap(NULL, RAM_SIZE + GUARD, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(ram != MAP_FAILED && !mprotect(ram + RAM_SIZE, GUARD, PROT_NONE));
		fd = new_file(path);
	}
	must(!ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size);
	load(&mem, path, NULL, 0);
	load(&mem, path, path, size);
	return 0;
}
