/* SPDX-License-Identifier: GPL-2.0-only */
/* vm/memory.c and vm/memory-fault.c over a KVM that only notes its slots: the gate, backings, what is told when one breaks. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/memory.h"
#include "vm/presence.h"

#define VM_FD 5000 /* no real one */
#define MIB   0x100000ull

/* The slots that the made-up KVM has. */
static struct kvm_userspace_memory_region slots[MEM_MAX_BANKS];
static int slot_errno;

int ioctl(int fd, unsigned long request, ...)
{
	const struct kvm_userspace_memory_region *region;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request != KVM_SET_USER_MEMORY_REGION)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	assert_int_equal(fd, VM_FD);
	errno = slot_errno;
	if (slot_errno)
		return -1;
	region = arg;
	assert_in_range(region->slot, 0, MEM_MAX_BANKS - 1);
	slots[region->slot] = *region;
	return 0;
}

static const struct mem_spec ram = {.name = "ram", .gpa = 0x80000000, .size = 4 * MIB};
static const struct mem_spec memfd = {
	.name = "ram", .gpa = 0x80000000, .size = 4 * MIB, .backing = MEM_MEMFD};
static const struct mem_spec flash = {
	.name = "flash", .gpa = 0x2000000, .size = MIB, .readonly = true};

static struct mem mem;
static struct err err;

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	memset(slots, 0, sizeof(slots));
	memset(&err, 0, sizeof(err));
	slot_errno = 0;
	assert_int_equal(mem_init(&mem, &err), 0);
	mem_use_vm(&mem, VM_FD);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mem_release(&mem);
	return 0;
}

static void add(const struct mem_spec *spec)
{
	int rc = mem_add(&mem, spec, &err);

	if (rc)
		print_error("# %s\n", err.msg);
	assert_int_equal(rc, 0);
}

static void *at(uint64_t gpa, uint64_t len)
{
	return gpa_ptr(&mem, gpa, len, MEM_WRITE);
}

/* --- the gate --- */

static void gate(void **state)
{
	uint8_t *p;

	(void)state;
	assert_null(at(ram.gpa, 1));
	add(&flash);
	add(&ram);
	p = at(ram.gpa, ram.size);
	assert_non_null(p);
	assert_ptr_equal(at(ram.gpa, 1), p);
	assert_ptr_equal(at(ram.gpa + 5, 8), p + 5);
	assert_ptr_equal(at(ram.gpa + ram.size - 1, 1), p + ram.size - 1);
	/* At both ends, past them, around them. */
	assert_null(at(ram.gpa - 1, 1));
	assert_null(at(ram.gpa - 1, 2));
	assert_null(at(ram.gpa + ram.size, 1));
	assert_null(at(ram.gpa + ram.size - 1, 2));
	assert_null(at(ram.gpa, ram.size + 1));
	assert_null(at(flash.gpa, ram.gpa - flash.gpa + 1));
	assert_null(at(0, 1));
	assert_null(at(ram.gpa, 0));
	assert_null(at(UINT64_MAX, 1));
	/* Sums that would wrap. */
	assert_null(at(ram.gpa, UINT64_MAX));
	assert_null(at(ram.gpa + 16, UINT64_MAX - 15));
	assert_null(at(ram.gpa + 16, UINT64_MAX - ram.gpa));
	assert_null(at(UINT64_MAX, UINT64_MAX));
}

static void host_to_guest(void **state)
{
	uint64_t gpa = 0;
	uint8_t *p;

	(void)state;
	add(&flash);
	add(&ram);
	p = at(ram.gpa, ram.size);
	assert_true(mem_host_to_gpa(&mem, p, &gpa));
	assert_true(gpa == ram.gpa);
	assert_true(mem_host_to_gpa(&mem, p + ram.size - 1, &gpa));
	assert_true(gpa == ram.gpa + ram.size - 1);
	gpa = 1;
	assert_false(mem_host_to_gpa(&mem, &mem, &gpa));
	assert_false(mem_host_to_gpa(&mem, NULL, &gpa));
	assert_true(gpa == 1);
}

/* --- banks and slots --- */

static void slots_are_the_banks(void **state)
{
	(void)state;
	add(&ram);
	add(&flash);
	assert_true(slots[0].guest_phys_addr == ram.gpa && slots[0].memory_size == ram.size);
	assert_true(slots[0].userspace_addr == (uintptr_t)at(ram.gpa, 1));
	assert_int_equal(slots[0].flags, 0);
	assert_int_equal(slots[1].flags, KVM_MEM_READONLY);
	assert_ptr_equal(mem_find(&mem, "flash"), &mem.banks[1]);
	assert_null(mem_find(&mem, "none"));
}

