/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arm/boot.h"
#include "arm/fdt.h"
#include "arm/gunzip.h"
#include "arm/image.h"
#include "util/io.h"
#include "vm/config.h"

#define SZ_2M 0x200000ull

/*
 * Room for the tree of a Linux guest. With 512 vCPUs and the longest command line it has less than 100 KiB, and an
 * initrd that begins in the same block of 2 MiB is one huge page less to clear.
 */
#define FDT_SLOT 0x20000ull

/* Unpacked into guest memory in pieces: the gate marks as dirty what it hands out. */
#define UNPACK_PIECE (8ull << 20)

struct file {
	const char *what; /* "kernel", for messages */
	const char *path;
	int fd;
	uint64_t size;
};

static uint64_t align_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static uint64_t mib(uint64_t bytes)
{
	return align_up(bytes, VM_MEM_UNIT) >> 20;
}

/* O_NONBLOCK: a FIFO that nobody writes to must not hold us. It changes nothing for a file. */
static int file_open(struct file *f, const char *what, const char *path, struct err *err)
{
	struct stat st;
	int rc;

	f->what = what;
	f->path = path;
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0)
		return err_sys(err, -errno, "%s '%s'", what, path);
	rc = fstat(f->fd, &st) < 0 ? -errno : 0;
	if (rc) {
		err_sys(err, rc, "%s '%s'", what, path);
	} else if (!S_ISREG(st.st_mode)) {
		const char *kind = S_ISDIR(st.st_mode)	  ? "a folder"
				   : S_ISFIFO(st.st_mode) ? "a pipe"
							  : "a device";

		rc = err_set(err, -EINVAL, "%s '%s' is %s; give a regular file", what, path, kind);
	} else if (!st.st_size) {
		rc = err_set(err, -EINVAL, "%s '%s' is empty", what, path);
	}
	if (rc) {
		(void)close(f->fd);
		f->fd = -1;
		return rc;
	}
	f->size = (uint64_t)st.st_size;
	return 0;
}

static void file_close(struct file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}

static int file_read(const struct file *f, void *to, uint64_t size, uint64_t offset,
		     struct err *err)
{
	int rc = io_pread_full(f->fd, to, size, offset);

	if (rc == -ENODATA)
		return err_set(err, rc, "%s '%s' became shorter while it was read", f->what,
			       f->path);
	if (rc)
		return err_sys(err, rc, "reading %s '%s'", f->what, f->path);
	return 0;
}

static int guest_room(struct mem *mem, uint64_t gpa, uint64_t size, void **ptr, struct err *err)
{
	*ptr = gpa_ptr(mem, gpa, size, MEM_WRITE);
	if (!*ptr)
		return err_set(err, -EFAULT, "no guest memory for %" PRIu64 " bytes at 0x%" PRIx64,
			       size, gpa);
	return 0;
}

/* The whole file to @gpa, with no copy of ours in between. */
static int file_load(struct mem *mem, const struct file *f, uint64_t gpa, struct err *err)
{
	void *to;
	int rc = guest_room(mem, gpa, f->size, &to, err);

	if (rc) {
		err_prefix(err, "%s '%s'", f->what, f->path);
		return rc;
	}
	return file_read(f, to, f->size, 0, err);
}

/*
 * A kernel on its way into the guest: the file, how it is packed, and the first bytes of what it
 * holds (unpacked, where it is packed).
 */
struct kernel {
	struct file file;
	enum image_kind kind;
	struct gunzip *gz;
	struct image_header header;
	size_t head_len;
	uint8_t head[IMAGE_HEAD_MAX];
};

/* Replaces the head, which is the packed file's, by that of the Image inside. */
static int kernel_unpack_head(struct kernel *k, struct err *err)
{
	uint64_t at = 0, size = k->file.size;
	enum image_kind inner;
	int rc = 0;

	if (k->kind == IMAGE_ZBOOT_GZIP)
		rc = image_zboot_payload(k->head, k->head_len, k->file.size, &at, &size, err);
	if (!rc)
		rc = gunzip_open(k->file.fd, at, size, &k->gz, err);
	if (!rc)
		rc = gunzip_read(k->gz, k->head, sizeof(k->head), &k->head_len, err);
	if (rc)
		return rc;
	rc = image_probe(k->head, k->head_len, &inner, err);
	if (!rc && inner != IMAGE_PLAIN)
		rc = err_set(err, -EINVAL, "it is packed twice");
	if (rc)
		err_prefix(err, "unpacked");
	return rc;
}

