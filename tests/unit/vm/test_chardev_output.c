/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vm/fake_port.h"

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
	(void)state;
	event_loop_release(&loop);
	close(log_fd);
	return 0;
}

static int log_lines(void)
{
	char text[65536];
	ssize_t n = pread(log_fd, text, sizeof(text), 0);
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251 + i / 65521);
}

static int dev_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static size_t waiting_in(int fd)
{
	int n;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return (size_t)n;
}

static void print_more(struct event_timer *timer)
{
	(void)timer;
	fake_print(&port, "on", 2);
}

static bool has_come(void *ctx)
{
	const int *fd = ctx;

	return poll(&(struct pollfd){.fd = *fd, .events = POLLIN}, 1, 0) == 1;
}

/* A socket that keeps the borders of writes shows how many there were. */
static void output_collects(void **state)
{
	int s[2], null = dev_null();
	struct event_timer timer;
	ssize_t got = 0;
	char buf[8192];
	struct chardev *c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	c = on_fds(&loop, &log_, null, s[0], NULL, NULL);
	assert_string_equal(chardev_path(c), "stdio");
	fake_attach(&port, c);

	for (int i = 0; i < 300; i++)
		fake_print(&port, "abc", 3);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT), 900);
	assert_memory_equal(buf + 897, "abc", 3);
	assert_int_equal(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT), -1);

	/*
	 * Also what comes a while later: it is printed by a timer that goes off after 1 ms, before the port's own; unless
	 * this process got no processor in between, which does not happen each time.
	 */
	assert_int_equal(event_timer_init(&timer, &loop, print_more, NULL, NULL), 0);
	for (int i = 0; got != 4 && i < 50; i++) {
		event_timer_arm(&timer, 1000000);
		fake_print(&port, "so", 2);
		run_until(&loop, fake_all_out, &port);
		got = recv(s[1], buf, sizeof(buf), MSG_DONTWAIT);
		if (got == 2) {
			run_until(&loop, has_come, &s[1]);
			assert_int_equal(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT), 2);
		}
	}
	assert_int_equal(got, 4);
	assert_memory_equal(buf, "soon", 4);
	event_timer_release(&timer);

	/* And again, after it was empty. */
	fake_print(&port, "x", 1);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT), 1);

	chardev_close(c);
	close(s[0]);
	close(s[1]);
	close(null);
}

struct look {
	int fd;
	size_t seen;
};

static void look_and_stop(struct event_timer *timer)
{
	struct look *look = timer->ctx;

	look->seen = waiting_in(look->fd);
	event_stop(timer->loop);
}

/* More than half a buffer does not wait: it is out before a timer that was armed earlier for 2 ms. */
static void much_output_goes_at_once(void **state)
{
	static const uint8_t much[FAKE_RING / 2 + 1];
	struct look look;
	int p[2], null = dev_null();
	struct event_timer timer;
	struct chardev *c;

	(void)state;
	assert_int_equal(pipe(p), 0);
	look.fd = p[0];
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	run_ms(&loop, 1); /* the start is over, which looks at input and output too */
	assert_int_equal(event_timer_init(&timer, &loop, look_and_stop, &look, NULL), 0);
	event_timer_arm(&timer, 2000000);
	fake_print(&port, much, sizeof(much));
	assert_int_equal(event_run(&loop, NULL), 0);
	assert_int_equal(look.seen, sizeof(much));
	event_timer_release(&timer);
	chardev_close(c);
	close(p[0]);
	close(p[1]);
	close(null);
}

struct slow_reader {
	int fd;
	size_t n, wrong;
};

static void *read_slowly(void *arg)
{
	struct slow_reader *r = arg;
	uint8_t buf[999];
	ssize_t n;

	for (int turn = 1; (n = read(r->fd, buf, sizeof(buf))) > 0; turn++) {
		for (ssize_t i = 0; i < n; i++, r->n++)
			r->wrong += buf[i] != pattern(r->n);
		if (!(turn % 16))
			usleep(200);
	}
	return NULL;
}

struct producer {
	size_t made, total;
};

