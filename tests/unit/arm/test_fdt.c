/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libfdt.h>

#include "arm/fdt.h"

#define CPUS_MAX 512

/*
 * A machine with everything, with one vCPU; tests change what they are about. With LKVM_DTB_DIR in
 * the environment, each tree with a name is also left there, for tests/dt-validate.
 */
struct board {
	struct fdt_desc d;
	uint64_t mpidr[CPUS_MAX];
	size_t size;
	uint8_t fdt[FDT_ROOM] __attribute__((aligned(8)));
};

static void make_board(struct board *b, enum fdt_gic gic, uint32_t cpus)
{
	memset(&b->d, 0, sizeof(b->d));
	for (uint32_t i = 0; i < cpus; i++)
		b->mpidr[i] = 0x80000000 | (i % 16) | (uint64_t)(i / 16) << 8;
	b->d = (struct fdt_desc){
		.mpidr = b->mpidr,
		.cpus = cpus,
		.ram = {0x80000000, 0x180000000},
		.initrd = {0x84000000, 0x12345},
		.cmdline = "console=ttyS0 quiet",
		.kaslr_seed = 0x0123456789abcdef,
		.rng_seed_len = 64,
		.stdout_path = "/serial@1000000",
		.gic = gic,
		.gic_dist = {0x3fff0000, 0x10000},
		.gic_redist = {0x3bff0000, 0x4000000},
		.gic_msi = {0x3bfd0000, 0x20000},
		.v2m_spi_base = 96,
		.v2m_spi_count = 64,
		.psci_version = 0x10001,
		.pmu = true,
		.pmu_irq = 23,
		.uart = {{0x1000000, 0x1000}, {0x1001000, 0x1000}},
		.uart_irq = {32, 47},
		.uarts = 2,
		.uart_clock_hz = 1843200,
		.uart_fifo = 64,
		.rtc = {0x1050000, 0x1000},
		.rtc_irq = 36,
		.flash = {0x2000000, 0x1000000},
	};
	for (uint32_t i = 0; i < sizeof(b->d.rng_seed); i++)
		b->d.rng_seed[i] = (uint8_t)(3 * i + 1);
}

static void build(struct board *b, const char *name)
{
	const char *dir = getenv("LKVM_DTB_DIR");
	struct err err = ERR_INIT;
	int rc;

	/* Not zero: what is not written must not show. */
	memset(b->fdt, 0xa5, sizeof(b->fdt));
	rc = fdt_build(&b->d, b->fdt, sizeof(b->fdt), &b->size, &err);
	if (rc)
		fail_msg("fdt_build: %d %s", rc, err.msg);
	assert_int_equal(fdt_check_full(b->fdt, b->size), 0);
	assert_int_equal(fdt_totalsize(b->fdt), b->size);
	assert_true(b->size < 4096 + 200 * b->d.cpus + strlen(b->d.cmdline ? b->d.cmdline : ""));

	if (dir && name) {
		char path[512];
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s.dtb", dir, name);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, b->fdt, b->size), (ssize_t)b->size);
		close(fd);
	}
}

