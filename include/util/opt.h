/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Command-line options. One table a verb drives parsing, --help, the man page and the shell completion.
 *
 * A table entry says where its value goes: an offset into the verb's own plain struct of options, which the caller
 * has filled with defaults. A value that is wrong gives one line that names option and value and says what is right.
 */
#ifndef LKVM_UTIL_OPT_H
#define LKVM_UTIL_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

enum opt_kind {
	OPT_FLAG,   /* bool: becomes true */
	OPT_UNFLAG, /* bool: becomes false */
	OPT_STR,    /* const char *: points into argv */
	OPT_FILE,   /* the same; completes to file names */
	OPT_DIR,    /* the same; completes to folders */
	OPT_U32,    /* uint32_t within min..max; decimal, or hex with 0x */
	OPT_U64,    /* uint64_t within min..max */
	OPT_SIZE,   /* uint64_t bytes within min..max; suffix BKMGTP, a bare number is MiB */
	OPT_WORD,   /* int: index of the value in `words` */
	OPT_STRS,   /* struct opt_strs: repeatable */
	OPT_CALL,   /* parsed by `call`; `words`, if set, are for help and completion alone */
	OPT_ABSENT, /* known to users of kvmtool, not in this program: an error, `help` says what is missing */
	OPT_IGNORED /* accepted without effect; takes a value if `arg` is set */
};

#define OPT_STRS_MAX 16
struct opt_strs {
	const char *v[OPT_STRS_MAX];
	unsigned int n;
};

struct opt {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter;	  /* short name or 0 */
	enum opt_kind kind;
	size_t offset;		  /* of the value in the verb's struct */
	const char *arg;	  /* how the value is shown, e.g. "SIZE"; NULL for a flag */
	const char *help;	  /* one sentence, with the default */
	const char *const *words; /* OPT_WORD: NULL-terminated */
	uint64_t min, max;	  /* numbers and sizes, inclusive */
	/* OPT_CALL: stores into the verb's struct at @values; the text names the value, the option is put in front. */
	int (*call)(void *values, const char *value, struct err *err);
};

struct verb_spec {
	const char *name;
	const char *args;    /* positional part of the usage line, e.g. "[NAME]" */
	const char *summary; /* one line */
	const char *details; /* paragraphs for --help and the man page, or NULL */
	const struct opt *opts;
	unsigned int max_args; /* positional arguments allowed */
	const char *args_hint; /* what to do instead, for an argument too many; or NULL */
};

/*
 * Parses argv[1..argc). Long and short forms, "--name=value" and "--name value", "-xvalue" and "-x value", letters of
 * flags together ("-ir"); "--" ends the options. Of an option given twice the last one counts. Positional arguments
 * are moved to the front of @argv (argv[0] is the first) in order and their number is left in *@nargs.
 * -h or --help sets *@help and ends the parsing: what @values holds is of no use then, nor after an error.
 * -EINVAL with a line in @err on any mistake.
 */
int opt_parse(const struct verb_spec *verb, int argc, char **argv, void *values, int *nargs,
	      bool *help, struct err *err);

/* Suffix or unit as for OPT_SIZE. *@bytes and *@value are untouched on error. */
int opt_parse_size(const char *text, uint64_t *bytes, struct err *err);
int opt_parse_u64(const char *text, uint64_t *value, struct err *err);

/*
 * How far a word is from a known one: letters to add, drop, change or swap with their neighbour. For "did you mean";
 * more than OPT_ALIKE is another word.
 */
#define OPT_ALIKE 2
unsigned int opt_distance(const char *a, const char *b);

/* The verb's help, for a terminal of 80 columns, into a growing text. */
struct wbuf;
void opt_help(const struct verb_spec *verb, struct wbuf *out);

#endif
