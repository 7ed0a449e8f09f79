/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "vm/fake_port.h"
#include "vm/tty.h"

static struct event_loop loop;
static struct log log_;
static struct fake_port port;
static struct tty tty;
static int quits;

static void quit(void *ctx)
{
	assert_ptr_equal(ctx, &quits);
	quits++;
}

static struct chardev *on_terminal(void)
{
	struct chardev *c = on_fds(&loop, &log_, tty.fd, tty.fd, quit, &quits);

	fake_attach(&port, c);
	return c;
}

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tty_open(&tty);
	log_init(&log_, tty.fd, LOG_DEBUG);
	quits = 0;
	return event_loop_init(&loop, NULL);
}

static int teardown(void **state)
{
	(void)state;
	assert_true(tty_has(&tty, &tty.modes));
	tty_close(&tty);
	event_loop_release(&loop);
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	return 0;
}

static void type(const char *keys, size_t n)
{
	assert_int_equal(write(tty.user, keys, n), n);
}

#define TYPE(keys) type(keys, sizeof(keys) - 1)

/* What is typed takes a moment through the kernel's line discipline. */
struct wanted {
	size_t n;
	int quits;
};

static bool has_wanted(void *ctx)
{
	const struct wanted *w = ctx;

	return port.rx_n >= w->n && quits >= w->quits;
}

static bool nothing_is_typed(void *ctx)
{
	int n;

	(void)ctx;
	return !ioctl(tty.fd, FIONREAD, &n) && !n;
}

/* What the guest gets for keys that were typed in one piece, and for the same ones at a time. */
static void keys_give(const char *keys, size_t nkeys, const char *guest, size_t n, int quits_wanted)
{
	struct wanted wanted_ = {.n = n, .quits = quits_wanted};
	struct chardev *c;

	for (int apart = 0; apart < 2; apart++) {
		quits = 0;
		c = on_terminal();
		port.room = n;
		if (apart) {
			for (size_t i = 0; i < nkeys; i++) {
				type(&keys[i], 1);
				run_ms(&loop, 2);
			}
		} else {
			type(keys, nkeys);
		}
		run_until(&loop, has_wanted, &wanted_);
		run_until(&loop, nothing_is_typed, NULL);
		/* And nothing more. */
		port.room += 16;
		run_ms(&loop, 5);
		assert_int_equal(port.rx_n, n);
		assert_memory_equal(port.rx, guest, n);
		assert_int_equal(quits, quits_wanted);
		chardev_close(c);
	}
}

#define KEYS_GIVE(keys, guest, quits) \
	keys_give(keys, sizeof(keys) - 1, guest, sizeof(guest) - 1, quits)

static void keys(void **state)
{
	(void)state;
	KEYS_GIVE("ab", "ab", 0);
	KEYS_GIVE("a\r\x03\x1a\x04\x11\x13\x7f\xc3\xa4", "a\r\x03\x1a\x04\x11\x13\x7f\xc3\xa4", 0);
	KEYS_GIVE("\x01x", "", 1);
	KEYS_GIVE("a\x01x", "a", 1);
	KEYS_GIVE("\x01\x01", "\x01", 0);
	KEYS_GIVE("\x01\x01x", "\x01x", 0);
	KEYS_GIVE("1\x01"
		  "b2",
		  "1\x7f"
		  "2",
		  0); /* a break, in its place */
	KEYS_GIVE("\x01"
		  "b\x01"
		  "b",
		  "\x7f\x7f", 0);
	KEYS_GIVE("x\x01qy", "xqy", 0);
	KEYS_GIVE("\x01\0", "\0", 0);
}

static bool shows(const char *text)
{
	static char seen[4096];
	static size_t n;
	struct pollfd p = {.fd = tty.user, .events = POLLIN};

	if (!text) {
		n = 0;
		return true;
	}
	while (n < sizeof(seen) - 1 && poll(&p, 1, 1) == 1) {
		ssize_t got = read(tty.user, seen + n, sizeof(seen) - 1 - n);

		assert_true(got > 0);
		n += (size_t)got;
	}
	seen[n] = 0;
	return strstr(seen, text);
}

static bool shows_it(void *ctx)
{
	return shows(ctx);
}

