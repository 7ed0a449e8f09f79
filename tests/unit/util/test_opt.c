/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/opt.h"

struct values {
	bool flag, on, other;
	const char *str, *file, *dir;
	uint32_t u32;
	uint64_t u64, size;
	int word;
	struct opt_strs strs;
	const char *called;
};

static int call(void *values, const char *value, struct err *err)
{
	struct values *v = values;

	if (!strcmp(value, "bad"))
		return err_set(err, -EINVAL, "\"bad\" is bad");
	v->called = value;
	return 0;
}

#define OFF(m) offsetof(struct values, m)

static const char *const words[] = {"zero", "one", "two", NULL};

static const struct opt opts[] = {
	{.name = "flag", .letter = 'f', .kind = OPT_FLAG, .offset = OFF(flag), .help = "."},
	{.name = "other", .letter = 'o', .kind = OPT_FLAG, .offset = OFF(other), .help = "."},
	{.name = "no-on", .kind = OPT_UNFLAG, .offset = OFF(on), .help = "."},
	{.name = "name",
	 .letter = 's',
	 .kind = OPT_STR,
	 .offset = OFF(str),
	 .arg = "S",
	 .help = "."},
	{.name = "file", .kind = OPT_FILE, .offset = OFF(file), .arg = "FILE", .help = "."},
	{.name = "dir", .kind = OPT_DIR, .offset = OFF(dir), .arg = "DIR", .help = "."},
	{.name = "cpus",
	 .letter = 'c',
	 .kind = OPT_U32,
	 .offset = OFF(u32),
	 .arg = "N",
	 .min = 1,
	 .max = 8,
	 .help = "."},
	{.name = "big",
	 .kind = OPT_U64,
	 .offset = OFF(u64),
	 .arg = "N",
	 .max = UINT64_MAX,
	 .help = "."},
	{.name = "mem",
	 .letter = 'm',
	 .kind = OPT_SIZE,
	 .offset = OFF(size),
	 .arg = "SIZE",
	 .min = 1 << 20,
	 .max = 1ull << 40,
	 .help = "."},
	{.name = "word",
	 .letter = 'w',
	 .kind = OPT_WORD,
	 .offset = OFF(word),
	 .arg = "W",
	 .words = words,
	 .help = "."},
	{.name = "more", .kind = OPT_STRS, .offset = OFF(strs), .arg = "S", .help = "."},
	{.name = "call", .kind = OPT_CALL, .call = call, .arg = "X", .help = "."},
	{.name = "gone", .letter = 'g', .kind = OPT_ABSENT, .arg = "X", .help = "no legs"},
	{.name = "skip", .kind = OPT_IGNORED, .arg = "X", .help = "."},
	{.name = "skip-flag", .kind = OPT_IGNORED, .help = "."},
	{0},
};

static const struct verb_spec verb = {
	.name = "try", .args = "[A] [B]", .summary = "Try.", .opts = opts, .max_args = 2};
static const struct verb_spec verb_no_args = {
	.name = "try", .summary = "Try.", .opts = opts, .args_hint = "use -k"};

static struct values v;
static struct err err;
static char *argv[64];
static int nargs;
static bool help;

/*
 * Splits @line at spaces; "_" stands for an empty argument. argv has its exact size on the heap and no NULL
 * at its end, so that AddressSanitizer sees a look past it.
 */
static int parse_with(const struct verb_spec *spec, const char *line)
{
	static char text[512];
	char **tight, *at = text;
	int argc = 0, rc;

	assert_true(strlen(line) < sizeof(text));
	memcpy(text, line, strlen(line) + 1);
	argv[argc++] = "try";
	while (*at) {
		argv[argc++] = *at == '_' ? at + 1 : at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = '\0';
	}
	memset(&v, 0, sizeof(v));
	v.on = true;
	v.word = -1;
	err.msg[0] = '\0';
	tight = malloc((size_t)argc * sizeof(*tight));
	assert_non_null(tight);
	memcpy(tight, argv, (size_t)argc * sizeof(*tight));
	rc = opt_parse(spec, argc, tight, &v, &nargs, &help, &err);
	memcpy(argv, tight, (size_t)argc * sizeof(*tight));
	free(tight);
	return rc;
}

static void good(const char *line)
{
	int rc = parse_with(&verb, line);

	if (rc)
		print_error("# \"%s\": %s\n", line, err.msg);
	assert_int_equal(rc, 0);
	assert_string_equal(err.msg, "");
}

