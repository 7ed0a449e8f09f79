/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdio.h>
#include <string.h>

#include "util/buf.h"
#include "util/opt.h"

#define WIDTH	    79 /* of a line; one column of the 80 stays free */
#define HELP_COLUMN 26

static void put(struct wbuf *out, const char *text)
{
	wbuf_bytes(out, text, strlen(text));
}

static void spaces(struct wbuf *out, size_t n)
{
	while (n--)
		put(out, " ");
}

/*
 * Words of @text from column @at on, in lines that start at column @indent. Returns the column
 * behind the last word.
 */
static size_t wrap(struct wbuf *out, size_t at, size_t indent, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, " \n"), gap = at > indent;

		if (len && gap && at + gap + len > WIDTH) {
			put(out, "\n");
			spaces(out, indent);
			at = indent;
			gap = 0;
		}
		if (len) {
			spaces(out, gap);
			wbuf_bytes(out, text, len);
			at += gap + len;
		}
		text += len;
		if (*text == '\n') { /* in texts with no indent alone */
			put(out, "\n");
			at = 0;
		}
		text += *text != '\0';
	}
	return at;
}

static void option(struct wbuf *out, const struct opt *o)
{
	char label[80];
	size_t at;
	int n;

	n = snprintf(label, sizeof(label), "  %c%c%s --%s%s%s", o->letter ? '-' : ' ',
		     o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->arg ? " " : "",
		     o->arg ? o->arg : "");
	put(out, label);
	if (n + 2 > HELP_COLUMN) {
		put(out, "\n");
		n = 0;
	}
	spaces(out, HELP_COLUMN - (size_t)n);
	at = wrap(out, HELP_COLUMN, HELP_COLUMN, o->help);
	if (o->words) {
		at = wrap(out, at, HELP_COLUMN, o->words[1] ? "One of:" : "Only:");
		for (const char *const *word = o->words; *word; word++) {
			char text[40];

			(void)snprintf(text, sizeof(text), "%s%s", *word, word[1] ? "," : ".");
			at = wrap(out, at, HELP_COLUMN, text);
		}
	}
	put(out, "\n");
}

/* The names that kvmtool has and this program does not, in one paragraph. */
static void absent(struct wbuf *out, const struct opt *opts)
{
	char name[40];
	size_t at = 0;

	for (const struct opt *o = opts; o->name; o++) {
		if (o->kind != OPT_ABSENT)
			continue;
		if (!at) {
			put(out, "\n");
			at = wrap(out, 0, 0, "Options of kvmtool that this version refuses:");
		}
		(void)snprintf(name, sizeof(name), "--%s", o->name);
		at = wrap(out, at, 0, name);
	}
	if (at)
		put(out, "\n");
}

void opt_help(const struct verb_spec *verb, struct wbuf *out)
{
	static const struct opt help = {
		.name = "help", .letter = 'h', .kind = OPT_FLAG, .help = "Show this text."};

	put(out, "Usage: lkvm ");
	put(out, verb->name);
	put(out, " [OPTION]...");
	if (verb->args) {
		put(out, " ");
		put(out, verb->args);
	}
	put(out, "\n\n");
	wrap(out, 0, 0, verb->summary);
	put(out, "\n\nOptions:\n");
	for (const struct opt *o = verb->opts; o->name; o++)
		if (o->kind != OPT_ABSENT)
			option(out, o);
	option(out, &help);
	absent(out, verb->opts);
	if (verb->details) {
		put(out, "\n");
		wrap(out, 0, 0, verb->details);
		put(out, "\n");
	}
}
