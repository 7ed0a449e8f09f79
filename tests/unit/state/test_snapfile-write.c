/* SPDX-License-Identifier: GPL-2.0-only */
/* What the writer of snapshot files does not do, and what it says when a disk does not let it. */
#include "snap-sample.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static const struct sample no_tags = {"raw", 4096, false, SNAP_RAW, false};
static const struct sample tags_root = {"tags", 4096, true, SNAP_RAW, false};
static const struct sample tags_child = {"child", 4096, true, SNAP_RAW, true};
static const struct sample zstd = {"zstd", 4096, true, SNAP_ZSTD, false};

static struct snap_writer *begin(int fd, const struct snap_info *info)
{
	struct wbuf compat, state;
	struct snap_writer *w;

	sample_records(&compat, &state);
	assert_int_equal(snap_writer_open(fd, info, SNAP_RAW, 0, &w, NULL), 0);
	assert_int_equal(snap_writer_compat(w, &compat, NULL), 0);
	assert_int_equal(snap_writer_state(w, &state, NULL), 0);
	wbuf_release(&compat);
	wbuf_release(&state);
	return w;
}

static void refuse_chunk(const struct sample *s, uint32_t bank, uint64_t chunk, uint64_t here,
			 uint64_t absent, bool tags)
{
	static uint8_t data[4096], tag[70 * 128];
	const void *pages[64];
	struct err err = ERR_INIT;
	struct snap_info info;
	struct snap_writer *w;
	struct snap_reader *r;
	int fd = new_file();

	for (unsigned int i = 0; i < 64; i++)
		pages[i] = data;
	sample_info(s, &info);
	w = begin(fd, &info);
	assert_int_equal(
		snap_writer_chunk(w, bank, chunk, here, absent, pages, tags ? tag : NULL, &err),
		-EINVAL);
	assert_non_null(strstr(err.msg, "cannot be saved like this"));
	/* And there is no file that lacks it. */
	assert_int_equal(snap_writer_finish(w, NULL, &err), -EINVAL);
	snap_writer_close(w);
	assert_int_equal(snap_reader_open(fd, "x", &r, &err), -EBADMSG);
	assert_string_equal(err.msg, "x: no header at offset 0: saving was never finished");
	close(fd);
}

static void writer_refuses_chunks(void **state)
{
	const struct sample *root = &tags_root;
	const struct sample *child = &tags_child;
	const struct sample *bare = &no_tags;

	(void)state;
	refuse_chunk(root, 2, 0, 1, ~1ull, true);      /* no such bank */
	refuse_chunk(root, 0, 2, 1, ~1ull, true);      /* no such chunk */
	refuse_chunk(root, 0, UINT64_MAX, 1, 0, true); /* the same */
	refuse_chunk(root, 0, 1, 0x7f, 0, true);       /* no such page */
	refuse_chunk(root, 0, 1, 0x1, 0x7e, true);     /* the same */
	refuse_chunk(root, 0, 0, 1, ~0ull, true);      /* both */
	refuse_chunk(root, 0, 0, 1, ~3ull, true);      /* neither */
	refuse_chunk(root, 0, 0, 1, ~1ull, false);     /* tags lost */
	refuse_chunk(bare, 0, 0, 1, ~1ull, true);      /* tags from nowhere */
	refuse_chunk(child, 0, 0, 1, 1, true);	       /* both */
	refuse_chunk(child, 0, 1, 0, 0x40, true);      /* no such page */
}