/* Wrong, and the one line is this. */
static void bad(const char *line, const char *message)
{
	assert_int_equal(parse_with(&verb, line), -EINVAL);
	assert_string_equal(err.msg, message);
	assert_int_equal(nargs, 0);
	assert_false(help);
}

static void nothing_given(void **state)
{
	(void)state;
	good("");
	assert_int_equal(nargs, 0);
	assert_false(help);
	assert_true(v.on);
	assert_false(v.flag);
	assert_null(v.str);
}

static void forms_of_a_value(void **state)
{
	static const char *const lines[] = {"--name=x", "--name x", "-sx",
					    "-s x",	"-fsx",	    "-f -s x"};

	(void)state;
	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		good(lines[i]);
		assert_string_equal(v.str, "x");
		assert_int_equal(v.flag, i >= 4);
	}
	good("--name=a=b --big=0x10");
	assert_string_equal(v.str, "a=b");
	assert_int_equal(v.u64, 16);
	/* What looks like an option is a value where one is due. */
	good("--name --flag");
	assert_string_equal(v.str, "--flag");
	assert_false(v.flag);
	good("-s -- x");
	assert_string_equal(v.str, "--");
	assert_int_equal(nargs, 1);
}

static void flags(void **state)
{
	(void)state;
	good("--flag");
	assert_true(v.flag);
	good("-fo --no-on");
	assert_true(v.flag && v.other);
	assert_false(v.on);
	good("--flag --flag");
	assert_true(v.flag);
	bad("--flag=yes", "--flag: takes no value, so not \"yes\"");
	bad("--flag=", "--flag: takes no value, so not \"\"");
	bad("-fx", "unknown option -x, see lkvm try --help");
}

static void empty_values(void **state)
{
	(void)state;
	good("--name=");
	assert_string_equal(v.str, "");
	good("--name _");
	assert_string_equal(v.str, "");
	bad("--file=", "--file: the name is empty, give a file");
	bad("--dir _", "--dir: the name is empty, give a folder");
	bad("--cpus=", "--cpus: \"\" is not a number (decimal, or hexadecimal with 0x)");
	bad("--word=", "--word: \"\" is not one of zero, one, two");
}

static void missing_values(void **state)
{
	(void)state;
	bad("--name", "--name: a value is missing, S");
	bad("--flag -m", "--mem: a value is missing, SIZE");
	bad("-fm", "--mem: a value is missing, SIZE");
	bad("--skip", "--skip: a value is missing, X");
}

static void last_one_counts(void **state)
{
	(void)state;
	good("-c 1 -c2 --cpus=3 --word one --word two");
	assert_int_equal(v.u32, 3);
	assert_int_equal(v.word, 2);
	/* But a wrong one is an error wherever it stands. */
	bad("-c 9 -c 1", "--cpus: 9 is out of range, 1 to 8");
}

static void numbers(void **state)
{
	(void)state;
	good("-c 0x4");
	assert_int_equal(v.u32, 4);
	good("-c0X8");
	assert_int_equal(v.u32, 8);
	good("-c 007");
	assert_int_equal(v.u32, 7);
	good("--big 18446744073709551615");
	assert_true(v.u64 == UINT64_MAX);
	good("--big 0xffffffffffffffff");
	assert_true(v.u64 == UINT64_MAX);
	good("--big 0xAbCdEf");
	assert_int_equal(v.u64, 0xabcdef);
	good("--big 0xa1f");
	assert_int_equal(v.u64, 0xa1f);
	good("--big 0xA1F");
	assert_int_equal(v.u64, 0xa1f);
	bad("--big 18446744073709551616", "--big: \"18446744073709551616\" is too large a number");
	bad("--big 0x10000000000000000", "--big: \"0x10000000000000000\" is too large a number");
	bad("--big 99999999999999999999999",
	    "--big: \"99999999999999999999999\" is too large a number");
	bad("-c 0", "--cpus: 0 is out of range, 1 to 8");
	bad("-c 9", "--cpus: 9 is out of range, 1 to 8");
	/* 2^32 + 1: not cut to 1. */
	bad("-c 4294967297", "--cpus: 4294967297 is out of range, 1 to 8");
	for (unsigned int i = 0; i < 10; i++) {
		static const char *const wrong[] = {"-1", "+1",	 "1 ",	"1x", "x",
						    "0x", "0xg", "1.5", "--", "1e1"};
		struct err e = ERR_INIT;
		uint64_t n = 77;

		assert_int_equal(opt_parse_u64(wrong[i], &n, &e), -EINVAL);
		assert_non_null(strstr(e.msg, "is not a number"));
		assert_int_equal(n, 77);
	}
	assert_int_equal(opt_parse_u64(" 1", &v.u64, NULL), -EINVAL);
}

