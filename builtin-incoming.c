/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm incoming: a connection -> the source's offer -> the machine -> its memory and state -> run. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "migrate/destination.h"
#include "migrate/transport.h"
#include "util/confine.h"
#include "util/io.h"
#include "vm/control-dir.h"
#include "vm/control.h"
#include "vm/vm.h"

#define LINES_MS 60000 /* the lines about strangers in it are counted */
#define GREET_MS 30000 /* who connected, and is not yet known to be a source, gets so long */

struct incoming {
	const struct incoming_opts *opts;
	struct destination *destination;
	char name[VM_NAME_MAX + 1]; /* the one it has at the source */
	int parent;		    /* with --detach: who waits to hear that it runs; else -1 */
	int null;		    /* and /dev/null */
};

static void sent_away(const char *why)
{
	fprintf(stderr, "lkvm incoming: sent away, and still waiting: %s\n", why);
}

/* What ends us while we wait, in a way that leaves no socket behind; not what nohup or a shell's & has taken away. */
static void ending_signals(sigset_t *set)
{
	static const int all[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction now;

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (sigaction(all[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(set, all[i]);
}

/* The line to a source. With @door it is where further ones come from, else nobody else gets in. */
static int wait_for_source(const struct transport *t, int *rfd, int *wfd, int *door,
			   struct err *err)
{
	struct transport_hall hall = {.ms = GREET_MS, .sent_away = sent_away, .lines_ms = LINES_MS};
	struct transport_listener listener;
	sigset_t signals, before;
	int ends, rc = transport_listen(t, &listener, err);

	if (rc || listener.fd < 0)
		return rc ? rc : transport_take(t, rfd, wfd, err);
	fprintf(stderr, "lkvm incoming: waiting at %s\n", listener.where);
	ending_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &before);
	ends = signalfd(-1, &signals, SFD_CLOEXEC);
	rc = ends < 0 ? err_sys(err, -errno, "signalfd")
		      : transport_wait(t, &listener, ends, &hall, rfd, err);
	*wfd = *rfd;
	if (!rc && door)
		rc = transport_door(t, &listener, &hall, door, err);
	transport_hall_close(&hall);
	transport_stop_listening(t, &listener);
	if (ends >= 0)
		close(ends);
	if (rc != -ECANCELED) /* else what has come would end us in another way than by this word */
		sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* No dead VM's socket is in the way of ours: who is confined cannot find out whether it is dead. */
static int sweep(char folder[CONTROL_PATH_MAX], struct err *err)
{
	struct control_folder f;
	struct control_vm *vms;
	size_t n;
	int rc = control_folder_open(&f, true, err);

	if (rc)
		return rc;
	(void)snprintf(folder, CONTROL_PATH_MAX, "%s", f.path);
	control_folder_close(&f);
	rc = control_list(&vms, &n, err);
	for (size_t i = 0; !rc && i < n; i++)
		if (!vms[i].alive)
			(void)control_remove_stale(vms[i].name, NULL);
	if (!rc)
		free(vms);
	return rc;
}

/*
 * Before the first byte of the other side is read. What has to be opened from here on, to build the machine and for as long as it
 * lives, is in this list.
 */
static int confine(const struct incoming *in, int rfd, int wfd, int door, struct err *err)
{
	const int keep[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, door,
			    rfd,	  wfd,		 in->parent,	in->null};
	char folder[CONTROL_PATH_MAX], parent[CONTROL_PATH_MAX];
	const struct confine_path paths[] = {
		{"/dev/kvm", CONFINE_READ | CONFINE_WRITE},
		{"/dev/userfaultfd", CONFINE_READ | CONFINE_WRITE},
		{"/dev/ptmx", CONFINE_READ | CONFINE_WRITE},
		{"/dev/pts", CONFINE_READ | CONFINE_WRITE},
		/* A terminal or pipe is opened anew, so as not to change what others see of it (util/io.h). */
		{"/proc/self/fd/0", CONFINE_READ | CONFINE_WRITE},
		{"/proc/self/fd/1", CONFINE_READ | CONFINE_WRITE},
		{"/proc/self/fd/2", CONFINE_READ | CONFINE_WRITE},
		/* pagemap and smaps, of children as well. Other processes' memory stays closed: no ptrace. */
		{"/proc", CONFINE_READ},
		{"/sys/devices/system/cpu", CONFINE_READ},
		{parent, CONFINE_READ},
		{folder, CONFINE_READ | CONFINE_SOCKET},
		{in->opts->kernel, CONFINE_READ},
		{in->opts->initrd, CONFINE_READ},
	};
	struct err why = ERR_INIT;
	int rc = sweep(folder, err);

	if (!rc)
		rc = confine_descriptors(keep, sizeof(keep) / sizeof(keep[0]), err);
	if (rc)
		return rc;
	memcpy(parent, folder, sizeof(parent));
	*strrchr(parent, '/') = '\0';
	rc = confine_files(paths, sizeof(paths) / sizeof(paths[0]), &why);
	if (rc == -EOPNOTSUPP)
		fprintf(stderr, "lkvm incoming: %s: what is received could open files\n", why.msg);
	else if (rc)
		return err_set(err, rc, "%s", why.msg);
	return confine_process(err);
}

static int connect_source(struct incoming *in, const struct transport *t, struct err *err)
{
	int rfd = -1, wfd = -1, door = -1, rc = wait_for_source(t, &rfd, &wfd, &door, err);

	if (!rc)
		rc = confine(in, rfd, wfd, door, err);
	return rc ? rc : destination_open(rfd, wfd, door, &in->destination, err);
}

static int meet(struct incoming *in, struct vm_config *config, struct err *err)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), rc;

	if (kvm < 0)
		return err_sys(err, -errno, "/dev/kvm");
	rc = destination_meet(in->destination, kvm, config, in->name, err);
	close(kvm);
	if (rc) {
		fputs(destination_reasons(in->destination), stderr);
		return rc;
	}
	if (in->opts->name)
		config->name = in->opts->name;
	config->kernel = in->opts->kernel;
	config->initrd = in->opts->initrd;
	config->params = in->opts->params;
	for (unsigned int i = 0; i < VM_MAX_UARTS; i++) {
		if (i && in->opts->tty[i] && !config->tty[i])
			return err_set(err, -EINVAL, "--tty %u: the guest has no such serial port",
				       i);
		config->tty[i] |= in->opts->tty[i];
	}
	return vm_config_check(config, err);
}

/* The guest runs: nobody need wait for us any more. */
static void running(void *ctx)
{
	struct incoming *in = ctx;

	if (in->parent < 0)
		return;
	for (int fd = STDIN_FILENO; in->null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(in->null, fd);
	(void)io_write_full(in->parent, "R", 1);
	close(in->parent);
	close(in->null);
	in->parent = in->null = -1;
}

static int load(struct vm *vm, void *ctx, struct err *err)
{
	struct incoming *in = ctx;

	vm->confined = true;
	return destination_start(in->destination, vm, running, in, err);
}

static void leave(void *ctx)
{
	struct incoming *in = ctx;

	destination_leave(in->destination);
}

static int come(struct incoming *in, const struct transport *t)
{
	struct err err = ERR_INIT, why = ERR_INIT;
	struct vm_config config;
	int code, rc;
	const struct builtin_guest guest = {.load = load, .leave = leave, .ctx = in, .why = &why};

	signal(SIGPIPE, SIG_IGN);
	rc = connect_source(in, t, &err);
	if (!rc)
		rc = meet(in, &config, &err);
	if (rc) {
		code = builtin_failed("incoming", &err);
		why = err;
	} else {
		code = builtin_run_guest(&config, &guest);
	}
	if (in->destination)
		destination_close(in->destination, &why);
	return code;
}

/* The parent ends when the guest runs, or with its child's exit code if it comes to nothing. */
static int detached(struct incoming *in, const struct transport *t)
{
	struct err err = ERR_INIT;
	int ends[2], status = 0;
	pid_t child;
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(&err, -errno, "pipe"), builtin_failed("incoming", &err);
	child = fork();
	if (child < 0)
		return err_sys(&err, -errno, "fork"), builtin_failed("incoming", &err);
	if (child == 0) {
		close(ends[0]);
		setsid();
		in->parent = ends[1];
		in->null = open("/dev/null", O_RDWR | O_CLOEXEC);
		return come(in, t);
	}
	close(ends[1]);
	if (io_read_full(ends[0], &byte, 1) == 0)
		return EXIT_OK;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

/* Bytes from one to the other until one of the two has no more. Where ssh has started us it ends with us. */
static void relay(int rfd, int wfd, int vm)
{
	static const size_t size = 1 << 16;
	struct pollfd p[2] = {{.fd = rfd, .events = POLLIN}, {.fd = vm, .events = POLLIN}};
	char *buf = malloc(size);
	bool open = buf != NULL;

	while (open && poll(p, 2, -1) >= 0) {
		for (int i = 0; i < 2 && open; i++) {
			ssize_t n = p[i].revents ? io_read_some(p[i].fd, buf, size) : -EAGAIN;

			if (n > 0)
				open = io_write_full(i ? wfd : vm, buf, (size_t)n) == 0;
			else
				open = n == -EAGAIN;
		}
	}
	free(buf);
}

static int give(const char *name, int rfd, int wfd, struct err *err)
{
	int ends[2], rc;

	if (rfd == wfd)
		return control_call_fd(name, CONTROL_MIGRATE_JOIN, NULL, rfd, NULL, err);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "socketpair");
	rc = control_call_fd(name, CONTROL_MIGRATE_JOIN, NULL, ends[1], NULL, err);
	close(ends[1]);
	if (!rc)
		relay(rfd, wfd, ends[0]);
	close(ends[0]);
	return rc;
}

/* A new line for a VM that has lost its own. */
static int join(const struct incoming_opts *opts, const struct transport *t)
{
	struct err err = ERR_INIT;
	int rfd = -1, wfd = -1, rc;

	signal(SIGPIPE, SIG_IGN);
	rc = wait_for_source(t, &rfd, &wfd, NULL, &err);
	if (!rc)
		rc = give(opts->recover, rfd, wfd, &err);
	return rc ? builtin_failed("incoming", &err) : EXIT_OK;
}

int cmd_incoming(int argc, char **argv)
{
	struct incoming_opts opts = {0};
	struct incoming in = {.opts = &opts, .parent = -1, .null = -1};
	struct err err = ERR_INIT;
	struct transport t;
	bool help = false;
	int nargs;

	if (opt_parse(&verb_incoming, argc, argv, &opts, &nargs, &help, &err))
		return builtin_usage("incoming", &err);
	if (help)
		return builtin_help(&verb_incoming);
	if (nargs != 1)
		return err_set(&err, -EINVAL, "name the SRC to wait at, such as unix:PATH"),
		       builtin_usage("incoming", &err);
	if (opts.detach && !opts.tty[0])
		return err_set(&err, -EINVAL,
			       "--detach goes with --tty 0: in the background there is no terminal"),
		       builtin_usage("incoming", &err);
	if (transport_parse(argv[0], true, opts.insecure || opts.tls_psk, &t, &err) ||
	    transport_use_tls(&t, argv[0], opts.tls_psk, &err))
		return builtin_usage("incoming", &err);
	if (opts.recover)
		return join(&opts, &t);
	return opts.detach ? detached(&in, &t) : come(&in, &t);
}
