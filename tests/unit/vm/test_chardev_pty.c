/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>

#include "vm/fake_port.h"

static struct event_loop loop;
static struct log log_;
static int log_fd;
static struct fake_port port;
static struct chardev *c;

static int setup(void **state)
{
	FILE *f = tmpfile();

	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	log_fd = dup(fileno(f));
	fclose(f);
	log_init(&log_, log_fd, LOG_DEBUG);
	if (event_loop_init(&loop, NULL) || chardev_open_pty(&loop, &log_, &c, NULL))
		return -1;
	fake_attach(&port, c);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	chardev_close(c);
	event_loop_release(&loop);
	close(log_fd);
	return 0;
}

static int connect_to_it(void)
{
	int fd = open(chardev_path(c), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void print(const char *text)
{
	fake_print(&port, text, strlen(text));
	run_until(&loop, fake_all_out, &port);
}

/* What has been printed takes a moment through the kernel's line discipline. */
static void expect(int fd, const char *text)
{
	char buf[256];
	size_t n = 0;

	while (n < strlen(text)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		assert_int_equal(poll(&p, 1, 30000), 1);
		got = read(fd, buf + n, sizeof(buf) - n);
		assert_true(got > 0);
		n += (size_t)got;
	}
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, n);
}

static void is_named(void **state)
{
	char text[512];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	(void)state;
	assert_true(n > 0);
	text[n] = 0;
	assert_int_equal(strncmp(chardev_path(c), "/dev/pts/", 9), 0);
	assert_non_null(strstr(text, chardev_path(c)));
	assert_non_null(strstr(text, "info"));
}

static void is_raw(void **state)
{
	int fd = connect_to_it();
	struct termios t;

	(void)state;
	assert_int_equal(tcgetattr(fd, &t), 0);
	assert_int_equal(t.c_lflag & (ICANON | ECHO | ISIG | IEXTEN), 0);
	assert_int_equal(t.c_iflag & (ICRNL | IXON | ISTRIP), 0);
	assert_int_equal(t.c_oflag & OPOST, 0);
	/* And stays so for the next one. */
	close(fd);
	fd = connect_to_it();
	assert_int_equal(tcgetattr(fd, &t), 0);
	assert_int_equal(t.c_lflag & (ICANON | ECHO | ISIG | IEXTEN), 0);
	close(fd);
}

/* From the very first byte: nobody has ever opened it. */
static void unread_output_is_discarded(void **state)
{
	uint8_t fill[FAKE_RING];
	int fd;

	(void)state;
	memset(fill, '.', sizeof(fill));
	for (int i = 0; i < 64; i++) { /* far more than the kernel keeps */
		fake_print(&port, fill, sizeof(fill));
		run_until(&loop, fake_all_out, &port);
	}
	fd = connect_to_it();
	print("hello");
	expect(fd, "hello");
	close(fd);

	/* Nobody again, after somebody who has not read all. */
	fd = connect_to_it();
	print("unread");
	close(fd);
	run_ms(&loop, 5);
	print("to nobody");
	fd = connect_to_it();
	print("fresh");
	expect(fd, "fresh");
	close(fd);
	run_ms(&loop, 5);
}

static void idle_costs_nothing(void **state)
{
	unsigned int calls;
	int fd;

	(void)state;
	for (int i = 0; i < 2; i++) {
		run_ms(&loop, 5);
		calls = port.calls;
		run_ms(&loop, 30);
		assert_int_equal(port.calls, calls);
		/* The same after somebody was there and left. */
		fd = connect_to_it();
		run_ms(&loop, 5);
		calls = port.calls;
		run_ms(&loop, 10);
		assert_int_equal(port.calls, calls);
		close(fd);
	}
}

static bool has_eight(void *ctx)
{
	(void)ctx;
	return port.rx_n == 8;
}

static void input_works_each_time(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		int fd = connect_to_it();

		port.rx_n = 0;
		assert_int_equal(write(fd, "\x01x\x03\r\n\xff", 6), 6); /* no key means anything */
		assert_int_equal(write(fd, "ab", 2), 2);
		if (i == 1)
			close(fd); /* gone before it is read */
		run_until(&loop, has_eight, NULL);
		assert_memory_equal(port.rx,
				    "\x01x\x03\r\n\xff"
				    "ab",
				    8);
		if (i != 1)
			close(fd);
		run_ms(&loop, 3);
	}
}

static void long_traffic_is_whole(void **state)
{
	static uint8_t in[64 * 1024], out[64 * 1024];
	size_t sent = 0, got = 0, printed = 0;
	int fd = connect_to_it();

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + i / 251);
	port.room = 0;
	for (int rounds = 0; rounds < 30000 && (got < sizeof(in) || port.rx_n < sizeof(in));
	     rounds++) {
		ssize_t n;

		if (sent < sizeof(in)) {
			n = write(fd, in + sent, sizeof(in) - sent);
			sent += n > 0 ? (size_t)n : 0;
		}
		while (printed < sizeof(in) && port.tx_n < FAKE_RING)
			fake_print(&port, &in[printed++], 1);
		if (port.room < sizeof(in))
			fake_more_room(&port, 128);
		run_ms(&loop, 1);
		/* A reader that is slower than the guest: it gets all the same. */
		n = read(fd, out + got, sizeof(out) - got < 700 ? sizeof(out) - got : 700);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, sizeof(in));
	assert_memory_equal(out, in, sizeof(in));
	assert_int_equal(port.rx_n, sizeof(in));
	assert_memory_equal(port.rx, in, sizeof(in));
	close(fd);
}

/* Connected but not reading, with the output waiting for it; then it leaves. The guest goes on. */
static void reader_leaves_blocked_output(void **state)
{
	uint8_t fill[FAKE_RING] = {0};
	int fd = connect_to_it(), i;

	(void)state;
	for (i = 0; i < 100 && !port.tx_n; i++) {
		fake_print(&port, fill, sizeof(fill));
		run_ms(&loop, 10);
	}
	assert_int_not_equal(port.tx_n, 0); /* the kernel is full */
	close(fd);
	run_until(&loop, fake_all_out, &port);
	fd = connect_to_it();
	print("here");
	expect(fd, "here");
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(is_named, setup, teardown),
	cmocka_unit_test_setup_teardown(is_raw, setup, teardown),
	cmocka_unit_test_setup_teardown(unread_output_is_discarded, setup, teardown),
	cmocka_unit_test_setup_teardown(idle_costs_nothing, setup, teardown),
	cmocka_unit_test_setup_teardown(input_works_each_time, setup, teardown),
	cmocka_unit_test_setup_teardown(long_traffic_is_whole, setup, teardown),
	cmocka_unit_test_setup_teardown(reader_leaves_blocked_output, setup, teardown),
};

UNIT_MAIN(tests)
