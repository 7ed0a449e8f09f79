/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Both ways of the tag engine over a VM's memory, compared with each other: KVM reads and writes tags through the
 * kernel's own mapping, so it is an independent witness of what LDG and STG do to ours. Runs on a host with KVM and
 * MTE (tools/bed); prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tagpattern.h"
#include "../tap.h"
#include "arm/mte-insn.h"
#include "arm/tags-ways.h"
#include "arm/tags.h"

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif
#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1 << 18)
#endif

#define BANKS	   2
#define BANK_PAGES 37 /* no multiple of what a call does at a time */
#define GPA	   0x80000000ull

enum backing { ANON, MEMFD_SHARED, MEMFD_PRIVATE, BACKINGS };

struct rig {
	struct tap *tap;
	const char *name;
	int kvm, vm;
	uint64_t seed;
	size_t page, size, bytes; /* of a bank; of its packed tags */
	struct tag_walker ways[2];
	struct tag_area bank[BANKS]; /* one behind the other for the guest, wherever for us */
	struct tag_area both;	     /* for the way through KVM */
	struct presence present[BANKS];
	uint8_t *data, *want, *got; /* room for both banks */
};

static const char *const way_names[] = {"ldg", "ioctl"};

static int set_slot(struct rig *r, unsigned int slot, const struct tag_area *a, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = a->gpa,
		.memory_size = a->size,
		.userspace_addr = (uintptr_t)a->base,
	};

	return ioctl(r->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int make_bank(struct rig *r, enum backing backing, unsigned int i)
{
	int flags = backing == ANON	      ? MAP_PRIVATE | MAP_ANONYMOUS
		    : backing == MEMFD_SHARED ? MAP_SHARED
					      : MAP_PRIVATE;
	enum presence_source source = backing == ANON		? PRESENCE_PAGEMAP
				      : backing == MEMFD_SHARED ? PRESENCE_FILE
								: PRESENCE_BOTH;
	int fd = -1;
	uint8_t *host;

	if (backing != ANON) {
		fd = memfd_create("tagwalk", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, r->size) < 0)
			return -errno;
	}
	host = mmap(NULL, r->size, PROT_READ | PROT_WRITE | PROT_MTE, flags, fd, 0);
	if (host == MAP_FAILED)
		return -errno;
	madvise(host, r->size, MADV_NOHUGEPAGE);
	r->bank[i] = (struct tag_area){.base = host, .gpa = GPA + i * r->size, .size = r->size};
	if (presence_init(&r->present[i], source, host, r->size, fd, 0, NULL))
		return -EIO;
	return set_slot(r, i, &r->bank[i], 0);
}

static int rig_init(struct rig *r, enum backing backing)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_ARM_MTE};
	int rc = 0;

	r->vm = ioctl(r->kvm, KVM_CREATE_VM, 0);
	if (r->vm < 0 || ioctl(r->vm, KVM_ENABLE_CAP, &cap) < 0)
		return -errno;
	for (unsigned int i = 0; i < BANKS && !rc; i++)
		rc = make_bank(r, backing, i);
	r->both = (struct tag_area){.gpa = GPA, .size = BANKS * r->size};
	return rc ? rc : tags_init(&r->ways[1], TAG_WAY_IOCTL, r->vm, NULL);
}

static void rig_release(struct rig *r)
{
	close(r->vm);
	for (unsigned int i = 0; i < BANKS; i++) {
		if (!r->bank[i].base)
			continue;
		munmap(r->bank[i].base, r->size);
		presence_release(&r->present[i]);
		if (r->present[i].file >= 0)
			close(r->present[i].file);
		r->bank[i].base = NULL;
	}
}

static void new_data(struct rig *r)
{
	for (size_t i = 0; i < BANKS * r->size; i += 8) {
		uint64_t v = pattern_random(&r->seed);

		memcpy(r->data + i, &v, 8);
	}
	for (unsigned int i = 0; i < BANKS; i++)
		memcpy(r->bank[i].base, r->data + i * r->size, r->size);
}