static void writer_refuses_order(void **state)
{
	const struct sample *s = &tags_root;
	struct wbuf compat, records, none;
	struct err err = ERR_INIT;
	struct snap_info info;
	struct snap_writer *w;
	int fd = new_file();

	(void)state;
	sample_info(s, &info);
	sample_records(&compat, &records);
	wbuf_init(&none, 10);

	/* State before compat. */
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_state(w, &records, &err), -EINVAL);
	snap_writer_close(w);
	/* Twice; nothing at all; RAM too early. */
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_compat(w, &compat, &err), 0);
	assert_int_equal(snap_writer_compat(w, &compat, &err), -EINVAL);
	snap_writer_close(w);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_compat(w, &none, &err), -EBADMSG);
	snap_writer_close(w);
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_compat(w, &compat, &err), 0);
	assert_int_equal(sample_write_chunk(w, s, &info, 0, 0, &err), -EINVAL);
	snap_writer_close(w);
	assert_int_equal(ftruncate(fd, 0), 0);
	/* Records without their end; of another section; that failed. */
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_compat(w, &records, &err), -EBADMSG);
	snap_writer_close(w);
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_compat(w, &compat, &err), 0);
	records.len -= 24;
	assert_int_equal(snap_writer_state(w, &records, &err), -EBADMSG);
	snap_writer_close(w);
	assert_int_equal(ftruncate(fd, 0), 0);
	wbuf_bytes(&none, &info, sizeof(info));
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), 0);
	assert_int_equal(snap_writer_compat(w, &none, &err), -E2BIG);
	snap_writer_close(w);
	/* A chunk twice. */
	w = begin(fd, &info);
	assert_int_equal(sample_write_chunk(w, s, &info, 0, 0, &err), 0);
	assert_int_equal(sample_write_chunk(w, s, &info, 1, 0, &err), 0);
	assert_int_equal(sample_write_chunk(w, s, &info, 0, 0, &err), 0);
	assert_int_equal(snap_writer_finish(w, NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "chunk 0 of bank 0 was saved twice");
	snap_writer_close(w);
	/* Over something. */
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), -EINVAL);
	/* After the end. */
	assert_int_equal(ftruncate(fd, 0), 0);
	w = begin(fd, &info);
	assert_int_equal(snap_writer_finish(w, NULL, &err), 0);
	assert_int_equal(sample_write_chunk(w, s, &info, 0, 0, &err), -EINVAL);
	assert_int_equal(snap_writer_finish(w, NULL, &err), -EINVAL);
	snap_writer_close(w);

	wbuf_release(&compat);
	wbuf_release(&records);
	wbuf_release(&none);
	close(fd);
}

static void refuse_info(void (*spoil)(struct snap_info *info), const char *text)
{
	struct err err = ERR_INIT;
	struct snap_writer *w;
	struct snap_info info;
	int fd = new_file();

	sample_info(&no_tags, &info);
	spoil(&info);
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 0, &w, &err), -EINVAL);
	assert_string_equal(err.msg, text);
	close(fd);
}

#define SPOIL(name, what)                        \
	static void name(struct snap_info *info) \
	{                                        \
		what;                            \
	}
SPOIL(page_8k, info->page_size = 8192)
SPOIL(no_uuid, memset(info->uuid, 0, 16))
SPOIL(own_parent, memcpy(info->parent, info->uuid, 16))
SPOIL(no_banks, info->nbanks = 0)
SPOIL(many_banks, info->nbanks = 9)
SPOIL(no_name, info->bank[0].name[0] = 0)
SPOIL(long_name, memset(info->bank[0].name, 'x', 16))
SPOIL(odd_name, info->bank[0].name[1] = '/')
SPOIL(more_name, info->bank[0].name[9] = 'x')
SPOIL(no_size, info->bank[0].size = 0)
SPOIL(odd_size, info->bank[0].size += 512)
SPOIL(odd_place, info->bank[0].gpa += 16)
SPOIL(wraps, info->bank[0].gpa = UINT64_MAX - 4095; info->bank[0].size = 8192)
SPOIL(overlap, info->bank[1].gpa = 0x80000000 + 69 * 4096)
SPOIL(huge, info->bank[0].size = 1ull << 60)

static void writer_refuses_info(void **state)
{
	struct snap_writer *w;
	struct snap_info info;
	struct err err = ERR_INIT;
	int fd = new_file();

	(void)state;
	refuse_info(page_8k, "snapshot to write: page size 8192 is none of 4096, 16384, 65536");
	refuse_info(no_uuid, "snapshot to write: the uuid is all zeros");
	refuse_info(own_parent, "snapshot to write: it is its own parent");
	refuse_info(no_banks, "snapshot to write: 0 banks of RAM, where 1 to 8 can be");
	refuse_info(many_banks, "snapshot to write: 9 banks of RAM, where 1 to 8 can be");
	refuse_info(no_name, "snapshot to write: bank 0 of RAM has no proper name");
	refuse_info(long_name, "snapshot to write: bank 0 of RAM has no proper name");
	refuse_info(odd_name, "snapshot to write: bank 0 of RAM has no proper name");
	refuse_info(more_name, "snapshot to write: bank 0 of RAM has no proper name");
	refuse_info(no_size, "snapshot to write: bank ram: 0x0 bytes at 0x80000000 are not whole "
			     "pages of 4096");
	refuse_info(odd_size, "snapshot to write: bank ram: 0x46200 bytes at 0x80000000 are not "
			      "whole pages of 4096");
	refuse_info(odd_place, "snapshot to write: bank ram: 0x46000 bytes at 0x80000010 are not "
			       "whole pages of 4096");
	refuse_info(wraps, "snapshot to write: bank ram: 0x2000 bytes at 0xfffffffffffff000 end "
			   "after the last address");
	refuse_info(overlap, "snapshot to write: banks ram and flash overlap");
	refuse_info(huge, "snapshot to write: banks of 4398046511105 chunks of 64 pages, where "
			  "67108864 can be");

	sample_info(&no_tags, &info);
	assert_int_equal(snap_writer_open(fd, &info, SNAP_ZSTD, 0, &w, &err), -EINVAL);
	assert_string_equal(err.msg, "zstd has levels 1 to 22, and no 0");
	assert_int_equal(snap_writer_open(fd, &info, SNAP_ZSTD, 23, &w, &err), -EINVAL);
	assert_int_equal(snap_writer_open(-1, &info, SNAP_RAW, 0, &w, &err), -EBADF);
	close(fd);
}

