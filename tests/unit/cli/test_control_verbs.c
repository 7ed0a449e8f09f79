/* SPDX-License-Identifier: GPL-2.0-only */
/* The verbs about running VMs, as a user sees them: what is printed where, and the exit code. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../vm/fake_vm.h"
#include "builtin.h"
#include "cli.h"

#ifndef LKVM_VERSION
#define LKVM_VERSION "0.0-test"
#endif

/* They are part of the program, not of what unit tests link: as text, then. */
#include "../../../builtin-common.c"
#include "../../../builtin-debug.c"
#include "../../../builtin-help.c"
#include "../../../builtin-list.c"
#include "../../../builtin-pause.c"
#include "../../../builtin-resume.c"
#include "../../../builtin-stat.c"
#include "../../../builtin-stop.c"
#include "../../../builtin-version.c"

struct fixture {
	char dir[FAKE_DIR];
	struct fake_vm alpha, beta;
	bool alpha_up, beta_up;
	char out[65536], err[4096];
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	*state = x;
	return x ? fake_dir_make(x->dir) : -1;
}

static void start(struct fixture *x, bool both)
{
	assert_int_equal(fake_start(&x->alpha, "alpha", NULL), 0);
	x->alpha_up = true;
	if (!both)
		return;
	assert_int_equal(fake_start(&x->beta, "beta", NULL), 0);
	x->beta_up = true;
	x->beta.vm.config.mte = false;
	x->beta.vm.config.mem_size = 3ull << 29;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	if (x->alpha_up)
		fake_end(&x->alpha);
	if (x->beta_up)
		fake_end(&x->beta);
	fake_dir_remove(x->dir);
	free(x);
	return 0;
}

static void slurp(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

/* Runs a command line in a child; its output is left in x->out and x->err. */
static int run(struct fixture *x, int (*cmd)(int, char **), const char *line)
{
	int out = open(x->dir, O_TMPFILE | O_RDWR, 0600),
	    err = open(x->dir, O_TMPFILE | O_RDWR, 0600);
	char words[256], *argv[16], *save = NULL;
	int argc = 0, status;
	pid_t pid;

	assert_true(out >= 0 && err >= 0);
	(void)snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	pid = fork();
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		status = cmd(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	slurp(out, x->out, sizeof(x->out));
	slurp(err, x->err, sizeof(x->err));
	return WEXITSTATUS(status);
}

static void assert_has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("'%s' is not in '%s'", words, text);
}

static void list_of_none(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(run(x, cmd_list, "list"), EXIT_OK);
	assert_string_equal(x->out, "NAME      PID  STATE     CPUS      MEM  MTE\n");
	assert_string_equal(x->err, "");
	assert_int_equal(run(x, cmd_list, "list --json"), EXIT_OK);
	assert_string_equal(x->out, "");
	assert_int_equal(run(x, cmd_list, "list -r"), EXIT_OK);
	assert_string_equal(x->out, "");
}

static void list_of_all_kinds(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct fixture *x = *state;
	char want[512], path[100];
	struct stat st;
	int fd;

	start(x, true);
	x->beta.vm.user_paused = true;
	(void)snprintf(path, sizeof(path), "%s/lkvm/dead-one.sock", x->dir);
	for (int json = 0; json < 2; json++) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
		assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
		close(fd);
		assert_int_equal(run(x, cmd_list, json ? "list --json" : "list -i"), EXIT_OK);
		assert_true(lstat(path, &st) < 0 && errno == ENOENT);
		assert_string_equal(x->err,
				    "lkvm list: dead-one: removed the socket of a VM that died\n");
		if (json)
			(void)snprintf(want, sizeof(want),
				       "{\"name\":\"alpha\",\"state\":\"running\",\"pid\":%d,"
				       "\"cpus\":2,\"memory\":268435456,\"mte\":true}\n"
				       "{\"name\":\"beta\",\"state\":\"paused\",\"pid\":%d,"
				       "\"cpus\":2,\"memory\":1610612736,\"mte\":false}\n"
				       "{\"name\":\"dead-one\",\"state\":\"stale\"}\n",
				       (int)getpid(), (int)getpid());
		else
			(void)snprintf(want, sizeof(want),
				       "NAME          PID  STATE     CPUS      MEM  MTE\n"
				       "alpha    %8d  running      2     256M  yes\n"
				       "beta     %8d  paused       2    1536M  no\n"
				       "dead-one        -  stale        -        -  -\n",
				       (int)getpid(), (int)getpid());
		assert_string_equal(x->out, want);
	}
	assert_int_equal(run(x, cmd_list, "list"), EXIT_OK);
	assert_null(strstr(x->out, "dead-one"));
}

