/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/log.h"

/* A log into memory, and what came out. */
struct out {
	struct log log;
	int fd;
	char text[1 << 20];
	size_t len;
};

static struct out out;

static void begin(enum log_level level)
{
	memset(&out, 0, sizeof(out));
	out.fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(out.fd >= 0);
	/* A memfd's offset is not locked as a file's is: threads would write over each other. */
	assert_int_equal(fcntl(out.fd, F_SETFL, O_APPEND), 0);
	log_init(&out.log, out.fd, level);
}

static void end(void)
{
	ssize_t n = pread(out.fd, out.text, sizeof(out.text) - 1, 0);

	assert_true(n >= 0);
	out.len = (size_t)n;
	out.text[n] = '\0';
	close(out.fd);
}

static unsigned int lines(void)
{
	unsigned int n = 0;

	for (size_t i = 0; i < out.len; i++)
		n += out.text[i] == '\n';
	return n;
}

static void levels_have_words(void **state)
{
	enum log_level level = LOG_DEBUG;

	(void)state;
	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_ERROR);
	assert_int_equal(log_level_parse("warning", &level), 0);
	assert_int_equal(level, LOG_WARNING);
	assert_int_equal(log_level_parse("info", &level), 0);
	assert_int_equal(level, LOG_INFO);
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_DEBUG);

	level = LOG_INFO;
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_level_parse("Error", &level), -EINVAL);
	assert_int_equal(log_level_parse("errors", &level), -EINVAL);
	assert_int_equal(level, LOG_INFO);
}

static void level_filters(void **state)
{
	(void)state;
	begin(LOG_WARNING);
	log_line(&out.log, LOG_ERROR, "one %d", 1);
	log_line(&out.log, LOG_WARNING, "two");
	log_line(&out.log, LOG_INFO, "three");
	log_line(&out.log, LOG_DEBUG, "four");
	end();
	assert_string_equal(out.text, "lkvm: error: one 1\nlkvm: warning: two\n");

	begin(LOG_ERROR);
	log_guest(&out.log, "dropped");
	end();
	assert_int_equal(out.len, 0);
}

static void raw_terminal_gets_crlf(void **state)
{
	(void)state;
	begin(LOG_INFO);
	atomic_store(&out.log.raw_terminal, true);
	log_line(&out.log, LOG_INFO, "a");
	atomic_store(&out.log.raw_terminal, false);
	log_line(&out.log, LOG_INFO, "b");
	end();
	assert_string_equal(out.text, "lkvm: info: a\r\nlkvm: info: b\n");
}

static void controls_are_replaced(void **state)
{
	(void)state;
	begin(LOG_INFO);
	log_line(&out.log, LOG_INFO, "a\nb\r\033[31m\x7f.");
	end();
	assert_string_equal(out.text, "lkvm: info: a?b??[31m?.\n");
}

static void long_lines_are_cut(void **state)
{
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t len = 990; len < 1040; len++) {
		begin(LOG_INFO);
		atomic_store(&out.log.raw_terminal, len % 2);
		log_line(&out.log, LOG_INFO, "%.*s", (int)len, text);
		end();
		assert_true(out.len <= 1024);
		assert_int_equal(lines(), 1);
		assert_int_equal(out.text[out.len - 1], '\n');
	}
	begin(LOG_INFO);
	log_line(&out.log, LOG_INFO, "%s", text);
	end();
	assert_true(out.len > 1000 && out.len <= 1024);
}

static void errno_survives(void **state)
{
	struct log log;

	(void)state;
	log_init(&log, -1, LOG_DEBUG); /* the write fails */
	errno = ENOTTY;
	log_line(&log, LOG_ERROR, "nowhere");
	assert_int_equal(errno, ENOTTY);
}

/* Makes the log believe that its last line was that many seconds earlier. */
static void seconds_pass(unsigned int seconds)
{
	atomic_fetch_sub(&out.log.window, (uint64_t)seconds << 8);
}

/* At most what two seconds may give, should the test run across the border of one. */
static void guest_is_limited(void **state)
{
	unsigned int n;

	(void)state;
	begin(LOG_WARNING);
	for (int i = 0; i < 1000; i++)
		log_guest(&out.log, "bad access %d", i);
	end();
	n = lines();
	assert_true(n >= 10 && n <= 11);
	assert_memory_equal(out.text, "lkvm: warning: bad access 0\n", 28);
}

