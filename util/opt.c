/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/opt.h"

/* Where the parser stands. */
struct parse {
	const struct verb_spec *verb;
	int argc;
	char **argv;
	int next; /* argument to look at next */
	void *values;
	struct err *err;
};

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return INT_MAX;
}

/* Digits at *@at, which is moved behind them. -EINVAL without any, -ERANGE past 64 bits. */
static int parse_digits(const char **at, uint64_t *value)
{
	unsigned int base = 10, digit;
	const char *s = *at, *first;
	uint64_t v = 0;
	int rc = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	for (first = s; (digit = (unsigned int)digit_value(*s)) < base; s++) {
		if (v > (UINT64_MAX - digit) / base)
			rc = -ERANGE;
		else
			v = v * base + digit;
	}
	if (s == first)
		return -EINVAL;
	*at = s;
	*value = v;
	return rc;
}

int opt_parse_u64(const char *text, uint64_t *value, struct err *err)
{
	const char *s = text;
	uint64_t v;
	int rc = parse_digits(&s, &v);

	if (rc == -ERANGE)
		return err_set(err, -EINVAL, "\"%s\" is too large a number", text);
	if (rc || *s)
		return err_set(err, -EINVAL,
			       "\"%s\" is not a number (decimal, or hexadecimal with 0x)", text);
	*value = v;
	return 0;
}

int opt_parse_size(const char *text, uint64_t *bytes, struct err *err)
{
	static const char units[] = "BKMGTP";
	unsigned int shift = 20; /* MiB, as kvmtool takes it */
	const char *s = text, *unit;
	uint64_t v;
	int rc = parse_digits(&s, &v);

	if (rc != -EINVAL && *s) {
		char letter = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;

		unit = strchr(units, letter);
		if (!unit || s[1])
			rc = -EINVAL;
		else
			shift = 10 * (unsigned int)(unit - units);
	}
	if (rc == -EINVAL)
		return err_set(err, -EINVAL,
			       "\"%s\" is not a size (a whole number and B, K, M, G, T or P; "
			       "without a letter MiB)",
			       text);
	if (rc || v > UINT64_MAX >> shift)
		return err_set(err, -EINVAL, "\"%s\" is too large a size", text);
	*bytes = v << shift;
	return 0;
}

#define DISTANCE_WORD 32 /* longer ones are never alike */

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

unsigned int opt_distance(const char *a, const char *b)
{
	unsigned int row[3][DISTANCE_WORD + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > DISTANCE_WORD || nb > DISTANCE_WORD)
		return UINT_MAX;

	/* Three rows of the usual table, used in turn: this one, the last, the one before. */
	for (size_t j = 0; j <= nb; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned int *cur = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		cur[0] = (unsigned int)i;
		for (size_t j = 1; j <= nb; j++) {
			cur[j] =
				min3(up[j] + 1, cur[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < cur[j])
				cur[j] = up2[j - 2] + 1;
		}
	}
	return row[na % 3][nb];
}

static bool takes_value(const struct opt *o)
{
	return o->arg != NULL;
}

static int check_range(const struct opt *o, const char *text, uint64_t v, struct err *err)
{
	if (v >= o->min && v <= o->max)
		return 0;
	return err_set(err, -EINVAL, "%s is out of range, %" PRIu64 " to %" PRIu64 "%s", text,
		       o->min, o->max, o->kind == OPT_SIZE ? " bytes" : "");
}

static int store_number(const struct opt *o, void *field, const char *text, struct err *err)
{
	uint64_t v;
	int rc;

	if (o->kind == OPT_SIZE)
		rc = opt_parse_size(text, &v, err);
	else
		rc = opt_parse_u64(text, &v, err);
	if (!rc)
		rc = check_range(o, text, v, err);
	if (rc)
		return rc;
	if (o->kind == OPT_U32)
		*(uint32_t *)field = (uint32_t)v;
	else
		*(uint64_t *)field = v;
	return 0;
}

static int store_word(const struct opt *o, int *field, const char *text, struct err *err)
{
	char all[256] = "";
	size_t len = 0;

	for (int i = 0; o->words[i]; i++) {
		if (!strcmp(text, o->words[i])) {
			*field = i;
			return 0;
		}
		if (len < sizeof(all))
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
						o->words[i]);
	}
	return err_set(err, -EINVAL, "\"%s\" is not one of %s", text, all);
}

static int store_another(struct opt_strs *strs, const char *text, struct err *err)
{
	if (strs->n == OPT_STRS_MAX)
		return err_set(err, -EINVAL, "given more than %d times", OPT_STRS_MAX);
	strs->v[strs->n++] = text;
	return 0;
}

