/* SPDX-License-Identifier: GPL-2.0-only */
/* Files that were cut, damaged, or made by somebody who knows how: each is refused, with a text that names the place. */
#include "snap-sample.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zstd.h>

#include "snap-resign.h"

static const struct sample raw = {"raw", 4096, true, SNAP_RAW, false};
static const struct sample child = {"child", 4096, true, SNAP_RAW, true};
static const struct sample bare = {"bare", 4096, false, SNAP_RAW, false};
static const struct sample zstd = {"zstd", 4096, true, SNAP_ZSTD, false};

/*
 * In place of the C library's: a file that somebody changes between two reads of the same place. The second read that begins at
 * @at finds another bit there, @byte bytes behind it.
 */
static struct {
	uint64_t at;
	size_t byte;
	unsigned int reads;
} changes;

ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	ssize_t n = syscall(SYS_pread64, fd, buf, len, off);

	if (changes.at && (uint64_t)off == changes.at && n > (ssize_t)changes.byte &&
	    ++changes.reads == 2)
		((uint8_t *)buf)[changes.byte] ^= 1;
	return n;
}

/* A sample's file, in memory to be spoiled and in a file to be read. */
struct victim {
	const struct sample *s;
	int fd;
	size_t size;
	uint8_t *bytes;
};

static struct victim victim(const struct sample *s)
{
	struct victim v = {.s = s, .fd = sample_file(s)};
	struct stat st;

	assert_int_equal(fstat(v.fd, &st), 0);
	v.size = (size_t)st.st_size;
	v.bytes = malloc(v.size);
	assert_non_null(v.bytes);
	assert_int_equal(pread(v.fd, v.bytes, v.size, 0), v.size);
	return v;
}

static void victim_end(struct victim *v)
{
	close(v->fd);
	free(v->bytes);
}

static uint8_t *entry(struct victim *v, unsigned int n)
{
	return v->bytes + get_le(v->bytes + AT_INDEX, 8) + n * SNAP_ENTRY;
}

/* Refused with @code and @text, whole or in part; then the bytes are as before. */
static void refused(struct victim *v, int code, const char *text)
{
	struct err err = ERR_INIT;
	uint8_t *whole = malloc(v->size);
	int rc;

	assert_non_null(whole);
	assert_int_equal(pread(v->fd, whole, v->size, 0), v->size);
	assert_int_equal(pwrite(v->fd, v->bytes, v->size, 0), v->size);
	rc = sample_check(v->fd, v->s, &err);
	assert_int_equal(rc, code);
	if (strncmp(err.msg, "test.snap: ", 11) || !strstr(err.msg, text))
		fail_msg("it says '%s', not '%s'", err.msg, text);
	assert_int_equal(pwrite(v->fd, whole, v->size, 0), v->size);
	memcpy(v->bytes, whole, v->size);
	free(whole);
}

static void spoil(struct victim *v, uint8_t *at, unsigned int width, uint64_t value, int code,
		  const char *text)
{
	set_le(at, width, value);
	resign(v->bytes, v->size);
	refused(v, code, text);
}

/* ---- damage ---- */

static void truncation_at_every_byte(void **state)
{
	static const struct sample *const all[] = {&zstd, &raw};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct victim v = victim(all[i]);

		for (size_t size = v.size; size--;) {
			struct err err = ERR_INIT;
			struct snap_reader *r;

			assert_int_equal(ftruncate(v.fd, (off_t)size), 0);
			assert_int_equal(snap_reader_open(v.fd, "f", &r, &err), -EBADMSG);
			assert_non_null(strstr(err.msg, size < SNAP_HEADER ? "f: not a snapshot"
									   : "f: cut short: "));
		}
		victim_end(&v);
	}
}

