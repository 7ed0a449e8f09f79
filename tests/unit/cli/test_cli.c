/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "util/buf.h"
#include "util/log.h"
#include "vm/config.h"

static struct vm_config c;
static struct control_opts ctl;
static struct err err;
static char *argv[64];
static int nargs;
static bool help;

/* Arguments are split at spaces. */
static int parse_into(const struct verb_spec *verb, void *values, const char *line)
{
	static char text[512];
	char *at = text;
	int argc = 0;

	assert_true(strlen(line) < sizeof(text));
	memcpy(text, line, strlen(line) + 1);
	argv[argc++] = "verb";
	while (*at) {
		argv[argc++] = at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = '\0';
	}
	err.msg[0] = '\0';
	return opt_parse(verb, argc, argv, values, &nargs, &help, &err);
}

static void run(const char *line)
{
	int rc;

	vm_config_init(&c);
	rc = parse_into(&verb_run, &c, line);
	if (rc)
		print_error("# \"%s\": %s\n", line, err.msg);
	assert_int_equal(rc, 0);
}

static void bad_run(const char *line, const char *message)
{
	vm_config_init(&c);
	assert_int_equal(parse_into(&verb_run, &c, line), -EINVAL);
	assert_string_equal(err.msg, message);
}

static void control(const struct verb_spec *verb, const char *line)
{
	memset(&ctl, 0, sizeof(ctl));
	assert_int_equal(parse_into(verb, &ctl, line), 0);
}

/* As kvmtool's users have them in their scripts. */
static void every_option_of_run(void **state)
{
	(void)state;
	run("--name g -c 4 -m 1G -k Image -i initrd.gz -p root=/dev/ram --irqchip gicv3-its --pmu "
	    "--no-pvtime --vcpu-affinity 0-1 --sve-max-vl 256 --kaslr-seed 0x1234 --dump-dtb d.dtb "
	    "--nodefaults --loglevel debug --console serial --network none --tty 1 --tty 3 "
	    "--no-reboot --mte --mem-backend memfd --debug-no-seal --debug-no-tags -F flash.img");
	assert_string_equal(c.name, "g");
	assert_int_equal(c.cpus, 4);
	assert_true(c.mem_size == 1ull << 30);
	assert_int_equal(c.mem_addr, 0);
	assert_string_equal(c.kernel, "Image");
	assert_string_equal(c.initrd, "initrd.gz");
	assert_string_equal(c.params, "root=/dev/ram");
	assert_int_equal(c.irqchip, IRQCHIP_GICV3_ITS);
	assert_true(c.pmu);
	assert_false(c.pvtime);
	assert_string_equal(c.vcpu_affinity, "0-1");
	assert_int_equal(c.sve_max_vl, 256);
	assert_true(c.kaslr_seed_set);
	assert_int_equal(c.kaslr_seed, 0x1234);
	assert_string_equal(c.dump_dtb, "d.dtb");
	assert_true(c.nodefaults);
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_false(c.tty[0] || c.tty[2]);
	assert_true(c.tty[1] && c.tty[3]);
	assert_true(c.no_reboot && c.mte && c.debug_no_seal && c.debug_no_tags);
	assert_int_equal(c.mem_backend, MEM_BACKEND_MEMFD);
	assert_true(c.mem_backend_set);
	assert_string_equal(c.flash, "flash.img");
	assert_null(c.firmware);
	assert_null(c.hugetlbfs);
	assert_int_equal(vm_config_check(&c, &err), 0);

	run("-f fw.bin --firmware-address 0x90000000 --hugetlbfs /mnt");
	assert_string_equal(c.firmware, "fw.bin");
	assert_true(c.firmware_address == 0x90000000);
	assert_string_equal(c.hugetlbfs, "/mnt");
	assert_false(c.mem_backend_set);
}

static void nothing_changes_defaults(void **state)
{
	struct vm_config fresh;

	(void)state;
	memset(&fresh, 0, sizeof(fresh));
	memset(&c, 0, sizeof(c));
	vm_config_init(&fresh);
	run("");
	assert_memory_equal(&c, &fresh, sizeof(c));
}

