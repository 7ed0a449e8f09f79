/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm help, and each verb's --help. */
#include <errno.h>
#include <string.h>

#include "builtin.h"
#include "cli.h"
#include "util/buf.h"

int builtin_help(const struct verb_spec *verb)
{
	struct wbuf out;
	int code;

	wbuf_init(&out, BUILTIN_OUT_MAX);
	opt_help(verb, &out);
	code = builtin_print(verb->name, &out);
	wbuf_release(&out);
	return code;
}

static int print_overview(void)
{
	struct wbuf out;
	int code;

	wbuf_init(&out, BUILTIN_OUT_MAX);
	builtin_printf(&out, "Usage: lkvm COMMAND [OPTION]...\n\nCommands:\n");
	for (const struct verb_spec *const *v = cli_verbs; *v; v++)
		builtin_printf(&out, "  %-9s %s\n", (*v)->name, (*v)->summary);
	builtin_printf(&out,
		       "\nlkvm help COMMAND, or lkvm COMMAND --help, describes one of them.\n");
	code = builtin_print("help", &out);
	wbuf_release(&out);
	return code;
}

int cmd_help(int argc, char **argv)
{
	struct err err = ERR_INIT;
	bool help = false;
	int nargs;

	if (opt_parse(&verb_help, argc, argv, NULL, &nargs, &help, &err))
		return builtin_usage("help", &err);
	if (help)
		return builtin_help(&verb_help);
	if (!nargs)
		return print_overview();
	for (const struct verb_spec *const *v = cli_verbs; *v; v++)
		if (!strcmp((*v)->name, argv[0]))
			return builtin_help(*v);
	err_set(&err, -EINVAL, "there is no command \"%s\"; lkvm help lists them", argv[0]);
	return builtin_failed("help", &err), EXIT_USAGE;
}