static void which_vm(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(run(x, cmd_pause, "pause"), EXIT_FAILED);
	assert_string_equal(x->err, "lkvm pause: no VM runs\n");
	assert_int_equal(run(x, cmd_stop, "stop -a"), EXIT_OK);
	assert_string_equal(x->err, "");
	start(x, true);
	assert_int_equal(run(x, cmd_pause, "pause"), EXIT_USAGE);
	assert_string_equal(x->err, "lkvm pause: several VMs run: alpha, beta; name one, or give "
				    "-a for all\n");
	assert_int_equal(run(x, cmd_pause, "pause alpha"), EXIT_OK);
	assert_true(x->alpha.vm.user_paused && !x->beta.vm.user_paused);
	assert_int_equal(run(x, cmd_resume, "resume -n alpha"), EXIT_OK);
	assert_false(x->alpha.vm.user_paused);
	assert_int_equal(run(x, cmd_pause, "pause -n beta"), EXIT_OK);
	/* One of two fails: one line, and the other one is done all the same. */
	assert_int_equal(run(x, cmd_pause, "pause -a"), EXIT_FAILED);
	assert_string_equal(x->err, "lkvm pause: beta: is paused already\n");
	assert_true(x->alpha.vm.user_paused);
	assert_int_equal(run(x, cmd_pause, "pause nobody"), EXIT_FAILED);
	assert_string_equal(x->err, "lkvm pause: nobody: no VM of that name runs\n");

	assert_int_equal(run(x, cmd_pause, "pause -n alpha beta"), EXIT_USAGE);
	assert_has(x->err, "two names, alpha and beta");
	assert_int_equal(run(x, cmd_pause, "pause -a beta"), EXIT_USAGE);
	assert_has(x->err, "both a name (beta) and -a");
	assert_int_equal(run(x, cmd_pause, "pause ../beta"), EXIT_USAGE);
	assert_has(x->err, "'../beta' is not a VM's name");
	assert_int_equal(run(x, cmd_pause, "pause --bogus"), EXIT_USAGE);
	assert_has(x->err, "--bogus");
	assert_int_equal(run(x, cmd_pause, "pause --help"), EXIT_OK);
	assert_has(x->out, "Usage: lkvm pause");
}

static void the_only_one(void **state)
{
	struct fixture *x = *state;

	start(x, false);
	assert_int_equal(run(x, cmd_pause, "pause"), EXIT_OK);
	assert_true(x->alpha.vm.user_paused);
	assert_string_equal(x->out, "");
	assert_string_equal(x->err, "");
}

static void stop(void **state)
{
	struct fixture *x = *state;

	start(x, true);
	assert_int_equal(run(x, cmd_stop, "stop beta"), EXIT_OK);
	assert_int_equal(run(x, cmd_list, "list --json"), EXIT_OK);
	assert_null(strstr(x->out, "beta"));
	assert_has(x->out, "alpha");
	fake_join(&x->beta);
	x->beta_up = false;
	assert_int_equal(run(x, cmd_stop, "stop beta"), EXIT_FAILED);
	assert_int_equal(run(x, cmd_stop, "stop -a"), EXIT_OK);
	fake_join(&x->alpha);
	x->alpha_up = false;
	assert_int_equal(run(x, cmd_list, "list --json"), EXIT_OK);
	assert_string_equal(x->out, "");
}

static void stat_text_and_json(void **state)
{
	struct fixture *x = *state;

	start(x, true);
	assert_int_equal(run(x, cmd_stat, "stat alpha"), EXIT_OK);
	assert_has(x->out, "name            alpha\n");
	assert_has(x->out, "state           running\n");
	assert_has(x->out, "memory          256M anon\n");
	assert_has(x->out, "mte             yes\n");
	assert_has(x->out, "VCPU        KVM_RUN           MMIO    INTERRUPTED          OTHER\n");
	assert_has(x->out, "   1           1001           1002           1003           1004\n");
	assert_int_equal(run(x, cmd_stat, "stat -m alpha"), EXIT_OK);
	assert_null(strstr(x->out, "VCPU"));
	assert_null(strstr(x->out, "uptime"));
	assert_has(x->out, "vmm pss         ");
	assert_int_equal(run(x, cmd_stat, "stat -a --json"), EXIT_OK);
	assert_int_equal(strncmp(x->out, "{\"name\":\"alpha\",\"pid\":", 22), 0);
	assert_has(x->out, "\n{\"name\":\"beta\",\"pid\":"); /* one line each */
	assert_has(x->out, "\"vcpus\":[{\"kvm_run\":1,\"mmio\":2,\"interrupted\":3,\"other\":4},"
			   "{\"kvm_run\":1001,");
	assert_has(x->out, "\"memory\":{\"size\":268435456,\"backend\":\"anon\",\"mte\":true,"
			   "\"guest_resident\":");
	assert_int_equal(run(x, cmd_stat, "stat -m -a --json"), EXIT_OK);
	assert_null(strstr(x->out, "vcpus"));
}