/* An option of the table that is stored at the wrong place shows here. */
static void each_flag_sets_one_thing(void **state)
{
	static const char *const lines[] = {"--pmu",	      "--no-pvtime", "--mte",
					    "--nodefaults",   "--no-reboot", "--debug-no-seal",
					    "--debug-no-tags"};
	struct vm_config fresh;

	(void)state;
	vm_config_init(&fresh);
	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		unsigned int changed = 0;

		run(lines[i]);
		changed += c.pmu != fresh.pmu;
		changed += c.pvtime != fresh.pvtime;
		changed += c.mte != fresh.mte;
		changed += c.nodefaults != fresh.nodefaults;
		changed += c.no_reboot != fresh.no_reboot;
		changed += c.debug_no_seal != fresh.debug_no_seal;
		changed += c.debug_no_tags != fresh.debug_no_tags;
		assert_int_equal(changed, 1);
	}
}

static void mte_is_off_unless_asked_for(void **state)
{
	(void)state;
	run("--disable-mte");
	assert_false(c.mte);
	run("--mte");
	assert_true(c.mte);
	run("--mte --disable-mte");
	assert_false(c.mte);
	run("--disable-mte --mte");
	assert_true(c.mte);
}

static void memory(void **state)
{
	(void)state;
	run("-m256");
	assert_true(c.mem_size == 256ull << 20);
	run("--mem=0x200");
	assert_true(c.mem_size == 512ull << 20);
	run("-m 1G@0x100000000");
	assert_true(c.mem_size == 1ull << 30);
	assert_true(c.mem_addr == 1ull << 32);
	run("-m 1G@4G");
	assert_true(c.mem_addr == 4ull << 30);
	run("-m 512@2147483648");
	assert_true(c.mem_size == 512ull << 20);
	assert_true(c.mem_addr == 1ull << 31);
	bad_run("-m 1G@",
		"--mem: \"\" is not a size (a whole number and B, K, M, G, T or P; without "
		"a letter MiB)");
	bad_run("-m @1G",
		"--mem: \"\" is not a size (a whole number and B, K, M, G, T or P; without "
		"a letter MiB)");
	bad_run("-m 1G@0", "--mem: memory cannot be at address 0");
	bad_run("-m 99999999999T", "--mem: \"99999999999T\" is too large a size");
	bad_run("-m 1G@99999999999T", "--mem: \"99999999999T\" is too large a size");
	bad_run("-m 0000000000000000000000000000000000000000000001@1G",
		"--mem: \"0000000000000000000000000000000000000000000001@1G\" is too large a size");
	for (int n = 36; n < 44; n++) { /* around what is copied of the size */
		char line[80] = "-m 0000000000000000000000000000000000000000000";

		memcpy(line + 3 + n, "@1G", 4);
		vm_config_init(&c);
		parse_into(&verb_run, &c, line);
	}
	/* A wrong address leaves the size as it was, too. */
	assert_true(c.mem_size == 256ull << 20);
	bad_run("--mem-backend=shm", "--mem-backend: \"shm\" is not one of anon, memfd");
}

static void console_tty_network(void **state)
{
	(void)state;
	run("--console serial");
	bad_run("--console virtio", "--console: virtio is not in this version, only serial is");
	bad_run("--console hvc", "--console: \"hvc\" is not serial");
	run("--tty 0");
	assert_true(c.tty[0]);
	bad_run("--tty 4", "--tty: 4 is out of range, 0 to 3");
	bad_run("--tty 4294967296", "--tty: 4294967296 is out of range, 0 to 3");
	bad_run("--tty x", "--tty: \"x\" is not a number (decimal, or hexadecimal with 0x)");
	run("-n mode=none");
	run("-n none");
	bad_run("-n mode=tap",
		"--network: \"mode=tap\" is not in this version, which has no virtio "
		"devices: only none is");
	bad_run("-n user",
		"--network: \"user\" is not in this version, which has no virtio devices: "
		"only none is");
	run("--kaslr-seed 0");
	assert_true(c.kaslr_seed_set);
	bad_run("--kaslr-seed x",
		"--kaslr-seed: \"x\" is not a number (decimal, or hexadecimal with "
		"0x)");
	assert_false(c.kaslr_seed_set);
}

