/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"
#include "vm/config.h"

static struct vm_config base(void)
{
	struct vm_config c;

	vm_config_init(&c);
	c.kernel = "Image";
	return c;
}

static void good(const struct vm_config *c)
{
	struct err err = ERR_INIT;
	int rc = vm_config_check(c, &err);

	if (rc)
		print_error("# %s\n", err.msg);
	assert_int_equal(rc, 0);
	assert_string_equal(err.msg, "");
}

/* Refused, and the line says this (in it the option's name). */
static void bad(const struct vm_config *c, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(vm_config_check(c, &err), -EINVAL);
	if (!strstr(err.msg, text))
		print_error("# \"%s\" is not in \"%s\"\n", text, err.msg);
	assert_non_null(strstr(err.msg, text));
	assert_int_equal(vm_config_check(c, NULL), -EINVAL);
}

static void defaults(void **state)
{
	struct vm_config c;

	(void)state;
	memset(&c, 0xff, sizeof(c));
	vm_config_init(&c);
	assert_null(c.name);
	assert_int_equal(c.cpus, 0);
	assert_true(c.mem_size == 256ull << 20);
	assert_int_equal(c.mem_addr, 0);
	assert_int_equal(c.mem_backend, MEM_BACKEND_ANON);
	assert_false(c.mte);
	assert_true(c.pvtime);
	assert_false(c.pmu || c.no_reboot || c.nodefaults || c.kaslr_seed_set);
	assert_false(c.debug_no_seal || c.debug_no_tags);
	assert_int_equal(c.irqchip, IRQCHIP_AUTO);
	assert_int_equal(c.log_level, LOG_INFO);
	for (int i = 0; i < VM_MAX_UARTS; i++)
		assert_false(c.tty[i]);
	bad(&c, "nothing to boot, give a kernel with -k FILE");
	c.kernel = "Image";
	good(&c);
}

static void names(void **state)
{
	static const char *const right[] = {"a", "0", "guest-17", "A.b_c-d", "x--", "9."};
	static const char *const wrong[] = {"",	    ".hidden", "-x",  "_x",  "a/b",	 "..",
					    "../a", "a b",     "a\n", "a:b", "\xc3\xa9", "a\x01"};
	char longest[VM_NAME_MAX + 2];
	struct vm_config c = base();

	(void)state;
	for (unsigned int i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		c.name = right[i];
		good(&c);
	}
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		c.name = wrong[i];
		bad(&c, "--name: \"");
	}
	memset(longest, 'x', sizeof(longest));
	longest[VM_NAME_MAX] = '\0';
	c.name = longest;
	good(&c);
	longest[VM_NAME_MAX] = 'x';
	longest[VM_NAME_MAX + 1] = '\0';
	bad(&c, "--name: \"xxx");
}

static void cpus(void **state)
{
	struct vm_config c = base();

	(void)state;
	c.cpus = 1;
	good(&c);
	c.cpus = VM_MAX_CPUS;
	good(&c);
	c.cpus = VM_MAX_CPUS + 1;
	bad(&c, "--cpus: 513 is out of range, 1 to 512");

	c.cpus = 8;
	c.irqchip = IRQCHIP_GICV2;
	good(&c);
	c.cpus = 9;
	bad(&c, "--cpus: a GICv2 serves at most 8 CPUs");
	c.irqchip = IRQCHIP_GICV2M;
	bad(&c, "--irqchip gicv3");
	c.irqchip = IRQCHIP_GICV3;
	good(&c);
	c.irqchip = IRQCHIP_GICV3_ITS + 1;
	bad(&c, "--irqchip: ");
	c.irqchip = -1;
	bad(&c, "--irqchip: ");
}

static void default_cpus(void **state)
{
	struct vm_config c = base();

	(void)state;
	assert_int_equal(vm_config_default_cpus(&c, -1), 1);
	assert_int_equal(vm_config_default_cpus(&c, 0), 1);
	assert_int_equal(vm_config_default_cpus(&c, 80), 80);
	assert_int_equal(vm_config_default_cpus(&c, VM_MAX_CPUS + 1), VM_MAX_CPUS);
	c.irqchip = IRQCHIP_GICV2;
	assert_int_equal(vm_config_default_cpus(&c, 3), 3);
	assert_int_equal(vm_config_default_cpus(&c, 80), VM_GICV2_CPUS);
	c.irqchip = IRQCHIP_GICV2M;
	assert_int_equal(vm_config_default_cpus(&c, 80), VM_GICV2_CPUS);
}

static void sve(void **state)
{
	struct vm_config c = base();

	(void)state;
	for (uint32_t vl = 1; vl < 2400; vl++) {
		c.sve_max_vl = vl;
		if (vl % 128 == 0 && vl <= 2048)
			good(&c);
		else
			bad(&c, "--sve-max-vl: ");
	}
}

static bool has(const uint64_t *set, int cpu)
{
	return set[cpu / 64] >> (cpu % 64) & 1;
}

/* On the heap without a byte to spare: a look past the list is seen. */
static int cpu_list(const char *list, uint64_t *set, struct err *err)
{
	size_t size = strlen(list) + 1;
	char *copy = malloc(size);
	int rc;

	assert_non_null(copy);
	memcpy(copy, list, size);
	rc = vm_cpu_list_parse(copy, set, err);
	free(copy);
	return rc;
}

