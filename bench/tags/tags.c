/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tag engine costs a page of 4 KiB, in instructions, for each way and each pattern of tags: bench/tags/README.
 * In a machine that counts instructions (tools/bed --icount) each advances the clock by the same time, which a loop
 * of known length measures first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../tests/tagpattern.h"
#include "arm/mte-insn.h"
#include "arm/tags-ways.h"
#include "arm/tags.h"

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif

#define SIZE   (256 << 10) /* so much is walked at a time: shorter than the time between two ticks */
#define UNIT   4096	   /* costs are given for so much, whatever the host's page */
#define ROUNDS 15	   /* the least counts: no tick, no other process in it */
#define GPA    0x80000000ull

struct bench {
	struct tag_walker ldg, kvm;
	struct tag_area area;
	bool have_kvm;
	double ns; /* an instruction */
	uint8_t *packed, *out;
	struct tag_shape *shapes; /* a page each */
	struct wbuf coded;
	struct err err;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Two instructions a turn. */
static double loop_ns(uint64_t turns)
{
	double start = now();

	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns) : : "cc");
	return now() - start;
}

/* True if the clock counts instructions: then half of the measurements and more are the same. */
static bool calibrate(struct bench *b)
{
	const uint64_t turns = 100000;
	double ns[ROUNDS], least = 0;
	unsigned int same = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		ns[i] = loop_ns(turns);
		least = !i || ns[i] < least ? ns[i] : least;
	}
	for (unsigned int i = 0; i < ROUNDS; i++)
		same += ns[i] < least * 1.002;
	b->ns = least / (2 * turns);
	return same > ROUNDS / 2;
}

/* --- what is measured: all of the area, page by page where the engine works so --- */

static void plain_ldg(struct bench *b)
{
	for (size_t i = 0; i < SIZE / 16; i += 2)
		b->out[i / 2] = mte_load_tag(b->area.base + i * 16) |
				mte_load_tag(b->area.base + i * 16 + 16) << 4;
}

/* The tag is there already: nothing but the stores, as fast as STG alone can be written. */
static void plain_stg(struct bench *b)
{
	uint64_t tag = mte_tag_bits(5);
	uint8_t *p = b->area.base;

	for (uint8_t *end = p + SIZE; p < end;)
		__asm__ volatile(MTE_ASM ".rept 8\n\tstg %1, [%0], #16\n\t.endr"
				 : "+r"(p)
				 : "r"(tag)
				 : "memory");
}

static void plain_unpack(struct bench *b)
{
	for (size_t i = 0; i < SIZE / 16; i++)
		mte_store_tag(b->area.base + i * 16, b->packed[i / 2] >> (i & 1) * 4 & 15);
}

static void ldg_read_all(struct bench *b)
{
	size_t page = b->ldg.page;

	for (size_t at = 0; at < SIZE; at += page)
		tags_read(&b->ldg, &b->area, at, page, b->out + at / 32, &b->err);
}

static void ioctl_read_all(struct bench *b)
{
	tags_read(&b->kvm, &b->area, 0, SIZE, b->out, &b->err);
}

static void ioctl_read_page(struct bench *b)
{
	size_t page = b->ldg.page;

	for (size_t at = 0; at < SIZE; at += page)
		tags_read(&b->kvm, &b->area, at, page, b->out + at / 32, &b->err);
}

static void classify(struct bench *b)
{
	struct tag_shape *shape = b->shapes;
	size_t page = b->ldg.page;

	for (size_t at = 0; at < SIZE; at += page)
		tagcode_classify(b->packed + at / 32, page, shape++);
}

static void encode(struct bench *b)
{
	struct tag_shape *shape = b->shapes;
	size_t page = b->ldg.page;

	b->coded.len = 0;
	for (size_t at = 0; at < SIZE; at += page)
		tagcode_encode(shape++, b->packed + at / 32, page, &b->coded);
}

static void decode(struct bench *b)
{
	struct tag_shape *shape = b->shapes;
	size_t page = b->ldg.page;
	struct rbuf in;

	rbuf_init(&in, b->coded.data, b->coded.len);
	for (size_t at = 0; at < SIZE; at += page)
		tagcode_decode(&in, page, shape++, b->out, &b->err);
}

static void ldg_put(struct bench *b)
{
	struct tag_shape *shape = b->shapes;
	size_t page = b->ldg.page;

	for (size_t at = 0; at < SIZE; at += page)
		tags_put(&b->ldg, &b->area, at, shape++, b->packed + at / 32, &b->err);
}

static void ldg_write_all(struct bench *b)
{
	tags_write(&b->ldg, &b->area, 0, SIZE, b->packed, &b->err);
}

static void ioctl_write_all(struct bench *b)
{
	tags_write(&b->kvm, &b->area, 0, SIZE, b->packed, &b->err);
}

static void fill(struct bench *b)
{
	size_t page = b->ldg.page;

	for (size_t at = 0; at < SIZE; at += page)
		tags_fill(&b->ldg, &b->area, at, page, 5, &b->err);
}

static void clear(struct bench *b)
{
	size_t page = b->ldg.page;

	for (size_t at = 0; at < SIZE; at += page)
		tags_clear(&b->ldg, &b->area, at, page, 5, &b->err);
}

/* Instructions for 4 KiB of memory. */
static double cost(struct bench *b, void (*run)(struct bench *))
{
	double least = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		double start = now(), ns;

		run(b);
		ns = now() - start;
		least = !i || ns < least ? ns : least;
	}
	if (b->err.msg[0]) {
		fprintf(stderr, "bench-tags: %s\n", b->err.msg);
		exit(1);
	}
	return least / b->ns / (SIZE / UNIT);
}