static void help_and_output(void **state)
{
	struct chardev *c;

	(void)state;
	shows(NULL);
	c = on_terminal();
	assert_true(tty_is_raw(&tty));
	TYPE("\x01h");
	run_until(&loop, shows_it, "\r\nCtrl-a x");
	run_until(&loop, shows_it, "\r\nCtrl-a b");
	assert_int_equal(port.rx_n, 0);

	/* Lines of the log return the carriage while the terminal is raw, and only then. */
	shows(NULL);
	log_line(&log_, LOG_INFO, "in raw mode");
	assert_true(EVENTUALLY(shows("in raw mode\r\n")));
	fake_print(&port, "from the guest\n", 15);
	run_until(&loop, fake_all_out, &port);
	assert_true(EVENTUALLY(shows("from the guest\n")));
	assert_false(shows("from the guest\r"));
	chardev_close(c);
	assert_false(log_.raw_terminal);

	/* A log that goes elsewhere is left alone. */
	log_.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	c = on_terminal();
	assert_true(tty_is_raw(&tty));
	assert_false(log_.raw_terminal);
	chardev_close(c);
	close(log_.fd);
}

/* A guest that does not read can be ended, and what was typed before is not lost. */
static void quits_a_deaf_guest(void **state)
{
	struct chardev *c = on_terminal();
	char many[600];

	(void)state;
	port.room = 0;
	memset(many, 'k', sizeof(many));
	type(many, sizeof(many));
	run_ms(&loop, 5);
	TYPE("\x01x");
	run_until(&loop, has_wanted, &(struct wanted){.quits = 1});
	assert_int_equal(quits, 1);
	assert_int_equal(port.rx_n, 0);
	fake_more_room(&port, sizeof(many));
	run_until(&loop, fake_is_full, &port);
	assert_memory_equal(port.rx, many, sizeof(many));
	chardev_close(c);
}

#define PASTE (64 * 1024)

static uint8_t pattern(size_t i)
{
	/* No Ctrl-a, which would mean something. */
	return (uint8_t)(2 + (i * 7 + i / 251) % 254);
}

struct paste {
	size_t sent;
};

static bool paste_more(void *ctx)
{
	struct paste *p = ctx;
	uint8_t buf[1000];
	size_t n = 0;
	ssize_t w;

	while (n < sizeof(buf) && p->sent + n < PASTE) {
		buf[n] = pattern(p->sent + n);
		n++;
	}
	w = n ? write(tty.user, buf, n) : 0;
	p->sent += w > 0 ? (size_t)w : 0;
	if (port.rx_n == port.room && port.room < PASTE)
		fake_more_room(&port, PASTE - port.room < 97 ? PASTE - port.room : 97);
	return port.rx_n == PASTE;
}

static void paste_arrives_whole(void **state)
{
	struct chardev *c = on_terminal();
	struct paste paste = {0};

	(void)state;
	fcntl(tty.user, F_SETFL, O_NONBLOCK);
	port.room = 0;
	run_until(&loop, paste_more, &paste);
	for (size_t i = 0; i < PASTE; i++)
		assert_int_equal(port.rx[i], pattern(i));
	assert_int_equal(quits, 0);
	/* The description of the terminal that the user's shell has too. */
	assert_false(fcntl(tty.fd, F_GETFL) & O_NONBLOCK);
	chardev_close(c);
}

/* --- with a shell that has job control; in a child, whose exit code is the line that failed --- */

#define CHECK(condition)                           \
	do {                                       \
		if (!(condition))                  \
			_exit(1 + __LINE__ % 255); \
	} while (0)

static bool got_go(void *ctx)
{
	(void)ctx;
	return port.rx_n >= 2;
}

static bool in_background_again(void *ctx)
{
	(void)ctx;
	return !log_.raw_terminal;
}

/* The VM: started with &, later brought to the foreground, and put back into the background. */
static void job(void)
{
	struct chardev *c;

	setpgid(0, 0);
	signal(SIGTTOU, SIG_DFL);
	signal(SIGTTIN, SIG_DFL);
	c = on_terminal();
	run_until(&loop, got_go, NULL);
	CHECK(!memcmp(port.rx, "go", 2));
	CHECK(port.rx_n == 2);
	CHECK(log_.raw_terminal);
	fake_print(&port, "job\n", 4);
	run_until(&loop, in_background_again, NULL);
	CHECK(port.rx_n == 2);
	/* It can still print. */
	fake_print(&port, "end\n", 4);
	run_until(&loop, fake_all_out, &port);
	chardev_close(c);
	_exit(0);
}

