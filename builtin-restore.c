/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm restore: a snapshot's configuration -> the machine -> its memory and state -> run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "migrate/lazy.h"
#include "migrate/ram.h"
#include "migrate/state.h"
#include "vm/arch.h"
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

/* While the terminal is raw a line feed does not return the carriage. */
static void print_reasons(const struct wbuf *reasons, bool raw)
{
	for (size_t i = 0; i < reasons->len; i++) {
		if (raw && reasons->data[i] == '\n')
			fputc('\r', stderr);
		fputc(reasons->data[i], stderr);
	}
}

/* All reasons why this host cannot take it, before any memory is read. */
static int check_host(struct restore *r, struct err *err)
{
	struct wbuf compat, reasons;
	int kvm, rc;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return err_sys(err, -errno, "/dev/kvm");
	wbuf_init(&compat, SNAP_MAX_STATE);
	wbuf_init(&reasons, STATE_REASONS_MAX);
	rc = snap_reader_compat(r->chain.reader[0], &compat, err);
	if (!rc)
		rc = state_compat_check(kvm, &compat, &reasons, err);
	if (reasons.len) {
		print_reasons(&reasons, false);
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
		rc = mem_lazy_open("--lazy", &r->uffd, err);
	return rc;
}

/* What this host's KVM refuses is told before any memory is read. */
static int prepare(struct vm *vm, struct restore *r, struct state_options *options,
		   struct state_loading **loading, struct err *err)
{
	struct wbuf reasons;
	int rc;

	wbuf_init(&reasons, STATE_REASONS_MAX);
	rc = state_prepare(vm, &r->state, options, &reasons, loading, err);
	print_reasons(&reasons, vm->log.raw_terminal);
	if (reasons.len)
		err_set(err, rc, "it cannot run on this host for the reasons above");
	wbuf_release(&reasons);
	return rc;
}

static int load_memory(struct vm *vm, struct restore *r, struct err *err)
{
	int rc = arch_tags_by_kvm(vm, r->opts->tag_walker, err);

	if (!rc)
		rc = ram_load(&vm->mem, &r->chain, r->opts->threads, err);
	if (!rc)
		rc = arch_tags_by_kvm(vm, false, err);
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
	struct state_options options = {.clock_advance = r->opts->clock == 0, .copy = true};
	struct state_loading *loading = NULL;
	int rc = prepare(vm, r, &options, &loading, err);

	if (!rc)
		rc = load_memory(vm, r, err);
	if (rc && loading)
		state_abandon(loading);
	else if (!rc)
		rc = state_commit(loading, err);
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

static int try_machine(struct restore *r, const struct vm_config *config, struct err *err)
{
	struct state_options options = {.clock_advance = true};
	struct state_loading *loading = NULL;
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc = vm ? vm_init_trial(vm, config, err) : err_set(err, -ENOMEM, "out of memory");

	if (rc) {
		free(vm);
		return rc;
	}
	rc = arch_machine_build(vm, err);
	if (!rc) {
		rc = prepare(vm, r, &options, &loading, err);
		if (!rc)
			state_abandon(loading);
		arch_machine_release(vm);
	}
	vm_release(vm);
	free(vm);
	return rc;
}

int builtin_restore_check(const char *file)
{
	const struct restore_opts opts = {.threads = 1};
	struct restore r = {.opts = &opts, .file = file};
	struct err err = ERR_INIT;
	struct vm_config config;
	int rc;

	wbuf_init(&r.state, SNAP_MAX_STATE);
	rc = open_snapshot(&r, &config, &err);
	if (!rc) {
		rc = try_machine(&r, &config, &err);
		if (rc)
			err_prefix(&err, "%s", file);
	}
	wbuf_release(&r.state);
	snap_chain_close(&r.chain);
	return rc ? builtin_failed("snapshot", &err) : EXIT_OK;
}

int cmd_restore(int argc, char **argv)
{
	struct restore_opts opts = {.threads = 1};
	struct err err = ERR_INIT;
	bool help = false;
	int nargs;

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
	/* Who brings pages in must not enter KVM, which may wait for those very pages. */
	if (opts.lazy && opts.tag_walker)
		return err_set(&err, -EINVAL, "--tag-walker ioctl: does not go with --lazy"),
		       builtin_usage("restore", &err);
	return builtin_restore(argv[0], &opts);
}
