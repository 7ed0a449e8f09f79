/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of devices, from a machine and back into one. The architecture's part is a fake that has nothing to say. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/state.h"
#include "state/record.h"
#include "vm/arch.h"
#include "vm/vm.h"

struct thing {
	uint32_t value;
};

struct fake_device {
	struct device dev;
	struct thing thing;
	unsigned int loaded, copied;
	uint64_t stood_still;
};

static const struct state_field fields[] = {STATE_FIELD(struct thing, value)};
static const struct state_desc desc = {.name = "thing",
				       .version = 1,
				       .nfields = 1,
				       .size = sizeof(struct thing),
				       .fields = fields};

static void loaded(struct device *dev)
{
	((struct fake_device *)dev)->loaded++;
}

static void stood_still(struct device *dev, uint64_t ns)
{
	((struct fake_device *)dev)->stood_still += ns;
}

static void copied(struct device *dev)
{
	struct fake_device *d = (struct fake_device *)dev;

	assert_int_equal(d->loaded, 1); /* after it */
	d->copied++;
}

static void release(struct device *dev)
{
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

static const struct device_ops ops = {
	.loaded = loaded, .stood_still = stood_still, .copied = copied, .release = release};

static const char *refused; /* what the fake architecture's KVM does not take */

int arch_compat_save(struct vm *vm, struct wbuf *out, struct err *err)
{
	(void)vm, (void)out, (void)err;
	return 0;
}

int arch_state_save(struct vm *vm, struct wbuf *out, struct err *err)
{
	(void)vm, (void)out, (void)err;
	return 0;
}

int arch_state_begin(struct vm *vm, struct arch_state **out, struct err *err)
{
	(void)err;
	*out = (struct arch_state *)vm;
	return 0;
}

int arch_state_load(struct arch_state *state, const struct record *rec, struct err *err)
{
	(void)state, (void)rec;
	return err_set(err, -EBADMSG, "not expected");
}

int arch_state_prepare(struct arch_state *state, struct wbuf *reasons, struct err *err)
{
	(void)state, (void)err;
	if (!refused)
		return 0;
	wbuf_bytes(reasons, refused, strlen(refused));
	return -EOPNOTSUPP;
}

int arch_state_commit(struct arch_state *state, bool clock_advance, uint64_t *away_ns,
		      struct err *err)
{
	(void)state, (void)clock_advance, (void)err;
	*away_ns = 5;
	return 0;
}

void arch_state_release(struct arch_state *state)
{
	(void)state;
}

int arch_compat_check(int kvm_fd, struct rbuf *in, struct wbuf *reasons, struct err *err)
{
	(void)kvm_fd, (void)in, (void)reasons, (void)err;
	return 0;
}

static struct fake_device *add(struct vm *vm, const char *name, uint32_t value)
{
	struct fake_device *d = calloc(1, sizeof(*d));
	struct err err = ERR_INIT;

	assert_non_null(d);
	d->dev.name = name;
	d->dev.ops = &ops;
	d->dev.state_desc = &desc;
	d->dev.state = &d->thing;
	d->thing.value = value;
	pthread_mutex_init(&d->dev.lock, NULL);
	assert_int_equal(device_register(&vm->devices, &d->dev, &err), 0);
	return d;
}

static struct vm *machine(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	assert_non_null(vm);
	device_list_init(&vm->devices);
	vm_config_init(&vm->config);
	vm->config.cpus = 1;
	vm->config.irqchip = IRQCHIP_GICV3;
	vm->config.mem_addr = 0x80000000;
	memcpy(vm->name, "x", 2);
	return vm;
}

static void discard(struct vm *vm)
{
	device_list_release(&vm->devices);
	free(vm);
}

/* The records of a machine with the devices a (1) and, perhaps, b (2). */
static void save(struct wbuf *state, bool with_b)
{
	struct err err = ERR_INIT;
	struct vm *vm = machine();
	struct wbuf compat;

	add(vm, "a", 1);
	if (with_b)
		add(vm, "b", 2);
	vm->user_paused = true;
	wbuf_init(&compat, 1 << 16);
	wbuf_init(state, 1 << 16);
	assert_int_equal(state_save(vm, &compat, state, &err), 0);
	wbuf_release(&compat);
	discard(vm);
}

static void test_round(void **unused)
{
	struct state_options options = {.clock_advance = true};
	struct err err = ERR_INIT;
	struct fake_device *a, *b;
	struct vm *vm = machine();
	struct wbuf state;

	(void)unused;
	save(&state, true);
	b = add(vm, "b", 0); /* their order does not matter */
	a = add(vm, "a", 0);
	assert_int_equal(state_load(vm, &state, &options, &err), 0);
	assert_int_equal(a->thing.value, 1);
	assert_int_equal(b->thing.value, 2);
	assert_int_equal(a->loaded, 1);
	assert_int_equal(b->loaded, 1);
	assert_int_equal(a->stood_still, 0);
	assert_true(options.paused);
	options.clock_advance = false;
	assert_int_equal(state_load(vm, &state, &options, &err), 0);
	assert_int_equal(a->stood_still, 5);
	assert_int_equal(a->copied, 0);
	wbuf_release(&state);
	discard(vm);
}

static void test_missing(void **unused)
{
	struct state_options options = {.clock_advance = true};
	struct err err = ERR_INIT;
	struct fake_device *a;
	struct vm *vm = machine();
	struct wbuf state;

	(void)unused;
	save(&state, false);
	a = add(vm, "a", 0);
	add(vm, "b", 0);
	assert_int_equal(state_load(vm, &state, &options, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "device b"));
	assert_int_equal(a->loaded, 0);
	wbuf_release(&state);
	discard(vm);
}

static void test_unknown(void **unused)
{
	struct state_options options = {.clock_advance = true};
	struct err err = ERR_INIT;
	struct vm *vm = machine();
	struct wbuf state;

	(void)unused;
	save(&state, true);
	add(vm, "a", 0);
	assert_int_equal(state_load(vm, &state, &options, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.msg, "no such device"));
	wbuf_release(&state);
	discard(vm);
}

/* Moved or copied: the first does not tell the guest. */
static void test_copy(void **unused)
{
	struct state_options options = {.clock_advance = true, .copy = true};
	struct err err = ERR_INIT;
	struct fake_device *a, *b;
	struct vm *vm = machine();
	struct wbuf state;

	(void)unused;
	save(&state, true);
	a = add(vm, "a", 0);
	b = add(vm, "b", 0);
	assert_int_equal(state_load(vm, &state, &options, &err), 0);
	assert_int_equal(a->copied, 1);
	assert_int_equal(b->copied, 1);
	wbuf_release(&state);
	discard(vm);
}

/* What KVM refuses is known before RAM is there, all of it, and no device goes on. */
static void test_refused(void **unused)
{
	struct state_options options = {.clock_advance = true};
	struct state_loading *loading = NULL;
	struct err err = ERR_INIT;
	struct fake_device *a;
	struct vm *vm = machine();
	struct wbuf state, reasons;

	(void)unused;
	save(&state, true);
	a = add(vm, "a", 0);
	add(vm, "b", 0);
	wbuf_init(&reasons, STATE_REASONS_MAX);
	refused = "vcpu 0: one\nvcpu 0: two\n";
	assert_int_equal(state_prepare(vm, &state, &options, &reasons, &loading, &err),
			 -EOPNOTSUPP);
	assert_null(loading);
	assert_int_equal(reasons.len, strlen(refused));
	assert_string_equal(err.msg, "");
	assert_int_equal(state_load(vm, &state, &options, &err), -EOPNOTSUPP);
	assert_string_equal(err.msg, "vcpu 0: one");
	assert_int_equal(a->loaded, 0);
	refused = NULL;

	assert_int_equal(state_prepare(vm, &state, &options, &reasons, &loading, &err), 0);
	assert_int_equal(a->thing.value, 1);
	assert_int_equal(a->loaded, 0); /* RAM is not there yet */
	assert_true(options.paused);
	assert_int_equal(state_commit(loading, &err), 0);
	assert_int_equal(a->loaded, 1);
	wbuf_release(&reasons);
	wbuf_release(&state);
	discard(vm);
}

static void test_config(void **unused)
{
	char name[VM_NAME_MAX + 1];
	struct vm_config config;
	struct err err = ERR_INIT;
	struct wbuf state;

	(void)unused;
	save(&state, true);
	assert_int_equal(state_config(&state, &config, name, &err), 0);
	assert_string_equal(name, "x");
	assert_int_equal(config.cpus, 1);
	assert_true(config.restoring);
	state.len = 0;
	assert_true(state_config(&state, &config, name, &err) < 0);
	wbuf_release(&state);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_round),	cmocka_unit_test(test_missing),
	cmocka_unit_test(test_unknown), cmocka_unit_test(test_copy),
	cmocka_unit_test(test_refused), cmocka_unit_test(test_config),
};

UNIT_MAIN(tests)