/* Tags of both banks are r->want by each way, and by a single call that crosses from one to the other. */
static bool tags_are_wanted(struct rig *r)
{
	bool ok = true;

	for (unsigned int way = 0; way < 2; way++) {
		memset(r->got, 0xee, BANKS * r->bytes);
		for (unsigned int i = 0; i < BANKS; i++)
			ok &= !tags_read(&r->ways[way], &r->bank[i], 0, r->size,
					 r->got + i * r->bytes, NULL);
		if (memcmp(r->got, r->want, BANKS * r->bytes)) {
			tap_note(r->tap, "%s reads other tags", way_names[way]);
			ok = false;
		}
	}
	memset(r->got, 0xee, BANKS * r->bytes);
	ok &= !tags_read(&r->ways[1], &r->both, 0, 2 * r->size, r->got, NULL);
	return ok & !memcmp(r->got, r->want, BANKS * r->bytes);
}

static bool data_is_wanted(const struct rig *r)
{
	for (unsigned int i = 0; i < BANKS; i++)
		if (memcmp(r->bank[i].base, r->data + i * r->size, r->size))
			return false;
	return true;
}

/* Whole banks, then ranges whose neighbours must stay, then across the border of the banks. */
static bool write_and_compare(struct rig *r, enum pattern pat, unsigned int way)
{
	const struct tag_walker *w = &r->ways[way];
	bool ok = true;

	pattern_make(pat, BANKS * r->size, &r->seed, r->want);
	for (unsigned int i = 0; i < BANKS; i++)
		ok &= !tags_write(w, &r->bank[i], 0, r->size, r->want + i * r->bytes, NULL);
	ok &= tags_are_wanted(r);
	for (unsigned int k = 0; k < 6; k++) {
		size_t first = pattern_random(&r->seed) % BANK_PAGES;
		size_t off = first * r->page;
		size_t len = (1 + pattern_random(&r->seed) % (BANK_PAGES - first)) * r->page;
		uint8_t *want = r->want + (k & 1) * r->bytes + tagcode_packed_size(off);

		pattern_make(pat, len, &r->seed, want);
		ok &= !tags_write(w, &r->bank[k & 1], off, len, want, NULL);
		ok &= tags_are_wanted(r);
	}
	if (w->way == TAG_WAY_IOCTL) {
		uint64_t off = r->size - 3 * r->page, len = 5 * r->page;
		uint8_t *want = r->want + tagcode_packed_size(off);

		pattern_make(pat, len, &r->seed, want);
		ok &= !tags_write(w, &r->both, off, len, want, NULL);
		ok &= tags_are_wanted(r);
	}
	return ok && data_is_wanted(r);
}

static void same_bytes(struct rig *r)
{
	new_data(r);
	for (enum pattern pat = 0; pat < PATTERNS; pat++)
		for (unsigned int way = 0; way < 2; way++)
			tap_ok(r->tap, write_and_compare(r, pat, way),
			       "%s: %s tags written by %s are read alike both ways; the rest stays",
			       r->name, pattern_name(pat), way_names[way]);
	new_data(r);
	tap_ok(r->tap, tags_are_wanted(r), "%s: writing data leaves tags alone", r->name);
}

static void fill_clear_put(struct rig *r, unsigned int way)
{
	const struct tag_walker *w = &r->ways[way];
	struct tag_shape *shape = malloc(sizeof(*shape));
	uint64_t off = r->page, len = (BANK_PAGES - 2) * r->page;
	bool ok = true;

	for (unsigned int tag = 0; tag < 16; tag += 5) {
		new_data(r);
		memset(r->want + tagcode_packed_size(off), tag * 0x11, tagcode_packed_size(len));
		ok &= !tags_fill(w, &r->bank[0], off, len, tag, NULL);
		ok &= tags_are_wanted(r) && data_is_wanted(r);

		memset(r->want + r->bytes + tagcode_packed_size(off), (15 - tag) * 0x11,
		       tagcode_packed_size(len));
		memset(r->data + r->size + off, 0, len);
		ok &= !tags_clear(w, &r->bank[1], off, len, 15 - tag, NULL);
		ok &= tags_are_wanted(r) && data_is_wanted(r);
	}
	tap_ok(r->tap, ok, "%s: %s fills, and clears data too", r->name, way_names[way]);

	ok = true;
	pattern_make(PATTERN_RANDOM, BANKS * r->size, &r->seed, r->want);
	for (unsigned int i = 0; i < BANK_PAGES; i++) {
		uint8_t *want = r->want + tagcode_packed_size(i * r->page);

		pattern_make(i % PATTERNS, r->page, &r->seed, want);
		tagcode_classify(want, r->page, shape);
		ok &= !tags_put(w, &r->bank[0], i * r->page, shape, want, NULL);
	}
	ok &= !tags_write(w, &r->bank[1], 0, r->size, r->want + r->bytes, NULL);
	tap_ok(r->tap, ok && tags_are_wanted(r) && data_is_wanted(r),
	       "%s: %s puts pages of each class", r->name, way_names[way]);
	free(shape);
}

