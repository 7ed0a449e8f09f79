/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "vm/fake_port.h"

#define PASTE (64 * 1024)

static struct event_loop loop;
static struct log log_;
static int log_fd;
static struct fake_port port;

static int setup(void **state)
{
	FILE *f = tmpfile();

	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	signal(SIGPIPE, SIG_IGN);
	log_fd = dup(fileno(f));
	fclose(f);
	log_init(&log_, log_fd, LOG_DEBUG);
	return event_loop_init(&loop, NULL);
}

static int teardown(void **state)
{
	char byte;

	(void)state;
	event_loop_release(&loop);
	assert_int_equal(pread(log_fd, &byte, 1, 0), 0); /* nothing here is worth a line */
	close(log_fd);
	return 0;
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251 + i / 65521);
}

static void *write_all(void *arg)
{
	uint8_t buf[PASTE];
	int fd = *(int *)arg;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = pattern(i);
	for (size_t at = 0; at < sizeof(buf);) {
		size_t n = 1 + at % 3000;
		ssize_t w = write(fd, buf + at, n < sizeof(buf) - at ? n : sizeof(buf) - at);

		if (w <= 0)
			break;
		at += (size_t)w;
	}
	close(fd);
	return NULL;
}

/* A guest that takes a little at a time, in pieces of all sizes. */
static bool take_slowly(void *ctx)
{
	struct fake_port *p = ctx;

	if (p->rx_n == p->room && p->room < PASTE) {
		size_t n = 1 + p->room % 509;

		fake_more_room(p, n < PASTE - p->room ? n : PASTE - p->room);
	}
	return p->rx_n == PASTE;
}

static void assert_all_came(void)
{
	assert_int_equal(port.rx_n, PASTE);
	for (size_t i = 0; i < PASTE; i++)
		assert_int_equal(port.rx[i], pattern(i));
}

static void paste_arrives_whole(void **state)
{
	(void)state;
	for (int socket = 0; socket < 2; socket++) {
		int p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
		struct chardev *c;
		pthread_t thread;

		if (socket)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
		else
			assert_int_equal(pipe(p), 0);
		c = on_fds(&loop, &log_, p[0], null, NULL, NULL);
		fake_attach(&port, c);
		port.room = 0;
		assert_int_equal(pthread_create(&thread, NULL, write_all, &p[1]), 0);
		run_until(&loop, take_slowly, &port);
		pthread_join(thread, NULL);
		/* The end of the input is nothing the guest hears of. */
		port.room += 100;
		run_ms(&loop, 5);
		assert_all_came();
		assert_false(fcntl(p[0], F_GETFL) & O_NONBLOCK);
		chardev_close(c);
		close(p[0]);
		close(null);
	}
}

/* What the port has no room for stays in the pipe, and nobody turns in circles meanwhile, its end included. */
static void no_room_no_reading(void **state)
{
	int p[2], n, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct chardev *c;
	unsigned int calls;

	(void)state;
	assert_int_equal(pipe(p), 0);
	c = on_fds(&loop, &log_, p[0], null, NULL, NULL);
	fake_attach(&port, c);
	port.room = 10;
	assert_int_equal(write(p[1], "0123456789abcdef", 16), 16);
	run_until(&loop, fake_is_full, &port);
	run_ms(&loop, 5);
	assert_int_equal(ioctl(p[0], FIONREAD, &n), 0);
	assert_int_equal(n, 6);
	calls = port.calls;
	close(p[1]); /* the end, while there is no room */
	run_ms(&loop, 20);
	assert_in_range(port.calls, calls, calls + 1);

	fake_more_room(&port, 4);
	run_until(&loop, fake_is_full, &port);
	fake_more_room(&port, 100);
	run_ms(&loop, 5);
	assert_int_equal(port.rx_n, 16);
	assert_memory_equal(port.rx, "0123456789abcdef", 16);

	/* At its end there is nothing to watch any more. */
	calls = port.calls;
	run_ms(&loop, 20);
	assert_int_equal(port.calls, calls);
	chardev_close(c);
	close(p[0]);
	close(null);
}

/* A regular file cannot be polled: it is read as the port takes it, from where the shell has left it. */
static void file_is_read_in_slices(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct chardev *c;
	unsigned int calls;
	FILE *f = tmpfile();
	int zero;

	(void)state;
	assert_int_equal(fwrite("skip", 1, 4, f), 4);
	for (size_t i = 0; i < PASTE; i++)
		fputc(pattern(i), f);
	fflush(f);
	assert_int_equal(lseek(fileno(f), 4, SEEK_SET), 4);
	c = on_fds(&loop, &log_, fileno(f), null, NULL, NULL);
	fake_attach(&port, c);
	port.room = 100;
	assert_int_equal(port.rx_n, 0); /* not before the loop runs */
	run_until(&loop, fake_is_full, &port);
	run_ms(&loop, 5);
	calls = port.calls;
	run_ms(&loop, 20);
	assert_int_equal(port.calls, calls);
	assert_int_equal(lseek(fileno(f), 0, SEEK_CUR), 104);

	run_until(&loop, take_slowly, &port);
	assert_all_came();
	fake_more_room(&port, 100);
	run_ms(&loop, 5);
	assert_all_came();
	chardev_close(c);
	fclose(f);

	/* An endless one and endless room: other events still have their turn, so that this returns. */
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	c = on_fds(&loop, &log_, zero, null, NULL, NULL);
	fake_attach(&port, c);
	port.endless_room = true;
	run_ms(&loop, 5);
	assert_true(port.calls > 0);
	chardev_close(c);
	close(zero);
	close(null);
}