static void size(const char *text, uint64_t expect)
{
	uint64_t bytes = 77;

	assert_int_equal(opt_parse_size(text, &bytes, &err), 0);
	assert_true(bytes == expect);
}

static void no_size(const char *text, const char *why)
{
	struct err e = ERR_INIT;
	uint64_t bytes = 77;

	assert_int_equal(opt_parse_size(text, &bytes, &e), -EINVAL);
	assert_non_null(strstr(e.msg, why));
	assert_int_equal(bytes, 77);
	assert_int_equal(opt_parse_size(text, &bytes, NULL), -EINVAL);
}

static void sizes(void **state)
{
	static const char *const wrong[] = {"",	  "M",	  "-1", "1MB", "1MiB", "1 M", " 1",
					    "1Q", "1.5G", "0x", "xM",  "1@",   "1\n"};

	(void)state;
	size("0", 0);
	size("256", 256ull << 20);
	size("256M", 256ull << 20);
	size("256m", 256ull << 20);
	size("4096B", 4096);
	size("4096b", 4096);
	size("3K", 3072);
	size("2G", 2ull << 30);
	size("2T", 2ull << 40);
	size("2p", 2ull << 50);
	size("0x10", 16ull << 20);
	size("0x10K", 16384);
	/* In a hexadecimal number B is a digit. */
	size("0x1B", 27ull << 20);
	size("18446744073709551615B", UINT64_MAX);
	size("17592186044415", UINT64_MAX - ((1 << 20) - 1));
	size("16383P", 16383ull << 50);
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		no_size(wrong[i], "is not a size");
	no_size("16384P", "too large");
	no_size("17592186044416", "too large");
	no_size("18446744073709551616B", "too large");
	no_size("99999999999T", "too large");
	no_size("0xfffffffffffffffffffffffM", "too large");
	/* Too large and not a size: the second is what to mend first. */
	no_size("99999999999999999999999Z", "is not a size");

	good("-m256");
	assert_true(v.size == 256ull << 20);
	bad("-m 1K", "--mem: 1K is out of range, 1048576 to 1099511627776 bytes");
	bad("-m 2T", "--mem: 2T is out of range, 1048576 to 1099511627776 bytes");
	bad("-m=1", "--mem: \"=1\" is not a size (a whole number and B, K, M, G, T or P; without a "
		    "letter MiB)");
}

static void words_by_index(void **state)
{
	(void)state;
	good("--word zero");
	assert_int_equal(v.word, 0);
	good("-wtwo");
	assert_int_equal(v.word, 2);
	bad("-w Two", "--word: \"Two\" is not one of zero, one, two");
	bad("-w on", "--word: \"on\" is not one of zero, one, two");
	bad("-w three", "--word: \"three\" is not one of zero, one, two");
}

static void repeatable(void **state)
{
	char line[256] = "";

	(void)state;
	good("--more=a --more b");
	assert_int_equal(v.strs.n, 2);
	assert_string_equal(v.strs.v[0], "a");
	assert_string_equal(v.strs.v[1], "b");

	for (int i = 0; i < OPT_STRS_MAX; i++)
		memcpy(line + 9 * i, "--more=a ", 10);
	line[9 * OPT_STRS_MAX - 1] = '\0';
	good(line);
	assert_int_equal(v.strs.n, OPT_STRS_MAX);
	memcpy(line + 9 * OPT_STRS_MAX - 1, " --more=b", 10);
	bad(line, "--more: given more than 16 times");
	assert_int_equal(v.strs.n, OPT_STRS_MAX);
}

static void calls(void **state)
{
	(void)state;
	good("--call=x");
	assert_string_equal(v.called, "x");
	bad("--call bad", "--call: \"bad\" is bad");
}

static void absent_and_ignored(void **state)
{
	(void)state;
	bad("--gone", "--gone: not in this version: no legs");
	bad("--gone=1", "--gone: not in this version: no legs");
	bad("-g", "--gone: not in this version: no legs");
	bad("-gx", "--gone: not in this version: no legs");
	good("--skip x --skip=y --skip-flag z");
	assert_int_equal(nargs, 1);
	assert_string_equal(argv[0], "z");
}

