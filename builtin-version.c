/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm version */
#include "builtin.h"
#include "cli.h"
#include "util/json.h"
#include "vm/control.h"

int cmd_version(int argc, char **argv)
{
	struct control_opts opts;
	struct wbuf out;
	struct json j;
	int code;

	if (!builtin_parse(&verb_version, argc, argv, &opts, &code))
		return code;
	wbuf_init(&out, BUILTIN_OUT_MAX);
	if (opts.json) {
		json_init(&j, &out);
		json_object(&j, NULL);
		json_str(&j, "version", LKVM_VERSION);
		json_u64(&j, "control_protocol", CONTROL_VERSION);
		json_end(&j);
	} else {
		builtin_printf(&out, "lkvm %s\n", LKVM_VERSION);
	}
	code = builtin_print("version", &out);
	wbuf_release(&out);
	return code;
}
