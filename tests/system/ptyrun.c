/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ptyrun [-o FILE] [-t SECONDS] ACTION... -- COMMAND [ARG...]
 *
 * Runs a command on a terminal of its own, as a shell would start it, and goes through the actions one by one. Exit
 * code 0 if each of them came true within the time (default 180 s for each), else 1 and a line that says which did not.
 *
 *   expect:TEXT    TEXT comes out of the terminal, after what was matched before
 *   send:TEXT      is typed; \r, \n, \\ and \xHH are known
 *   paste:FILE     is typed as fast as the terminal takes it
 *   raw            the terminal gets raw
 *   cooked         the terminal has each setting that it had at the start
 *   make-cooked    the terminal gets the settings that it had at the start, as a shell would do it
 *   raw-for:MS     the terminal is raw and stays it for that time
 *   signal:NAME    TERM, HUP, INT, KILL, SEGV, STOP, CONT to the command
 *   kill-child:C   SIGKILL to the command's child whose name (comm) is C
 *   run:COMMAND    a shell command, which must succeed
 *   hangup         the terminal goes away
 *   sleep:MS
 *   exit:CODE      the command ends with that exit code
 *   killed:NAME    the command ends by that signal
 *
 * All that comes out of the terminal goes to FILE as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#define SEEN_MAX (1u << 20)

struct run {
	int master, slave;
	int log;
	pid_t pid;
	bool ended;
	int status;
	struct termios before;
	char *seen; /* what came out, with a NUL */
	size_t len;
	size_t matched; /* up to where it was matched */
	unsigned int seconds;
	const char *action;
};

static void finish(struct run *r, int code)
{
	if (!r->ended && r->pid > 0) {
		kill(r->pid, SIGCONT);
		kill(r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
	}
	exit(code);
}

static void __attribute__((format(printf, 2, 3))) give_up(struct run *r, const char *fmt, ...)
{
	size_t from = r->len > 2000 ? r->len - 2000 : 0;
	va_list ap;

	fprintf(stderr, "ptyrun: %s: ", r->action);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nptyrun: the terminal's last output:\n");
	for (size_t i = from; i < r->len; i++)
		if (r->seen[i] != '\r')
			fputc(r->seen[i], stderr);
	fputc('\n', stderr);
	finish(r, 1);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void take_output(struct run *r, const char *bytes, size_t n)
{
	if (r->log >= 0 && write(r->log, bytes, n) < 0)
		give_up(r, "cannot write the log: %s", strerror(errno));
	if (r->len + n >= SEEN_MAX) {
		size_t drop = r->len / 2;

		memmove(r->seen, r->seen + drop, r->len - drop);
		r->len -= drop;
		r->matched = r->matched > drop ? r->matched - drop : 0;
	}
	memcpy(r->seen + r->len, bytes, n);
	r->len += n;
	r->seen[r->len] = '\0';
	/* Texts are looked for with strstr(). */
	for (size_t i = r->len - n; i < r->len; i++)
		if (!r->seen[i])
			r->seen[i] = '?';
}

/* Lets at most @ms pass; takes what comes out, and writes of @out what goes in. */
static void turn(struct run *r, int ms, const char *out, size_t out_len, size_t *done)
{
	struct pollfd fd = {.fd = r->master, .events = POLLIN | (out_len ? POLLOUT : 0)};
	char bytes[4096];

	if (r->master < 0 || poll(&fd, 1, ms) < 0 || fd.revents & POLLHUP) {
		usleep((useconds_t)ms * 1000);
	} else {
		if (fd.revents & POLLIN) {
			ssize_t n = read(r->master, bytes, sizeof(bytes));

			if (n > 0)
				take_output(r, bytes, (size_t)n);
		}
		if (fd.revents & POLLOUT) {
			ssize_t n = write(r->master, out, out_len);

			if (n > 0)
				*done += (size_t)n;
		}
	}
	if (!r->ended && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
		r->ended = true;
}

static bool is_cooked(struct run *r)
{
	struct termios now;

	if (tcgetattr(r->slave, &now) < 0)
		give_up(r, "tcgetattr: %s", strerror(errno));
	return now.c_iflag == r->before.c_iflag && now.c_oflag == r->before.c_oflag &&
	       now.c_cflag == r->before.c_cflag && now.c_lflag == r->before.c_lflag &&
	       !memcmp(now.c_cc, r->before.c_cc, sizeof(now.c_cc));
}

static bool is_raw(struct run *r)
{
	struct termios now;

	if (tcgetattr(r->slave, &now) < 0)
		give_up(r, "tcgetattr: %s", strerror(errno));
	return !(now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) && !(now.c_oflag & OPOST) &&
	       !(now.c_iflag & (IXON | ICRNL | BRKINT));
}

static bool has_text(struct run *r, const char *text)
{
	const char *at = strstr(r->seen + r->matched, text);

	if (!at)
		return false;
	r->matched = (size_t)(at - r->seen) + strlen(text);
	return true;
}

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"TERM", SIGTERM}, {"HUP", SIGHUP},   {"INT", SIGINT},	 {"KILL", SIGKILL},
	{"SEGV", SIGSEGV}, {"STOP", SIGSTOP}, {"CONT", SIGCONT},
};

static int signal_number(struct run *r, const char *name)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!strcmp(signals[i].name, name))
			return signals[i].number;
	give_up(r, "not a signal that is known here");
	return 0;
}