static void shell(void)
{
	struct termios own = tty.modes;
	pid_t pid;
	int status;

	CHECK(setsid() > 0);
	CHECK(!ioctl(tty.fd, TIOCSCTTY, 0));
	signal(SIGTTOU, SIG_IGN);
	own.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	CHECK(!tcsetattr(tty.fd, TCSANOW, &own));

	pid = fork();
	if (!pid)
		job();
	setpgid(pid, pid);
	/* It does not touch the modes, does not steal what is typed, and is not stopped. */
	CHECK(write(tty.user, "ls", 2) == 2);
	usleep(100000);
	CHECK(tty_has(&tty, &own));
	CHECK(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0);
	CHECK(read(tty.fd, (char[2]){0}, 2) == 2);

	/* fg */
	CHECK(!tcsetattr(tty.fd, TCSANOW, &tty.modes));
	CHECK(!tcsetpgrp(tty.fd, pid));
	CHECK(EVENTUALLY(tty_is_raw(&tty)));
	CHECK(write(tty.user, "go", 2) == 2);
	CHECK(EVENTUALLY(shows("job")));

	/* Back to the shell; the next key is the shell's. */
	CHECK(!tcsetpgrp(tty.fd, getpgrp()));
	/* With modes that look like the job's: an editor runs there now. */
	cfmakeraw(&own);
	CHECK(!tcsetattr(tty.fd, TCSANOW, &own));
	CHECK(write(tty.user, "!", 1) == 1);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid);
	CHECK(status == 0);
	CHECK(EVENTUALLY(shows("end")));
	CHECK(tty_has(&tty, &own));
	CHECK(read(tty.fd, (char[1]){0}, 1) == 1);
	CHECK(!tcsetattr(tty.fd, TCSANOW, &tty.modes));
	_exit(0);
}

static void job_control(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid)
		shell();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status 0x%x: line %d", status, (status >> 8) - 1);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* After SIGCONT the modes are the shell's; chardev_resumed() takes the terminal again at once. */
static void resumes(void **state)
{
	struct chardev *c = on_terminal();

	(void)state;
	assert_int_equal(tcsetattr(tty.fd, TCSANOW, &tty.modes), 0);
	chardev_resumed(c);
	assert_true(tty_is_raw(&tty));
	chardev_resumed(c);
	chardev_close(c);
	/* Without a terminal there is nothing to it. */
	assert_int_equal(chardev_open_pty(&loop, &log_, &c, NULL), 0);
	chardev_resumed(c);
	chardev_close(c);
}

static bool has_heard(void *ctx)
{
	(void)ctx;
	return port.calls > 0;
}

/* The line is gone; no more input, no circles, and output is discarded. */
static void hang_up(void **state)
{
	struct chardev *c = on_terminal();
	unsigned int calls;

	(void)state;
	close(tty.user);
	/* The watcher has a copy of it, until it has closed what is not its own. */
	run_until(&loop, has_heard, NULL);
	run_ms(&loop, 5);
	calls = port.calls;
	run_ms(&loop, 20);
	assert_int_equal(port.calls, calls);
	log_.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fake_print(&port, "gone", 4);
	run_until(&loop, fake_all_out, &port);
	chardev_resumed(c);
	chardev_close(c);
	close(log_.fd);
	close(tty.fd);
	tty_open(&tty); /* for teardown */
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(keys, setup, teardown),
	cmocka_unit_test_setup_teardown(help_and_output, setup, teardown),
	cmocka_unit_test_setup_teardown(quits_a_deaf_guest, setup, teardown),
	cmocka_unit_test_setup_teardown(paste_arrives_whole, setup, teardown),
	cmocka_unit_test_setup_teardown(job_control, setup, teardown),
	cmocka_unit_test_setup_teardown(resumes, setup, teardown),
	cmocka_unit_test_setup_teardown(hang_up, setup, teardown),
};

UNIT_MAIN(tests)