static void unknown_options(void **state)
{
	(void)state;
	bad("--nmae x", "unknown option --nmae, did you mean --name?");
	bad("--mem-size=1", "unknown option --mem-size, see lkvm try --help");
	bad("--memm=1", "unknown option --memm, did you mean --mem?");
	bad("--nam", "unknown option --nam, did you mean --name?");
	bad("--name2=x", "unknown option --name2, did you mean --name?");
	bad("--=x", "unknown option --, see lkvm try --help");
	bad("-x", "unknown option -x, see lkvm try --help");
	bad("--completely-different-and-longer-than-any-known-option-could-ever-be",
	    "unknown option --completely-different-and-longer-than-any-known-option-could-ever-be, "
	    "see lkvm try --help");
	/* Around the longest word that is compared. */
	for (int n = 29; n < 36; n++) {
		char line[64] = "--";

		memset(line + 2, 'x', (size_t)n);
		assert_int_equal(parse_with(&verb, line), -EINVAL);
		assert_non_null(strstr(err.msg, "xxx, see lkvm try --help"));
	}
	/* One that this version lacks is no help. */
	bad("--gon", "unknown option --gon, see lkvm try --help");
}

static void positional(void **state)
{
	(void)state;
	good("a --flag b");
	assert_int_equal(nargs, 2);
	assert_string_equal(argv[0], "a");
	assert_string_equal(argv[1], "b");
	assert_true(v.flag);

	good("-c 1 - --");
	assert_int_equal(nargs, 1);
	assert_string_equal(argv[0], "-");

	good("-- --flag -x");
	assert_int_equal(nargs, 2);
	assert_string_equal(argv[0], "--flag");
	assert_string_equal(argv[1], "-x");
	assert_false(v.flag);

	good("_");
	assert_int_equal(nargs, 1);
	assert_string_equal(argv[0], "");

	bad("a b c", "unexpected argument \"c\", see lkvm try --help");
	bad("-- a b c", "unexpected argument \"c\", see lkvm try --help");
	assert_int_equal(parse_with(&verb_no_args, "kernel"), -EINVAL);
	assert_string_equal(err.msg, "unexpected argument \"kernel\": use -k");
}

static void asks_for_help(void **state)
{
	static const char *const lines[] = {"--help", "-h",	      "-fh",
					    "a -h",   "-h --unknown", "--help -c 99"};

	(void)state;
	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		good(lines[i]);
		assert_true(help);
		assert_int_equal(nargs, 0);
	}
	good("-- --help");
	assert_false(help);
	good("--name --help");
	assert_false(help);
	bad("--help=x", "unknown option --help, see lkvm try --help");
}

static void distances(void **state)
{
	char longer[64];

	(void)state;
	assert_int_equal(opt_distance("", ""), 0);
	assert_int_equal(opt_distance("abc", "abc"), 0);
	assert_int_equal(opt_distance("", "abc"), 3);
	assert_int_equal(opt_distance("abc", ""), 3);
	assert_int_equal(opt_distance("abc", "abd"), 1);
	assert_int_equal(opt_distance("abc", "ab"), 1);
	assert_int_equal(opt_distance("abc", "xabc"), 1);
	assert_int_equal(opt_distance("abc", "acb"), 1);
	assert_int_equal(opt_distance("abcdef", "badcfe"), 3);
	assert_int_equal(opt_distance("kitten", "sitting"), 3);
	assert_int_equal(opt_distance("pause", "resume"), opt_distance("resume", "pause"));
	memset(longer, 'a', 32);
	longer[32] = '\0';
	assert_int_equal(opt_distance(longer, longer), 0);
	assert_int_equal(opt_distance(longer, "b"), 32);
	longer[32] = 'a';
	longer[33] = '\0';
	assert_true(opt_distance(longer, longer) > OPT_ALIKE);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(nothing_given),   cmocka_unit_test(forms_of_a_value),
	cmocka_unit_test(flags),	   cmocka_unit_test(empty_values),
	cmocka_unit_test(missing_values),  cmocka_unit_test(last_one_counts),
	cmocka_unit_test(numbers),	   cmocka_unit_test(sizes),
	cmocka_unit_test(words_by_index),  cmocka_unit_test(repeatable),
	cmocka_unit_test(calls),	   cmocka_unit_test(absent_and_ignored),
	cmocka_unit_test(unknown_options), cmocka_unit_test(positional),
	cmocka_unit_test(asks_for_help),   cmocka_unit_test(distances),
};

UNIT_MAIN(tests)