static void a_flipped_bit_in_every_byte(void **state)
{
	static const struct sample *const all[] = {&zstd, &raw};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct victim v = victim(all[i]);

		for (size_t at = 0; at < v.size; at++) {
			struct err err = ERR_INIT;
			uint8_t bad = v.bytes[at] ^ 1 << at % 8;

			assert_int_equal(pwrite(v.fd, &bad, 1, (off_t)at), 1);
			if (!sample_check(v.fd, v.s, &err))
				fail_msg("%s: byte %zu may change", v.s->name, at);
			assert_non_null(strstr(err.msg, "test.snap: "));
			if (at >= AT_LENGTH)
				assert_non_null(strstr(err.msg, "offset "));
			assert_int_equal(pwrite(v.fd, v.bytes + at, 1, (off_t)at), 1);
		}
		victim_end(&v);
	}
}

/* Whatever it is now: no crash, no byte outside of a buffer. */
static void read_all(int fd)
{
	static uint8_t data[SNAP_CHUNK_PAGES * 65536], tags[SNAP_CHUNK_PAGES * 2048];
	struct wbuf out;
	struct snap_reader *r;
	void *pages[SNAP_CHUNK_PAGES];
	const struct snap_info *info;

	if (snap_reader_open(fd, "f", &r, NULL))
		return;
	info = snap_reader_info(r);
	wbuf_init(&out, 1 << 20);
	(void)snap_reader_compat(r, &out, NULL);
	(void)snap_reader_state(r, &out, NULL);
	wbuf_release(&out);
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++)
		pages[i] = data + (size_t)i * info->page_size;
	for (uint32_t b = 0; b < info->nbanks; b++)
		for (uint64_t c = 0; c < 4; c++)
			(void)snap_reader_chunk(r, b, c, pages, tags, NULL);
	snap_reader_close(r);
}

static void every_byte_spoiled_and_signed_again(void **state)
{
	struct victim v = victim(&zstd);
	uint8_t *bad = malloc(v.size);
	uint64_t data;

	(void)state;
	assert_non_null(bad);
	data = get_le(entry(&v, 1) + AT_DATA_OFF, 8);
	for (size_t at = 0; at < v.size; at++) {
		static const uint8_t masks[] = {0x01, 0x80, 0xff};

		/* Zeros at the header's end, and data that may be anything: not each byte. */
		if (((at < SNAP_HEADER && at > 512) || (at >= data && at < data + 2 * 4096)) &&
		    at % 64)
			continue;
		for (unsigned int i = 0; i < 3; i++) {
			memcpy(bad, v.bytes, v.size);
			bad[at] ^= masks[i];
			resign(bad, v.size);
			assert_int_equal(pwrite(v.fd, bad, v.size, 0), v.size);
			read_all(v.fd);
		}
	}
	free(bad);
	victim_end(&v);
}

