/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm resume */
#include "builtin.h"
#include "cli.h"
#include "vm/control.h"

static int resume_vm(const char *name, const struct control_opts *opts, struct wbuf *out,
		     struct err *err)
{
	(void)opts;
	(void)out;
	return control_call(name, CONTROL_RESUME, NULL, NULL, err);
}

int cmd_resume(int argc, char **argv)
{
	struct control_opts opts;
	int code;

	if (!builtin_parse(&verb_resume, argc, argv, &opts, &code))
		return code;
	return builtin_each(&verb_resume, &opts, resume_vm);
}