static void no_input_at_all(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct chardev *c;
	unsigned int calls;

	(void)state;
	c = on_fds(&loop, &log_, null, null, NULL, NULL);
	fake_attach(&port, c);
	run_ms(&loop, 5);
	calls = port.calls;
	fake_print(&port, "x", 1);
	run_until(&loop, fake_all_out, &port);
	run_ms(&loop, 20);
	assert_in_range(port.calls, calls, calls + 10);
	assert_int_equal(port.rx_n, 0);
	chardev_close(c);
	close(null);
}

/* In a child, since descriptors 0 and 1 are really closed there. */
static void closed_stdin_and_stdout(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid) {
		struct chardev *c;
		bool good;

		close(0);
		close(1);
		if (chardev_open_stdio(&loop, &log_, on_fds_no_quit, NULL, &c, NULL))
			_exit(1);
		fake_attach(&port, c);
		fake_print(&port, "nowhere", 7);
		run_until(&loop, fake_all_out, &port);
		chardev_drain(c);
		good = !port.rx_n && port.tx_total == 7;
		chardev_close(c);
		_exit(good ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The port goes and another comes, as at a reboot: what came meanwhile, or was not taken, is the new one's. */
static void ports_come_and_go(void **state)
{
	int p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct chardev *c;

	(void)state;
	assert_int_equal(pipe(p), 0);
	c = on_fds(&loop, &log_, p[0], null, NULL, NULL);
	assert_int_equal(write(p[1], "early", 5), 5);
	run_ms(&loop, 5); /* no port yet */
	fake_attach(&port, c);
	port.room = 3;
	assert_int_equal(port.rx_n, 0);
	run_until(&loop, fake_is_full, &port);
	assert_memory_equal(port.rx, "ear", 3);

	chardev_attach(c, NULL, NULL);
	chardev_attach(c, NULL, NULL); /* twice does no harm */
	assert_int_equal(write(p[1], " more", 5), 5);
	chardev_tx_waiting(c);
	chardev_rx_room(c);
	run_ms(&loop, 5);
	fake_attach(&port, c);
	port.room = 7;
	run_until(&loop, fake_is_full, &port);
	assert_memory_equal(port.rx, "ly more", 7);

	/* Straight from one to the next, the first in the middle of everything. */
	fake_print(&port, "x", 1);
	assert_int_equal(write(p[1], "again", 5), 5);
	fake_attach(&port, c);
	port.room = 5;
	run_until(&loop, fake_is_full, &port);
	assert_memory_equal(port.rx, "again", 5);
	fake_print(&port, "y", 1);
	run_until(&loop, fake_all_out, &port);
	chardev_close(c);
	close(p[0]);
	close(p[1]);
	close(null);
}

/* While held nothing passes; let go, all of it does, and what was asked for meanwhile is not forgotten. */
static void held(void **state)
{
	int in[2], out[2], n;
	struct chardev *c;

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	for (int early = 0; early < 2; early++) {
		c = on_fds(&loop, &log_, in[0], out[1], NULL, NULL);
		fake_attach(&port, c);
		port.room = 4;
		if (early) { /* both directions are under way when it is held */
			fake_print(&port, "out", 3);
			assert_int_equal(write(in[1], "in", 2), 2);
		}
		chardev_hold(c, true);
		if (!early) {
			fake_print(&port, "out", 3);
			assert_int_equal(write(in[1], "in", 2), 2);
		}
		run_ms(&loop, 20);
		chardev_drain(c);
		assert_int_equal(port.tx_n, 3);
		assert_int_equal(port.rx_n, 0);
		chardev_hold(c, false);
		run_until(&loop, fake_all_out, &port);
		assert_int_equal(ioctl(out[0], FIONREAD, &n), 0);
		assert_int_equal(n, 3);
		assert_int_equal(read(out[0], port.tx, 3), 3);
		assert_int_equal(write(in[1], "to", 2), 2);
		run_until(&loop, fake_is_full, &port);
		assert_memory_equal(port.rx, "into", 4);
		/* Output works as before, by itself. */
		fake_print(&port, "x", 1);
		run_until(&loop, fake_all_out, &port);
		assert_int_equal(read(out[0], port.tx, 1), 1);
		chardev_close(c);
	}
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(paste_arrives_whole, setup, teardown),
	cmocka_unit_test_setup_teardown(no_room_no_reading, setup, teardown),
	cmocka_unit_test_setup_teardown(file_is_read_in_slices, setup, teardown),
	cmocka_unit_test_setup_teardown(no_input_at_all, setup, teardown),
	cmocka_unit_test_setup_teardown(closed_stdin_and_stdout, setup, teardown),
	cmocka_unit_test_setup_teardown(ports_come_and_go, setup, teardown),
	cmocka_unit_test_setup_teardown(held, setup, teardown),
};

UNIT_MAIN(tests)