/* Everything about the kernel that can be told before it is loaded. */
static int kernel_examine(struct kernel *k, struct err *err)
{
	uint64_t pe_end;
	int rc;

	k->head_len = k->file.size < sizeof(k->head) ? k->file.size : sizeof(k->head);
	rc = file_read(&k->file, k->head, k->head_len, 0, err);
	if (rc)
		return rc;

	rc = image_probe(k->head, k->head_len, &k->kind, err);
	if (!rc && k->kind != IMAGE_PLAIN)
		rc = kernel_unpack_head(k, err);
	if (!rc)
		rc = image_header_parse(k->head, k->head_len, &k->header, err);
	if (!rc && k->kind == IMAGE_PLAIN) {
		pe_end = image_pe_end(k->head, k->head_len);
		if (pe_end > k->file.size)
			rc = err_set(err, -EINVAL,
				     "it is cut short: it has %" PRIu64
				     " bytes, and by its section table %" PRIu64,
				     k->file.size, pe_end);
	}
	if (rc)
		err_prefix(err, "%s '%s'", k->file.what, k->file.path);
	return rc;
}

/*
 * booting.rst: the Image lies text_offset bytes from a 2 MiB aligned base and needs image_size bytes
 * from there. The device tree begins at the next border of 2 MiB, so that it crosses none, and the initrd
 * comes next, within the kernel's window of 32 GiB.
 */
static int place(const struct kernel *k, const struct file *initrd, struct boot_layout *l,
		 struct err *err)
{
	uint64_t base = align_up(l->ram_base, SZ_2M), skipped = base - l->ram_base;
	uint64_t fdt = align_up(k->header.text_offset + k->header.image_size, SZ_2M);
	uint64_t need = skipped + fdt + FDT_ROOM + (initrd->path ? initrd->size : 0);

	if (need > l->ram_size && initrd->path)
		return err_set(err, -ENOMEM,
			       "guest memory is too small: kernel '%s' needs %" PRIu64
			       " MiB, the device tree 2, initrd '%s' %" PRIu64 "; use -m %" PRIu64
			       " or more",
			       k->file.path, mib(fdt), initrd->path, mib(initrd->size), mib(need));
	if (need > l->ram_size)
		return err_set(err, -ENOMEM,
			       "guest memory is too small: kernel '%s' needs %" PRIu64
			       " MiB, the device tree 2; use -m %" PRIu64 " or more",
			       k->file.path, mib(fdt), mib(need));
	l->entry = base + k->header.text_offset;
	l->fdt = base + fdt;
	l->fdt_room = FDT_SLOT;
	l->initrd = initrd->path ? l->fdt + FDT_SLOT : 0;
	l->initrd_size = initrd->path ? initrd->size : 0;
	return 0;
}

/*
 * The content is bounded by what the header asks for (rounded up to the start of the device tree):
 * a small file that unpacks to more than that is no kernel.
 */
static int kernel_unpack(struct mem *mem, struct kernel *k, uint64_t gpa, uint64_t room,
			 struct err *err)
{
	uint64_t done = k->head_len;
	size_t got = k->head_len;
	uint8_t extra;
	void *to;
	int rc;

	if (done <= room) {
		rc = guest_room(mem, gpa, done, &to, err);
		if (rc)
			return rc;
		memcpy(to, k->head, done);
	}
	while (got && done < room) {
		uint64_t piece = room - done < UNPACK_PIECE ? room - done : UNPACK_PIECE;

		rc = guest_room(mem, gpa + done, piece, &to, err);
		if (!rc)
			rc = gunzip_read(k->gz, to, piece, &got, err);
		if (rc)
			return rc;
		done += got;
	}
	/* Its end, with the checksum. */
	rc = gunzip_read(k->gz, &extra, 1, &got, err);
	if (rc)
		return rc;
	if (got || done > room)
		return err_set(err, -EINVAL,
			       "it unpacks to more than the %" PRIu64
			       " bytes of memory that its header asks for",
			       k->header.image_size);
	return 0;
}

static int kernel_load(struct mem *mem, struct kernel *k, const struct boot_layout *l,
		       struct err *err)
{
	uint64_t room = l->fdt - l->entry;
	int rc;