/* \r, \n, \\, \xHH */
static size_t unescape(const char *text, char *out)
{
	size_t n = 0;

	for (; *text; text++) {
		if (text[0] != '\\') {
			out[n++] = *text;
		} else if (text[1] == 'x' && text[2] && text[3]) {
			const char hex[] = {text[2], text[3], '\0'};

			out[n++] = (char)strtoul(hex, NULL, 16);
			text += 3;
		} else {
			text++;
			out[n++] = *text == 'r' ? '\r' : *text == 'n' ? '\n' : *text;
			if (!*text)
				break;
		}
	}
	return n;
}

static void type(struct run *r, const char *bytes, size_t n)
{
	uint64_t until = now_ms() + r->seconds * 1000;
	size_t done = 0;

	while (done < n) {
		turn(r, 50, bytes + done, n - done, &done);
		if (now_ms() > until || r->ended)
			give_up(r, "the terminal took %zu of %zu bytes", done, n);
	}
}

static void paste(struct run *r, const char *path)
{
	int fd = open(path, O_RDONLY);
	char *bytes = malloc(1 << 20);
	ssize_t n = fd < 0 || !bytes ? -1 : read(fd, bytes, 1 << 20);

	if (n <= 0)
		give_up(r, "%s: %s", path, strerror(errno));
	type(r, bytes, (size_t)n);
	free(bytes);
	close(fd);
}

/* The command's child of that name. */
static void kill_child(struct run *r, const char *comm)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;

	while (proc && (d = readdir(proc))) {
		char path[300], line[512] = "", name[32];
		int fd, pid, parent;

		snprintf(path, sizeof(path), "/proc/%s/stat", d->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		if (read(fd, line, sizeof(line) - 1) < 0)
			line[0] = '\0';
		close(fd);
		if (sscanf(line, "%d (%31[^)]) %*c %d", &pid, name, &parent) == 3 &&
		    parent == r->pid && !strcmp(name, comm)) {
			kill(pid, SIGKILL);
			closedir(proc);
			return;
		}
	}
	give_up(r, "the command has no such child");
}

/* Waits until @check is true. */
static void wait_until(struct run *r, bool (*check)(struct run *r), const char *what)
{
	uint64_t until = now_ms() + r->seconds * 1000;

	while (!check(r)) {
		if (now_ms() > until)
			give_up(r, "%s, not within %u s", what, r->seconds);
		turn(r, 20, NULL, 0, NULL);
	}
}

static void expect(struct run *r, const char *text)
{
	uint64_t until = now_ms() + r->seconds * 1000;
	unsigned int after_end = 0;

	while (!has_text(r, text)) {
		if (now_ms() > until)
			give_up(r, "that did not come within %u s", r->seconds);
		if (r->ended && after_end++ > 20)
			give_up(r, "that did not come, and the command has ended (status 0x%x)",
				r->status);
		turn(r, 50, NULL, 0, NULL);
	}
}

static bool has_ended(struct run *r)
{
	return r->ended;
}

static void wait_ended(struct run *r)
{
	wait_until(r, has_ended, "the command does not end");
	for (int i = 0; i < 3; i++) /* what is still in the terminal */
		turn(r, 10, NULL, 0, NULL);
}

static void check_end(struct run *r, int code, int number)
{
	wait_ended(r);
	if (number && !(WIFSIGNALED(r->status) && WTERMSIG(r->status) == number))
		give_up(r, "the command ended with wait status 0x%x", r->status);
	if (!number && !(WIFEXITED(r->status) && WEXITSTATUS(r->status) == code))
		give_up(r, "the command ended with wait status 0x%x", r->status);
}

