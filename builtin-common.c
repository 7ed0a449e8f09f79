/* SPDX-License-Identifier: GPL-2.0-only */
/* What the verbs about running VMs share: options, which VM is meant, output. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "cli.h"
#include "util/buf.h"
#include "util/io.h"
#include "vm/control.h"

int builtin_usage(const char *verb, const struct err *err)
{
	fprintf(stderr, "lkvm %s: %s", verb, err->msg);
	if (strstr(err->msg, "--help"))
		fprintf(stderr, "\n");
	else
		fprintf(stderr, " (see lkvm %s --help)\n", verb);
	return EXIT_USAGE;
}

int builtin_failed(const char *verb, const struct err *err)
{
	fprintf(stderr, "lkvm %s: %s\n", verb, err->msg);
	return EXIT_FAILED;
}

void builtin_printf(struct wbuf *out, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	if (n > 0)
		wbuf_bytes(out, text, (size_t)n);
}

int builtin_print(const char *verb, const struct wbuf *out)
{
	struct err err = ERR_INIT;
	int rc = out->error;

	if (!rc)
		rc = io_write_full(STDOUT_FILENO, out->data, out->len);
	if (!rc)
		return EXIT_OK;
	err_sys(&err, rc, "cannot write to stdout");
	return builtin_failed(verb, &err);
}

const char *builtin_size(uint64_t bytes, char text[32])
{
	static const char units[] = "BKMGTP";
	unsigned int unit = 0;

	while (bytes && bytes % 1024 == 0 && units[unit + 1]) {
		bytes /= 1024;
		unit++;
	}
	(void)snprintf(text, 32, "%llu%c", (unsigned long long)bytes, units[unit]);
	return text;
}

bool builtin_parse(const struct verb_spec *verb, int argc, char **argv, struct control_opts *opts,
		   int *code)
{
	struct err err = ERR_INIT;
	bool help = false;
	int nargs, rc;

	memset(opts, 0, sizeof(*opts));
	rc = opt_parse(verb, argc, argv, opts, &nargs, &help, &err);
	if (!rc && help) {
		*code = builtin_help(verb);
		return false;
	}
	if (!rc && nargs && opts->name)
		rc = err_set(&err, -EINVAL, "two names, %s and %s: give one, or -a for all",
			     opts->name, argv[0]);
	else if (!rc && nargs)
		opts->name = argv[0];
	if (!rc && opts->name && opts->all)
		rc = err_set(&err, -EINVAL, "both a name (%s) and -a: give one of them",
			     opts->name);
	if (!rc && opts->name && !vm_name_valid(opts->name))
		rc = err_set(&err, -EINVAL,
			     "'%s' is not a VM's name: letters, digits, '.', '_' and '-', at most "
			     "%d, a letter or digit first",
			     opts->name, VM_NAME_MAX);
	if (rc)
		*code = builtin_usage(verb->name, &err);
	return rc == 0;
}

static int act_on(const struct verb_spec *verb, const struct control_opts *opts, const char *name,
		  builtin_act act, bool *printed)
{
	struct err err = ERR_INIT;
	int code = EXIT_OK, rc;
	struct wbuf out;

	wbuf_init(&out, BUILTIN_OUT_MAX);
	if (*printed && !opts->json)
		builtin_printf(&out, "\n");
	rc = act(name, opts, &out, &err);
	if (out.error || out.len > (*printed && !opts->json)) {
		code = builtin_print(verb->name, &out);
		*printed = true;
	}
	/* With -a, one that has ended since it was listed is not among "all". */
	if (rc && !(opts->all && (rc == -ENOENT || rc == -ECONNREFUSED)))
		code = builtin_failed(verb->name, &err);
	wbuf_release(&out);
	return code;
}

/* More than one runs and none was named, or none runs. */
static int ask_which(const struct verb_spec *verb, const struct control_vm *vms, size_t n)
{
	const char *gap = "";

	fprintf(stderr, "lkvm %s: ", verb->name);
	for (size_t i = 0; i < n; i++) {
		if (!vms[i].alive)
			continue;
		fprintf(stderr, "%s%s", *gap ? gap : "several VMs run: ", vms[i].name);
		gap = ", ";
	}
	if (!*gap) {
		fprintf(stderr, "no VM runs\n");
		return EXIT_FAILED;
	}
	fprintf(stderr, "; name one, or give -a for all\n");
	return EXIT_USAGE;
}

int builtin_each(const struct verb_spec *verb, const struct control_opts *opts, builtin_act act)
{
	struct err err = ERR_INIT;
	size_t n = 0, alive = 0;
	struct control_vm *vms;
	bool printed = false;
	int code = EXIT_OK;

	if (opts->name)
		return act_on(verb, opts, opts->name, act, &printed);
	if (control_list(&vms, &n, &err))
		return builtin_failed(verb->name, &err);
	for (size_t i = 0; i < n; i++)
		alive += vms[i].alive;
	if (!opts->all && alive != 1) {
		code = ask_which(verb, vms, n);
		alive = 0;
	}
	for (size_t i = 0; alive && i < n; i++)
		if (vms[i].alive && act_on(verb, opts, vms[i].name, act, &printed) != EXIT_OK)
			code = EXIT_FAILED;
	free(vms);
	return code;
}