static int setup(void **state)
{
	*state = malloc(sizeof(struct board));
	return !*state;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static int at(const struct board *b, const char *path)
{
	int node = fdt_path_offset(b->fdt, path);

	if (node < 0)
		fail_msg("no node %s", path);
	return node;
}

static bool has_node(const struct board *b, const char *path)
{
	return fdt_path_offset(b->fdt, path) >= 0;
}

static bool has_prop(const struct board *b, const char *path, const char *name)
{
	return fdt_getprop(b->fdt, at(b, path), name, NULL) != NULL;
}

static void is_bytes(const struct board *b, const char *path, const char *name, const void *want,
		     size_t len)
{
	int got_len;
	const void *got = fdt_getprop(b->fdt, at(b, path), name, &got_len);

	if (!got)
		fail_msg("%s has no %s", path, name);
	if ((size_t)got_len != len || memcmp(got, want, len) != 0)
		fail_msg("%s of %s is not what it should be (%d bytes)", name, path, got_len);
}

static void is_str(const struct board *b, const char *path, const char *name, const char *want)
{
	is_bytes(b, path, name, want, strlen(want) + 1);
}

static void is_flag(const struct board *b, const char *path, const char *name)
{
	is_bytes(b, path, name, "", 0);
}

#define is_cells(b, path, name, ...)                              \
	cells_are(b, path, name, (const uint32_t[]){__VA_ARGS__}, \
		  sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

static void cells_are(const struct board *b, const char *path, const char *name,
		      const uint32_t *want, size_t n)
{
	int len;
	const fdt32_t *got = fdt_getprop(b->fdt, at(b, path), name, &len);

	if (!got)
		fail_msg("%s has no %s", path, name);
	if ((size_t)len != 4 * n)
		fail_msg("%s of %s has %d bytes, not %zu", name, path, len, 4 * n);
	for (size_t i = 0; i < n; i++)
		if (fdt32_ld(got + i) != want[i])
			fail_msg("%s of %s: cell %zu is 0x%x, not 0x%x", name, path, i,
				 fdt32_ld(got + i), want[i]);
}

static void root_and_chosen(void **state)
{
	struct board *b = *state;
	uint8_t seed[64];

	make_board(b, FDT_GICV3, 1);
	build(b, NULL);
	is_str(b, "/", "compatible", "linux,dummy-virt");
	is_str(b, "/", "model", "lkvm");
	is_cells(b, "/", "#address-cells", 2);
	is_cells(b, "/", "#size-cells", 2);
	is_cells(b, "/", "interrupt-parent",
		 fdt_get_phandle(b->fdt, at(b, "/interrupt-controller@3fff0000")));

	is_str(b, "/aliases", "serial0", "/serial@1000000");
	is_str(b, "/aliases", "serial1", "/serial@1001000");
	assert_false(has_prop(b, "/aliases", "serial2"));
	assert_int_equal(fdt_path_offset(b->fdt, "serial1"), at(b, "/serial@1001000"));

	is_str(b, "/chosen", "bootargs", "console=ttyS0 quiet");
	is_str(b, "/chosen", "stdout-path", "/serial@1000000");
	is_cells(b, "/chosen", "linux,initrd-start", 0x84000000);
	is_cells(b, "/chosen", "linux,initrd-end", 0x84012345);
	is_cells(b, "/chosen", "kaslr-seed", 0x01234567, 0x89abcdef);
	for (unsigned int i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)(3 * i + 1);
	is_bytes(b, "/chosen", "rng-seed", seed, sizeof(seed));

	is_str(b, "/memory@80000000", "device_type", "memory");
	is_cells(b, "/memory@80000000", "reg", 0, 0x80000000, 1, 0x80000000);
}

static void without_what_is_absent(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	b->d.initrd.size = 0;
	b->d.cmdline = NULL;
	b->d.kaslr_seed = 0;
	b->d.rng_seed_len = 0;
	b->d.stdout_path = NULL;
	b->d.uarts = 0;
	b->d.rtc.size = 0;
	b->d.rtc_irq = 0;
	b->d.flash.size = 0;
	b->d.pmu = false;
	b->d.pmu_irq = 0;
	build(b, "bare");
	assert_false(has_prop(b, "/chosen", "linux,initrd-start"));
	assert_false(has_prop(b, "/chosen", "linux,initrd-end"));
	assert_false(has_prop(b, "/chosen", "bootargs"));
	assert_false(has_prop(b, "/chosen", "kaslr-seed"));
	assert_false(has_prop(b, "/chosen", "rng-seed"));
	assert_false(has_prop(b, "/chosen", "stdout-path"));
	assert_false(has_node(b, "/aliases"));
	assert_false(has_node(b, "/serial"));
	assert_false(has_node(b, "/rtc"));
	assert_false(has_node(b, "/clock-24000000"));
	assert_false(has_node(b, "/flash"));
	assert_false(has_node(b, "/pmu"));
	b->d.cmdline = "";
	build(b, "no-command-line");
	is_str(b, "/chosen", "bootargs", "");
}

static void high_addresses(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	b->d.ram = (struct fdt_range){0x8000000000, 0x4000000000};
	b->d.initrd = (struct fdt_range){0xfffff000, 0x2000};
	build(b, NULL);
	is_cells(b, "/memory@8000000000", "reg", 0x80, 0, 0x40, 0);
	is_cells(b, "/chosen", "linux,initrd-start", 0xfffff000);
	is_cells(b, "/chosen", "linux,initrd-end", 1, 0x1000);
}

static void one_cpu(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	build(b, NULL);
	is_cells(b, "/cpus", "#address-cells", 1);
	is_cells(b, "/cpus", "#size-cells", 0);
	is_str(b, "/cpus/cpu@0", "device_type", "cpu");
	is_str(b, "/cpus/cpu@0", "compatible", "arm,armv8");
	is_str(b, "/cpus/cpu@0", "enable-method", "psci");
	is_cells(b, "/cpus/cpu@0", "reg", 0);
}

static void many_cpus(void **state)
{
	struct board *b = *state;
	char path[40];

	make_board(b, FDT_GICV3_ITS, CPUS_MAX);
	build(b, NULL);
	for (uint32_t i = 0; i < CPUS_MAX; i++) {
		uint32_t aff = (i / 16) << 8 | i % 16;

		(void)snprintf(path, sizeof(path), "/cpus/cpu@%x", aff);
		is_cells(b, path, "reg", aff);
	}
}

/* Bits of MPIDR_EL1 that are no affinity (31, U, MT) stay out; Aff3 takes a second cell. */
static void cpus_with_aff3(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 3);
	b->mpidr[2] = 0x100c1000203;
	b->mpidr[1] = 0xffc1000203;
	build(b, "aff3");
	is_cells(b, "/cpus", "#address-cells", 2);
	is_cells(b, "/cpus/cpu@0", "reg", 0, 0);
	is_cells(b, "/cpus/cpu@ff00000203", "reg", 0xff, 0x203);
	is_cells(b, "/cpus/cpu@203", "reg", 0, 0x203);
}

static void psci(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	build(b, NULL);
	is_bytes(b, "/psci", "compatible", "arm,psci-1.0\0arm,psci-0.2", 26);
	is_str(b, "/psci", "method", "hvc");
	b->d.psci_version = 0x10000;
	build(b, NULL);
	is_bytes(b, "/psci", "compatible", "arm,psci-1.0\0arm,psci-0.2", 26);
	b->d.psci_version = 2;
	build(b, "psci-0.2");
	is_str(b, "/psci", "compatible", "arm,psci-0.2");
}

static void timer_and_pmu_on_gicv3(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 4);
	build(b, NULL);
	is_str(b, "/timer", "compatible", "arm,armv8-timer");
	is_cells(b, "/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
	is_flag(b, "/timer", "always-on");
	is_str(b, "/pmu", "compatible", "arm,armv8-pmuv3");
	is_cells(b, "/pmu", "interrupts", 1, 7, 4);
}

static void timer_and_pmu_on_gicv2(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV2, 3);
	build(b, "gicv2-3");
	is_cells(b, "/timer", "interrupts", 1, 13, 0x708, 1, 14, 0x708, 1, 11, 0x708, 1, 10, 0x708);
	is_cells(b, "/pmu", "interrupts", 1, 7, 0x704);
	make_board(b, FDT_GICV2M, 8);
	build(b, "gicv2m-8");
	is_cells(b, "/pmu", "interrupts", 1, 7, 0xff04);
}