static void stay_raw(struct run *r, unsigned int ms)
{
	uint64_t until = now_ms() + ms;

	do {
		if (!is_raw(r))
			give_up(r, "it is not");
		turn(r, 20, NULL, 0, NULL);
	} while (now_ms() < until);
}

static void pass_time(struct run *r, unsigned int ms)
{
	uint64_t until = now_ms() + ms;

	while (now_ms() < until)
		turn(r, 20, NULL, 0, NULL);
}

static bool starts_with(const char *text, const char *head, const char **rest)
{
	*rest = text + strlen(head);
	return !strncmp(text, head, strlen(head));
}

static void act(struct run *r, const char *action)
{
	char typed[4096];
	const char *arg;

	r->action = action;
	if (strlen(action) >= sizeof(typed))
		give_up(r, "too long");
	if (starts_with(action, "expect:", &arg)) {
		expect(r, arg);
	} else if (starts_with(action, "send:", &arg)) {
		type(r, typed, unescape(arg, typed));
	} else if (starts_with(action, "paste:", &arg)) {
		paste(r, arg);
	} else if (!strcmp(action, "raw")) {
		wait_until(r, is_raw, "the terminal is not raw");
	} else if (!strcmp(action, "cooked")) {
		wait_until(r, is_cooked, "the terminal is not as it was");
	} else if (!strcmp(action, "make-cooked")) {
		if (tcsetattr(r->slave, TCSANOW, &r->before) < 0)
			give_up(r, "tcsetattr: %s", strerror(errno));
	} else if (starts_with(action, "raw-for:", &arg)) {
		stay_raw(r, (unsigned int)strtol(arg, NULL, 10));
	} else if (starts_with(action, "signal:", &arg)) {
		kill(r->pid, signal_number(r, arg));
	} else if (starts_with(action, "kill-child:", &arg)) {
		kill_child(r, arg);
	} else if (starts_with(action, "run:", &arg)) {
		if (system(arg) != 0)
			give_up(r, "it failed");
	} else if (!strcmp(action, "hangup")) {
		close(r->slave);
		close(r->master);
		r->slave = r->master = -1;
	} else if (starts_with(action, "sleep:", &arg)) {
		pass_time(r, (unsigned int)strtol(arg, NULL, 10));
	} else if (starts_with(action, "exit:", &arg)) {
		check_end(r, strtol(arg, NULL, 10), 0);
	} else if (starts_with(action, "killed:", &arg)) {
		check_end(r, 0, signal_number(r, arg));
	} else {
		give_up(r, "unknown action");
	}
}

static void start(struct run *r, char **command)
{
	if (openpty(&r->master, &r->slave, NULL, NULL, NULL) < 0)
		give_up(r, "no terminal: %s", strerror(errno));
	if (tcgetattr(r->slave, &r->before) < 0)
		give_up(r, "tcgetattr: %s", strerror(errno));
	/* Settings that no default has: to be found again they must have been kept. */
	r->before.c_lflag &= ~(tcflag_t)ECHOCTL;
	r->before.c_cc[VEOF] = 0x1a;
	r->before.c_cc[VMIN] = 7;
	if (tcsetattr(r->slave, TCSANOW, &r->before) < 0)
		give_up(r, "tcsetattr: %s", strerror(errno));
	tcgetattr(r->slave, &r->before);
	fcntl(r->master, F_SETFD, FD_CLOEXEC);
	fcntl(r->master, F_SETFL, O_NONBLOCK);
	r->pid = fork();
	if (r->pid < 0)
		give_up(r, "fork: %s", strerror(errno));
	if (r->pid)
		return;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	if (login_tty(r->slave) < 0)
		_exit(126);
	execvp(command[0], command);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct run r = {.master = -1, .slave = -1, .log = -1, .seconds = 180, .action = "start"};
	int first, sep, opt;

	r.seen = calloc(1, SEEN_MAX);
	while ((opt = getopt(argc, argv, "+o:t:")) != -1) {
		if (opt == 'o')
			r.log = open(optarg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		else if (opt == 't')
			r.seconds = (unsigned int)strtol(optarg, NULL, 10);
		else
			return 2;
	}
	for (first = sep = optind; sep < argc && strcmp(argv[sep], "--") != 0; sep++)
		;
	if (!r.seen || sep + 1 >= argc)
		give_up(&r, "no command");
	start(&r, argv + sep + 1);
	for (int i = first; i < sep; i++)
		act(&r, argv[i]);
	finish(&r, 0);
}