static double kvm_cost(struct bench *b, void (*run)(struct bench *))
{
	return b->have_kvm ? cost(b, run) : 0;
}

static void print_cost(double c)
{
	if (c)
		printf(" %9.0f", c);
	else
		printf(" %9s", "-");
}

static void print_ratio(const char *what, double a, double b, double aim)
{
	if (a && b)
		printf("ratio %-44s %5.2f  aim: at most %.2f  %s\n", what, a / b, aim,
		       a / b <= aim ? "met" : "MISSED");
}

/* Of pages of 4 KiB; those of one tag have the host's size. */
static void make_tags(struct bench *b, enum pattern p, uint64_t *seed)
{
	size_t bytes = tagcode_packed_size(b->ldg.page);

	pattern_make(p, SIZE, seed, b->packed);
	if (p == PATTERN_UNIFORM)
		for (size_t at = 0; at < SIZE / 32; at += bytes)
			memset(b->packed + at, b->packed[at], bytes);
}

static void make_vm(struct bench *b)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_ARM_MTE};
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = GPA,
		.memory_size = SIZE,
		.userspace_addr = (uintptr_t)b->area.base,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

	b->have_kvm = vm >= 0 && !ioctl(vm, KVM_ENABLE_CAP, &cap) &&
		      !ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) &&
		      !tags_init(&b->kvm, TAG_WAY_IOCTL, vm, &b->err);
	if (!b->have_kvm)
		printf("# no KVM with MTE here: columns of the ioctl are empty\n");
}

static void setup(struct bench *b)
{
	if (tags_init(&b->ldg, TAG_WAY_LDG, -1, &b->err)) {
		fprintf(stderr, "bench-tags: %s\n", b->err.msg);
		exit(1);
	}
	b->area.gpa = GPA;
	b->area.size = SIZE;
	b->area.base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_MTE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	b->packed = malloc(SIZE / 32);
	b->out = malloc(SIZE / 32);
	b->shapes = calloc(SIZE / b->ldg.page, sizeof(*b->shapes));
	wbuf_init(&b->coded, SIZE);
	if (b->area.base == MAP_FAILED || !b->packed || !b->out || !b->shapes) {
		fprintf(stderr, "bench-tags: no memory\n");
		exit(1);
	}
	memset(b->area.base, 1, SIZE);
	memset(b->shapes, 1, SIZE / b->ldg.page * sizeof(*b->shapes));
	memset(b->packed, 1, SIZE / 32);
	memset(b->out, 1, SIZE / 32);
}

int main(void)
{
	struct bench b = {0};
	double read_ldg = 0, read_ioctl = 0, stg, put_uniform = 0, put_packed = 0, unpack;
	uint64_t seed = 1;
	bool counted;

	setup(&b);
	make_vm(&b);
	counted = calibrate(&b);
	printf("# bench-tags: %s for 4 KiB; pages of %zu bytes, DC GVA works on %zu\n",
	       counted ? "instructions" : "TIME in units of a loop's instruction (no icount)",
	       b.ldg.page, b.ldg.dc_block);
	printf("%-11s %6s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "pattern", "bytes", "read.ldg",
	       "classify", "encode", "decode", "put.ldg", "write.ldg", "rd.ioctl", "rd.ioctl1",
	       "wr.ioctl");
	for (enum pattern p = 0; p < PATTERNS; p++) {
		double c[9];

		make_tags(&b, p, &seed);
		c[5] = cost(&b, ldg_write_all);
		c[0] = cost(&b, ldg_read_all);
		c[1] = cost(&b, classify);
		c[2] = cost(&b, encode);
		c[3] = cost(&b, decode);
		c[4] = cost(&b, ldg_put);
		c[6] = kvm_cost(&b, ioctl_read_all);
		c[7] = kvm_cost(&b, ioctl_read_page);
		c[8] = kvm_cost(&b, ioctl_write_all);
		printf("%-11s %6.1f", pattern_name(p), (double)b.coded.len / (SIZE / UNIT));
		for (unsigned int i = 0; i < 9; i++)
			print_cost(c[i]);
		printf("\n");
		read_ldg = c[0] > read_ldg ? c[0] : read_ldg;
		read_ioctl = !read_ioctl || c[6] < read_ioctl ? c[6] : read_ioctl;
		if (p == PATTERN_UNIFORM)
			put_uniform = c[4];
		if (p == PATTERN_RANDOM)
			put_packed = c[4];
	}
	stg = cost(&b, plain_stg);
	unpack = cost(&b, plain_unpack);
	printf("plain LDG, packed as they come      %9.0f\n", cost(&b, plain_ldg));
	printf("plain STG of one tag                %9.0f\n", stg);
	printf("plain unpack and STG                %9.0f\n", unpack);
	printf("fill by DC GVA                      %9.0f\n", cost(&b, fill));
	printf("clear by DC GZVA                    %9.0f\n", cost(&b, clear));
	b.ldg.dc_block = 0;
	printf("fill by ST2G                        %9.0f\n", cost(&b, fill));
	printf("clear by STZ2G                      %9.0f\n", cost(&b, clear));
	print_ratio("read: LDG to ioctl", read_ldg, read_ioctl, 0.6);
	print_ratio("restore of a uniform page to plain STG", put_uniform, stg, 0.55);
	print_ratio("restore of random tags to plain unpack", put_packed, unpack, 0.55);
	return 0;
}