#define GIC "/interrupt-controller@3fff0000"

static void gicv3(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	build(b, NULL);
	is_str(b, GIC, "compatible", "arm,gic-v3");
	is_flag(b, GIC, "interrupt-controller");
	is_cells(b, GIC, "#interrupt-cells", 3);
	is_cells(b, GIC, "reg", 0, 0x3fff0000, 0, 0x10000, 0, 0x3bff0000, 0, 0x4000000);
	assert_int_equal(fdt_first_subnode(b->fdt, at(b, GIC)), -FDT_ERR_NOTFOUND);
	assert_false(has_prop(b, GIC, "ranges"));
	is_cells(b, GIC, "#address-cells", 0);
}

static void gicv3_its(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3_ITS, 1);
	build(b, NULL);
	is_str(b, GIC, "compatible", "arm,gic-v3");
	is_cells(b, GIC, "#address-cells", 2);
	is_cells(b, GIC, "#size-cells", 2);
	is_flag(b, GIC, "ranges");
	is_str(b, GIC "/msi-controller@3bfd0000", "compatible", "arm,gic-v3-its");
	is_flag(b, GIC "/msi-controller@3bfd0000", "msi-controller");
	is_cells(b, GIC "/msi-controller@3bfd0000", "#msi-cells", 1);
	is_cells(b, GIC "/msi-controller@3bfd0000", "reg", 0, 0x3bfd0000, 0, 0x20000);
}

static void gicv2(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV2, 8);
	build(b, NULL);
	is_str(b, GIC, "compatible", "arm,cortex-a15-gic");
	is_flag(b, GIC, "interrupt-controller");
	is_cells(b, GIC, "#interrupt-cells", 3);
	is_cells(b, GIC, "reg", 0, 0x3fff0000, 0, 0x10000, 0, 0x3bff0000, 0, 0x4000000);
	assert_int_equal(fdt_first_subnode(b->fdt, at(b, GIC)), -FDT_ERR_NOTFOUND);
}

