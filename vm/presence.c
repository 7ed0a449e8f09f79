/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst; Debian 12's headers are older. */
struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

#define SCAN_IOCTL    _IOWR('f', 16, struct scan_arg)
#define SCAN_PRESENT  (1u << 3)
#define SCAN_SWAPPED  (1u << 4)
#define SCAN_PFN_ZERO (1u << 5)
#define SCAN_REGIONS  64

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRIES	      256

static void set_bits(uint64_t *bits, size_t from, size_t to)
{
	while (from < to) {
		size_t n = 64 - from % 64;

		if (n > to - from)
			n = to - from;
		bits[from / 64] |= (n == 64 ? ~0ull : (1ull << n) - 1) << from % 64;
		from += n;
	}
}

/*
 * The kernel's zero page, which a mere read maps, counts as absent: nothing was ever written there, neither data nor
 * tags.
 */
static int scan(const struct presence *p, uint64_t off, uint64_t len, uint64_t *bits)
{
	uint64_t base = (uintptr_t)p->base + off, at = base, end = base + len;
	struct scan_region regions[SCAN_REGIONS];

	while (at < end) {
		struct scan_arg arg = {
			.size = sizeof(arg),
			.start = at,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = SCAN_REGIONS,
			.category_inverted = SCAN_PFN_ZERO,
			.category_mask = SCAN_PFN_ZERO,
			.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
			.return_mask = SCAN_PRESENT,
		};
		int n = ioctl(p->pagemap, SCAN_IOCTL, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			if (regions[i].start < at || regions[i].end > end ||
			    regions[i].start > regions[i].end)
				return -EIO;
			set_bits(bits, (regions[i].start - base) / p->page,
				 (regions[i].end - base) / p->page);
		}
		if (arg.walk_end <= at)
			return -EIO;
		at = arg.walk_end;
	}
	return 0;
}

static int read_pagemap(const struct presence *p, uint64_t off, uint64_t len, uint64_t *bits)
{
	uint64_t first = ((uintptr_t)p->base + off) / p->page;
	uint64_t entry[ENTRIES];
	size_t n = len / p->page;

	for (size_t i = 0; i < n;) {
		size_t want = n - i < ENTRIES ? n - i : ENTRIES;
		ssize_t got = pread(p->pagemap, entry, want * 8, (first + i) * 8);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 8)
			return got < 0 ? -errno : -EIO;
		for (size_t k = 0; k < (size_t)got / 8; k++)
			if (entry[k] & (ENTRY_PRESENT | ENTRY_SWAPPED))
				set_bits(bits, i + k, i + k + 1);
		i += got / 8;
	}
	return 0;
}

static int read_file(const struct presence *p, uint64_t off, uint64_t len, uint64_t *bits)
{
	uint64_t base = p->file_offset + off, at = base, end = base + len;

	while (at < end) {
		off_t data = lseek(p->file, at, SEEK_DATA), hole;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno; /* no data up to the end of the file */
		if ((uint64_t)data >= end)
			return 0;
		hole = lseek(p->file, data, SEEK_HOLE);
		if (hole < 0 && errno == ENXIO)
			continue; /* punched in between: look again */
		if (hole < 0)
			return -errno;
		if (hole <= data)
			return -EIO;
		at = (uint64_t)hole < end ? (uint64_t)hole : end;
		/* Both ends outwards: a file may know smaller blocks than the host's page. */
		set_bits(bits, (data - base) / p->page, (at - base + p->page - 1) / p->page);
	}
	return 0;
}

int presence_init(struct presence *p, enum presence_source source, const void *base, uint64_t size,
		  int file, uint64_t file_offset, struct err *err)
{
	long page = sysconf(_SC_PAGESIZE);
	uint64_t bit = 0;

	memset(p, 0, sizeof(*p));
	p->pagemap = -1;
	if (page <= 0)
		return err_set(err, -ENOSYS, "the host tells no page size");
	if (!size || size % page || (uintptr_t)base % page || file_offset % page)
		return err_set(err, -EINVAL,
			       "presence: 0x%llx bytes at %p (file offset 0x%llx) are not whole "
			       "pages of %ld",
			       (unsigned long long)size, base, (unsigned long long)file_offset,
			       page);
	p->source = source;
	p->base = base;
	p->size = size;
	p->page = page;
	p->file = source & PRESENCE_FILE ? file : -1;
	p->file_offset = file_offset;
	if (source & PRESENCE_FILE && lseek(file, 0, SEEK_HOLE) < 0 && errno != ENXIO)
		return err_sys(err, -errno, "presence: the memory file knows no holes");
	if (!(source & PRESENCE_PAGEMAP))
		return 0;
	p->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (p->pagemap < 0)
		return err_sys(err, -errno, "/proc/self/pagemap");
	/* A kernel without the ioctl says ENOTTY; one that has it is asked about the first page. */
	p->scan = scan(p, 0, page, &bit) == 0;
	return 0;
}

void presence_release(struct presence *p)
{
	if (p->pagemap >= 0)
		close(p->pagemap);
	p->pagemap = -1;
}

int presence_ask(struct presence *p, int pagemap, struct err *err)
{
	int copy = fcntl(pagemap, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return err_sys(err, -errno, "another process's pagemap");
	presence_release(p);
	p->pagemap = copy;
	return 0;
}

int presence_get(const struct presence *p, uint64_t off, uint64_t len, uint64_t *bits,
		 struct err *err)
{
	int rc = 0;

	if (off % p->page || len % p->page || off > p->size || len > p->size - off)
		return err_set(err, -EINVAL,
			       "presence: 0x%llx bytes at 0x%llx are not whole pages of the "
			       "mapping's 0x%llx",
			       (unsigned long long)len, (unsigned long long)off,
			       (unsigned long long)p->size);
	memset(bits, 0, presence_words(p, len) * sizeof(*bits));
	if (p->source & PRESENCE_PAGEMAP)
		rc = p->scan ? scan(p, off, len, bits) : read_pagemap(p, off, len, bits);
	if (rc)
		return err_sys(err, rc, "cannot read /proc/self/pagemap");
	if (p->source & PRESENCE_FILE)
		rc = read_file(p, off, len, bits);
	if (rc)
		return err_sys(err, rc, "cannot look for data in the memory file");
	return 0;
}

/* The first bit at or after @from whose value is @set, or @nbits. */
static size_t next_bit(const uint64_t *bits, size_t nbits, size_t from, bool set)
{
	while (from < nbits) {
		uint64_t w = (set ? bits[from / 64] : ~bits[from / 64]) >> from % 64;

		if (w) {
			from += __builtin_ctzll(w);
			return from < nbits ? from : nbits;
		}
		from += 64 - from % 64;
	}
	return nbits;
}

bool presence_run(const uint64_t *bits, size_t nbits, size_t from, size_t *start, size_t *end)
{
	*start = next_bit(bits, nbits, from, true);
	*end = next_bit(bits, nbits, *start, false);
	return *start < nbits;
}
