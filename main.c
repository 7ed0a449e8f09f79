/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "cli.h"
#include "util/io.h"

struct verb {
	const struct verb_spec *spec; /* name, one-line help, options: cli.c */
	int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{&verb_run, cmd_run},	      {&verb_snapshot, cmd_snapshot}, {&verb_restore, cmd_restore},
	{&verb_migrate, cmd_migrate}, {&verb_incoming, cmd_incoming}, {&verb_list, cmd_list},
	{&verb_pause, cmd_pause},     {&verb_resume, cmd_resume},     {&verb_stop, cmd_stop},
	{&verb_stat, cmd_stat},	      {&verb_debug, cmd_debug},	      {&verb_version, cmd_version},
	{&verb_help, cmd_help},
};

int main(int argc, char **argv)
{
	char help[] = "help", *only_help[] = {help, NULL};
	const char *word = argc > 1 ? argv[1] : help;

	/* Before anything is opened: what a verb writes to must not be what another part prints on. */
	if (io_fill_std_fds())
		return EXIT_FAILED;
	if (argc < 2)
		return cmd_help(1, only_help), EXIT_USAGE;
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		word = help;
	else if (!strcmp(word, "--version"))
		word = "version";
	for (unsigned int i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].spec->name, word))
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "lkvm: unknown command \"%s\"; `lkvm help` lists them\n", word);
	return EXIT_USAGE;
}
