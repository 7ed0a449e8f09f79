/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a page of 4 KiB costs in each part of a save and a restore, in instructions, where the clock counts them
 * (tools/bed --icount): lines "NAME NUMBER". "floor.save" and "floor.restore" are the least there is, a copy and the tags;
 * all else is what a kernel or a checksum adds to it.
 *
 * usage: floor FILE, which is made anew, on the file system that is meant
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arm/mte-insn.h"
#include "arm/tags-ways.h"
#include "state/checksum.h"

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif

#define PAGE   4096
#define SIZE   (32u << 20)
#define PIECE  (256u << 10)
#define HUGE   (2u << 20)
#define ROUNDS 5

struct floor {
	const char *path;
	uint8_t *from, *to; /* SIZE each, with tags, in huge pages, all there */
	uint8_t packed[PIECE / 32];
	double ns; /* an instruction */
	double started;
	volatile uint64_t sink;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *area(bool huge)
{
	uint8_t *p = mmap(NULL, SIZE + HUGE, PROT_READ | PROT_WRITE | PROT_MTE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("memory");
	p += -(uintptr_t)p & (HUGE - 1);
	madvise(p, SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return p;
}

static void touch(uint8_t *p)
{
	for (size_t i = 0; i < SIZE; i += PAGE)
		p[i] = 1;
}

/* --- parts; each is for SIZE bytes. What a part has to prepare is not in its time: start() comes after it. --- */

static void start(struct floor *f)
{
	f->started = now();
}

static void copy(struct floor *f)
{
	start(f);
	for (size_t i = 0; i < SIZE; i += PAGE)
		memcpy(f->to + i, f->from + i, PAGE);
}

static void read_tags(struct floor *f)
{
	start(f);
	for (size_t i = 0; i < SIZE; i += PAGE)
		ldg_read(f->from + i, PAGE, f->packed);
}

static void set_tags(struct floor *f)
{
	start(f);
	for (size_t i = 0; i < SIZE; i += PAGE)
		ldg_fill(f->to + i, PAGE, 0, 0);
}

static void sum(struct floor *f)
{
	start(f);
	for (size_t i = 0; i < SIZE; i += PIECE)
		f->sink += checksum(f->from + i, PIECE);
}

static void write_file(struct floor *f)
{
	int fd;

	unlink(f->path);
	fd = open(f->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		fail(f->path);
	start(f);
	for (size_t i = 0; i < SIZE; i += PIECE)
		if (pwrite(fd, f->from + i, PIECE, i) != PIECE)
			fail("write");
	close(fd);
}

static void overwrite_file(struct floor *f)
{
	int fd = open(f->path, O_RDWR);

	start(f);
	for (size_t i = 0; i < SIZE; i += PIECE)
		if (pwrite(fd, f->from + i, PIECE, i) != PIECE)
			fail("write");
	close(fd);
}

static void read_file(struct floor *f)
{
	int fd = open(f->path, O_RDONLY);

	start(f);
	for (size_t i = 0; i < SIZE; i += PIECE)
		if (pread(fd, f->to + i, PIECE, i) != PIECE)
			fail("read");
	close(fd);
}

static void map_file(struct floor *f)
{
	int fd = open(f->path, O_RDONLY);
	uint64_t found = 0;
	uint8_t *p;

	start(f);
	p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fail("map");
	for (size_t i = 0; i < SIZE; i += PAGE)
		found += p[i];
	munmap(p, SIZE);
	close(fd);
	f->sink += found;
}

static void map_file_populate(struct floor *f)
{
	int fd = open(f->path, O_RDONLY);
	uint8_t *p;

	start(f);
	for (size_t i = 0; i < SIZE; i += HUGE) {
		p = mmap(NULL, HUGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t)i);
		if (p == MAP_FAILED)
			fail("map");
		munmap(p, HUGE);
	}
	close(fd);
}

static void touch_huge(struct floor *f)
{
	uint8_t *p = area(true);

	start(f);
	touch(p);
	f->sink += (uint64_t)(now() - f->started);
	munmap(p, SIZE);
}

static void touch_small(struct floor *f)
{
	uint8_t *p = area(false);

	start(f);
	touch(p);
	munmap(p, SIZE);
}

/* A child that ends at once, and its parent writes to all pages again. */
static void fork_small(struct floor *f)
{
	uint8_t *p = area(false);
	pid_t pid;

	touch(p);
	start(f);
	pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	f->started = f->started; /* all of it */
	touch(p);
	f->sink += p[0];
	munmap(p, SIZE);
}

static void measure(struct floor *f, const char *name, void (*part)(struct floor *), double *out)
{
	double least = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		double ns;

		part(f);
		ns = now() - f->started;
		least = !i || ns < least ? ns : least;
	}
	least = least / f->ns / (SIZE / PAGE);
	printf("%s %.0f\n", name, least);
	if (out)
		*out = least;
}

static void calibrate(struct floor *f)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t turns = 1000000;
		double begin = now(), ns;

		__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns) : : "cc");
		ns = (now() - begin) / 2000000;
		f->ns = !i || ns < f->ns ? ns : f->ns;
	}
}

int main(int argc, char **argv)
{
	struct floor f = {.path = argc > 1 ? argv[1] : "floor.tmp"};
	double copied, ldg, st2g;

	f.from = area(true);
	f.to = area(true);
	touch(f.from);
	touch(f.to);
	for (size_t i = 0; i < SIZE; i += 8)
		*(uint64_t *)(f.from + i) = i * 0x9e3779b97f4a7c15ull + 1;
	calibrate(&f);
	measure(&f, "part.copy", copy, &copied);
	measure(&f, "part.ldg", read_tags, &ldg);
	measure(&f, "part.st2g", set_tags, &st2g);
	printf("floor.save %.0f\nfloor.restore %.0f\n", copied + ldg, copied + st2g);
	measure(&f, "part.checksum", sum, NULL);
	measure(&f, "part.write", write_file, NULL);
	measure(&f, "part.overwrite", overwrite_file, NULL);
	measure(&f, "part.read", read_file, NULL);
	measure(&f, "part.map", map_file, NULL);
	measure(&f, "part.map_populate", map_file_populate, NULL);
	measure(&f, "part.touch_huge", touch_huge, NULL);
	measure(&f, "part.touch_small", touch_small, NULL);
	measure(&f, "part.fork_small", fork_small, NULL);
	unlink(f.path);
	return 0;
}