	if (k->kind == IMAGE_PLAIN && k->file.size <= room)
		return file_load(mem, &k->file, l->entry, err);
	if (k->kind == IMAGE_PLAIN)
		rc = err_set(err, -EINVAL,
			     "it has %" PRIu64 " bytes, more than the %" PRIu64
			     " bytes of memory that its header asks for",
			     k->file.size, k->header.image_size);
	else
		rc = kernel_unpack(mem, k, l->entry, room, err);
	if (rc)
		err_prefix(err, "%s '%s'", k->file.what, k->file.path);
	return rc;
}

int boot_load_kernel(struct mem *mem, const char *kernel, const char *initrd,
		     struct boot_layout *layout, uint32_t *page_size, struct err *err)
{
	struct file ramdisk = {.fd = -1};
	struct kernel k;
	int rc;

	k.gz = NULL;
	rc = file_open(&k.file, "kernel", kernel, err);
	if (rc)
		return rc;
	rc = kernel_examine(&k, err);
	if (!rc && initrd)
		rc = file_open(&ramdisk, "initrd", initrd, err);
	if (!rc)
		rc = place(&k, &ramdisk, layout, err);
	if (!rc)
		rc = kernel_load(mem, &k, layout, err);
	if (!rc && initrd)
		rc = file_load(mem, &ramdisk, layout->initrd, err);
	if (!rc)
		*page_size = k.header.page_size;
	gunzip_close(k.gz);
	file_close(&ramdisk);
	file_close(&k.file);
	return rc;
}

/* A 2 MiB slot for the device tree: at the top of RAM, or below a firmware that is up there. */
static int place_firmware(const struct file *f, uint64_t address, struct boot_layout *l,
			  struct err *err)
{
	uint64_t ram_end = l->ram_base + l->ram_size, start = address ? address : l->ram_base;
	uint64_t top = ram_end / SZ_2M * SZ_2M;

	if (start & 3)
		return err_set(err, -EINVAL,
			       "firmware address 0x%" PRIx64 " is not a multiple of 4", start);
	if (start < l->ram_base || start >= ram_end)
		return err_set(err, -EINVAL,
			       "firmware address 0x%" PRIx64 " is not in guest memory (0x%" PRIx64
			       " to 0x%" PRIx64 ")",
			       start, l->ram_base, ram_end - 1);
	if (f->size > ram_end - start)
		return err_set(err, -ENOMEM,
			       "firmware '%s' has %" PRIu64 " bytes, guest memory from 0x%" PRIx64
			       " on %" PRIu64 "; use -m %" PRIu64 " or more",
			       f->path, f->size, start, ram_end - start,
			       mib(start - l->ram_base + f->size + FDT_ROOM));
	if (start + f->size > top - FDT_ROOM)
		top = start / SZ_2M * SZ_2M;
	if (top < FDT_ROOM || top - FDT_ROOM < l->ram_base)
		return err_set(err, -ENOMEM,
			       "firmware '%s' leaves no 2 MiB of guest memory for the device tree; "
			       "use -m %" PRIu64 " or more",
			       f->path, mib(start - l->ram_base + f->size + FDT_ROOM));
	l->entry = start;
	l->fdt = top - FDT_ROOM;
	l->fdt_room = FDT_ROOM;
	l->initrd = 0;
	l->initrd_size = 0;
	return 0;
}

int boot_load_firmware(struct mem *mem, const char *path, uint64_t address,
		       struct boot_layout *layout, struct err *err)
{
	struct file f;
	int rc = file_open(&f, "firmware", path, err);

	if (rc)
		return rc;
	rc = place_firmware(&f, address, layout, err);
	if (!rc)
		rc = file_load(mem, &f, layout->entry, err);
	file_close(&f);
	return rc;
}

int boot_load_flat(struct mem *mem, const char *path, uint64_t gpa, uint64_t size, struct err *err)
{
	struct file f;
	int rc = file_open(&f, "flash", path, err);

	if (rc)
		return rc;
	if (f.size > size)
		rc = err_set(err, -EINVAL,
			     "flash '%s' has %" PRIu64 " bytes, its room is %" PRIu64 " bytes",
			     path, f.size, size);
	else
		rc = file_load(mem, &f, gpa, err);
	file_close(&f);
	return rc;
}
