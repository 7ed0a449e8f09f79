/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The running VM's log: lines on a descriptor (stderr), with a level, cut at 1 KiB, one write(2) a line, safe from any
 * thread. It never waits for a reader: a line that a full pipe does not take is lost. What a guest does wrong is logged
 * through log_guest(), which lets a few lines pass and then one in a while with the count of those left out: a guest must
 * not be able to fill a disk.
 */
#ifndef LKVM_UTIL_LOG_H
#define LKVM_UTIL_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log {
	int fd;
	enum log_level level;	   /* lines above it are dropped */
	_Atomic bool raw_terminal; /* lines end in CR LF while the terminal is raw */
	_Atomic uint64_t window;   /* log_guest(): monotonic second << 8 | lines in it */
	_Atomic uint32_t left_out;
};

void log_init(struct log *log, int fd, enum log_level level);
int log_level_parse(const char *word,
		    enum log_level *level); /* error|warning|info|debug, else -EINVAL */

void log_line(struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* At most 10 lines a second for the whole VM, then, while it goes on, one a second; level LOG_WARNING. */
void log_guest(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