static void debug(void **state)
{
	struct fixture *x = *state;

	start(x, true);
	assert_int_equal(run(x, cmd_debug, "debug alpha"), EXIT_USAGE);
	assert_has(x->err, "nothing to do");
	assert_int_equal(run(x, cmd_debug, "debug -d alpha"), EXIT_OK);
	assert_string_equal(x->out, "alpha vcpu 0\n"
				    "  x0 0000000000000000\n"
				    "  x1 0000000000000001\n"
				    "  x2 0000000000000002\n"
				    "alpha vcpu 1\n"
				    "  x0 0000000100000000\n"
				    "  x1 0000000100000001\n"
				    "  x2 0000000100000002\n");
	assert_false(x->alpha.unpaused_read);
	x->alpha.registers = 1;
	assert_int_equal(run(x, cmd_debug, "debug -d alpha --json"), EXIT_OK);
	assert_string_equal(
		x->out,
		"{\"name\":\"alpha\",\"vcpu\":0,\"registers\":{\"x0\":\"0000000000000000\"}}\n"
		"{\"name\":\"alpha\",\"vcpu\":1,\"registers\":{\"x0\":\"0000000100000000\"}}\n");
	assert_int_equal(run(x, cmd_debug, "debug -s t alpha"), EXIT_OK);
	assert_int_equal(x->alpha.sysrq, 't');
	assert_int_equal(x->beta.sysrq, 0);
	assert_string_equal(x->out, "");
	assert_int_equal(run(x, cmd_debug, "debug -s tt alpha"), EXIT_USAGE);
	assert_int_equal(run(x, cmd_debug, "debug -s 9 -a"), EXIT_FAILED);
	assert_string_equal(x->err, "lkvm debug: alpha: this VM has no console\n"
				    "lkvm debug: beta: this VM has no console\n");
	/* One of two fails. */
	x->alpha.registers_fail = true;
	assert_int_equal(run(x, cmd_debug, "debug -d -a"), EXIT_FAILED);
	assert_string_equal(x->err, "lkvm debug: alpha: vcpu 0: x9: no luck\n");
	assert_has(x->out, "beta vcpu 1\n");
	assert_null(strstr(x->out, "alpha"));
}

/* A VM of this user that lies: no escape sequence of its making reaches the terminal. */
static void hostile_registers(void **state)
{
	static const struct {
		const char *name, *value;
	} bad[] = {{"x\x1b[2J", "00"}, {"x0", "\x1b[2J"}, {"", "00"}, {"x0", ""}, {"x 0", "00"}};
	struct wbuf out;
	struct rbuf r;
	int width;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wbuf_init(&out, 4096);
		wbuf_u32(&out, 1);
		wbuf_str(&out, bad[i].name);
		wbuf_str(&out, bad[i].value);
		rbuf_init(&r, out.data, out.len);
		assert_int_not_equal(check_registers(r, &width), 0);
		wbuf_release(&out);
	}
	/* More of them announced than there are, and bytes left over. */
	for (uint32_t n = 0; n < 4; n++) {
		wbuf_init(&out, 4096);
		wbuf_u32(&out, n == 3 ? UINT32_MAX : n);
		wbuf_str(&out, "x0");
		wbuf_str(&out, "00");
		rbuf_init(&r, out.data, out.len);
		assert_int_equal(check_registers(r, &width), n == 1 ? 0 : -EBADMSG);
		wbuf_release(&out);
	}
}

static void version_and_help(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(run(x, cmd_version, "version"), EXIT_OK);
	assert_string_equal(x->out, "lkvm " LKVM_VERSION "\n");
	assert_int_equal(run(x, cmd_version, "version --json"), EXIT_OK);
	assert_string_equal(x->out, "{\"version\":\"" LKVM_VERSION "\",\"control_protocol\":1}\n");
	assert_int_equal(run(x, cmd_help, "help"), EXIT_OK);
	for (const struct verb_spec *const *v = cli_verbs; *v; v++)
		assert_has(x->out, (*v)->summary);
	assert_int_equal(run(x, cmd_help, "help run"), EXIT_OK);
	assert_has(x->out, "--mte");
	assert_int_equal(run(x, cmd_help, "help nonsense"), EXIT_USAGE);
	assert_has(x->err, "\"nonsense\"");
	assert_int_equal(run(x, cmd_help, "help --help"), EXIT_OK);
	assert_has(x->out, "Usage: lkvm help");
}

static void output_that_does_not_arrive_is_an_error(void **state)
{
	struct fixture *x = *state;
	int full = open("/dev/full", O_WRONLY), old = dup(STDOUT_FILENO);
	int old_err = dup(STDERR_FILENO);
	int code;

	if (full < 0) {
		print_message("# not tried: no /dev/full here\n");
		return; /* cmocka 1.1.5 says "not ok" for skip() */
	}
	start(x, false);
	fflush(NULL);
	dup2(full, STDOUT_FILENO);
	dup2(full, STDERR_FILENO);
	code = cmd_list(1, (char *[]){(char[]){"list"}, NULL});
	dup2(old, STDOUT_FILENO);
	dup2(old_err, STDERR_FILENO);
	close(full);
	close(old_err);
	close(old);
	assert_int_equal(code, EXIT_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(list_of_none),
	TEST(list_of_all_kinds),
	TEST(which_vm),
	TEST(the_only_one),
	TEST(stop),
	TEST(stat_text_and_json),
	TEST(debug),
	TEST(hostile_registers),
	TEST(version_and_help),
	TEST(output_that_does_not_arrive_is_an_error),
};

UNIT_MAIN(tests)