static void refuses(const struct mem_spec *spec, const char *text)
{
	unsigned int n = mem.n;

	assert_true(mem_add(&mem, spec, &err) < 0);
	if (!strstr(err.msg, text))
		print_error("# \"%s\" is not in \"%s\"\n", text, err.msg);
	assert_non_null(strstr(err.msg, text));
	assert_int_equal(mem.n, n);
}

static void odd_banks_are_refused(void **state)
{
	struct mem_spec spec = ram;
	char names[MEM_MAX_BANKS][8];

	(void)state;
	spec.gpa++;
	refuses(&spec, "ram: ");
	spec = ram;
	spec.size = 0;
	refuses(&spec, "ram: ");
	spec.size = mem.page_size + 1;
	refuses(&spec, "are not whole host pages");
	spec.size = 1ull << 60;
	refuses(&spec, "ram: no address space for");
	spec.backing = MEM_MEMFD;
	refuses(&spec, "ram: ");
	spec = ram;
	spec.backing = MEM_HUGETLB;
	spec.hugetlbfs = "/proc";
	refuses(&spec, "--hugetlbfs /proc: no hugetlbfs is mounted there");
	assert_true(err.usage);
	spec.hugetlbfs = "/nowhere";
	refuses(&spec, "--hugetlbfs /nowhere: No such file");

	add(&ram);
	spec = ram;
	spec.size *= 2;
	refuses(&spec, "ram: a bank of that name is there with another shape");
	for (unsigned int i = mem.n; i < MEM_MAX_BANKS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%u", i);
		spec = (struct mem_spec){.name = names[i], .gpa = i * MIB, .size = MIB};
		add(&spec);
	}
	spec = (struct mem_spec){.name = "last", .gpa = 64 * MIB, .size = MIB};
	refuses(&spec, "last: more than 8 memory banks");
}

/* What KVM says of a slot whose pages cannot hold tags is only EINVAL. */
static void refused_slots_say_the_way_out(void **state)
{
	(void)state;
	slot_errno = EINVAL;
	assert_int_equal(mem_add(&mem, &memfd, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "KVM refuses 4 MiB of memory at 0x80000000"));
	mem.slot_tags = 1;
	assert_int_equal(mem_add(&mem, &memfd, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "--mem-backend memfd: this kernel cannot tag shared"));
	assert_non_null(strstr(err.msg, "use --mem-backend anon"));
	slot_errno = EEXIST;
	assert_int_equal(mem_add(&mem, &memfd, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "KVM refuses"));
}

/* --- what it is made of --- */

/* The VmFlags line of the mapping at @p. */
static bool has_flag(const void *p, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	bool inside = false, found = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start <= (uintptr_t)p && (uintptr_t)p < end;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, flag) != NULL;
	}
	(void)fclose(f);
	return found;
}

static void huge_pages_are_advised(void **state)
{
	uint8_t *p;

	(void)state;
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK)) {
		print_message("# this kernel has no transparent huge pages\n");
		skip();
	}
	add(&ram);
	add(&flash);
	p = at(ram.gpa, ram.size);
	assert_int_equal((uintptr_t)p % (2 * MIB), 0);
	assert_true(has_flag(p, " hg"));
	/* Control: not for less than a huge page. */
	assert_false(has_flag(at(flash.gpa, 1), " hg"));
}

static void reboot_empties(const struct mem_spec *spec)
{
	uint8_t *p;

	add(spec);
	p = at(spec->gpa, spec->size);
	memset(p, 0x5a, spec->size);
	mem_use_vm(&mem, -1);
	assert_false(mem.banks[0].in_slot);
	mem_use_vm(&mem, VM_FD);
	memset(slots, 0, sizeof(slots));
	add(spec);
	assert_int_equal(mem.n, 1);
	assert_ptr_equal(at(spec->gpa, spec->size), p);
	assert_true(slots[0].memory_size == spec->size && mem.banks[0].in_slot);
	for (uint64_t i = 0; i < spec->size; i++)
		assert_int_equal(p[i], 0);
}

static void reboot_empties_anon(void **state)
{
	(void)state;
	reboot_empties(&ram);
	assert_true(mem_is_private(&mem));
}

static void reboot_empties_memfd(void **state)
{
	(void)state;
	reboot_empties(&memfd);
	assert_false(mem_is_private(&mem));
}

