/* SPDX-License-Identifier: GPL-2.0-only */
/* lkvm debug: registers of each vCPU, a SysRq key for the guest's kernel. */
#include <errno.h>
#include <string.h>

#include "builtin.h"
#include "cli.h"
#include "util/json.h"
#include "vm/control-wire.h"

static int not_understood(const char *name, struct err *err)
{
	return err_set(err, -EBADMSG, "%s: sent a reply that cannot be understood", name);
}

static int send_sysrq(const char *name, char key, struct err *err)
{
	struct wbuf payload;
	int rc;

	wbuf_init(&payload, CONTROL_MAX_REQUEST);
	wbuf_u8(&payload, (uint8_t)key);
	rc = control_call(name, CONTROL_SYSRQ, &payload, NULL, err);
	wbuf_release(&payload);
	return rc;
}

static int count_vcpus(const char *name, uint32_t *cpus, struct err *err)
{
	struct control_info info;
	struct wbuf reply;
	struct rbuf r;
	int rc;

	rc = control_call(name, CONTROL_INFO, NULL, &reply, err);
	rbuf_init(&r, reply.data, reply.len);
	if (!rc && (control_info_decode(&r, &info) || rbuf_done(&r)))
		rc = not_understood(name, err);
	if (!rc)
		*cpus = info.cpus;
	wbuf_release(&reply);
	return rc;
}

struct reg {
	char name[CONTROL_REG_NAME];
	char value[CONTROL_REG_HEX];
};

/* Names are words, values hex digits: nothing else may reach a terminal. */
static bool next_register(struct rbuf *r, struct reg *reg)
{
	rbuf_str(r, reg->name, sizeof(reg->name));
	rbuf_str(r, reg->value, sizeof(reg->value));
	for (const char *c = reg->name; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return !r->error && reg->name[0] && reg->value[0] &&
	       strspn(reg->value, "0123456789abcdefABCDEF") == strlen(reg->value);
}

/* Once to check and measure, then to print: half a dump is not printed as if it were whole. */
static int check_registers(struct rbuf r, int *width)
{
	uint32_t n = rbuf_u32(&r);
	struct reg reg;

	*width = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!next_register(&r, &reg))
			return -EBADMSG;
		if ((int)strlen(reg.name) > *width)
			*width = (int)strlen(reg.name);
	}
	return rbuf_done(&r);
}

static void print_registers(struct wbuf *out, const char *name, uint32_t vcpu, struct rbuf *r,
			    int width, bool as_json)
{
	uint32_t n = rbuf_u32(r);
	struct reg reg;
	struct json j;

	json_init(&j, out);
	if (as_json) {
		json_object(&j, NULL);
		json_str(&j, "name", name);
		json_u64(&j, "vcpu", vcpu);
		json_object(&j, "registers");
	} else {
		builtin_printf(out, "%s vcpu %u\n", name, vcpu);
	}
	for (uint32_t i = 0; i < n && next_register(r, &reg); i++) {
		if (as_json)
			json_str(&j, reg.name, reg.value);
		else
			builtin_printf(out, "  %-*s %s\n", width, reg.name, reg.value);
	}
	if (as_json) {
		json_end(&j);
		json_end(&j);
	}
}

static int dump_vcpu(const char *name, uint32_t vcpu, struct wbuf *out, bool as_json,
		     struct err *err)
{
	struct wbuf payload, reply;
	int width, rc;
	struct rbuf r;

	wbuf_init(&payload, CONTROL_MAX_REQUEST);
	wbuf_u32(&payload, vcpu);
	rc = control_call(name, CONTROL_REGISTERS, &payload, &reply, err);
	rbuf_init(&r, reply.data, reply.len);
	if (!rc && check_registers(r, &width))
		rc = not_understood(name, err);
	if (!rc)
		print_registers(out, name, vcpu, &r, width, as_json);
	wbuf_release(&payload);
	wbuf_release(&reply);
	return rc;
}

static int debug_vm(const char *name, const struct control_opts *opts, struct wbuf *out,
		    struct err *err)
{
	uint32_t cpus = 0;
	int rc = 0;

	if (opts->sysrq)
		rc = send_sysrq(name, opts->sysrq[0], err);
	if (!rc && opts->dump)
		rc = count_vcpus(name, &cpus, err);
	for (uint32_t i = 0; i < cpus && !rc; i++)
		rc = dump_vcpu(name, i, out, opts->json, err);
	return rc;
}

int cmd_debug(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct control_opts opts;
	int code;

	if (!builtin_parse(&verb_debug, argc, argv, &opts, &code))
		return code;
	if (!opts.dump && !opts.sysrq) {
		err_set(&err, -EINVAL, "nothing to do: -d dumps registers, -s KEY sends a SysRq");
		return builtin_usage("debug", &err);
	}
	return builtin_each(&verb_debug, &opts, debug_vm);
}