static void affinity_lists(void **state)
{
	static const char *const wrong[] = {
		"",    ",",   "1,",   ",1",  "1,,2",  "-",	"-1",	"1-",
		"3-1", "a",   "0x1",  "1 2", "1-2-3", "0-1024", "1024", "99999999999999999999",
		" 1",  "1;2", "1,-2", "+1"};
	uint64_t set[VM_CPU_SET / 64];
	struct vm_config c = base();
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(cpu_list("0-3,6", set, &err), 0);
	assert_int_equal(set[0], 0x4f);
	for (int i = 1; i < VM_CPU_SET / 64; i++)
		assert_int_equal(set[i], 0);
	assert_int_equal(cpu_list("7,7,6-8", set, &err), 0);
	assert_int_equal(set[0], 0x1c0);
	assert_int_equal(cpu_list("63-64,1023", set, &err), 0);
	assert_true(has(set, 63) && has(set, 64) && has(set, 1023) && !has(set, 65));
	assert_int_equal(cpu_list("0-1023", set, &err), 0);
	for (int i = 0; i < VM_CPU_SET; i++)
		assert_true(has(set, i));
	assert_int_equal(cpu_list("9,19-20", set, &err), 0);
	assert_int_equal(set[0], 1 << 9 | 3 << 19);
	assert_int_equal(cpu_list("5-5", set, &err), 0);
	assert_int_equal(set[0], 0x20);

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(cpu_list(wrong[i], set, &err), -EINVAL);
		c.vcpu_affinity = wrong[i];
		bad(&c, "--vcpu-affinity: \"");
		bad(&c, wrong[i]);
		bad(&c, "(0 to 1023, ranges upwards)");
	}
	c.vcpu_affinity = "0-3,6";
	good(&c);
}

static void memory(void **state)
{
	struct vm_config c = base();

	(void)state;
	c.mem_size = VM_MEM_MIN;
	good(&c);
	c.mem_size = VM_MEM_MIN - VM_MEM_UNIT;
	bad(&c, "--mem: 14680064 bytes are too few, 16 MiB is the least");
	c.mem_size = 0;
	bad(&c, "--mem: ");
	c.mem_size = (255ull << 20);
	bad(&c, "--mem: 267386880 bytes is not a multiple of 2 MiB, 256M is next");
	c.mem_size = (256ull << 20) + 1;
	bad(&c, "258M is next");

	c = base();
	c.mem_addr = 1ull << 31;
	good(&c);
	c.mem_addr += 4096;
	bad(&c, "--mem: the address 0x80001000 is not a multiple of 2 MiB");
	c.mem_addr = UINT64_MAX - VM_MEM_UNIT + 1;
	bad(&c, "end past 64 bits");
	c.mem_addr = 0;
	c.mem_size = UINT64_MAX - VM_MEM_UNIT + 1;
	good(&c); /* how much fits is the host's to say */
}

static void memory_backends(void **state)
{
	struct vm_config c = base();

	(void)state;
	c.mem_backend = MEM_BACKEND_MEMFD;
	c.mem_backend_set = true;
	good(&c);
	c.hugetlbfs = "/mnt/huge";
	bad(&c, "--hugetlbfs: ");
	c.mem_backend = MEM_BACKEND_ANON; /* asked for by name: the same contradiction */
	bad(&c, "leave out --mem-backend");
	c.mem_backend_set = false;
	good(&c);
	c.mem_backend = 2;
	bad(&c, "--mem-backend: ");
	c.mem_backend = -1;
	bad(&c, "--mem-backend: ");
}

static void debug_switches(void **state)
{
	struct vm_config c = base();

	(void)state;
	c.debug_no_seal = true;
	good(&c);
	c.debug_no_tags = true;
	bad(&c, "--debug-no-tags: ");
	c.mte = true;
	good(&c);
}

static void what_to_boot(void **state)
{
	struct vm_config c = base();

	(void)state;
	c.initrd = "initrd";
	c.params = "quiet";
	c.flash = "flash";
	good(&c);
	c.firmware = "fw";
	bad(&c, "--kernel and --firmware exclude each other");
	c.kernel = NULL;
	bad(&c, "--initrd: ");
	c.initrd = NULL;
	good(&c);
	c.firmware_address = 0x80000000;
	good(&c);
	c.firmware = NULL;
	c.kernel = "Image";
	bad(&c, "--firmware-address: needs --firmware");
	c.firmware_address = 0;
	c.kernel = NULL;
	bad(&c, "-k FILE");
}

static void command_line(void **state)
{
	struct vm_config c = base();
	char text[VM_PARAMS_MAX + 2];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[VM_PARAMS_MAX] = '\0';
	c.params = text;
	good(&c);
	text[VM_PARAMS_MAX] = 'x';
	text[VM_PARAMS_MAX + 1] = '\0';
	bad(&c, "--params: 2048 bytes are too long for arm64 Linux, 2047 is the most");
	c.params = "";
	good(&c);
}

static void log_levels(void **state)
{
	struct vm_config c = base();

	(void)state;
	c.log_level = LOG_ERROR;
	good(&c);
	c.log_level = LOG_DEBUG;
	good(&c);
	c.log_level = LOG_DEBUG + 1;
	bad(&c, "--loglevel: ");
	c.log_level = -1;
	bad(&c, "--loglevel: ");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(defaults),
	cmocka_unit_test(names),
	cmocka_unit_test(cpus),
	cmocka_unit_test(default_cpus),
	cmocka_unit_test(sve),
	cmocka_unit_test(affinity_lists),
	cmocka_unit_test(memory),
	cmocka_unit_test(memory_backends),
	cmocka_unit_test(debug_switches),
	cmocka_unit_test(what_to_boot),
	cmocka_unit_test(command_line),
	cmocka_unit_test(log_levels),
};

UNIT_MAIN(tests)