static void memfd_keeps_its_size(void **state)
{
	(void)state;
	add(&memfd);
	assert_int_equal(ftruncate(mem.banks[0].fd, MIB), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(mem.banks[0].fd, 8 * MIB), -1);
	assert_int_equal(fcntl(mem.banks[0].fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

/* --- what is told when something breaks --- */

static void explains(const char *want)
{
	char text[256] = "";
	bool found = mem_explain_fault(&mem, text, sizeof(text));

	if (!want) {
		assert_false(found);
		return;
	}
	assert_true(found);
	assert_string_equal(text, want);
}

static void broken_mappings_are_found(void **state)
{
	size_t page = mem.page_size;
	uint8_t *p;
	int fd;

	(void)state;
	add(&flash);
	add(&ram);
	p = at(ram.gpa, ram.size);
	explains(NULL);
	assert_int_equal(mprotect(p + 0x20000, page, PROT_READ), 0);
	explains("guest memory at 0x80020000 (ram) was protected");
	assert_int_equal(mprotect(p + 0x20000, page, PROT_READ | PROT_WRITE), 0);
	explains(NULL);

	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(mmap(p + 0x30000, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
			 0) != MAP_FAILED);
	close(fd);
	explains("guest memory at 0x80030000 (ram) was mapped over with something else");
	/* The first of two. */
	assert_int_equal(munmap(p + 0x10000, page), 0);
	explains("guest memory at 0x80010000 (ram) is no longer mapped");
	assert_int_equal(munmap(p, page), 0);
	explains("guest memory at 0x80000000 (ram) is no longer mapped");
	/* What is not in a slot is nobody's loss. */
	mem_use_vm(&mem, -1);
	explains(NULL);
}

/* As if it were mapped with memory tags, which this machine has not. */
static void missing_tags_are_found(void **state)
{
	(void)state;
	add(&ram);
	mem.tag_prot = PROT_READ;
	explains("guest memory at 0x80000000 (ram) was mapped over with memory that has no tags");
}

static void sealed(void **state)
{
	uint8_t *p;
	int rc;

	(void)state;
	add(&ram);
	p = at(ram.gpa, ram.size);
	rc = mem_seal(&mem, &err);
	assert_true(rc >= 0);
	if (!rc) {
		assert_false(mem.banks[0].sealed);
		print_message("# this kernel has no mseal\n");
		skip();
	}
	assert_int_equal(munmap(p, mem.page_size), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(mprotect(p, mem.page_size, PROT_READ), -1);
	/* A reboot goes on working. */
	p[0] = 1;
	add(&ram);
	assert_int_equal(p[0], 0);
	assert_int_equal(mem_seal(&mem, &err), 1);
}

/* In a fork: the pages of the bank that are present, or -1. */
static int present_in_fork(const struct mem_bank *bank)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		struct presence presence;
		uint64_t bits = 0;

		if (mem_presence(&mem, bank, &presence, &err) ||
		    presence_get(&presence, 0, 8 * mem.page_size, &bits, &err))
			_exit(255);
		presence_release(&presence);
		_exit((int)bits);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}

/*
 * A fork finds what is in the shared memory of a hugetlbfs bank, whose page table it has no copy of. Any shared mapping is like
 * that, and needs no huge pages.
 */
static void presence_in_a_fork(void **state)
{
	struct mem_bank *bank = &mem.banks[0];

	(void)state;
	bank->spec =
		(struct mem_spec){.name = "ram", .size = 8 * mem.page_size, .backing = MEM_HUGETLB};
	bank->fd = memfd_create("shared", MFD_CLOEXEC);
	assert_true(bank->fd >= 0);
	assert_int_equal(ftruncate(bank->fd, bank->spec.size), 0);
	bank->host = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE, MAP_SHARED, bank->fd, 0);
	assert_ptr_not_equal(bank->host, MAP_FAILED);
	madvise(bank->host, bank->spec.size, MADV_NOHUGEPAGE);
	bank->shared = true;
	mem.n = 1;
	bank->host[1 * mem.page_size] = 1;
	bank->host[6 * mem.page_size] = 1;

	assert_int_equal(present_in_fork(bank), 0); /* control: it knows nothing of itself */
	assert_int_equal(mem_before_fork(&mem, &err), 0);
	assert_int_equal(present_in_fork(bank), 1 << 1 | 1 << 6);
	mem_after_fork(&mem);
	assert_int_equal(mem.pagemap, -1);
	assert_int_equal(present_in_fork(bank), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(gate),
	TEST(host_to_guest),
	TEST(slots_are_the_banks),
	TEST(odd_banks_are_refused),
	TEST(refused_slots_say_the_way_out),
	TEST(huge_pages_are_advised),
	TEST(reboot_empties_anon),
	TEST(reboot_empties_memfd),
	TEST(memfd_keeps_its_size),
	TEST(broken_mappings_are_found),
	TEST(missing_tags_are_found),
	TEST(sealed),
	TEST(presence_in_a_fork),
};

UNIT_MAIN(tests)
