/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for what is in records of state: the machine's configuration, which builds a machine, and the sequence of
 * records it comes in. The first byte of the input says which of the two the rest is. Records of vCPUs, interrupt
 * controllers and devices are fuzz_arch.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "state/record.h"
#include "util/buf.h"
#include "vm/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

/* What is taken is a machine that can be, and is written again as it was. */
static void config(struct rbuf *in, const uint8_t *bytes, size_t size)
{
	char name[VM_NAME_MAX + 1];
	struct vm_config config, again;
	struct err err = ERR_INIT;
	struct wbuf out;
	struct rbuf back;

	if (vm_config_decode(in, &config, name, &err)) {
		must(err.msg[0]);
		return;
	}
	must(config.cpus && config.cpus <= VM_MAX_CPUS && config.mem_size);
	must(memchr(name, 0, sizeof(name)));
	wbuf_init(&out, 65536);
	vm_config_encode(&config, name, &out);
	must(out.len == size && !memcmp(out.data, bytes, size));
	rbuf_init(&back, out.data, out.len);
	must(!vm_config_decode(&back, &again, name, &err));
	wbuf_release(&out);
}

static void records(struct rbuf *in, size_t size)
{
	struct err err = ERR_INIT;
	struct record rec;
	size_t n = 0;
	int rc;

	while ((rc = record_next(in, &rec, &err)) > 0) {
		must(rec.offset < size && rec.type && ++n <= size / RECORD_HEADER);
		must(record_type_name(rec.type)[0]);
		rc = record_unknown(&rec, &err);
		must(!rc || (rec.flags & RECORD_MUST && err.msg[0]));
	}
	must(!rc || err.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf in;

	if (!size)
		return 0;
	rbuf_init(&in, data + 1, size - 1);
	if (data[0] & 1)
		records(&in, size - 1);
	else
		config(&in, data + 1, size - 1);
	return 0;
}
