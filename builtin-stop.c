/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm stop: returns when the VM has ended and its name is free. */
#include "builtin.h"
#include "cli.h"
#include "vm/control.h"

#define STOP_SECONDS 10

static int stop_vm(const char *name, const struct control_opts *opts, struct wbuf *out,
		   struct err *err)
{
	(void)opts;
	(void)out;
	return control_stop(name, STOP_SECONDS, err);
}

int cmd_stop(int argc, char **argv)
{
	struct control_opts opts;
	int code;

	if (!builtin_parse(&verb_stop, argc, argv, &opts, &code))
		return code;
	return builtin_each(&verb_stop, &opts, stop_vm);
}
