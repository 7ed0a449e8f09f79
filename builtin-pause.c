/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm pause: returns when the guest is paused, not when it has been asked to. */
#include "builtin.h"
#include "cli.h"
#include "vm/control.h"

static int pause_vm(const char *name, const struct control_opts *opts, struct wbuf *out,
		    struct err *err)
{
	(void)opts;
	(void)out;
	return control_call(name, CONTROL_PAUSE, NULL, NULL, err);
}

int cmd_pause(int argc, char **argv)
{
	struct control_opts opts;
	int code;

	if (!builtin_parse(&verb_pause, argc, argv, &opts, &code))
		return code;
	return builtin_each(&verb_pause, &opts, pause_vm);
}