/* ---- disks that fail ---- */

static void disk_full(void **state)
{
	struct err err = ERR_INIT;
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sample_write(fd, &tags_root, NULL, &err), -ENOSPC);
	assert_string_equal(err.msg, "cannot write the snapshot file at offset 4096: "
				     "No space left on device");
	close(fd);
}

static void disk_broken(void **state)
{
	struct err err = ERR_INIT;
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC); /* nothing is mapped at 4096 */

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sample_write(fd, &tags_root, NULL, &err), -EIO);
	assert_string_equal(err.msg, "cannot write the snapshot file at offset 4096: "
				     "Input/output error");
	close(fd);
}

/* Full after any number of bytes: in the midst of a chunk, of the tags, the index, the header. */
static void disk_full_anywhere(void **state)
{
	const struct sample *all[] = {&tags_root, &zstd};
	struct rlimit old, limit;
	struct sigaction ignore = {.sa_handler = SIG_IGN}, handler;

	(void)state;
	assert_int_equal(sigaction(SIGXFSZ, &ignore, &handler), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct err err = ERR_INIT;
		struct snap_info info;
		struct snap_reader *r;
		int fd = new_file();

		assert_int_equal(sample_write(fd, all[i], &info, &err), 0);
		for (uint64_t size = 0; size < info.file_size; size += 97) {
			int rc;

			assert_int_equal(ftruncate(fd, 0), 0);
			limit = old;
			limit.rlim_cur = size;
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
			rc = sample_write(fd, all[i], NULL, &err);
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
			assert_int_equal(rc, -EFBIG);
			assert_non_null(strstr(err.msg, "cannot write the snapshot file at "));
			assert_int_equal(snap_reader_open(fd, "x", &r, &err), -EBADMSG);
		}
		close(fd);
	}
	assert_int_equal(sigaction(SIGXFSZ, &handler, NULL), 0);
}

/* Room again after an error does not make a file of it: a chunk is missing. */
static void an_error_stays(void **state)
{
	const struct sample *s = &tags_root;
	struct sigaction ignore = {.sa_handler = SIG_IGN}, handler;
	struct rlimit old, limit;
	struct err err = ERR_INIT;
	struct snap_reader *r;
	struct snap_writer *w;
	struct snap_info info;
	int fd = new_file(), rc;

	(void)state;
	sample_info(s, &info);
	w = begin(fd, &info);
	assert_int_equal(sigaction(SIGXFSZ, &ignore, &handler), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 8192 + 5000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	rc = sample_write_chunk(w, s, &info, 0, 0, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(sigaction(SIGXFSZ, &handler, NULL), 0);
	assert_int_equal(rc, -EFBIG);
	assert_string_equal(err.msg, "cannot write the snapshot file at offset 13192: "
				     "File too large");
	assert_int_equal(sample_write_chunk(w, s, &info, 1, 0, &err), -EINVAL);
	assert_int_equal(snap_writer_finish(w, &info, &err), -EFBIG);
	snap_writer_close(w);
	assert_int_equal(snap_reader_open(fd, "x", &r, &err), -EBADMSG);
	assert_string_equal(err.msg, "x: no header at offset 0: saving was never finished");
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(writer_refuses_chunks), cmocka_unit_test(writer_refuses_order),
	cmocka_unit_test(writer_refuses_info),	 cmocka_unit_test(disk_full),
	cmocka_unit_test(disk_broken),		 cmocka_unit_test(disk_full_anywhere),
	cmocka_unit_test(an_error_stays),
};

UNIT_MAIN(tests)