static void gicv2m(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV2M, 1);
	build(b, NULL);
	is_str(b, GIC, "compatible", "arm,cortex-a15-gic");
	is_flag(b, GIC, "ranges");
	is_str(b, GIC "/v2m@3bfd0000", "compatible", "arm,gic-v2m-frame");
	is_flag(b, GIC "/v2m@3bfd0000", "msi-controller");
	is_cells(b, GIC "/v2m@3bfd0000", "reg", 0, 0x3bfd0000, 0, 0x20000);
	is_cells(b, GIC "/v2m@3bfd0000", "arm,msi-base-spi", 96);
	is_cells(b, GIC "/v2m@3bfd0000", "arm,msi-num-spis", 64);
}

static void serial_rtc_flash(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	b->d.uarts = 4;
	b->d.uart[2] = (struct fdt_range){0x1002000, 0x1000};
	b->d.uart[3] = (struct fdt_range){0x1003000, 0x1000};
	b->d.uart_irq[2] = 34;
	b->d.uart_irq[3] = 35;
	build(b, "four-uarts");
	is_str(b, "/serial@1000000", "compatible", "ns16550a");
	is_cells(b, "/serial@1000000", "reg", 0, 0x1000000, 0, 0x1000);
	is_cells(b, "/serial@1000000", "interrupts", 0, 0, 4);
	is_cells(b, "/serial@1000000", "clock-frequency", 1843200);
	is_cells(b, "/serial@1000000", "reg-shift", 0);
	is_cells(b, "/serial@1000000", "fifo-size", 64);
	is_cells(b, "/serial@1001000", "interrupts", 0, 15, 4);
	is_str(b, "/aliases", "serial3", "/serial@1003000");

	is_bytes(b, "/rtc@1050000", "compatible", "arm,pl031\0arm,primecell", 24);
	is_cells(b, "/rtc@1050000", "reg", 0, 0x1050000, 0, 0x1000);
	is_cells(b, "/rtc@1050000", "interrupts", 0, 4, 4);
	is_str(b, "/rtc@1050000", "clock-names", "apb_pclk");
	is_cells(b, "/rtc@1050000", "clocks", fdt_get_phandle(b->fdt, at(b, "/clock-24000000")));
	is_str(b, "/clock-24000000", "compatible", "fixed-clock");
	is_cells(b, "/clock-24000000", "#clock-cells", 0);
	is_cells(b, "/clock-24000000", "clock-frequency", 24000000);

	is_str(b, "/flash@2000000", "compatible", "mtd-rom");
	is_cells(b, "/flash@2000000", "reg", 0, 0x2000000, 0, 0x1000000);
	is_cells(b, "/flash@2000000", "bank-width", 4);
}

/* Also with other bytes in the buffer before: libfdt leaves gaps. */
static void deterministic(void **state)
{
	struct board *b = *state;
	uint8_t *other = malloc(FDT_ROOM);
	size_t size;

	assert_non_null(other);
	for (int gic = FDT_GICV2; gic <= FDT_GICV3_ITS; gic++) {
		make_board(b, (enum fdt_gic)gic, 5);
		build(b, NULL);
		memset(other, 0x5a, FDT_ROOM);
		assert_int_equal(fdt_build(&b->d, other, b->size + 3, &size, NULL), 0);
		assert_int_equal(size, b->size);
		assert_memory_equal(b->fdt, other, size);
	}
	free(other);
}

/* Nothing is written behind the tree's end, or behind the room. */
static void writes_no_more_than_it_needs(void **state)
{
	struct board *b = *state;

	make_board(b, FDT_GICV3, 1);
	build(b, NULL);
	for (size_t i = 12 * 1024; i < FDT_ROOM; i++)
		if (b->fdt[i] != 0xa5)
			fail_msg("byte %zu was touched", i);
}

static void room_too_small(void **state)
{
	struct board *b = *state;
	struct err err = ERR_INIT;
	size_t size = 77, full;

	make_board(b, FDT_GICV3_ITS, 2);
	build(b, "gicv3-its-2");
	full = b->size;
	for (size_t room = 0; room < full; room++) {
		uint8_t *exact = malloc(room ? room : 1); /* ASan watches its end */

		err.msg[0] = 0;
		assert_int_equal(fdt_build(&b->d, exact, room, &size, &err), -ENOSPC);
		assert_non_null(strstr(err.msg, "does not fit"));
		free(exact);
	}
	assert_int_equal(size, 77);
	assert_int_equal(fdt_build(&b->d, b->fdt, full, &size, &err), 0);
	assert_int_equal(size, full);
}