static void no_snapshots(void **state)
{
	static const uint8_t zeros[3 * SNAP_HEADER];
	struct err err = ERR_INIT;
	struct snap_reader *r;
	int fd = new_file(), pipes[2];
	char path[64];

	(void)state;
	assert_int_equal(snap_reader_open(fd, "f", &r, &err), -EBADMSG);
	assert_string_equal(err.msg, "f: not a snapshot file: 0 bytes, where the header alone "
				     "has 4096");
	assert_int_equal(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
	assert_int_equal(snap_reader_open(fd, "f", &r, &err), -EBADMSG);
	assert_string_equal(err.msg, "f: no header at offset 0: saving was never finished");
	assert_int_equal(pwrite(fd,
				"\x7f"
				"ELF",
				4, 0),
			 4);
	assert_int_equal(snap_reader_open(fd, "f", &r, &err), -EBADMSG);
	assert_string_equal(err.msg, "f: not a snapshot file: no LKVMSNAP at offset 0");

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(snap_reader_open(pipes[0], "f", &r, &err), -EBADMSG);
	assert_string_equal(err.msg, "f: not a snapshot file, not even a regular file");
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(snap_reader_open(-1, "f", &r, &err), -EBADF);
	assert_string_equal(err.msg, "f: cannot look at the file: Bad file descriptor");

	/* A disk that cannot be read is another thing than a bad file. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	close(fd);
	fd = sample_file(&raw);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	pipes[0] = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(pipes[0] >= 0);
	assert_int_equal(snap_reader_open(pipes[0], "f", &r, &err), -EBADF);
	assert_string_equal(err.msg, "f: cannot read header at offset 0: Bad file descriptor");
	close(pipes[0]);
	close(fd);
}

static void cut_while_it_is_read(void **state)
{
	static const struct sample *const all[] = {&zstd, &raw};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct victim v = victim(all[i]);
		struct err err = ERR_INIT;
		struct snap_reader *r;
		struct wbuf out;

		assert_int_equal(snap_reader_open(v.fd, "f", &r, &err), 0);
		assert_int_equal(ftruncate(v.fd, SNAP_HEADER + 50), 0);
		assert_int_equal(sample_check_chunk(r, v.s, 0, 0, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, "f: bank ram, chunk at guest address 0x80000000: "
						"data"));
		assert_non_null(strstr(err.msg, "the file ends"));
		wbuf_init(&out, 4096);
		assert_int_equal(snap_reader_state(r, &out, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, "f: state section at offset "));
		wbuf_release(&out);
		snap_reader_close(r);
		victim_end(&v);
	}
}

/* ---- malice ---- */

static void header(void **state)
{
	struct victim v = victim(&raw);
	uint8_t *h = v.bytes;
	uint64_t n = get_le(h + AT_INDEX + 8, 8);

	(void)state;
	/* The version is told whatever else there is, also if the checksum is elsewhere by then. */
	spoil(&v, h + AT_VERSION, 4, 2, -EOPNOTSUPP,
	      "snapshot format version 2, but this program reads version 1");
	set_le(h + AT_VERSION, 4, 77);
	refused(&v, -EOPNOTSUPP, "snapshot format version 77, but this program reads version 1");
	set_le(h + AT_FILE_SIZE, 8, 0);
	refused(&v, -EBADMSG, "header at offset 0: the checksum at offset 4088 is wrong");

	spoil(&v, h + AT_LENGTH, 4, 8192, -EBADMSG, "header: its length is 8192 and not 4096");
	spoil(&v, h + AT_FLAGS, 8, 5, -EOPNOTSUPP, "flags 0x5, of which this program knows 0x3");
	spoil(&v, h + AT_FLAGS, 8, 1ull << 63 | 1, -EOPNOTSUPP, "flags 0x8000000000000001");
	spoil(&v, h + AT_PAGE_SIZE, 4, 0, -EBADMSG, "page size 0 is none of");
	spoil(&v, h + AT_PAGE_SIZE, 4, 8192, -EBADMSG, "page size 8192 is none of");
	spoil(&v, h + AT_CHUNK_PAGES, 4, 32, -EBADMSG, "chunks of 32 pages and not 64");
	spoil(&v, h + AT_CHUNK_PAGES, 4, 0, -EBADMSG, "chunks of 0 pages and not 64");
	memset(h + AT_UUID, 0, 16);
	spoil(&v, h + AT_UUID, 1, 0, -EBADMSG, "the uuid is all zeros");
	memcpy(h + AT_PARENT, h + AT_UUID, 16);
	spoil(&v, h + AT_UUID, 1, h[AT_UUID], -EBADMSG, "it is its own parent");
	spoil(&v, h + AT_FILE_SIZE, 8, v.size + 1, -EBADMSG, "cut short: ");
	spoil(&v, h + AT_FILE_SIZE, 8, UINT64_MAX, -EBADMSG, "are left of 18446744073709551615");
	spoil(&v, h + AT_FILE_SIZE, 8, v.size - 9, -EBADMSG, "9 bytes follow the end");
	spoil(&v, h + AT_DATA_BYTES, 8, 1, -EBADMSG, "totals of data and tags are not those");
	spoil(&v, h + AT_TAG_BYTES, 8, UINT64_MAX, -EBADMSG, "totals of data and tags are not");

	spoil(&v, h + AT_COMPAT, 8, 0, -EBADMSG, "the compat section is at offset 0, but");
	spoil(&v, h + AT_STATE, 8, SNAP_HEADER, -EBADMSG, "the state section is at offset 4096");
	spoil(&v, h + AT_RAM, 8, UINT64_MAX, -EBADMSG, "the RAM section is at offset 1844674407");
	spoil(&v, h + AT_INDEX, 8, 1ull << 40, -EBADMSG,
	      "the index section is at offset 1099511627776, but");
	spoil(&v, h + AT_COMPAT + 8, 8, 1 << 21, -EBADMSG, "the length of the compat section");
	spoil(&v, h + AT_COMPAT + 8, 8, 1 << 20, -EBADMSG, "reaches past the end of the file");
	spoil(&v, h + AT_STATE + 8, 8, UINT64_MAX - 4000, -EBADMSG, "length of the state section");
	spoil(&v, h + AT_RAM + 8, 8, UINT64_MAX, -EBADMSG, "reaches past the end of the file at");
	spoil(&v, h + AT_INDEX + 8, 8, 1ull << 60, -EBADMSG, "the length of the index section");
	spoil(&v, h + AT_INDEX + 8, 8, UINT64_MAX, -EBADMSG, "the length of the index section");
	spoil(&v, h + AT_INDEX + 8, 8, n + 1, -EBADMSG, "reaches past the end of the file at");
	spoil(&v, h + AT_INDEX + 8, 8, n - 1, -EBADMSG, "64 bytes after the end of the index");

	spoil(&v, h + AT_NBANKS, 4, 0, -EBADMSG, "must be zero are not");
	spoil(&v, h + AT_NBANKS, 4, 1, -EBADMSG, "must be zero are not");
	spoil(&v, h + AT_NBANKS, 4, 3, -EBADMSG, "bank 2 of RAM has no proper name");
	spoil(&v, h + AT_NBANKS, 4, 9, -EBADMSG, "9 banks of RAM, where 1 to 8 can be");
	spoil(&v, h + AT_NBANKS, 4, UINT32_MAX, -EBADMSG, "4294967295 banks of RAM");
	spoil(&v, h + AT_ZERO, 4, 1, -EBADMSG, "header: bytes that must be zero are not");
	spoil(&v, h + 4087, 1, 1, -EBADMSG, "header: bytes that must be zero are not");
	spoil(&v, h + AT_BANK, 1, 0x1b, -EBADMSG, "bank 0 of RAM has no proper name");
	memset(h + AT_BANK, 'a', 16);
	spoil(&v, h + AT_BANK, 1, 'a', -EBADMSG, "bank 0 of RAM has no proper name");
	victim_end(&v);
}

static void banks(void **state)
{
	struct victim v = victim(&raw);
	uint8_t *b = v.bytes + AT_BANK;

	(void)state;
	spoil(&v, b + 16, 8, 0, -EBADMSG, "header: banks ram and flash overlap");
	spoil(&v, b + 16, 8, 8, -EBADMSG, "are not whole pages of 4096");
	spoil(&v, b + 16, 8, UINT64_MAX - 4095, -EBADMSG, "end after the last address");
	spoil(&v, b + 24, 8, 0, -EBADMSG, "are not whole pages of 4096");
	spoil(&v, b + 24, 8, UINT64_MAX - 4095, -EBADMSG, "end after the last address");
	spoil(&v, b + 24, 8, 1ull << 50, -EBADMSG, "chunks of 64 pages, where 67108864 can be");
	/* 2^26 chunks of room, but no memory is taken before they are there. */
	spoil(&v, b + 24, 8, 4096, -EBADMSG, "pages after the end of the bank");
	victim_end(&v);
}

static void many_chunks_cost_nothing(void **state)
{
	struct victim v = victim(&raw);
	struct err err = ERR_INIT;
	struct snap_reader *r;
	uint64_t size = get_le(v.bytes + AT_INDEX, 8) + (1ull << 24) * SNAP_ENTRY;

	(void)state;
	/* A sparse file of 1 GiB: first more chunks than the banks have, then banks to match, but an index of zeros. */
	assert_int_equal(ftruncate(v.fd, (off_t)size), 0);
	set_le(v.bytes + AT_INDEX + 8, 8, 1ull << 24);
	set_le(v.bytes + AT_FILE_SIZE, 8, size);
	for (int i = 0; i < 2; i++) {
		resign(v.bytes, v.size);
		assert_int_equal(pwrite(v.fd, v.bytes, v.size, 0), v.size);
		assert_int_equal(snap_reader_open(v.fd, "f", &r, &err), -EBADMSG);
		assert_non_null(
			strstr(err.msg, i ? "f: index at offset "
					  : "f: header: 16777216 chunks in the index, where "
					    "the banks have 3"));
		set_le(v.bytes + AT_BANK + 24, 8, 1ull << 42);
	}
	victim_end(&v);
}

static void entries(void **state)
{
	struct victim v = victim(&raw);
	uint8_t *e = entry(&v, 0), *f = entry(&v, 1), keep[SNAP_ENTRY];
	uint64_t data = get_le(e + AT_DATA_OFF, 8), tags = get_le(e + AT_TAG_OFF, 8);
	uint64_t index = get_le(v.bytes + AT_INDEX, 8);
	char text[128];

	(void)state;
	(void)snprintf(text, sizeof(text), "index, entry at offset %zu: chunk 0 of bank 0: out of ",
		       (size_t)index + SNAP_ENTRY);
	memcpy(keep, e, SNAP_ENTRY);
	memcpy(e, f, SNAP_ENTRY);
	memcpy(f, keep, SNAP_ENTRY);
	spoil(&v, e, 2, 1, -EBADMSG, text);
	memcpy(f, e, SNAP_ENTRY);
	spoil(&v, e, 2, 0, -EBADMSG, text);

	spoil(&v, e, 2, 2, -EBADMSG, "chunk 0 of bank 2: there is no such chunk");
	spoil(&v, e, 2, UINT16_MAX, -EBADMSG, "chunk 0 of bank 65535: there is no such chunk");
	spoil(&v, e + AT_CHUNK, 4, 2, -EBADMSG, "chunk 2 of bank 0: there is no such chunk");
	spoil(&v, e + AT_CHUNK, 4, UINT32_MAX, -EBADMSG, "there is no such chunk");
	spoil(&v, e + AT_CHUNK, 4, 1, -EBADMSG, "it has pages after the end of the bank");
	spoil(&v, e + AT_ABSENT, 8, UINT64_MAX, -EBADMSG, "a page is both here and absent");
	spoil(&v, e + AT_ABSENT, 8, 0, -EBADMSG, "left to a parent, and there is none");
	set_le(f + AT_HERE, 8, 0);
	spoil(&v, f + AT_ABSENT, 8, 7, -EBADMSG, "an entry for a chunk that is wholly absent");

	spoil(&v, e + AT_CODEC, 2, SNAP_ZSTD, -EBADMSG, "stored in an unknown way");
	spoil(&v, e + AT_CODEC, 2, 2, -EBADMSG, "stored in an unknown way");
	spoil(&v, e + AT_DATA_LEN, 4, 2 * 4096, -EBADMSG, "length of the data does not fit");
	spoil(&v, e + AT_DATA_LEN, 4, 0, -EBADMSG, "length of the data does not fit");
	spoil(&v, e + AT_DATA_LEN, 4, UINT32_MAX, -EBADMSG, "length of the data does not fit");
	spoil(&v, e + AT_DATA_OFF, 8, data + 8, -EBADMSG, "its data is not aligned");
	spoil(&v, e + AT_DATA_OFF, 8, 0, -EBADMSG, "its data is not within the RAM section");
	spoil(&v, e + AT_DATA_OFF, 8, 4096, -EBADMSG, "its data is not within the RAM section");
	spoil(&v, e + AT_DATA_OFF, 8, snap_align(index), -EBADMSG, "not within the RAM section");
	spoil(&v, e + AT_DATA_OFF, 8, UINT64_MAX - 4095, -EBADMSG, "not within the RAM section");
	spoil(&v, e + AT_DATA_OFF, 8, data + 4096, -EBADMSG, "chunks overlap or leave something");
	spoil(&v, f + AT_DATA_OFF, 8, data, -EBADMSG, "chunks overlap or leave something out");
	spoil(&v, e + AT_TAG_LEN, 4, 2, -EBADMSG, "length of the tags does not fit");
	spoil(&v, e + AT_TAG_LEN, 4, 3 * 129 + 1, -EBADMSG, "length of the tags does not fit");
	spoil(&v, e + AT_TAG_OFF, 8, 0, -EBADMSG, "its tags are not within the RAM section");
	spoil(&v, e + AT_TAG_OFF, 8, index - 1, -EBADMSG,
	      "its tags are not within the RAM section");
	spoil(&v, e + AT_TAG_OFF, 8, UINT64_MAX, -EBADMSG, "tags are not within the RAM section");
	spoil(&v, e + AT_TAG_OFF, 8, data, -EBADMSG, "chunks overlap or leave something out");
	spoil(&v, e + AT_TAG_OFF, 8, tags + 1, -EBADMSG, "chunks overlap or leave something out");
	spoil(&v, f + AT_TAG_LEN, 4, get_le(f + AT_TAG_LEN, 4) - 1, -EBADMSG,
	      "RAM: 1 bytes at offset ");

	/* Padding: there is some in front of the first data. */
	(void)snprintf(text, sizeof(text), "padding at offset %zu is not zero", (size_t)data - 1);
	spoil(&v, v.bytes + data - 1, 1, 1, -EBADMSG, text);
	victim_end(&v);

	v = victim(&child);
	e = entry(&v, 0);
	memset(e + AT_HERE, 0, 16);
	spoil(&v, e, 2, 0, -EBADMSG, "an entry that says nothing");
	set_le(e + AT_HERE, 8, 0);
	spoil(&v, e + AT_ABSENT, 8, 1, -EBADMSG, "it has no pages here, but data or tags");
	victim_end(&v);

	v = victim(&bare);
	spoil(&v, entry(&v, 0) + AT_TAG_LEN, 4, 3, -EBADMSG, "it has tags, and the file has none");
	spoil(&v, entry(&v, 1) + AT_TAG_SUM, 8, 3, -EBADMSG, "it has tags, and the file has none");
	victim_end(&v);

	v = victim(&zstd);
	spoil(&v, entry(&v, 0) + AT_DATA_LEN, 4, 3 * 4096, -EBADMSG, "length of the data does not");
	spoil(&v, entry(&v, 0) + AT_CODEC, 2, SNAP_RAW, -EBADMSG, "length of the data does not");
	spoil(&v, entry(&v, 1) + AT_CODEC, 2, SNAP_ZSTD, -EBADMSG, "length of the data does not");
	victim_end(&v);
}

static void records(void **state)
{
	struct victim v = victim(&raw);
	uint8_t *compat = v.bytes + get_le(v.bytes + AT_COMPAT, 8);
	uint64_t at = get_le(v.bytes + AT_STATE, 8);
	uint8_t *st = v.bytes + at;
	char text[128];

	(void)state;
	spoil(&v, compat, 4, RECORD_CONFIG, -EBADMSG,
	      "compat section, which starts at offset 4096: config record at offset 0 does not "
	      "belong there");
	(void)snprintf(text, sizeof(text),
		       "state section, which starts at offset %zu: compat record at offset 0 does "
		       "not belong",
		       (size_t)at);
	spoil(&v, st, 4, RECORD_COMPAT, -EBADMSG, text);
	spoil(&v, st + 6, 2, 3, -EBADMSG, "flags 0x3, of which this program knows 0x1");
	spoil(&v, st + 12, 4, 1 << 20, -EBADMSG, "cut short, 1048576 bytes of payload where ");
	/* The end comes too early: "vcpu", which has no payload either. */
	spoil(&v, st + 30, 4, RECORD_END, -EBADMSG, "24 bytes are left over at offset 54");
	spoil(&v, st + 54, 4, RECORD_CLOCK, -EBADMSG, "cut short, 0 bytes are left");
	victim_end(&v);
}

static void tags(void **state)
{
	struct victim v = victim(&raw);
	/* Page 1: one byte; page 5: packed; page 6: three runs. */
	uint8_t *t = v.bytes + get_le(entry(&v, 0) + AT_TAG_OFF, 8);

	(void)state;
	assert_int_equal(get_le(entry(&v, 0) + AT_TAG_LEN, 4), 1 + 129 + 7);
	spoil(&v, t, 1, 0x30, -EBADMSG, "page 0 of the chunk, at offset ");
	spoil(&v, t, 1, 0x30, -EBADMSG, "unknown form 0x30");
	spoil(&v, t + 1, 1, 0x05, -EBADMSG, "page 2 of the chunk, at offset ");
	spoil(&v, t, 1, 0x20, -EBADMSG, "page 1 of the chunk, at offset ");
	spoil(&v, t + 130, 1, 0x05, -EBADMSG, "6 bytes are left over after 3 pages");
	spoil(&v, t + 130, 1, 0x20, -EBADMSG, "packed tags are cut short");
	spoil(&v, t + 131, 2, 0xfff0, -EBADMSG, "run 0 has 4096 granules where 256 are left");
	victim_end(&v);
}

static void zstd_frames(void **state)
{
	struct victim v = victim(&zstd);
	uint8_t *e = entry(&v, 0), *at = v.bytes + get_le(e + AT_DATA_OFF, 8);
	size_t len = get_le(e + AT_DATA_LEN, 4), n;
	uint8_t zeros[4 * 4096] = {0};
	uint8_t *p;

	(void)state;
	spoil(&v, at, 4, 0x12345678, -EBADMSG, "not one zstd frame of 3 pages");
	for (unsigned int pages = 2; pages <= 4; pages++) {
		/* One page less; as many, but a frame to be skipped behind them; one page more. */
		n = ZSTD_compress(at, len, zeros, pages * 4096, 3);
		assert_in_range(n, 1, len - 8);
		p = at + n;
		set_le(p, 4, 0x184d2a50);
		set_le(p + 4, 4, len - n - 8);
		memset(p + 8, 0, len - n - 8);
		spoil(&v, at, 1, at[0], -EBADMSG, "not one zstd frame of 3 pages");
	}
	victim_end(&v);
}

/* What of the index is believed is what was summed: each field of its first entry, another the second time. */
static void index_changed_while_it_is_read(void **state)
{
	struct victim v = victim(&raw);
	unsigned int late = 0;

	(void)state;
	for (size_t byte = 0; byte < SNAP_ENTRY; byte++) {
		struct snap_reader *r = NULL;
		struct err err = ERR_INIT;

		changes.at = get_le(v.bytes + AT_INDEX, 8);
		changes.byte = byte;
		changes.reads = 0;
		assert_int_equal(snap_reader_open(v.fd, "test.snap", &r, &err), -EBADMSG);
		assert_int_equal(changes.reads, 2);
		assert_null(r);
		late += strstr(err.msg, "it was changed while it was read") != NULL;
	}
	changes.at = 0;
	/* Nothing else would have noticed those: the sums of data and tags, for a start. */
	assert_in_range(late, 16, SNAP_ENTRY);
	victim_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(truncation_at_every_byte),
	cmocka_unit_test(a_flipped_bit_in_every_byte),
	cmocka_unit_test(every_byte_spoiled_and_signed_again),
	cmocka_unit_test(no_snapshots),
	cmocka_unit_test(cut_while_it_is_read),
	cmocka_unit_test(header),
	cmocka_unit_test(banks),
	cmocka_unit_test(many_chunks_cost_nothing),
	cmocka_unit_test(entries),
	cmocka_unit_test(index_changed_while_it_is_read),
	cmocka_unit_test(records),
	cmocka_unit_test(tags),
	cmocka_unit_test(zstd_frames),
};

UNIT_MAIN(tests)
