/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm restore: a snapshot's configuration -> the machine -> its memory and state -> run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "migrate/lazy.h"
#include "migrate/ram.h"
#include "migrate/state.h"
#include "util/io.h"
#include "vm/memory-lazy.h"
#include "vm/vm.h"

struct restore {
	const struct restore_opts *opts;
	const char *file;
	struct snap_chain chain;
	struct wbuf state;
	char saved_name[VM_NAME_MAX + 1];
	int uffd; /* or -1 */
};

/* All reasons why this host cannot take it, before any memory is read. */
static int check_host(struct restore *r, struct err *err)
{
	struct wbuf compat, reasons;
	int kvm, rc;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return err_sys(err, -errno, "/dev/kvm");
	wbuf_init(&compat, SNAP_MAX_STATE);
	wbuf_init(&reasons, 1 << 16);
	rc = snap_reader_compat(r->chain.reader[0], &compat, err);
	if (!rc)
		rc = state_compat_check(kvm, &compat, &reasons, err);
	if (reasons.len) {
		fprintf(stderr, "%.*s", (int)reasons.len, (const char *)reasons.data);
		err_set(err, rc, "%s: it cannot run on this host for the reasons above", r->file);
	}
	wbuf_release(&compat);
	wbuf_release(&reasons);
	close(kvm);
	return rc;
}

static int open_snapshot(struct restore *r, struct vm_config *config, struct err *err)
{
	int rc = snap_chain_open(r->file, &r->chain, err);

	if (rc)
		return rc;
	rc = check_host(r, err);
	if (!rc)
		rc = snap_reader_state(r->chain.reader[0], &r->state, err);
	if (!rc)
		rc = state_config(&r->state, config, r->saved_name, err);
	if (rc)
		return rc;
	config->lazy = r->opts->lazy;
	config->name = r->opts->name;
	config->kernel = r->opts->kernel;
	config->initrd = r->opts->initrd;
	config->params = r->opts->params;
	rc = vm_config_check(config, err);
	/* What is not allowed is told before anything is started. */
	if (!rc && config->lazy)
		rc = mem_lazy_open(&r->uffd, err);
	return rc;
}

static int load_memory(struct vm *vm, struct restore *r, struct err *err)
{
	int rc = ram_load(&vm->mem, &r->chain, r->opts->threads, err);

	if (rc || !r->opts->lazy)
		return rc;
	rc = lazy_start(vm, &r->chain, r->uffd, !r->opts->no_prefetch, err);
	if (!rc)
		r->uffd = -1;
	return rc;
}

static int load(struct vm *vm, void *ctx, struct err *err)
{
	struct restore *r = ctx;
	struct state_options options = {.clock_advance = r->opts->clock == 0};
	int rc = load_memory(vm, r, err);

	if (!rc)
		rc = state_load(vm, &r->state, &options, err);
	if (rc) {
		err_prefix(err, "%s", r->file);
		return rc;
	}
	if (r->opts->paused || options.paused)
		rc = vm_user_pause(vm);
	return rc;
}

int builtin_restore(const char *file, const struct restore_opts *opts)
{
	struct restore r = {.opts = opts, .file = file, .uffd = -1};
	struct err err = ERR_INIT;
	struct vm_config config;
	int rc;

	wbuf_init(&r.state, SNAP_MAX_STATE);
	rc = open_snapshot(&r, &config, &err);
	if (rc)
		rc = builtin_failed("restore", &err);
	else
		rc = builtin_run_machine(&config, load, &r);
	wbuf_release(&r.state);
	if (r.uffd >= 0)
		close(r.uffd);
	snap_chain_close(&r.chain);
	return rc;
}

int cmd_restore(int argc, char **argv)
{
	struct restore_opts opts = {.threads = 1};
	struct err err = ERR_INIT;
	bool help = false;
	int nargs, rc;

	rc = io_fill_std_fds();
	if (rc)
		return err_sys(&err, rc, "standard descriptors"), builtin_failed("restore", &err);
	if (opt_parse(&verb_restore, argc, argv, &opts, &nargs, &help, &err))
		return builtin_usage("restore", &err);
	if (help)
		return builtin_help(&verb_restore);
	if (nargs != 1)
		return err_set(&err, -EINVAL, "name the snapshot's FILE"),
		       builtin_usage("restore", &err);
	if (opts.no_prefetch && !opts.lazy)
		return err_set(&err, -EINVAL, "--no-prefetch: needs --lazy"),
		       builtin_usage("restore", &err);
	return builtin_restore(argv[0], &opts);
}