/* Keeps the buffer full: all of it, as fast as it goes. */
static bool produce(void *ctx)
{
	struct producer *p = ctx;

	while (p->made < p->total && port.tx_n < FAKE_RING) {
		uint8_t byte = pattern(p->made++);

		fake_print(&port, &byte, 1);
	}
	return p->made == p->total && !port.tx_n;
}

static void slow_reader_gets_all(void **state)
{
	(void)state;
	/* A pipe, and a socket, which cannot have a private description. */
	for (int socket = 0; socket < 2; socket++) {
		struct producer producer = {.total = 200 * 1024};
		struct slow_reader reader = {0};
		int p[2], null = dev_null();
		struct chardev *c;
		pthread_t thread;

		if (socket) {
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
		} else {
			assert_int_equal(pipe(p), 0);
			fcntl(p[1], F_SETPIPE_SZ, 4096);
		}
		c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
		fake_attach(&port, c);
		reader.fd = p[0];
		assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
		run_until(&loop, produce, &producer);
		/* The description that others share is as it was. */
		assert_false(fcntl(p[1], F_GETFL) & O_NONBLOCK);
		chardev_close(c);
		close(p[1]);
		pthread_join(thread, NULL);
		assert_int_equal(reader.n, 200 * 1024);
		assert_int_equal(reader.wrong, 0);
		close(p[0]);
		close(null);
	}
	assert_int_equal(log_lines(), 0);
}