static void never_silently_accepted(void **state)
{
	static const char *const lines[] = {"-d disk.img",
					    "--disk=disk.img,ro",
					    "--9p .,tag",
					    "--rng",
					    "--balloon",
					    "--vsock 3",
					    "--vfio-pci 0:1.0",
					    "--dev /dev/kvm",
					    "--virtio-transport mmio",
					    "--debug",
					    "--debug-mmio",
					    "--debug-single-step",
					    "--aarch32"};

	(void)state;
	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		vm_config_init(&c);
		assert_int_equal(parse_into(&verb_run, &c, lines[i]), -EINVAL);
		assert_non_null(strstr(err.msg, "not in this version: "));
	}
	bad_run("Image", "unexpected argument \"Image\": a kernel is given with -k FILE");
}

static void bad_numbers(void **state)
{
	(void)state;
	bad_run("-c 0", "--cpus: 0 is out of range, 1 to 512");
	bad_run("-c 513", "--cpus: 513 is out of range, 1 to 512");
	bad_run("--sve-max-vl 64", "--sve-max-vl: 64 is out of range, 128 to 2048");
	bad_run("--irqchip gicv4",
		"--irqchip: \"gicv4\" is not one of auto, gicv2, gicv2m, gicv3, gicv3-its");
	bad_run("--loglevel warn",
		"--loglevel: \"warn\" is not one of error, warning, info, debug");
}

/* The words' places in the tables are the enums' values. */
static void words_agree_with_enums(void **state)
{
	static const struct {
		const char *line;
		int irqchip;
	} chips[] = {{"--irqchip auto", IRQCHIP_AUTO},
		     {"--irqchip gicv2", IRQCHIP_GICV2},
		     {"--irqchip gicv2m", IRQCHIP_GICV2M},
		     {"--irqchip gicv3", IRQCHIP_GICV3},
		     {"--irqchip gicv3-its", IRQCHIP_GICV3_ITS}};
	static const char *const levels[] = {"error", "warning", "info", "debug"};

	(void)state;
	for (unsigned int i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
		run(chips[i].line);
		assert_int_equal(c.irqchip, chips[i].irqchip);
	}
	for (unsigned int i = 0; i < 4; i++) {
		enum log_level level;
		char line[40];

		snprintf(line, sizeof(line), "--loglevel=%s", levels[i]);
		run(line);
		assert_int_equal(log_level_parse(levels[i], &level), 0);
		assert_int_equal(c.log_level, level);
	}
	run("--mem-backend anon");
	assert_int_equal(c.mem_backend, MEM_BACKEND_ANON);
	run("--mem-backend memfd");
	assert_int_equal(c.mem_backend, MEM_BACKEND_MEMFD);
}

static void control_verbs(void **state)
{
	static const struct verb_spec *const named[] = {&verb_pause, &verb_resume, &verb_stop,
							&verb_stat, &verb_debug};

	(void)state;
	for (unsigned int i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		control(named[i], "-n g");
		assert_string_equal(ctl.name, "g");
		assert_int_equal(nargs, 0);
		control(named[i], "--name=g");
		assert_string_equal(ctl.name, "g");
		control(named[i], "-a");
		assert_true(ctl.all);
		control(named[i], "g");
		assert_null(ctl.name);
		assert_int_equal(nargs, 1);
		assert_string_equal(argv[0], "g");
		assert_int_equal(parse_into(named[i], &ctl, "g h"), -EINVAL);
	}
	control(&verb_list, "-i");
	assert_true(ctl.running && !ctl.rootfs && !ctl.json);
	control(&verb_list, "-r --json");
	assert_true(!ctl.running && ctl.rootfs && ctl.json);
	assert_int_equal(parse_into(&verb_list, &ctl, "g"), -EINVAL);
	control(&verb_stat, "-m --json -n g");
	assert_true(ctl.memory && ctl.json);
	control(&verb_debug, "-d -s t --json -a");
	assert_true(ctl.dump && ctl.json && ctl.all);
	assert_string_equal(ctl.sysrq, "t");
	control(&verb_help, "run");
	assert_int_equal(nargs, 1);
	assert_int_equal(parse_into(&verb_help, &ctl, "run stop"), -EINVAL);
	control(&verb_version, "");
	assert_int_equal(parse_into(&verb_version, &ctl, "x"), -EINVAL);
}

