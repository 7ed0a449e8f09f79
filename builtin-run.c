/* SPDX-License-Identifier: GPL-2.0-only */
#include "builtin.h"
#include "cli.h"
#include "util/io.h"
#include "vm/config.h"

int cmd_run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct vm_config config;
	bool help = false;
	int nargs, rc;

	rc = io_fill_std_fds();
	if (rc)
		return err_sys(&err, rc, "standard descriptors"), builtin_failed("run", &err);
	vm_config_init(&config);
	if (opt_parse(&verb_run, argc, argv, &config, &nargs, &help, &err))
		return builtin_usage("run", &err);
	if (help)
		return builtin_help(&verb_run);
	if (vm_config_check(&config, &err))
		return builtin_usage("run", &err);
	return builtin_run_machine(&config, NULL, NULL);
}
