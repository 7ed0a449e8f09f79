/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm list: the VMs that run, and the sockets of those that died, which it clears away. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "cli.h"
#include "util/json.h"
#include "vm/control-wire.h"

struct row {
	struct control_info info; /* of a VM that answered */
	const char *name;
	const char *state;
	bool answered;
};

static int ask(const char *name, struct row *row, struct err *err)
{
	struct wbuf reply;
	struct rbuf r;
	int rc;

	rc = control_call(name, CONTROL_INFO, NULL, &reply, err);
	if (!rc) {
		rbuf_init(&r, reply.data, reply.len);
		if (control_info_decode(&r, &row->info) || rbuf_done(&r))
			rc = err_set(err, -EBADMSG, "%s: sent a reply that cannot be understood",
				     name);
	}
	wbuf_release(&reply);
	return rc;
}

/* False when there is nothing to show after all. */
static bool fill_row(const struct control_vm *vm, struct row *row, int *code)
{
	struct err err = ERR_INIT;
	int rc;

	row->name = vm->name;
	if (!vm->alive) {
		row->state = "stale";
		rc = control_remove_stale(vm->name, &err);
		if (!rc)
			fprintf(stderr, "lkvm list: %s: removed the socket of a VM that died\n",
				vm->name);
		else if (rc != -ENOENT && rc != -EBUSY)
			*code = builtin_failed("list", &err);
		if (rc != -EBUSY) /* else one of that name has just started */
			return true;
	}
	rc = ask(vm->name, row, &err);
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return false; /* it has just ended */
	row->answered = rc == 0;
	row->state = rc ? "no-answer" : control_state_word(row->info.state);
	if (rc)
		*code = builtin_failed("list", &err);
	return true;
}

static void print_object(struct wbuf *out, const struct row *row)
{
	struct json j;

	json_init(&j, out);
	json_object(&j, NULL);
	json_str(&j, "name", row->name);
	json_str(&j, "state", row->state);
	if (row->answered) {
		json_u64(&j, "pid", row->info.pid);
		json_u64(&j, "cpus", row->info.cpus);
		json_u64(&j, "memory", row->info.memory);
		json_bool(&j, "mte", row->info.mte);
	}
	json_end(&j);
}

static void print_table(struct wbuf *out, const struct row *rows, size_t n)
{
	char pid[16], cpus[16], mem[32];
	int width = 4;

	for (size_t i = 0; i < n; i++)
		if ((int)strlen(rows[i].name) > width)
			width = (int)strlen(rows[i].name);
	builtin_printf(out, "%-*s %8s  %-9s %4s %8s  %s\n", width, "NAME", "PID", "STATE", "CPUS",
		       "MEM", "MTE");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &rows[i];
		bool known = row->answered;

		(void)snprintf(pid, sizeof(pid), "%u", row->info.pid);
		(void)snprintf(cpus, sizeof(cpus), "%u", row->info.cpus);
		builtin_printf(out, "%-*s %8s  %-9s %4s %8s  %s\n", width, row->name,
			       known ? pid : "-", row->state, known ? cpus : "-",
			       known ? builtin_size(row->info.memory, mem) : "-",
			       !known	       ? "-"
			       : row->info.mte ? "yes"
					       : "no");
	}
}

int cmd_list(int argc, char **argv)
{
	struct control_vm *vms = NULL;
	struct control_opts opts;
	struct err err = ERR_INIT;
	struct row *rows = NULL;
	size_t n = 0, shown = 0;
	int code = EXIT_OK;
	struct wbuf out;

	if (!builtin_parse(&verb_list, argc, argv, &opts, &code))
		return code;
	if (opts.rootfs && !opts.running)
		return EXIT_OK; /* there are none */
	if (control_list(&vms, &n, &err))
		return builtin_failed("list", &err);
	rows = calloc(n + 1, sizeof(*rows));
	if (!rows) {
		free(vms);
		err_set(&err, -ENOMEM, "out of memory");
		return builtin_failed("list", &err);
	}
	for (size_t i = 0; i < n; i++) {
		rows[shown] = (struct row){.name = NULL};
		shown += fill_row(&vms[i], &rows[shown], &code);
	}
	wbuf_init(&out, BUILTIN_OUT_MAX);
	if (!opts.json)
		print_table(&out, rows, shown);
	for (size_t i = 0; opts.json && i < shown; i++)
		print_object(&out, &rows[i]);
	if (builtin_print("list", &out) != EXIT_OK)
		code = EXIT_FAILED;
	wbuf_release(&out);
	free(rows);
	free(vms);
	return code;
}