/* Control: the limit is what drops lines, not the test's own set-up. */
static void unlimited_comes_whole(void **state)
{
	(void)state;
	begin(LOG_WARNING);
	for (int i = 0; i < 1000; i++)
		log_line(&out.log, LOG_WARNING, "bad access %d", i);
	end();
	assert_int_equal(lines(), 1000);
}

static void left_out_are_counted(void **state)
{
	const char *note;

	(void)state;
	begin(LOG_WARNING);
	for (int i = 0; i < 110; i++)
		log_guest(&out.log, "x");
	seconds_pass(2);
	log_guest(&out.log, "later");
	log_guest(&out.log, "and again");
	end();
	note = strstr(out.text, "later");
	assert_non_null(note);
	assert_non_null(strstr(note, "later (100 more left out before this)\n"));
	/* Told once. */
	assert_non_null(strstr(note, "and again\n"));
}

/* The note is never what is cut. */
static void note_fits_long_lines(void **state)
{
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	begin(LOG_WARNING);
	for (int i = 0; i < 15; i++)
		log_guest(&out.log, "x");
	seconds_pass(2);
	atomic_store(&out.log.raw_terminal, true);
	log_guest(&out.log, "%s", text);
	end();
	assert_non_null(strstr(out.text, "x (5 more left out before this)\r\n"));
	assert_true(strlen(strstr(out.text, "xxx")) <= 1024);
}

/* A guest that never stops: one line a second; after a quiet while the first few pass again. */
static void flood_gets_one_a_second(void **state)
{
	unsigned int before;

	(void)state;
	begin(LOG_WARNING);
	for (int i = 0; i < 100; i++)
		log_guest(&out.log, "x");
	for (int second = 0; second < 20; second++) {
		seconds_pass(1);
		for (int i = 0; i < 100; i++)
			log_guest(&out.log, "x");
	}
	end();
	before = lines();
	assert_true(before >= 10 + 20 && before <= 10 + 20 + 2);

	begin(LOG_WARNING);
	for (int i = 0; i < 100; i++)
		log_guest(&out.log, "x");
	seconds_pass(5);
	for (int i = 0; i < 100; i++)
		log_guest(&out.log, "x");
	end();
	assert_true(lines() >= 20 && lines() <= 22);
}

#define THREADS 4

static void *shout(void *arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++)
		log_guest(&out.log, "from a thread");
	return NULL;
}

static void limit_holds_for_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	begin(LOG_WARNING);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shout, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	end();
	assert_true(lines() >= 10 && lines() <= 12);
}

/* Nobody reads: the next line is lost rather than waited for, and the one after the pipe has room tells of it. */
static void full_pipe_is_not_waited_for(void **state)
{
	char bytes[4096] = "", text[256] = "";
	struct log log;
	int pipes[2];

	(void)state;
	alarm(60); /* what hangs is killed, and so fails */
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(fcntl(pipes[1], F_SETPIPE_SZ, 4096) >= 4096);
	log_init(&log, pipes[1], LOG_DEBUG);
	for (int room = fcntl(pipes[1], F_GETPIPE_SZ); room > 0; room -= (int)sizeof(bytes))
		assert_int_equal(write(pipes[1], bytes, sizeof(bytes)), sizeof(bytes));

	errno = EXDEV;
	log_line(&log, LOG_ERROR, "lost");
	log_guest(&log, "lost too");
	assert_int_equal(errno, EXDEV);

	for (int full = fcntl(pipes[1], F_GETPIPE_SZ); full > 0; full -= (int)sizeof(bytes))
		assert_int_equal(read(pipes[0], bytes, sizeof(bytes)), sizeof(bytes));
	log_guest(&log, "here");
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "lkvm: warning: here (2 more left out before this)\n");
	close(pipes[0]);
	close(pipes[1]);
	alarm(0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(levels_have_words),
	cmocka_unit_test(level_filters),
	cmocka_unit_test(raw_terminal_gets_crlf),
	cmocka_unit_test(controls_are_replaced),
	cmocka_unit_test(long_lines_are_cut),
	cmocka_unit_test(errno_survives),
	cmocka_unit_test(guest_is_limited),
	cmocka_unit_test(unlimited_comes_whole),
	cmocka_unit_test(left_out_are_counted),
	cmocka_unit_test(note_fits_long_lines),
	cmocka_unit_test(flood_gets_one_a_second),
	cmocka_unit_test(limit_holds_for_threads),
	cmocka_unit_test(full_pipe_is_not_waited_for),
};

UNIT_MAIN(tests)
