/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <string.h>

#include "util/buf.h"
#include "util/opt.h"

static const char *const words[] = {"anon", "memfd", NULL};
static const char *const only[] = {"serial", NULL};

static const struct opt opts[] = {
	{.name = "cpus",
	 .letter = 'c',
	 .kind = OPT_U32,
	 .arg = "N",
	 .help = "How many (default 1)."},
	{.name = "a-very-long-name", .kind = OPT_STR, .arg = "A-LONG-VALUE", .help = "Help."},
	{.name = "backend", .kind = OPT_WORD, .arg = "KIND", .words = words, .help = "Memory."},
	{.name = "console", .kind = OPT_CALL, .arg = "KIND", .words = only, .help = "Console."},
	{.name = "gone", .kind = OPT_ABSENT, .help = "no legs"},
	{.name = "wide",
	 .kind = OPT_FLAG,
	 .help = "word word word word word word word word word word word word word word word word "
		 "averyveryveryveryveryveryveryveryverylongwordthatdoesnotfitintothecolumnatall end."},
	{0},
};

static void exact_text(void **state)
{
	static const struct verb_spec verb = {.name = "try",
					      .args = "[NAME]",
					      .summary = "Try it.",
					      .opts = opts,
					      .details = "First paragraph.\n\nSecond."};
	static const char expect[] =
		"Usage: lkvm try [OPTION]... [NAME]\n"
		"\n"
		"Try it.\n"
		"\n"
		"Options:\n"
		"  -c, --cpus N            How many (default 1).\n"
		"      --a-very-long-name A-LONG-VALUE\n"
		"                          Help.\n"
		"      --backend KIND      Memory. One of: anon, memfd.\n"
		"      --console KIND      Console. Only: serial.\n"
		"      --wide              word word word word word word word word word word\n"
		"                          word word word word word word\n"
		"                          averyveryveryveryveryveryveryveryverylongwordthatdoesnot"
		"fitintothecolumnatall\n"
		"                          end.\n"
		"  -h, --help              Show this text.\n"
		"\n"
		"Options of kvmtool that this version refuses: --gone\n"
		"\n"
		"First paragraph.\n"
		"\n"
		"Second.\n";
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 1 << 16);
	opt_help(&verb, &out);
	wbuf_u8(&out, 0);
	assert_int_equal(out.error, 0);
	assert_string_equal((const char *)out.data, expect);
	wbuf_release(&out);
}

/* Just fits, and does not, in the line and beside the label. */
static void borders(void **state)
{
	static const struct opt edges[] = {
		{.name = "fits-beside-help", .kind = OPT_FLAG, .help = "Short."},
		{.name = "no-space-for-help", .kind = OPT_FLAG, .help = "Short."},
		{.name = "fits",
		 .kind = OPT_FLAG,
		 .help = "0123456789 0123456789 0123456789 0123456789 012345678"},
		{.name = "not",
		 .kind = OPT_FLAG,
		 .help = "0123456789 0123456789 0123456789 0123456789 0123456789"},
		{0},
	};
	static const struct verb_spec verb = {.name = "v", .summary = "S.", .opts = edges};
	static const char expect[] =
		"Usage: lkvm v [OPTION]...\n\nS.\n\nOptions:\n"
		"      --fits-beside-help  Short.\n"
		"      --no-space-for-help\n"
		"                          Short.\n"
		"      --fits              0123456789 0123456789 0123456789 0123456789 012345678\n"
		"      --not               0123456789 0123456789 0123456789 0123456789\n"
		"                          0123456789\n"
		"  -h, --help              Show this text.\n";
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 1 << 16);
	opt_help(&verb, &out);
	wbuf_u8(&out, 0);
	assert_string_equal((const char *)out.data, expect);
	wbuf_release(&out);
}

/* No options, nothing absent, no details: nothing of them shows. */
static void smallest(void **state)
{
	static const struct opt none[] = {{0}};
	static const struct verb_spec verb = {.name = "v", .summary = "S.", .opts = none};
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 1 << 16);
	opt_help(&verb, &out);
	wbuf_u8(&out, 0);
	assert_string_equal((const char *)out.data, "Usage: lkvm v [OPTION]...\n\nS.\n\nOptions:\n"
						    "  -h, --help              Show this text.\n");
	wbuf_release(&out);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(exact_text),
	cmocka_unit_test(borders),
	cmocka_unit_test(smallest),
};

UNIT_MAIN(tests)
