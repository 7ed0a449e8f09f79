/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * spoil OPERATION FILE [ARG...]
 *
 * Looks into a snapshot file as a stranger would (docs/snapshot-format.md), or changes it. What is signed again has the right
 * checksums afterwards: what stands behind them is tried then.
 *
 *   parts FILE                    prints "OFFSET LENGTH NAME" of the header, each record, data and tags of each chunk, the
 *                                 index; in the order of the file but for the chunks
 *   ram FILE                      prints "OFFSET LENGTH" of the RAM section
 *   register FILE VCPU ID VALUE   gives a register of 64 bits another value; signs again
 *   record FILE N TYPE            makes the Nth record of the state (from 0) one of that type that must be understood;
 *                                 signs again
 *   needs FILE OFFSET WIDTH VALUE changes the compatibility record, OFFSET bytes behind the kernel's name; signs again
 *
 * Exit code: 0 done, 1 there is no such thing in the file, 2 it could not be read, or wrong arguments.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snap-resign.h"

#define AT_INSTANCE  8 /* in a record */
#define AT_PAYLOAD   12
#define RECORD_FRAME (RECORD_HEADER + 8)
#define VCPU_FIXED   15 /* bytes of a vCPU's payload before the number of registers */
#define REG_SIZE(id) (1u << ((id) >> 52 & 15))

struct file {
	uint8_t *bytes;
	size_t size;
};

static struct file load(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct file f = {NULL, 0};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		exit(2);
	}
	f.size = (size_t)st.st_size;
	f.bytes = malloc(f.size);
	if (!f.bytes || f.size < SNAP_HEADER || read(fd, f.bytes, f.size) != (ssize_t)f.size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(2);
	}
	close(fd);
	return f;
}

static void store(const struct file *f, const char *path)
{
	int fd = open(path, O_WRONLY);

	resign(f->bytes, f->size);
	if (fd < 0 || write(fd, f->bytes, f->size) != (ssize_t)f->size || close(fd) < 0) {
		perror(path);
		exit(2);
	}
}

/* The record at *@at of a section, and *@at behind it; NULL at the end. */
static uint8_t *next_record(const struct file *f, unsigned int section, uint64_t *at)
{
	uint64_t start = get_le(f->bytes + section, 8);
	uint64_t end = start + get_le(f->bytes + section + 8, 8);
	uint8_t *record;

	if (!*at)
		*at = start;
	if (*at >= end)
		return NULL;
	record = f->bytes + *at;
	*at += RECORD_FRAME + get_le(record + AT_PAYLOAD, 4);
	return record;
}

static void print_records(const struct file *f, unsigned int section, const char *name)
{
	uint64_t at = 0;
	uint8_t *record;

	while ((record = next_record(f, section, &at)))
		printf("%td %" PRIu64 " %s-record-%" PRIu64 "\n", record - f->bytes,
		       RECORD_FRAME + get_le(record + AT_PAYLOAD, 4), name, get_le(record, 4));
}

static void print_parts(const struct file *f)
{
	uint64_t index = get_le(f->bytes + AT_INDEX, 8), n = get_le(f->bytes + AT_INDEX + 8, 8);

	printf("0 %d header\n", SNAP_HEADER);
	print_records(f, AT_COMPAT, "compat");
	print_records(f, AT_STATE, "state");
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *e = f->bytes + index + i * SNAP_ENTRY;

		if (get_le(e + AT_DATA_LEN, 4))
			printf("%" PRIu64 " %" PRIu64 " data-of-chunk-%" PRIu64 "\n",
			       get_le(e + AT_DATA_OFF, 8), get_le(e + AT_DATA_LEN, 4), i);
		if (get_le(e + AT_TAG_LEN, 4))
			printf("%" PRIu64 " %" PRIu64 " tags-of-chunk-%" PRIu64 "\n",
			       get_le(e + AT_TAG_OFF, 8), get_le(e + AT_TAG_LEN, 4), i);
	}
	printf("%" PRIu64 " %" PRIu64 " index\n", index, n * SNAP_ENTRY);
}

static int change_register(const struct file *f, uint64_t vcpu, uint64_t id, uint64_t value)
{
	uint64_t at = 0;
	uint8_t *record;

	while ((record = next_record(f, AT_STATE, &at))) {
		uint8_t *p = record + RECORD_HEADER + VCPU_FIXED;
		uint64_t n = get_le(p, 4);

		if (get_le(record, 4) != RECORD_VCPU || get_le(record + AT_INSTANCE, 4) != vcpu)
			continue;
		for (p += 4; n--; p += 8 + REG_SIZE(get_le(p, 8))) {
			if (get_le(p, 8) != id)
				continue;
			set_le(p + 8, 8, value);
			return 0;
		}
	}
	return 1;
}

static int change_record(const struct file *f, uint64_t n, uint64_t type)
{
	uint64_t at = 0;
	uint8_t *record;

	while ((record = next_record(f, AT_STATE, &at)))
		if (!n--) {
			set_le(record, 4, type);
			set_le(record + 6, 2, RECORD_MUST);
			return 0;
		}
	return 1;
}

static int change_needs(const struct file *f, uint64_t offset, unsigned int width, uint64_t value)
{
	uint64_t at = 0;
	uint8_t *record = next_record(f, AT_COMPAT, &at);

	if (!record)
		return 1;
	offset += 2 + get_le(record + RECORD_HEADER, 2);
	if (offset + width > get_le(record + AT_PAYLOAD, 4))
		return 1;
	set_le(record + RECORD_HEADER + offset, width, value);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t arg[3] = {0};
	struct file f;
	int rc;

	if (argc < 3)
		return 2;
	for (int i = 3; i < argc && i < 6; i++)
		arg[i - 3] = strtoull(argv[i], NULL, 0);
	f = load(argv[2]);
	if (!strcmp(argv[1], "parts"))
		return print_parts(&f), 0;
	if (!strcmp(argv[1], "ram"))
		return printf("%" PRIu64 " %" PRIu64 "\n", get_le(f.bytes + AT_RAM, 8),
			      get_le(f.bytes + AT_RAM + 8, 8)) < 0;
	if (!strcmp(argv[1], "register") && argc == 6)
		rc = change_register(&f, arg[0], arg[1], arg[2]);
	else if (!strcmp(argv[1], "record") && argc == 5)
		rc = change_record(&f, arg[0], arg[1]);
	else if (!strcmp(argv[1], "needs") && argc == 6 && arg[1] <= 8)
		rc = change_needs(&f, arg[0], (unsigned int)arg[1], arg[2]);
	else
		return 2;
	if (!rc)
		store(&f, argv[2]);
	return rc;
}
