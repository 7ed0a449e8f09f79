/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/record.h"
#include "vm/arch.h"
#include "vm/vm.h"

#define CONFIG_VERSION	  1
#define DEVICE_VERSION	  1
#define CONTROL_VERSION_1 1

static int save_devices(struct vm *vm, struct wbuf *out)
{
	uint32_t n = 0;

	for (struct device *dev = vm->devices.first; dev; dev = dev->next, n++) {
		size_t at;

		if (dev->stateless)
			continue;
		at = record_begin(out, RECORD_DEVICE, DEVICE_VERSION, RECORD_MUST, n);
		wbuf_str(out, dev->name);
		wbuf_u16(out, dev->state_desc->version);
		device_lock(dev);
		state_encode(dev->state_desc, dev->state, out);
		device_unlock(dev);
		record_end(out, at);
	}
	return out->error;
}

static int save_compat(struct vm *vm, struct wbuf *compat, struct err *err)
{
	size_t at = record_begin(compat, RECORD_COMPAT, 1, RECORD_MUST, 0);
	int rc = arch_compat_save(vm, compat, err);

	record_end(compat, at);
	return rc;
}

static void save_config(struct vm *vm, struct wbuf *out)
{
	size_t at = record_begin(out, RECORD_CONFIG, CONFIG_VERSION, RECORD_MUST, 0);

	vm_config_encode(&vm->config, vm->name, out);
	record_end(out, at);
}

int state_offer(struct vm *vm, struct wbuf *compat, struct wbuf *config, struct err *err)
{
	int rc = save_compat(vm, compat, err);
	size_t at;

	if (rc)
		return rc;
	save_config(vm, config);
	at = record_begin(config, RECORD_END, 1, RECORD_MUST, 0);
	record_end(config, at);
	rc = compat->error ? compat->error : config->error;
	return rc ? err_sys(err, rc, "the machine's configuration") : 0;
}

int state_save(struct vm *vm, struct wbuf *compat, struct wbuf *state, struct err *err)
{
	int rc = save_compat(vm, compat, err);
	size_t at;

	if (rc)
		return rc;
	save_config(vm, state);
	rc = arch_state_save(vm, state, err);
	if (rc)
		return rc;
	save_devices(vm, state);
	at = record_begin(state, RECORD_CONTROL, CONTROL_VERSION_1, 0, 0);
	wbuf_u8(state, vm->user_paused);
	record_end(state, at);
	at = record_begin(state, RECORD_END, 1, RECORD_MUST, 0);
	record_end(state, at);
	rc = compat->error ? compat->error : state->error;
	return rc ? err_sys(err, rc, "the machine's state") : 0;
}

int state_config(const struct wbuf *state, struct vm_config *config, char name[VM_NAME_MAX + 1],
		 struct err *err)
{
	struct record rec;
	struct rbuf in;
	int rc;

	rbuf_init(&in, state->data, state->len);
	while ((rc = record_next(&in, &rec, err)) > 0) {
		if (rec.type != RECORD_CONFIG)
			continue;
		if (rec.version != CONFIG_VERSION)
			return err_set(err, -EOPNOTSUPP,
				       "its configuration is of version %u, this program knows %d",
				       rec.version, CONFIG_VERSION);
		return vm_config_decode(&rec.payload, config, name, err);
	}
	return rc ? rc : err_set(err, -EBADMSG, "the record of the configuration is missing");
}

/* Its place in the machine's list. */
static unsigned int device_index(const struct vm *vm, const struct device *dev)
{
	unsigned int n = 0;

	for (const struct device *d = vm->devices.first; d != dev; d = d->next)
		n++;
	return n;
}

/* Each device that has state got it. */
static int check_devices(const struct vm *vm, uint64_t loaded, struct err *err)
{
	for (const struct device *dev = vm->devices.first; dev; dev = dev->next)
		if (!dev->stateless && !(loaded >> device_index(vm, dev) & 1))
			return err_set(err, -EBADMSG, "the record of device %s is missing",
				       dev->name);
	return 0;
}

/* @loaded: a bit for each device that has got its state. */
static int load_device(struct vm *vm, struct record *rec, uint64_t *loaded, struct err *err)
{
	char name[64];
	struct device *dev;
	uint16_t version;
	unsigned int index;
	int rc;

	rbuf_str(&rec->payload, name, sizeof(name));
	version = rbuf_u16(&rec->payload);
	dev = rec->payload.error ? NULL : device_find(&vm->devices, name);
	if (!dev || dev->stateless)
		return err_set(err, rec->payload.error ? -EBADMSG : -EOPNOTSUPP,
			       "device record at offset %llu: this machine has no such device",
			       (unsigned long long)rec->offset);
	index = device_index(vm, dev);
	if (index >= 64 || *loaded >> index & 1)
		return err_set(err, -EBADMSG, "device %s: its record is there twice", name);
	*loaded |= 1ull << index;
	if (rec->version != DEVICE_VERSION || version != dev->state_desc->version)
		return err_set(err, -EOPNOTSUPP,
			       "device %s: state of version %u, this program knows %u", name,
			       version, dev->state_desc->version);
	rc = state_decode(dev->state_desc, dev->state, &rec->payload, err);
	if (!rc && rbuf_done(&rec->payload))
		rc = err_set(err, -EBADMSG, "bytes are left over");
	if (rc)
		err_prefix(err, "device %s", name);
	return rc;
}

