/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for the control protocol, both sides of it:
 *
 *	clang -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Itests/unit \
 *		tests/fuzz/fuzz_control.c vm/control*.c vm/event.c util/[a-z]*.c
 *
 * (vm/control-memory.c may be left out.) The first byte of an input says which side; tests/fuzz/corpus/control holds
 * one input of each kind.
 */
#include <stdint.h>

#include "../unit/vm/fake_vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The real one reads /proc, which is slow and not what is tried here. */
int control_memory_read(struct vm *vm, struct control_memory *sum)
{
	(void)vm;
	*sum = (struct control_memory){1, 2, 3};
	return 0;
}

static void must(bool what)
{
	if (!what)
		abort();
}

static void check_registers(struct rbuf *r)
{
	char name[CONTROL_REG_NAME], value[CONTROL_REG_HEX];
	uint32_t n = rbuf_u32(r);

	for (uint32_t i = 0; i < n && !r->error; i++) {
		rbuf_str(r, name, sizeof(name));
		rbuf_str(r, value, sizeof(value));
	}
}

/* Whatever was asked, our own client understands the answer to the last byte. */
static void check_reply(uint16_t type, int rc, const struct wbuf *out)
{
	char text[CONTROL_TEXT_MAX];
	struct control_header h;
	struct control_info info;
	struct control_stat stat;
	struct rbuf r;
	int result;

	must(out->len >= CONTROL_HEADER);
	must(control_header_decode(out->data, CONTROL_MAX_PAYLOAD, &h) == 0);
	must(h.type == (type | CONTROL_REPLY) && h.length == out->len - CONTROL_HEADER);
	rbuf_init(&r, out->data + CONTROL_HEADER, h.length);
	must(control_reply_decode(&r, &result, text) == 0 && result == rc);
	must(!result || text[0]);
	if (!result && type == CONTROL_INFO)
		must(control_info_decode(&r, &info) == 0);
	if (!result && type == CONTROL_STAT) {
		must(control_stat_decode(&r, &stat) == 0);
		r.pos += (size_t)stat.vcpus * COUNT_KINDS * 8;
	}
	if (!result && type == CONTROL_REGISTERS)
		check_registers(&r);
	must(rbuf_done(&r) == 0);
}

static void check_request(struct fake_vm *f, const struct control_frame *in)
{
	uint32_t pauses = f->vm.pauses;
	struct wbuf out;
	int rc;

	wbuf_init(&out, 0);
	rc = control_handle(&f->vm, in->h.type, in->payload, in->h.length, &out);
	check_reply(in->h.type, rc, &out);
	must(!f->unpaused_read);
	must(f->vm.pauses == f->vm.user_paused);
	must(f->vm.pauses == pauses || in->h.type == CONTROL_PAUSE || in->h.type == CONTROL_RESUME);
	must(rc == 0 || f->vm.pauses == pauses);
	wbuf_release(&out);
}

/* A stream of requests as it comes out of a socket, @step bytes at a time. */
static void serve(const uint8_t *data, size_t size, size_t step)
{
	struct control_frame in;
	struct fake_vm f;
	int whole = 0;

	fake_init(&f, "fuzz");
	control_frame_init(&in, CONTROL_MAX_REQUEST);
	while (size && whole >= 0) {
		uint8_t *at;
		size_t n = control_frame_room(&in, &at);

		must(n > 0 && n <= CONTROL_MAX_REQUEST);
		if (n > size)
			n = size;
		if (n > step)
			n = step;
		memcpy(at, data, n);
		data += n;
		size -= n;
		whole = control_frame_filled(&in, n);
		if (whole > 0) {
			check_request(&f, &in);
			control_frame_release(&in);
		}
	}
	control_frame_release(&in);
	fake_release(&f);
}

/* What a client makes of a reply's payload. */
static void read_reply(const uint8_t *data, size_t size, uint8_t kind)
{
	char text[CONTROL_TEXT_MAX];
	struct control_info info;
	struct control_stat stat;
	struct rbuf r;
	int result;

	rbuf_init(&r, data, size);
	if (control_reply_decode(&r, &result, text))
		return;
	must(result <= 0 && strlen(text) < sizeof(text));
	if (kind == 0 && control_info_decode(&r, &info) == 0)
		must(vm_name_valid(info.name) && info.state < CONTROL_STATES);
	else if (kind == 1 && control_stat_decode(&r, &stat) == 0)
		must(rbuf_left(&r) == (size_t)stat.vcpus * COUNT_KINDS * 8);
	else if (kind == 2)
		check_registers(&r);
	(void)rbuf_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 0x80)
		read_reply(data + 1, size - 1, data[0] & 3);
	else
		serve(data + 1, size - 1, 1 + data[0]);
	return 0;
}