static void long_command_line(void **state)
{
	struct board *b = *state;
	struct err err = ERR_INIT;
	char *line = malloc(FDT_ROOM + 1);
	size_t size;

	assert_non_null(line);
	make_board(b, FDT_GICV3, 4);
	memset(line, 'x', FDT_ROOM);
	line[2047] = 0;
	b->d.cmdline = line;
	build(b, NULL);
	is_str(b, "/chosen", "bootargs", line);
	line[2047] = 'x';
	line[1000000] = 0;
	build(b, NULL);
	is_str(b, "/chosen", "bootargs", line);
	line[1000000] = 'x';
	line[FDT_ROOM] = 0;
	assert_int_equal(fdt_build(&b->d, b->fdt, sizeof(b->fdt), &size, &err), -ENOSPC);
	assert_string_equal(err.msg, "the device tree does not fit into 2097152 bytes (its command "
				     "line has 2097152)");
	/* The room is the caller's, the limit the boot protocol's. */
	line[FDT_ROOM - 1000] = 0;
	assert_int_equal(fdt_build(&b->d, b->fdt, 2 * FDT_ROOM, &size, &err), -ENOSPC);
	free(line);
}

static void wrong_descriptions(void **state)
{
	struct board *b = *state;
	struct err err = ERR_INIT;
	size_t size;

#define REFUSED(change, words)                                                                    \
	do {                                                                                      \
		make_board(b, FDT_GICV3, 2);                                                      \
		change;                                                                           \
		err.msg[0] = 0;                                                                   \
		assert_int_equal(fdt_build(&b->d, b->fdt, sizeof(b->fdt), &size, &err), -EINVAL); \
		assert_non_null(strstr(err.msg, words));                                          \
	} while (0)

	REFUSED(b->d.cpus = 0, "0 CPUs do not go with this GIC");
	REFUSED((b->d.gic = FDT_GICV2, b->d.cpus = 9), "9 CPUs do not go with this GIC");
	REFUSED((b->d.gic = FDT_GICV2M, b->d.cpus = 9), "9 CPUs do not go with this GIC");
	REFUSED(b->d.uarts = 5, "description is wrong");
	REFUSED(b->d.rng_seed_len = 65, "description is wrong");
	REFUSED(b->d.pmu_irq = 32, "description is wrong");
	REFUSED(b->d.pmu_irq = 15, "description is wrong");
	REFUSED(b->d.rtc_irq = 31, "description is wrong");
	REFUSED(b->d.uart_irq[1] = 31, "interrupt 31 of UART 1 is no SPI");
}

/* dtc knows rules of the specification that libfdt does not: its warnings are errors here. */
static void dtc_has_no_complaint(void **state)
{
	struct board *b = *state;
	char dir[] = "/tmp/lkvm-fdt-XXXXXX", command[256];
	int rc;

	if (system("dtc --version >/dev/null 2>&1") != 0) {
		print_message("# no dtc: package device-tree-compiler\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	for (int gic = FDT_GICV2; gic <= FDT_GICV3_ITS; gic++) {
		FILE *f;

		make_board(b, (enum fdt_gic)gic, 4);
		if (gic == FDT_GICV3)
			b->mpidr[3] |= 0x100000000;
		build(b, NULL);
		(void)snprintf(command, sizeof(command), "%s/in.dtb", dir);
		f = fopen(command, "we");
		assert_non_null(f);
		assert_int_equal(fwrite(b->fdt, 1, b->size, f), b->size);
		assert_int_equal(fclose(f), 0);
		/*
		 * Into source and back. The way back is quiet: numbers where source should have
		 * references are a complaint about the source.
		 */
		(void)snprintf(command, sizeof(command),
			       "cd %s && dtc -I dtb -O dts -o a.dts in.dtb 2>warnings && "
			       "dtc -q -I dts -O dtb -o b.dtb a.dts 2>>warnings && "
			       "dtc -I dtb -O dts -o b.dts b.dtb 2>>warnings && cmp a.dts b.dts && "
			       "if [ -s warnings ]; then sed 's/^/# /' warnings; false; fi",
			       dir);
		rc = system(command);
		if (rc)
			break;
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(rc, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(root_and_chosen),
	TEST(without_what_is_absent),
	TEST(high_addresses),
	TEST(one_cpu),
	TEST(many_cpus),
	TEST(cpus_with_aff3),
	TEST(psci),
	TEST(timer_and_pmu_on_gicv3),
	TEST(timer_and_pmu_on_gicv2),
	TEST(gicv3),
	TEST(gicv3_its),
	TEST(gicv2),
	TEST(gicv2m),
	TEST(serial_rtc_flash),
	TEST(deterministic),
	TEST(writes_no_more_than_it_needs),
	TEST(room_too_small),
	TEST(long_command_line),
	TEST(wrong_descriptions),
	TEST(dtc_has_no_complaint),
};

UNIT_MAIN(tests)
