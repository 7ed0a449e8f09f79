/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM of this process, from configuration to exit code: what run and restore have in common. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "builtin.h"
#include "cli.h"
#include "migrate/control.h"
#include "migrate/lazy.h"
#include "vm/arch.h"
#include "vm/fault.h"
#include "vm/vm.h"

static int failed(const struct vm *vm, const struct err *err)
{
	/* While the terminal is raw a line feed does not return the carriage. */
	fprintf(stderr, "lkvm: %s%s", err->msg, vm && vm->log.raw_terminal ? "\r\n" : "\n");
	return err->usage ? EXIT_USAGE : EXIT_FAILED;
}

/* A restored machine boots again from the kernel that the command line names, if it names one. */
static bool boots_again(struct vm *vm, enum vm_end end)
{
	if (end != VM_END_RESET || vm->config.no_reboot)
		return false;
	if (vm->config.restoring && !vm->config.kernel && !vm->config.firmware) {
		log_line(&vm->log, LOG_INFO,
			 "the guest resets; without --kernel there is nothing to boot again");
		return false;
	}
	vm->config.restoring = false;
	return true;
}

/* What went wrong is also @guest's to hear. */
static int failed_for(const struct builtin_guest *guest, const struct vm *vm, const struct err *err)
{
	if (guest->why)
		*guest->why = *err;
	return failed(vm, err);
}

static int run_until_end(struct vm *vm, const struct builtin_guest *guest,
			 struct migrate_control *mc)
{
	builtin_load_fn load = guest->load;
	struct err err = ERR_INIT;
	enum vm_end end;
	int code;

	do {
		int rc = arch_machine_build(vm, &err);

		/* "Nothing was started" is not true of a reboot that finds its kernel gone. */
		err.usage &= !vm->boots;
		if (rc)
			return failed_for(guest, vm, &err);
		rc = load ? load(vm, guest->ctx, &err) : 0;
		load = NULL;
		end = rc ? VM_END_NONE : vm_run(vm);
		migrate_control_leave(mc);
		if (guest->leave)
			guest->leave(guest->ctx);
		lazy_stop(vm);
		arch_machine_release(vm);
		if (rc)
			return failed_for(guest, vm, &err);
	} while (boots_again(vm, end));

	if (end != VM_END_MEMORY && end != VM_END_ERROR)
		return EXIT_OK;
	code = failed(vm, &vm->end_err);
	return end == VM_END_MEMORY ? EXIT_MEMORY : code;
}

int builtin_run_machine(const struct vm_config *config, builtin_load_fn load, void *ctx)
{
	const struct builtin_guest guest = {.load = load, .ctx = ctx};

	return builtin_run_guest(config, &guest);
}

int builtin_run_guest(const struct vm_config *config, const struct builtin_guest *guest)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct migrate_control *mc = NULL;
	struct err err = ERR_INIT;
	int rc = EXIT_FAILED;

	if (!vm)
		return err_set(&err, -ENOMEM, "out of memory"), failed_for(guest, NULL, &err);
	if (vm_init(vm, config, &err)) {
		rc = failed_for(guest, NULL, &err);
		free(vm);
		return rc;
	}
	vm->memory_exit_code = EXIT_MEMORY;
	if (fault_install(&err) || fault_thread_init(vm, &err) ||
	    migrate_control_open(vm, &mc, &err))
		rc = failed_for(guest, vm, &err);
	else
		rc = run_until_end(vm, guest, mc);
	if (mc)
		migrate_control_close(mc);
	fault_thread_release();
	vm_release(vm);
	free(vm);
	return rc;
}
