/* SPDX-License-Identifier: GPL-2.0-only */
/* What test_boot*.c share: a guest of memory only, files, and what boot_load_kernel() says to them. */
#ifndef LKVM_TESTS_BOOT_GUEST_H
#define LKVM_TESTS_BOOT_GUEST_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "arm/boot.h"

#define RAM  0x80000000ull
#define MIB  0x100000ull
#define FULL (64 * MIB) /* of RAM, where a test does not say */

/*
 * Guest memory of the test: one bank, with nothing accessible behind it. The gate of vm/memory.c is
 * replaced by this one.
 */
struct guest {
	struct mem mem;
	struct boot_layout layout;
	char dir[32];
	char path[2][64];
	size_t mapped;
};

void *gpa_ptr(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	const struct mem_bank *bank = &mem->banks[0];

	assert_int_equal(access, MEM_WRITE);
	if (!len || gpa < bank->spec.gpa || gpa - bank->spec.gpa >= bank->spec.size ||
	    len > bank->spec.size - (gpa - bank->spec.gpa))
		return NULL;
	return bank->host + (gpa - bank->spec.gpa);
}

static inline void new_ram(struct guest *g, uint64_t size)
{
	struct mem_bank *bank = &g->mem.banks[0];

	if (bank->host)
		munmap(bank->host, g->mapped);
	g->mapped = size + MIB;
	bank->host = mmap(NULL, g->mapped, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(bank->host != MAP_FAILED);
	assert_int_equal(mprotect(bank->host + size, MIB, PROT_NONE), 0);
	bank->spec.gpa = RAM;
	bank->spec.size = size;
	g->mem.n = 1;
	memset(&g->layout, 0xee, sizeof(g->layout));
	g->layout.ram_base = RAM;
	g->layout.ram_size = size;
}

static inline int setup(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return 1;
	(void)snprintf(g->dir, sizeof(g->dir), "/tmp/lkvm-boot-XXXXXX");
	if (!mkdtemp(g->dir))
		return 1;
	for (unsigned int i = 0; i < 2; i++)
		(void)snprintf(g->path[i], sizeof(g->path[i]), "%s/%s", g->dir,
			       i ? "initrd" : "kernel");
	new_ram(g, FULL);
	*state = g;
	return 0;
}

static inline int teardown(void **state)
{
	struct guest *g = *state;

	munmap(g->mem.banks[0].host, g->mapped);
	for (unsigned int i = 0; i < 2; i++)
		(void)unlink(g->path[i]);
	(void)rmdir(g->dir);
	free(g);
	return 0;
}

#define KERNEL(g) ((g)->path[0])
#define INITRD(g) ((g)->path[1])

static inline void put(uint8_t *p, uint64_t value, unsigned int bytes)
{
	while (bytes--) {
		*p++ = (uint8_t)value;
		value >>= 8;
	}
}

/* Bytes that do not repeat and hardly compress. */
static inline void noise(uint8_t *p, size_t len, uint32_t seed)
{
	while (len--) {
		seed = seed * 1664525 + 1013904223;
		*p++ = (uint8_t)(seed >> 24);
	}
}

static inline uint8_t *make_image(size_t len, uint64_t text_offset, uint64_t image_size)
{
	uint8_t *image = malloc(len);

	assert_non_null(image);
	noise(image, len, 42);
	put(image + 8, text_offset, 8);
	put(image + 16, image_size, 8);
	put(image + 24, 0xa, 8);
	memcpy(image + 56, "ARM\x64", 4);
	return image;
}

static inline void store(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	while (len) {
		ssize_t n = write(fd, bytes, len);

		assert_true(n > 0);
		bytes = (const uint8_t *)bytes + n;
		len -= (size_t)n;
	}
	assert_int_equal(close(fd), 0);
}

/* A file of zeros that takes no space. */
static inline void store_hole(const char *path, uint64_t len)
{
	store(path, "", 0);
	assert_int_equal(truncate(path, (off_t)len), 0);
}

static inline uint8_t *pack(const uint8_t *bytes, size_t len, size_t *packed)
{
	size_t room = len + len / 1000 + 4096;
	uint8_t *out = malloc(room);
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)len};

	assert_non_null(out);
	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = out;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	*packed = room - z.avail_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
	return out;
}

static inline int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static inline int load(struct guest *g, const char *initrd, struct err *err)
{
	uint32_t page_size = 0;
	int rc, fds = open_fds();

	err->msg[0] = 0;
	rc = boot_load_kernel(&g->mem, KERNEL(g), initrd, &g->layout, &page_size, err);
	if (!rc)
		assert_int_equal(page_size, 4096);
	assert_int_equal(open_fds(), fds);
	return rc;
}

static inline void loads(struct guest *g, const char *initrd)
{
	struct err err;
	int rc = load(g, initrd, &err);

	if (rc)
		fail_msg("%d: %s", rc, err.msg);
}

/* Refused with that text, where %s stands for the kernel's path. */
static inline void refuses(struct guest *g, const char *initrd, int code, const char *text)
{
	struct err err;
	char want[512];
	int rc = load(g, initrd, &err);

	(void)snprintf(want, sizeof(want), "kernel '%s': %s", KERNEL(g), text);
	assert_string_equal(err.msg, want);
	assert_int_equal(rc, code);
}

static inline const uint8_t *ram(const struct guest *g, uint64_t gpa)
{
	return g->mem.banks[0].host + (gpa - RAM);
}

static inline void is_zero(const struct guest *g, uint64_t from, uint64_t to)
{
	const uint8_t *p = ram(g, from);

	for (uint64_t i = 0; i < to - from; i++)
		if (p[i])
			fail_msg("guest memory at 0x%" PRIx64 " was written", from + i);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