static void threads(struct rig *r)
{
	bool ok = true;

	for (unsigned int n = 1; n <= 4; n++) {
		unsigned int way = n & 1;

		pattern_make(n % PATTERNS, BANKS * r->size, &r->seed, r->want);
		for (unsigned int i = 0; i < BANKS; i++) {
			ok &= !tags_write_area(&r->ways[way], &r->bank[i], NULL, n,
					       r->want + i * r->bytes, NULL);
			ok &= !tags_read_area(&r->ways[!way], &r->bank[i], NULL, n,
					      r->got + i * r->bytes, NULL);
		}
		ok &= !memcmp(r->got, r->want, BANKS * r->bytes) && tags_are_wanted(r);
	}
	tap_ok(r->tap, ok, "%s: 1 to 4 threads, each way written and the other read", r->name);
}

/* On banks that nobody has touched. */
static void absent_stays(struct rig *r, unsigned int way)
{
	const struct tag_walker *w = &r->ways[way];
	const struct presence *present = &r->present[way];
	const struct tag_area *a = &r->bank[way];
	struct presence plain = *present;
	uint64_t bits, want = 0;
	bool ok = true;

	memset(r->want, 0, r->bytes);
	for (unsigned int i = way; i < BANK_PAGES; i += 5) {
		mte_store_tag(a->base + (i + 1) * r->page - MTE_GRANULE, 9);
		r->want[tagcode_packed_size((i + 1) * r->page) - 1] = 0x90;
		want |= 1ull << i;
	}
	ok &= !presence_get(present, 0, r->size, &bits, NULL) && bits == want;
	if (!tap_ok(r->tap, ok, "%s: presence knows the pages of tag stores", r->name))
		tap_note(r->tap, "present %016llx, expected %016llx", (unsigned long long)bits,
			 (unsigned long long)want);
	ok = !tags_read_area(w, a, present, 2, r->got, NULL);
	ok &= !memcmp(r->got, r->want, r->bytes);
	ok &= !presence_get(present, 0, r->size, &bits, NULL) && bits == want;
	tap_ok(r->tap, ok, "%s: reading by %s populates no absent page", r->name, way_names[way]);

	r->want[tagcode_packed_size(3 * r->page)] = 0x05;
	want |= 1 << 3;
	ok = !tags_write_area(w, a, present, 2, r->want, NULL);
	ok &= !presence_get(present, 0, r->size, &bits, NULL) && bits == want;
	ok &= !tags_read_area(w, a, present, 2, r->got, NULL);
	ok &= !memcmp(r->got, r->want, r->bytes);
	tap_ok(r->tap, ok, "%s: writing by %s populates only the page that is to have tags",
	       r->name, way_names[way]);

	/* The control: without a presence source they do get memory, be it the zero page. */
	ok = !tags_read_area(w, a, NULL, 1, r->got, NULL) && !memcmp(r->got, r->want, r->bytes);
	plain.scan = false; /* the zero page counts here */
	ok &= !presence_get(&plain, 0, r->size, &bits, NULL) && bits == (1ull << BANK_PAGES) - 1;
	tap_ok(r->tap, ok, "%s: control: reading all by %s populates", r->name, way_names[way]);
}

static bool reads_not(struct rig *r, uint64_t gpa, int code, const char *words)
{
	struct tag_area a = {.gpa = gpa, .size = r->page};
	struct err err = ERR_INIT;
	int rc = tags_read(&r->ways[1], &a, 0, r->page, r->got, &err);

	tap_note(r->tap, "%d: %s", rc, err.msg);
	return rc == code && strstr(err.msg, words);
}

