/* SPDX-License-Identifier: GPL-2.0-only */
/* Documentation/admin-guide/mm/userfaultfd.rst, "Minor faults" and UFFDIO_CONTINUE. */
#include "vm/memory-lazy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef USERFAULTFD_IOC_NEW /* Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define FEATURES (UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM)
#define FD_FLAGS (O_CLOEXEC | O_NONBLOCK)

/* Who may open it may have one, whatever the sysctl says. */
static int open_by_device(void)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fd;

	if (dev < 0)
		return -1;
	fd = ioctl(dev, USERFAULTFD_IOC_NEW, FD_FLAGS);
	close(dev);
	return fd;
}

int mem_lazy_open(const char *what, int *out, struct err *err)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	int fd = (int)syscall(SYS_userfaultfd, FD_FLAGS);
	int why = errno;

	if (fd < 0 && why != ENOSYS)
		fd = open_by_device();
	if (fd < 0 && (why == EPERM || why == EACCES))
		return err_set(
			err, -EPERM,
			"%s: this user may not use userfaultfd: run it as root or with CAP_SYS_PTRACE, set the sysctl "
			"vm.unprivileged_userfaultfd to 1, or give access to /dev/userfaultfd; or leave %s out",
			what, what);
	if (fd < 0 && why != ENOSYS)
		return err_sys(err, -why, "%s: userfaultfd", what);
	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0) {
		*out = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return err_set(err, -EOPNOTSUPP,
		       "%s: this kernel's userfaultfd cannot do it (Linux 5.14 with "
		       "CONFIG_USERFAULTFD can); leave %s out",
		       what, what);
}

static struct uffdio_range guest_range(const struct mem_bank *bank, uint64_t off, uint64_t len)
{
	return (struct uffdio_range){.start = (uintptr_t)bank->host + off, .len = len};
}

int mem_lazy_begin(struct mem *mem, uint32_t index, int fd, struct err *err)
{
	struct mem_bank *bank = &mem->banks[index];
	struct uffdio_register reg = {
		.range = guest_range(bank, 0, bank->spec.size),
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
	};
	void *fill = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE | mem->tag_prot, MAP_SHARED,
			  bank->fd, 0);

	if (fill == MAP_FAILED)
		return err_sys(err, -errno, "no address space to map %s twice", bank->spec.name);
	if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0) {
		int rc = -errno;

		munmap(fill, bank->spec.size);
		return err_sys(err, rc, "userfaultfd refuses %s", bank->spec.name);
	}
	/* A huge page would bring memory for what nobody has asked for. Advice, as ever. */
	madvise(fill, bank->spec.size, MADV_NOHUGEPAGE);
	bank->fill = fill;
	return 0;
}

int mem_lazy_complete(const struct mem *mem, uint32_t index, int fd, struct err *err)
{
	const struct mem_bank *bank = &mem->banks[index];
	struct uffdio_range all = guest_range(bank, 0, bank->spec.size);

	if (ioctl(fd, UFFDIO_UNREGISTER, &all) < 0)
		return err_sys(err, -errno, "%s: userfaultfd cannot be ended", bank->spec.name);
	/*
	 * That wakes who waits, but before it locks the mapping: a fault that holds the mapping's own lock (Linux 6.7 and
	 * later) can come to wait in between, and nobody would ever serve it. Now none can come any more.
	 */
	if (ioctl(fd, UFFDIO_WAKE, &all) < 0)
		return err_sys(err, -errno, "%s: userfaultfd cannot be ended", bank->spec.name);
	return 0;
}

void mem_lazy_end(struct mem *mem, uint32_t index, int fd)
{
	struct mem_bank *bank = &mem->banks[index];

	if (!bank->fill)
		return;
	(void)mem_lazy_complete(mem, index, fd, NULL);
	munmap(bank->fill, bank->spec.size);
	bank->fill = NULL;
	mem->missing = 0;
}

bool mem_is_filling(const struct mem *mem)
{
	for (unsigned int i = 0; i < mem->n; i++)
		if (mem->banks[i].fill)
			return true;
	return false;
}

int mem_lazy_faults(const struct mem *mem, uint32_t index, int fd,
		    uint64_t offsets[MEM_LAZY_FAULTS], struct err *err)
{
	const struct mem_bank *bank = &mem->banks[index];
	struct uffd_msg msgs[MEM_LAZY_FAULTS];
	ssize_t got = read(fd, msgs, sizeof(msgs));
	int n = 0;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got < 0)
		return err_sys(err, -errno, "%s: userfaultfd", bank->spec.name);
	for (size_t i = 0; i < (size_t)got / sizeof(msgs[0]); i++) {
		uint64_t off = msgs[i].arg.pagefault.address - (uintptr_t)bank->host;

		if (msgs[i].event == UFFD_EVENT_PAGEFAULT && off < bank->spec.size)
			offsets[n++] = off & ~(uint64_t)(mem->page_size - 1);
	}
	return n;
}

uint8_t *mem_lazy_ptr(const struct mem *mem, uint32_t index, uint64_t off, uint64_t len)
{
	const struct mem_bank *bank = &mem->banks[index];

	if (!bank->fill || off > bank->spec.size || len > bank->spec.size - off)
		return NULL;
	return bank->fill + off;
}

/*
 * A page that is there already stops a batch: EEXIST if it is the first one, else EAGAIN and a short count. Who waits for
 * such a page may have been late for its first wake-up. EAGAIN without a count: the address space is changing.
 */
int mem_lazy_show(const struct mem *mem, uint32_t index, int fd, uint64_t off, uint64_t len,
		  struct err *err)
{
	const struct mem_bank *bank = &mem->banks[index];
	uint64_t end = off + len;

	while (off < end) {
		struct uffdio_continue batch = {.range = guest_range(bank, off, end - off)};

		if (ioctl(fd, UFFDIO_CONTINUE, &batch) == 0)
			return 0;
		if (errno == EEXIST) {
			struct uffdio_range one = guest_range(bank, off, mem->page_size);

			if (ioctl(fd, UFFDIO_WAKE, &one) < 0)
				return err_sys(err, -errno, "%s: userfaultfd", bank->spec.name);
			off += mem->page_size;
		} else if (errno == EAGAIN && batch.mapped > 0) {
			off += (uint64_t)batch.mapped;
		} else if (errno == EAGAIN) {
			sched_yield();
		} else {
			return err_sys(err, -errno,
				       "the page at guest address 0x%llx (%s) cannot be mapped",
				       (unsigned long long)(bank->spec.gpa + off), bank->spec.name);
		}
	}
	return 0;
}

/* A read gives the file a page there, with zero tags, if it has none. A write could undo what the guest has written. */
int mem_lazy_show_rest(const struct mem *mem, uint32_t index, int fd, uint64_t off, struct err *err)
{
	const uint8_t *page = mem_lazy_ptr(mem, index, off, mem->page_size);

	(void)__atomic_load_n(page, __ATOMIC_RELAXED);
	return mem_lazy_show(mem, index, fd, off, mem->page_size, err);
}

int mem_lazy_drop(const struct mem *mem, uint32_t index, uint64_t off, uint64_t len,
		  struct err *err)
{
	const struct mem_bank *bank = &mem->banks[index];

	if (fallocate(bank->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		      (off_t)len) < 0)
		return err_sys(err, -errno, "%s: cannot drop pages", bank->spec.name);
	return 0;
}