static void sysrq_is_one_key(void **state)
{
	static const char *const wrong[] = {"-s tt", "--sysrq=",    "-s \n",
					    "-s -",  "-s \xc3\xa9", "-s /"};

	(void)state;
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(parse_into(&verb_debug, &ctl, wrong[i]), -EINVAL);
		assert_non_null(strstr(err.msg, "--sysrq: \""));
	}
	control(&verb_debug, "-s9");
	assert_string_equal(ctl.sysrq, "9");
}

/* What every table must be for parser, help, man page and completion to work. */
static void tables_are_sound(void **state)
{
	(void)state;
	for (int i = 0; cli_verbs[i]; i++) {
		const struct verb_spec *v = cli_verbs[i];

		assert_non_null(v->name);
		assert_non_null(v->opts);
		assert_int_equal(v->summary[strlen(v->summary) - 1], '.');
		assert_true(!v->args == !v->max_args);
		for (const struct opt *o = v->opts; o->name; o++) {
			bool flag = o->kind == OPT_FLAG || o->kind == OPT_UNFLAG;

			assert_true(strlen(o->name) >= 2);
			for (const char *s = o->name; *s; s++)
				assert_true(islower(*s) || isdigit(*s) || *s == '-');
			assert_true(!o->letter || isalpha(o->letter));
			assert_int_not_equal(o->letter, 'h');
			assert_string_not_equal(o->name, "help");
			assert_non_null(o->help);
			if (o->kind == OPT_ABSENT)
				assert_true(islower(o->help[0]));
			else
				assert_int_equal(o->help[strlen(o->help) - 1], '.');
			if (o->kind != OPT_ABSENT && o->kind != OPT_IGNORED)
				assert_int_equal(!o->arg, flag);
			if (o->kind == OPT_U32)
				assert_true(o->max && o->max <= UINT32_MAX && o->min <= o->max);
			if (o->kind == OPT_U64 || o->kind == OPT_SIZE)
				assert_true(o->max && o->min <= o->max);
			if (o->kind == OPT_WORD)
				assert_true(o->words && o->words[0]);
			if (o->kind == OPT_CALL)
				assert_non_null(o->call);
			for (const struct opt *p = v->opts; p != o; p++) {
				assert_string_not_equal(p->name, o->name);
				assert_true(!o->letter || p->letter != o->letter);
			}
		}
		for (int k = 0; k < i; k++)
			assert_string_not_equal(cli_verbs[k]->name, v->name);
	}
}

/* On a terminal of 80 columns no line of any help is broken by the terminal. */
static void help_fits(void **state)
{
	(void)state;
	for (int i = 0; cli_verbs[i]; i++) {
		struct wbuf out;
		size_t column = 0;

		wbuf_init(&out, 1 << 16);
		opt_help(cli_verbs[i], &out);
		assert_int_equal(out.error, 0);
		assert_int_equal(out.data[out.len - 1], '\n');
		for (size_t n = 0; n < out.len; n++) {
			column = out.data[n] == '\n' ? 0 : column + 1;
			assert_true(column < 80);
			assert_false(out.data[n] == '\n' && n && out.data[n - 1] == ' ');
		}
		wbuf_u8(&out, 0);
		for (const struct opt *o = cli_verbs[i]->opts; o->name; o++) {
			char name[40];

			snprintf(name, sizeof(name), "--%s", o->name);
			assert_non_null(strstr((const char *)out.data, name));
		}
		wbuf_release(&out);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_option_of_run),
	cmocka_unit_test(nothing_changes_defaults),
	cmocka_unit_test(each_flag_sets_one_thing),
	cmocka_unit_test(mte_is_off_unless_asked_for),
	cmocka_unit_test(memory),
	cmocka_unit_test(console_tty_network),
	cmocka_unit_test(never_silently_accepted),
	cmocka_unit_test(bad_numbers),
	cmocka_unit_test(words_agree_with_enums),
	cmocka_unit_test(control_verbs),
	cmocka_unit_test(sysrq_is_one_key),
	cmocka_unit_test(tables_are_sound),
	cmocka_unit_test(help_fits),
};

UNIT_MAIN(tests)
