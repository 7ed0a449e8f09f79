/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>

#include "builtin.h"
#include "cli.h"
#include "vm/config.h"

/* The machine is the one that was saved: an option that asks for another cannot be honoured, so it is refused. */
static int run_restore(const struct vm_config *config, const struct vm_config *defaults)
{
	const struct restore_opts opts = {
		.threads = 1,
		.lazy = config->lazy,
		.name = config->name,
		.kernel = config->kernel,
		.initrd = config->initrd,
		.params = config->params,
	};
	struct vm_config other;
	struct err err = ERR_INIT;

	memcpy(&other, defaults, sizeof(other));
	other.name = config->name;
	other.kernel = config->kernel;
	other.initrd = config->initrd;
	other.params = config->params;
	other.restore = config->restore;
	other.lazy = config->lazy;
	if (memcmp(&other, config, sizeof(other))) {
		err_set(&err, -EINVAL,
			"--restore: the machine is the one that was saved; only --name, --lazy, --kernel, --initrd "
			"and --params go with it");
		return builtin_usage("run", &err);
	}
	return builtin_restore(config->restore, &opts);
}

int cmd_run(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct vm_config config, defaults;
	bool help = false;
	int nargs;

	vm_config_init(&config);
	memcpy(&defaults, &config, sizeof(defaults)); /* bytes between fields too, for comparing */
	if (opt_parse(&verb_run, argc, argv, &config, &nargs, &help, &err))
		return builtin_usage("run", &err);
	if (help)
		return builtin_help(&verb_run);
	if (config.restore)
		return run_restore(&config, &defaults);
	if (vm_config_check(&config, &err))
		return builtin_usage("run", &err);
	return builtin_run_machine(&config, NULL, NULL);
}
