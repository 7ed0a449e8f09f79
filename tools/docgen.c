/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes documents from the tables of options (cli.c). Built for the machine that compiles, with cli.c and util/.
 *
 *	docgen man [TEMPLATE]	the man page: docs/lkvm.1.in with @VERSION@ and @COMMANDS@ filled in
 *	docgen completion	bash completion
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#ifndef LKVM_VERSION
#define LKVM_VERSION "unknown"
#endif

static void die(const char *what, const char *name)
{
	fprintf(stderr, "docgen: %s %s\n", what, name);
	exit(1);
}

/* Plain text for roff: no character of it is an order, and minus signs can be copied and pasted. */
static void roff_part(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '\\':
			fputs("\\e", stdout);
			break;
		case '-':
			fputs("\\-", stdout);
			break;
		case '\'':
			fputs("\\(aq", stdout);
			break;
		case '"':
			fputs("\\(dq", stdout);
			break;
		case '^':
			fputs("\\(ha", stdout);
			break;
		case '~':
			fputs("\\(ti", stdout);
			break;
		case '`':
			fputs("\\(ga", stdout);
			break;
		default:
			putchar(text[i]);
		}
	}
}

static void roff(const char *text)
{
	roff_part(text, strlen(text));
}

/*
 * A paragraph, as lines of their own. In roff a sentence starts a new line, so that the space in
 * front of it is right, and a line that starts with a dot or a quote would be an order.
 */
static void roff_lines(const char *text, size_t len)
{
	const char *end = text + len;
	size_t column = 0;

	while (text < end) {
		size_t n = 0;

		while (text + n < end && text[n] != ' ')
			n++;
		if (column) {
			bool breaks = text[-2] == '.' || column + n > 70;

			putchar(breaks ? '\n' : ' ');
			column = breaks ? 0 : column + 1;
		}
		if (!column && n && (*text == '.' || *text == '\''))
			fputs("\\&", stdout);
		roff_part(text, n);
		column += n;
		text += n + 1;
	}
	putchar('\n');
}

static void man_words(const struct opt *o)
{
	if (!o->words)
		return;
	printf(o->words[1] ? "One of" : "Only");
	for (const char *const *word = o->words; *word; word++) {
		printf("%s\\fB", word == o->words ? " " : ", ");
		roff(*word);
		printf("\\fR");
	}
	printf(".\n");
}

static void man_label(const struct opt *o)
{
	printf(".TP\n");
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	printf("\\fB\\-\\-");
	roff(o->name);
	printf("\\fR");
	if (o->arg) {
		printf(" \\fI");
		roff(o->arg);
		printf("\\fR");
	}
	printf("\n");
}

/* The names that kvmtool has and this program does not, those with one reason together. */
static void man_absent(const struct opt *opts)
{
	bool any = false;

	for (const struct opt *o = opts; o->name; o++) {
		const struct opt *p = opts;

		if (o->kind != OPT_ABSENT)
			continue;
		while (p->kind != OPT_ABSENT || strcmp(p->help, o->help) != 0)
			p++;
		if (p != o) /* told with the first of them */
			continue;
		if (!any)
			printf(".PP\nOptions of kvmtool that this version refuses:\n");
		any = true;
		printf(".TP\n");
		for (; p->name; p++) {
			if (p->kind != OPT_ABSENT || strcmp(p->help, o->help) != 0)
				continue;
			printf("%s\\fB\\-\\-", p == o ? "" : ", ");
			roff(p->name);
			printf("\\fR");
		}
		printf("\n");
		roff(o->help);
		printf(".\n");
	}
}

static void man_details(const char *text)
{
	while (text && *text) {
		const char *end = strstr(text, "\n\n");

		printf(".PP\n");
		roff_lines(text, end ? (size_t)(end - text) : strlen(text));
		text = end ? end + 2 : NULL;
	}
}

static void man_verb(const struct verb_spec *verb)
{
	bool any = false;

	for (const struct opt *o = verb->opts; o->name; o++)
		any = any || o->kind != OPT_ABSENT;
	printf(".SS lkvm %s%s%s%s\n", verb->name, any ? " [OPTION]..." : "", verb->args ? " " : "",
	       verb->args ? verb->args : "");
	roff_lines(verb->summary, strlen(verb->summary));
	for (const struct opt *o = verb->opts; o->name; o++) {
		if (o->kind == OPT_ABSENT)
			continue;
		man_label(o);
		roff_lines(o->help, strlen(o->help));
		man_words(o);
	}
	man_details(verb->details);
	man_absent(verb->opts);
}

static void man(const char *path)
{
	FILE *f = fopen(path, "r");
	bool commands = false;
	char line[1024], *at;

	if (!f)
		die("cannot read", path);
	while (fgets(line, sizeof(line), f)) {
		if (!strchr(line, '\n'))
			die("line too long in", path);
		if (!strcmp(line, "@COMMANDS@\n")) {
			for (int i = 0; cli_verbs[i]; i++)
				man_verb(cli_verbs[i]);
			commands = true;
			continue;
		}
		at = strstr(line, "@VERSION@");
		if (at) {
			fwrite(line, 1, (size_t)(at - line), stdout);
			roff(LKVM_VERSION);
			fputs(at + strlen("@VERSION@"), stdout);
		} else {
			fputs(line, stdout);
		}
	}
	fclose(f);
	if (!commands)
		die("no line @COMMANDS@ in", path);
}

