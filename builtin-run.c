/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm run: options, the machine, and round again for each reboot of the guest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "builtin.h"
#include "cli.h"
#include "util/io.h"
#include "vm/arch.h"
#include "vm/fault.h"
#include "vm/vm.h"

static int failed(const struct vm *vm, const struct err *err)
{
	/* While the terminal is raw a line feed does not return the carriage. */
	fprintf(stderr, "lkvm: %s%s", err->msg, vm && vm->log.raw_terminal ? "\r\n" : "\n");
	return err->usage ? EXIT_USAGE : EXIT_FAILED;
}

static int run_until_end(struct vm *vm)
{
	struct err err = ERR_INIT;
	enum vm_end end;

	do {
		int rc = arch_machine_build(vm, &err);

		if (rc)
			return failed(vm, &err);
		end = vm_run(vm);
		arch_machine_release(vm);
	} while (end == VM_END_RESET && !vm->config.no_reboot);

	if (end == VM_END_MEMORY || end == VM_END_ERROR)
		failed(vm, &vm->end_err);
	if (end == VM_END_MEMORY)
		return EXIT_MEMORY;
	return end == VM_END_ERROR ? EXIT_FAILED : EXIT_OK;
}

static int run_vm(const struct vm_config *config, struct err *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc = EXIT_FAILED;

	if (!vm)
		return err_set(err, -ENOMEM, "out of memory"), failed(NULL, err);
	if (vm_init(vm, config, err)) {
		rc = failed(NULL, err);
		free(vm);
		return rc;
	}
	vm->memory_exit_code = EXIT_MEMORY;
	if (fault_install(err) || fault_thread_init(vm, err))
		rc = failed(vm, err);
	else
		rc = run_until_end(vm);
	fault_thread_release();
	vm_release(vm);
	free(vm);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct vm_config config;
	bool help = false;
	int nargs, rc;

	rc = io_fill_std_fds();
	if (rc)
		return err_sys(&err, rc, "standard descriptors"), failed(NULL, &err);
	vm_config_init(&config);
	if (opt_parse(&verb_run, argc, argv, &config, &nargs, &help, &err))
		return builtin_usage("run", &err);
	if (help)
		return builtin_help(&verb_run);
	if (vm_config_check(&config, &err))
		return builtin_usage("run", &err);
	return run_vm(&config, &err);
}
