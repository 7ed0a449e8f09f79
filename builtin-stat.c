/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm stat: what a VM has done so far and what it takes. */
#include <errno.h>

#include "builtin.h"
#include "cli.h"
#include "util/json.h"
#include "vm/control-wire.h"
#include "vm/vcpu.h"

static void known_u64(struct json *j, const char *key, uint64_t value)
{
	if (value != CONTROL_UNKNOWN)
		json_u64(j, key, value);
}

static void print_json(struct wbuf *out, const struct control_stat *stat, struct rbuf *counts,
		       bool memory_only)
{
	static const char *const keys[COUNT_KINDS] = {
		[COUNT_RUN] = "kvm_run",
		[COUNT_MMIO] = "mmio",
		[COUNT_INTERRUPT] = "interrupted",
		[COUNT_OTHER] = "other",
	};
	struct json j;

	json_init(&j, out);
	json_object(&j, NULL);
	json_str(&j, "name", stat->info.name);
	if (!memory_only) {
		json_u64(&j, "pid", stat->info.pid);
		json_str(&j, "state", control_state_word(stat->info.state));
		json_u64(&j, "uptime_ns", stat->uptime_ns);
		json_u64(&j, "boots", stat->boots);
		json_u64(&j, "cpus", stat->info.cpus);
	}
	json_object(&j, "memory");
	json_u64(&j, "size", stat->info.memory);
	json_str(&j, "backend", control_backing_word(stat->backing));
	json_bool(&j, "mte", stat->info.mte);
	known_u64(&j, "guest_resident", stat->guest_resident);
	json_u64(&j, "missing", stat->missing);
	known_u64(&j, "vmm_pss", stat->own_pss);
	known_u64(&j, "vmm_anonymous", stat->own_anonymous);
	json_end(&j);
	if (!memory_only) {
		json_array(&j, "vcpus");
		for (uint32_t i = 0; i < stat->vcpus; i++) {
			json_object(&j, NULL);
			for (int kind = 0; kind < COUNT_KINDS; kind++)
				json_u64(&j, keys[kind], rbuf_u64(counts));
			json_end(&j);
		}
		json_end(&j);
	}
	json_end(&j);
}

static void print_kib(struct wbuf *out, const char *label, uint64_t bytes)
{
	if (bytes == CONTROL_UNKNOWN)
		builtin_printf(out, "%-15s unknown\n", label);
	else
		builtin_printf(out, "%-15s %llu KiB\n", label, (unsigned long long)bytes / 1024);
}

static void print_text(struct wbuf *out, const struct control_stat *stat, struct rbuf *counts,
		       bool memory_only)
{
	char size[32];

	builtin_printf(out, "%-15s %s\n", "name", stat->info.name);
	if (!memory_only) {
		builtin_printf(out, "%-15s %u\n", "pid", stat->info.pid);
		builtin_printf(out, "%-15s %s\n", "state", control_state_word(stat->info.state));
		builtin_printf(out, "%-15s %llu.%03u s\n", "uptime",
			       (unsigned long long)(stat->uptime_ns / 1000000000),
			       (unsigned int)(stat->uptime_ns / 1000000 % 1000));
		builtin_printf(out, "%-15s %u\n", "boots", stat->boots);
		builtin_printf(out, "%-15s %u\n", "cpus", stat->info.cpus);
	}
	builtin_printf(out, "%-15s %s %s\n", "memory", builtin_size(stat->info.memory, size),
		       control_backing_word(stat->backing));
	builtin_printf(out, "%-15s %s\n", "mte", stat->info.mte ? "yes" : "no");
	print_kib(out, "guest resident", stat->guest_resident);
	if (stat->missing)
		print_kib(out, "still to come", stat->missing);
	print_kib(out, "vmm pss", stat->own_pss);
	print_kib(out, "vmm anonymous", stat->own_anonymous);
	if (memory_only || !stat->vcpus)
		return;
	builtin_printf(out, "%4s %14s %14s %14s %14s\n", "VCPU", "KVM_RUN", "MMIO", "INTERRUPTED",
		       "OTHER");
	for (uint32_t i = 0; i < stat->vcpus; i++) {
		builtin_printf(out, "%4u", i);
		for (int kind = 0; kind < COUNT_KINDS; kind++)
			builtin_printf(out, " %14llu", (unsigned long long)rbuf_u64(counts));
		builtin_printf(out, "\n");
	}
}

static int stat_vm(const char *name, const struct control_opts *opts, struct wbuf *out,
		   struct err *err)
{
	struct control_stat stat;
	struct wbuf reply;
	struct rbuf r;
	int rc;

	rc = control_call(name, CONTROL_STAT, NULL, &reply, err);
	rbuf_init(&r, reply.data, reply.len);
	if (!rc && control_stat_decode(&r, &stat))
		rc = err_set(err, -EBADMSG, "%s: sent a reply that cannot be understood", name);
	if (!rc)
		(opts->json ? print_json : print_text)(out, &stat, &r, opts->memory);
	wbuf_release(&reply);
	return rc;
}

int cmd_stat(int argc, char **argv)
{
	struct control_opts opts;
	int code;

	if (!builtin_parse(&verb_stat, argc, argv, &opts, &code))
		return code;
	return builtin_each(&verb_stat, &opts, stat_vm);
}