static bool takes_vm(const struct verb_spec *verb)
{
	return verb->args && !strcmp(verb->args, "[NAME]");
}

/* What bash does for the value of an option: "|" joins the ways to write it in a case pattern. */
static void completion_value(const struct verb_spec *verb, const struct opt *o)
{
	if (!o->arg || o->kind == OPT_ABSENT)
		return;
	printf("\t'%s --%s'", verb->name, o->name);
	if (o->letter)
		printf(" | '%s -%c'", verb->name, o->letter);
	printf(")\n");
	if (o->words) {
		printf("\t\t_lkvm_words '");
		for (const char *const *word = o->words; *word; word++)
			printf("%s%s", word == o->words ? "" : " ", *word);
		printf("'\n");
	} else if (o->kind == OPT_FILE) {
		printf("\t\t_lkvm_files -f\n");
	} else if (o->kind == OPT_DIR) {
		printf("\t\t_lkvm_files -d\n");
	} else if (takes_vm(verb) && !strcmp(o->name, "name")) {
		printf("\t\t_lkvm_words \"$(_lkvm_vms)\"\n");
	}
	printf("\t\treturn\n\t\t;;\n");
}

static void completion(void)
{
	printf("# bash completion for lkvm, made by tools/docgen.c\n"
	       "# shellcheck shell=bash\n"
	       "\n"
	       "# Names of the VMs that have a control socket.\n"
	       "_lkvm_vms()\n"
	       "{\n"
	       "\tlocal dir=${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/lkvm} socket\n"
	       "\n"
	       "\tfor socket in \"${dir:-/run/lkvm}\"/*.sock; do\n"
	       "\t\t[[ -S $socket ]] || continue\n"
	       "\t\tsocket=${socket##*/}\n"
	       "\t\tsocket=${socket%%.sock}\n"
	       "\t\t# compgen -W expands its words as the shell does, command substitution included.\n"
	       "\t\t[[ $socket =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] && printf '%%s\\n' \"$socket\"\n"
	       "\tdone\n"
	       "}\n"
	       "\n"
	       "# Both use cur of their caller.\n"
	       "_lkvm_words()\n"
	       "{\n"
	       "\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
	       "}\n"
	       "\n"
	       "_lkvm_files()\n"
	       "{\n"
	       "\tcompopt -o filenames 2>/dev/null\n"
	       "\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
	       "}\n"
	       "\n"
	       "_lkvm()\n"
	       "{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} prev='' verbs\n"
	       "\n"
	       "\tCOMPREPLY=()\n"
	       "\tverbs='");
	for (int i = 0; cli_verbs[i]; i++)
		printf("%s%s", i ? " " : "", cli_verbs[i]->name);
	printf("'\n"
	       "\tif ((COMP_CWORD == 1)); then\n"
	       "\t\t_lkvm_words \"$verbs\"\n"
	       "\t\treturn\n"
	       "\tfi\n"
	       "\n"
	       "\t# --name=VALUE comes as three words.\n"
	       "\tprev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	       "\tif [[ $cur == = ]]; then\n"
	       "\t\tcur=\n"
	       "\telif [[ $prev == = ]]; then\n"
	       "\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}\n"
	       "\tfi\n"
	       "\n"
	       "\tcase \"$verb $prev\" in\n");
	for (int i = 0; cli_verbs[i]; i++)
		for (const struct opt *o = cli_verbs[i]->opts; o->name; o++)
			completion_value(cli_verbs[i], o);
	printf("\tesac\n"
	       "\n"
	       "\tif [[ $cur == -* ]]; then\n"
	       "\t\tcase $verb in\n");
	for (int i = 0; cli_verbs[i]; i++) {
		printf("\t\t%s)\n\t\t\t_lkvm_words '", cli_verbs[i]->name);
		for (const struct opt *o = cli_verbs[i]->opts; o->name; o++)
			if (o->kind != OPT_ABSENT)
				printf("--%s ", o->name);
		printf("--help'\n\t\t\t;;\n");
	}
	printf("\t\tesac\n"
	       "\t\treturn\n"
	       "\tfi\n"
	       "\n"
	       "\tcase $verb in\n"
	       "\t");
	for (int i = 0, any = 0; cli_verbs[i]; i++) {
		if (takes_vm(cli_verbs[i]))
			printf("%s%s", any++ ? " | " : "", cli_verbs[i]->name);
	}
	printf(")\n"
	       "\t\t_lkvm_words \"$(_lkvm_vms)\"\n"
	       "\t\t;;\n"
	       "\thelp)\n"
	       "\t\t_lkvm_words \"$verbs\"\n"
	       "\t\t;;\n"
	       "\tesac\n"
	       "}\n"
	       "\n"
	       "complete -F _lkvm lkvm\n");
}

int main(int argc, char **argv)
{
	if ((argc == 2 || argc == 3) && !strcmp(argv[1], "man"))
		man(argc == 3 ? argv[2] : "docs/lkvm.1.in");
	else if (argc == 2 && !strcmp(argv[1], "completion"))
		completion();
	else
		die("usage:", "docgen man [TEMPLATE] | docgen completion");
	if (fflush(stdout) || ferror(stdout))
		die("cannot write", "the output");
	return 0;
}