static int store(const struct opt *o, void *values, const char *text, struct err *err)
{
	void *field = (char *)values + o->offset;

	switch (o->kind) {
	case OPT_FLAG:
	case OPT_UNFLAG:
		*(bool *)field = o->kind == OPT_FLAG;
		return 0;
	case OPT_FILE:
	case OPT_DIR:
		if (!*text)
			return err_set(err, -EINVAL, "the name is empty, give a %s",
				       o->kind == OPT_FILE ? "file" : "folder");
		*(const char **)field = text;
		return 0;
	case OPT_STR:
		*(const char **)field = text;
		return 0;
	case OPT_U32:
	case OPT_U64:
	case OPT_SIZE:
		return store_number(o, field, text, err);
	case OPT_WORD:
		return store_word(o, field, text, err);
	case OPT_STRS:
		return store_another(field, text, err);
	case OPT_CALL:
		return o->call(values, text, err);
	case OPT_ABSENT:
		return err_set(err, -EINVAL, "not in this version: %s", o->help);
	case OPT_IGNORED:
		return 0;
	}
	return -EINVAL;
}

/* @text is NULL where the option has no value. */
static int apply(struct parse *p, const struct opt *o, const char *text)
{
	int rc = store(o, p->values, text, p->err);

	if (rc)
		err_prefix(p->err, "--%s", o->name);
	return rc;
}

/* Applies an option with a value: the one attached to it or else the next argument. */
static int apply_value(struct parse *p, const struct opt *o, const char *attached)
{
	if (!attached && p->next < p->argc)
		attached = p->argv[p->next++];
	if (!attached)
		return err_set(p->err, -EINVAL, "--%s: a value is missing, %s", o->name, o->arg);
	return apply(p, o, attached);
}

static int unknown_long(struct parse *p, const char *name, size_t len)
{
	unsigned int best = OPT_ALIKE + 1;
	const char *nearest = NULL;
	char typed[DISTANCE_WORD + 1];

	if (len <= DISTANCE_WORD) {
		memcpy(typed, name, len);
		typed[len] = '\0';
		for (const struct opt *o = p->verb->opts; o->name; o++) {
			unsigned int d = opt_distance(typed, o->name);

			if (o->kind != OPT_ABSENT && d < best) {
				best = d;
				nearest = o->name;
			}
		}
	}
	if (nearest)
		return err_set(p->err, -EINVAL, "unknown option --%.*s, did you mean --%s?",
			       (int)len, name, nearest);
	return err_set(p->err, -EINVAL, "unknown option --%.*s, see lkvm %s --help", (int)len, name,
		       p->verb->name);
}

/* @text is what follows the two dashes. */
static int parse_long(struct parse *p, const char *text, bool *help)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	const struct opt *o;

	if (!strcmp(text, "help")) {
		*help = true;
		return 0;
	}
	for (o = p->verb->opts; o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, text, len))
			break;
	if (!o->name)
		return unknown_long(p, text, len < 200 ? len : 200);

	if (o->kind == OPT_ABSENT)
		return apply(p, o, NULL);
	if (takes_value(o))
		return apply_value(p, o, value);
	if (value)
		return err_set(p->err, -EINVAL, "--%s: takes no value, so not \"%s\"", o->name,
			       value);
	return apply(p, o, NULL);
}

/* @text is what follows the dash: letters of flags, the last one perhaps of an option with value. */
static int parse_short(struct parse *p, const char *text, bool *help)
{
	const struct opt *o;
	int rc;

	for (; *text; text++) {
		if (*text == 'h') {
			*help = true;
			return 0;
		}
		for (o = p->verb->opts; o->name; o++)
			if (o->letter == *text)
				break;
		if (!o->name)
			return err_set(p->err, -EINVAL, "unknown option -%c, see lkvm %s --help",
				       *text, p->verb->name);

		if (o->kind == OPT_ABSENT || !takes_value(o)) {
			rc = apply(p, o, NULL);
			if (rc)
				return rc;
			continue;
		}
		return apply_value(p, o, text[1] ? text + 1 : NULL);
	}
	return 0;
}

static int too_many(struct parse *p, const char *text)
{
	if (p->verb->args_hint)
		return err_set(p->err, -EINVAL, "unexpected argument \"%s\": %s", text,
			       p->verb->args_hint);
	return err_set(p->err, -EINVAL, "unexpected argument \"%s\", see lkvm %s --help", text,
		       p->verb->name);
}

int opt_parse(const struct verb_spec *verb, int argc, char **argv, void *values, int *nargs,
	      bool *help, struct err *err)
{
	struct parse p = {
		.verb = verb, .argc = argc, .argv = argv, .next = 1, .values = values, .err = err};
	bool only_args = false;
	int n = 0, rc = 0;

	*nargs = 0;
	*help = false;
	while (!rc && !*help && p.next < argc) {
		char *text = argv[p.next++];

		if (only_args || text[0] != '-' || !text[1]) {
			if ((unsigned int)n >= verb->max_args)
				rc = too_many(&p, text);
			else
				argv[n++] = text; /* never ahead of p.next */
		} else if (text[1] != '-') {
			rc = parse_short(&p, text + 1, help);
		} else if (text[2]) {
			rc = parse_long(&p, text + 2, help);
		} else {
			only_args = true;
		}
	}
	if (!rc && !*help)
		*nargs = n;
	return rc;
}