/* Nobody reads: the port keeps its bytes, and nothing turns in circles. */
static void blocked_output_waits(void **state)
{
	uint8_t fill[FAKE_RING] = {0};
	int p[2], null = dev_null();
	struct chardev *c;
	unsigned int calls;

	(void)state;
	assert_int_equal(pipe(p), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(write(p[1], fill, 4096), 4096);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	fake_print(&port, "waits", 5);
	run_ms(&loop, 20);
	calls = port.calls;
	run_ms(&loop, 30);
	assert_int_equal(port.tx_n, 5);
	assert_int_equal(port.calls, calls);
	/* More of it changes nothing, and is not forgotten. */
	fake_print(&port, fill, FAKE_RING - 5);
	run_ms(&loop, 10);
	assert_int_equal(port.calls, calls);
	assert_int_equal(port.tx_n, FAKE_RING);

	assert_int_equal(read(p[0], fill, 4096), 4096);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(read(p[0], fill, 4096), 4096);
	assert_memory_equal(fill, "waits", 5);
	/* And it works as before. */
	fake_print(&port, "more", 4);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(waiting_in(p[0]), 4);

	chardev_close(c);
	close(p[0]);
	close(p[1]);
	close(null);
}

/* A byte printed between the last write and the end of waiting for the host is written too. */
static void late_tx_done(struct device *dev, size_t n)
{
	struct fake_port *p = (struct fake_port *)dev;

	fake_tx_done(dev, n);
	/* What a vCPU does the moment the lock is free. */
	if (!p->tx_n && p->tx_total == 3) {
		p->tx[p->tx_n++] = '!';
		chardev_tx_waiting(p->c);
	}
}

static void byte_at_the_last_moment(void **state)
{
	struct chardev_port ops = fake_port_ops;
	uint8_t fill[4096] = {0};
	int p[2], null = dev_null();
	struct chardev *c;

	(void)state;
	assert_int_equal(pipe(p), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(write(p[1], fill, 4096), 4096);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	chardev_attach(c, NULL, NULL);
	ops.tx_done = late_tx_done;
	chardev_attach(c, &port.dev, &ops);
	fake_print(&port, "abc", 3);
	run_ms(&loop, 10);
	assert_int_equal(port.tx_n, 3);
	assert_int_equal(read(p[0], fill, 4096), 4096);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(port.tx_total, 4);
	chardev_close(c);
	close(p[0]);
	close(p[1]);
	close(null);
}

static void broken_output_is_discarded(void **state)
{
	int p[2], null = dev_null();
	uint8_t fill[FAKE_RING] = {0};
	struct chardev *c;

	(void)state;
	assert_int_equal(pipe(p), 0);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	close(p[0]);
	for (int i = 0; i < 3; i++) {
		fake_print(&port, fill, sizeof(fill));
		run_until(&loop, fake_all_out, &port);
	}
	assert_int_equal(log_lines(), 1);
	chardev_close(c);
	close(p[1]);

	/* A full disk. */
	p[1] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	for (int i = 0; i < 3; i++) {
		fake_print(&port, "x", 1);
		run_until(&loop, fake_all_out, &port);
	}
	assert_int_equal(log_lines(), 2);
	chardev_close(c);
	close(p[1]);
	close(null);
}

/* The reader goes while the output waits for it: it does not wait for ever. */
static void reader_leaves_blocked_output(void **state)
{
	uint8_t fill[FAKE_RING] = {0};
	int p[2], null = dev_null();
	struct chardev *c;

	(void)state;
	assert_int_equal(pipe(p), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(write(p[1], fill, 4096), 4096);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	fake_print(&port, fill, FAKE_RING);
	run_ms(&loop, 10);
	assert_int_equal(port.tx_n, FAKE_RING);
	close(p[0]);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(log_lines(), 1);
	chardev_close(c);
	close(p[1]);
	close(null);
}

static void fifo_gets_another_reader(void **state)
{
	char dir[] = "/tmp/test_chardev.XXXXXX", path[64], buf[64];
	int null = dev_null(), reader, writer;
	struct chardev *c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	writer = open(path, O_WRONLY | O_CLOEXEC);
	c = on_fds(&loop, &log_, null, writer, NULL, NULL);
	fake_attach(&port, c);
	close(reader);
	fake_print(&port, "lost", 4);
	run_until(&loop, fake_all_out, &port);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fake_print(&port, "found", 5);
	run_until(&loop, fake_all_out, &port);
	assert_int_equal(read(reader, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "found", 5);
	chardev_close(c);
	close(reader);
	close(writer);
	close(null);
	unlink(path);
	rmdir(dir);
}

static void drains(void **state)
{
	int p[2], null = dev_null();
	uint8_t fill[FAKE_RING] = {0};
	struct chardev *c;
	struct slow_reader reader = {0};
	pthread_t thread;

	(void)state;
	/* What has collected, without the loop. */
	assert_int_equal(pipe(p), 0);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	fake_print(&port, "last words", 10);
	chardev_drain(c);
	assert_int_equal(port.tx_n, 0);
	assert_int_equal(waiting_in(p[0]), 10);
	chardev_drain(c); /* nothing */
	assert_int_equal(read(p[0], fill, sizeof(fill)), 10);

	/* A reader that is only slow gets it all. */
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	reader.fd = p[0];
	for (size_t i = 0; i < FAKE_RING; i++)
		fill[i] = pattern(i);
	fake_print(&port, fill, FAKE_RING);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
	chardev_drain(c);
	assert_int_equal(port.tx_n, 0);
	chardev_close(c);
	close(p[1]);
	pthread_join(thread, NULL);
	assert_int_equal(reader.n, FAKE_RING);
	assert_int_equal(reader.wrong, 0);
	close(p[0]);

	/* One that does not read is not waited for: this returns. */
	assert_int_equal(pipe(p), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(write(p[1], fill, 4096), 4096);
	c = on_fds(&loop, &log_, null, p[1], NULL, NULL);
	fake_attach(&port, c);
	fake_print(&port, "x", 1);
	chardev_drain(c);
	assert_int_equal(port.tx_n, 1);
	chardev_close(c);
	close(p[0]);
	close(p[1]);
	close(null);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(output_collects, setup, teardown),
	cmocka_unit_test_setup_teardown(much_output_goes_at_once, setup, teardown),
	cmocka_unit_test_setup_teardown(slow_reader_gets_all, setup, teardown),
	cmocka_unit_test_setup_teardown(blocked_output_waits, setup, teardown),
	cmocka_unit_test_setup_teardown(byte_at_the_last_moment, setup, teardown),
	cmocka_unit_test_setup_teardown(broken_output_is_discarded, setup, teardown),
	cmocka_unit_test_setup_teardown(reader_leaves_blocked_output, setup, teardown),
	cmocka_unit_test_setup_teardown(fifo_gets_another_reader, setup, teardown),
	cmocka_unit_test_setup_teardown(drains, setup, teardown),
};

UNIT_MAIN(tests)