static int load_control(struct record *rec, struct state_options *options, struct err *err)
{
	uint8_t paused = rbuf_u8(&rec->payload);

	if (rec->version != CONTROL_VERSION_1 || rbuf_done(&rec->payload) || paused > 1)
		return err_set(err, -EBADMSG, "the control record at offset %llu is malformed",
			       (unsigned long long)rec->offset);
	options->paused = paused;
	return 0;
}

static int load_record(struct vm *vm, struct arch_state *arch, struct record *rec,
		       struct state_options *options, uint64_t *loaded, struct err *err)
{
	switch (rec->type) {
	case RECORD_CONFIG:
		return 0; /* the machine was built from it */
	case RECORD_DEVICE:
		return load_device(vm, rec, loaded, err);
	case RECORD_CONTROL:
		return load_control(rec, options, err);
	case RECORD_VCPU:
	case RECORD_GIC:
	case RECORD_ITS:
	case RECORD_CLOCK:
		return arch_state_load(arch, rec, err);
	default:
		return record_unknown(rec, err);
	}
}

struct state_loading {
	struct vm *vm;
	struct arch_state *arch;
	struct state_options options;
};

static int load_records(struct state_loading *l, const struct wbuf *state,
			struct state_options *options, struct err *err)
{
	uint64_t loaded = 0;
	struct record rec;
	struct rbuf in;
	int rc;

	rbuf_init(&in, state->data, state->len);
	while ((rc = record_next(&in, &rec, err)) > 0) {
		rc = load_record(l->vm, l->arch, &rec, options, &loaded, err);
		if (rc)
			return rc;
	}
	return rc ? rc : check_devices(l->vm, loaded, err);
}

int state_prepare(struct vm *vm, const struct wbuf *state, struct state_options *options,
		  struct wbuf *reasons, struct state_loading **out, struct err *err)
{
	struct state_loading *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_set(err, -ENOMEM, "no memory for the machine's state");
	l->vm = vm;
	rc = arch_state_begin(vm, &l->arch, err);
	if (rc) {
		free(l);
		return rc;
	}
	rc = load_records(l, state, options, err);
	if (!rc)
		rc = arch_state_prepare(l->arch, reasons, err);
	if (rc) {
		state_abandon(l);
		return rc;
	}
	l->options = *options;
	*out = l;
	return 0;
}

int state_commit(struct state_loading *l, struct err *err)
{
	uint64_t away_ns = 0;
	int rc = arch_state_commit(l->arch, l->options.clock_advance, &away_ns, err);

	for (struct device *dev = l->vm->devices.first; dev && !rc; dev = dev->next) {
		device_lock(dev);
		if (dev->ops->stood_still && !l->options.clock_advance)
			dev->ops->stood_still(dev, away_ns);
		if (dev->ops->loaded)
			dev->ops->loaded(dev);
		if (dev->ops->copied && l->options.copy)
			dev->ops->copied(dev);
		device_unlock(dev);
	}
	state_abandon(l);
	return rc;
}

void state_abandon(struct state_loading *l)
{
	arch_state_release(l->arch);
	free(l);
}

int state_load(struct vm *vm, const struct wbuf *state, struct state_options *options,
	       struct err *err)
{
	struct state_loading *l;
	struct wbuf reasons;
	int rc;

	wbuf_init(&reasons, STATE_REASONS_MAX);
	rc = state_prepare(vm, state, options, &reasons, &l, err);
	if (reasons.len)
		err_set(err, rc, "%.*s", (int)strcspn((const char *)reasons.data, "\n"),
			(const char *)reasons.data);
	wbuf_release(&reasons);
	return rc ? rc : state_commit(l, err);
}

int state_compat_check(int kvm_fd, const struct wbuf *compat, struct wbuf *reasons, struct err *err)
{
	struct record rec;
	struct rbuf in;
	int rc;

	rbuf_init(&in, compat->data, compat->len);
	rc = record_next(&in, &rec, err);
	if (rc <= 0 || rec.type != RECORD_COMPAT)
		return rc < 0 ? rc : err_set(err, -EBADMSG, "the compatibility record is missing");
	if (rec.version != 1)
		return err_set(err, -EOPNOTSUPP,
			       "its compatibility record is of version %u, this program knows 1",
			       rec.version);
	rc = arch_compat_check(kvm_fd, &rec.payload, reasons, err);
	return rc > 0 ? -EOPNOTSUPP : rc;
}
