/* SPDX-License-Identifier: GPL-2.0-only */
/* The control protocol's bytes; docs/control-protocol.md. Pure code: no descriptor, no VM. */
#include "vm/control-wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/memory.h"
#include "vm/vcpu.h"

#define LENGTH_AT 8 /* offset of the length in a header */

void control_header_encode(struct wbuf *out, uint16_t type, uint32_t length)
{
	wbuf_u32(out, CONTROL_MAGIC);
	wbuf_u16(out, CONTROL_VERSION);
	wbuf_u16(out, type);
	wbuf_u32(out, length);
}

int control_header_decode(const uint8_t bytes[CONTROL_HEADER], uint32_t max,
			  struct control_header *h)
{
	struct rbuf r;
	uint32_t magic;

	rbuf_init(&r, bytes, CONTROL_HEADER);
	magic = rbuf_u32(&r);
	h->version = rbuf_u16(&r);
	h->type = rbuf_u16(&r);
	h->length = rbuf_u32(&r);
	if (magic != CONTROL_MAGIC)
		return -EBADMSG;
	if (h->version != CONTROL_VERSION)
		return -EPROTONOSUPPORT;
	if (h->length > max)
		return -EMSGSIZE;
	return 0;
}

void control_frame_init(struct control_frame *f, uint32_t max)
{
	*f = (struct control_frame){.max = max};
}

void control_frame_release(struct control_frame *f)
{
	free(f->payload);
	control_frame_init(f, f->max);
}

size_t control_frame_room(struct control_frame *f, uint8_t **at)
{
	if (f->have < CONTROL_HEADER) {
		*at = f->header + f->have;
		return CONTROL_HEADER - f->have;
	}
	*at = f->payload + (f->have - CONTROL_HEADER);
	return CONTROL_HEADER + f->h.length - f->have;
}

int control_frame_filled(struct control_frame *f, size_t n)
{
	bool had_header = f->have >= CONTROL_HEADER;
	int rc;

	f->have += n;
	if (f->have < CONTROL_HEADER)
		return 0;
	if (!had_header) {
		rc = control_header_decode(f->header, f->max, &f->h);
		if (rc)
			return rc;
		if (f->h.length) {
			f->payload = malloc(f->h.length);
			if (!f->payload)
				return -ENOMEM;
		}
	}
	return f->have == CONTROL_HEADER + f->h.length;
}

static void empty(struct wbuf *out)
{
	wbuf_release(out);
	wbuf_init(out, CONTROL_HEADER + CONTROL_MAX_PAYLOAD);
}

void control_reply_begin(struct wbuf *out, uint16_t request, int result, const char *text)
{
	size_t len = strnlen(text, CONTROL_TEXT_MAX - 1);

	empty(out);
	control_header_encode(out, request | CONTROL_REPLY, 0);
	wbuf_u32(out, (uint32_t)result);
	wbuf_u16(out, (uint16_t)len);
	wbuf_bytes(out, text, len);
}

int control_reply_end(struct wbuf *out, uint16_t request)
{
	if (out->error)
		control_reply_begin(out, request, out->error,
				    "the reply does not fit into one message");
	wbuf_patch_u32(out, LENGTH_AT, (uint32_t)(out->len - CONTROL_HEADER));
	return out->error;
}

int control_reply_decode(struct rbuf *r, int *result, char text[CONTROL_TEXT_MAX])
{
	uint32_t raw = rbuf_u32(r);

	*result = (int)(int32_t)raw;
	rbuf_str(r, text, CONTROL_TEXT_MAX);
	/* Errnos end at 4095 (MAX_ERRNO of the kernel's include/linux/err.h). */
	if (!r->error && (*result > 0 || *result < -4095))
		r->error = -EBADMSG;
	if (r->error)
		*result = 0;
	return r->error;
}

const char *control_state_word(enum control_state state)
{
	static const char *const words[CONTROL_STATES] = {
		[CONTROL_RUNNING] = "running",	 [CONTROL_PAUSED] = "paused",
		[CONTROL_STARTING] = "starting", [CONTROL_ENDING] = "ending",
		[CONTROL_LEAVING] = "leaving",	 [CONTROL_RECOVERING] = "recovering",
	};

	return (unsigned int)state < CONTROL_STATES ? words[state] : "unknown";
}

const char *control_backing_word(uint8_t backing)
{
	switch (backing) {
	case MEM_ANON:
		return "anon";
	case MEM_MEMFD:
		return "memfd";
	case MEM_HUGETLB:
		return "hugetlbfs";
	}
	return "unknown";
}

void control_info_encode(struct wbuf *out, const struct control_info *info)
{
	wbuf_u32(out, info->pid);
	wbuf_u8(out, (uint8_t)info->state);
	wbuf_u32(out, info->cpus);
	wbuf_u64(out, info->memory);
	wbuf_u8(out, info->mte);
	wbuf_str(out, info->name);
}

int control_info_decode(struct rbuf *r, struct control_info *info)
{
	uint8_t state, mte;

	info->pid = rbuf_u32(r);
	state = rbuf_u8(r);
	info->cpus = rbuf_u32(r);
	info->memory = rbuf_u64(r);
	mte = rbuf_u8(r);
	rbuf_str(r, info->name, sizeof(info->name));
	if (!r->error && (state >= CONTROL_STATES || mte > 1 || info->cpus > VM_MAX_CPUS ||
			  !vm_name_valid(info->name)))
		r->error = -EBADMSG;
	info->state = r->error ? CONTROL_RUNNING : (enum control_state)state;
	info->mte = mte;
	return r->error;
}

void control_stat_encode(struct wbuf *out, const struct control_stat *stat)
{
	control_info_encode(out, &stat->info);
	wbuf_u64(out, stat->uptime_ns);
	wbuf_u32(out, stat->boots);
	wbuf_u8(out, stat->backing);
	wbuf_u64(out, stat->guest_resident);
	wbuf_u64(out, stat->own_pss);
	wbuf_u64(out, stat->own_anonymous);
	wbuf_u64(out, stat->missing);
	wbuf_u32(out, stat->vcpus);
}

int control_stat_decode(struct rbuf *r, struct control_stat *stat)
{
	control_info_decode(r, &stat->info);
	stat->uptime_ns = rbuf_u64(r);
	stat->boots = rbuf_u32(r);
	stat->backing = rbuf_u8(r);
	stat->guest_resident = rbuf_u64(r);
	stat->own_pss = rbuf_u64(r);
	stat->own_anonymous = rbuf_u64(r);
	stat->missing = rbuf_u64(r);
	stat->vcpus = rbuf_u32(r);
	if (!r->error && (stat->backing > MEM_HUGETLB || stat->vcpus > VM_MAX_CPUS ||
			  rbuf_left(r) != (size_t)stat->vcpus * COUNT_KINDS * 8))
		r->error = -EBADMSG;
	return r->error;
}