static void failures(struct rig *r)
{
	const struct tag_walker *w = &r->ways[1];
	struct err err = ERR_INIT;
	char words[32];
	int rc;

	snprintf(words, sizeof(words), "0x%llx", GPA + 2 * r->size);
	tap_ok(r->tap,
	       reads_not(r, GPA + 2 * r->size, -EFAULT, words) ||
		       reads_not(r, GPA + 2 * r->size, -EINVAL, words),
	       "%s: where no memory is: the message names the guest address", r->name);

	/* Only the pages before the hole are done. */
	r->both.size += r->page;
	pattern_make(PATTERN_RANDOM, BANKS * r->size, &r->seed, r->want);
	rc = tags_write(w, &r->bank[0], 0, r->size, r->want, NULL);
	rc = rc ? rc : tags_write(w, &r->bank[1], 0, r->size, r->want + r->bytes, NULL);
	rc = rc ? rc : tags_read(w, &r->both, 0, r->both.size, r->got, &err);
	tap_ok(r->tap, rc < 0 && strstr(err.msg, words),
	       "%s: a range that runs into a hole is an error: %s", r->name, err.msg);
	r->both.size -= r->page;

	err.msg[0] = '\0';
	set_slot(r, 1, &r->bank[1], KVM_MEM_LOG_DIRTY_PAGES);
	rc = tags_fill(w, &r->bank[0], 0, r->page, 3, &err);
	tap_ok(r->tap, !rc || (rc == -EBUSY && strstr(err.msg, "--tag-walker ldg")),
	       "%s: KVM's way under dirty logging works or says what does: %d %s", r->name, rc,
	       err.msg);
	tap_ok(r->tap, !tags_fill(&r->ways[0], &r->bank[0], 0, r->page, 3, NULL),
	       "%s: ldg works under dirty logging", r->name);
	memset(r->want, 0x33, tagcode_packed_size(r->page));
	tap_ok(r->tap, tags_are_wanted(r), "%s: both ways read under dirty logging", r->name);
	set_slot(r, 1, &r->bank[1], 0);

	/* A read-only slot: the flag cannot be changed, the slot is made anew. */
	set_slot(r, 1, &(struct tag_area){.gpa = r->bank[1].gpa}, 0);
	set_slot(r, 1, &r->bank[1], KVM_MEM_READONLY);
	rc = tags_fill(w, &r->bank[1], 0, r->page, 3, &err);
	tap_ok(r->tap, rc == -EFAULT, "%s: KVM's way cannot write a read-only slot: %s", r->name,
	       err.msg);
	rc = tags_fill(&r->ways[0], &r->bank[1], 0, r->page, 3, &err);
	memset(r->want + r->bytes, 0x33, tagcode_packed_size(r->page));
	tap_ok(r->tap, !rc && tags_are_wanted(r), "%s: ldg can, and both read it", r->name);
}

static void run(struct tap *tap, int kvm, enum backing backing)
{
	static const char *const names[] = {"private anonymous", "shared memfd", "private memfd"};
	struct rig r = {.tap = tap, .name = names[backing], .kvm = kvm, .seed = 7 + backing};
	struct err err = ERR_INIT;
	int rc = tags_init(&r.ways[0], TAG_WAY_LDG, -1, &err);

	if (rc) {
		tap_ok(tap, false, "%s", err.msg);
		return;
	}
	r.page = r.ways[0].page;
	r.size = BANK_PAGES * r.page;
	r.bytes = tagcode_packed_size(r.size);
	r.data = malloc(BANKS * r.size);
	r.want = malloc(BANKS * r.bytes);
	r.got = malloc(BANKS * r.bytes);
	rc = rig_init(&r, backing);
	if (rc == -EINVAL && backing == MEMFD_SHARED) {
		tap_skip(tap, r.name, "this kernel cannot tag shared guest memory (6.2 can)");
	} else if (rc) {
		tap_ok(tap, false, "%s: the VM: %s", r.name, strerror(-rc));
	} else {
		for (unsigned int way = 0; way < 2; way++)
			absent_stays(&r, way);
		same_bytes(&r);
		for (unsigned int way = 0; way < 2; way++)
			fill_clear_put(&r, way);
		threads(&r);
		failures(&r);
	}
	rig_release(&r);
	free(r.data);
	free(r.want);
	free(r.got);
}

int main(void)
{
	struct tap tap = {0};
	int kvm;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return tap_skip_all("this machine has no MTE");
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 || ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_MTE) <= 0)
		return tap_skip_all("no KVM with MTE here");
	tap_note(&tap, "pages of %ld bytes, DC GVA works on %zu", sysconf(_SC_PAGESIZE),
		 mte_dc_block(mte_dczid(), 65536));
	for (enum backing b = 0; b < BACKINGS; b++)
		run(&tap, kvm, b);
	close(kvm);
	return tap_end(&tap);
}
