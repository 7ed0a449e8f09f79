/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/log.h"

#define LOG_LINE_MAX   1024 /* line end included */
#define LOG_GUEST_MAX  10   /* lines of log_guest() in a second */
#define LOG_GUEST_OVER (LOG_GUEST_MAX + 1)

static const char *const level_words[] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

#define LEVELS (sizeof(level_words) / sizeof(level_words[0]))

void log_init(struct log *log, int fd, enum log_level level)
{
	log->fd = fd;
	log->level = level;
	atomic_init(&log->raw_terminal, false);
	atomic_init(&log->window, 0);
	atomic_init(&log->left_out, 0);
}

int log_level_parse(const char *word, enum log_level *level)
{
	for (unsigned int i = 0; i < LEVELS; i++) {
		if (!strcmp(word, level_words[i])) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Appends to line[*len], which is cut so that @reserve bytes stay free behind it. */
static void __attribute__((format(printf, 4, 0)))
append(char *line, size_t *len, size_t reserve, const char *fmt, va_list ap)
{
	size_t room = LOG_LINE_MAX - reserve - *len;
	int n = vsnprintf(line + *len, room, fmt, ap);

	if (n > 0)
		*len += (size_t)n < room ? (size_t)n : room - 1;
}

static void __attribute__((format(printf, 4, 0)))
emit(struct log *log, enum log_level level, uint32_t left_out, const char *fmt, va_list ap)
{
	struct pollfd p = {.fd = log->fd, .events = POLLOUT};
	char line[LOG_LINE_MAX], note[48] = "";
	int saved_errno = errno;
	size_t len, reserve;
	ssize_t n;

	if (left_out)
		(void)snprintf(note, sizeof(note), " (%u more left out before this)", left_out);
	reserve = strlen(note) + 2;

	len = (size_t)snprintf(line, sizeof(line), "lkvm: %s: ", level_words[level]);
	append(line, &len, reserve, fmt, ap);

	/* What a guest or a file name brings along must not steer the terminal. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';

	memcpy(line + len, note, strlen(note));
	len += strlen(note);
	if (atomic_load_explicit(&log->raw_terminal, memory_order_relaxed))
		line[len++] = '\r';
	line[len++] = '\n';

	/*
	 * A vCPU or the event loop must not wait for whoever reads this: what a full pipe would take later is lost, and
	 * counted. One write, so that lines of several threads do not mix.
	 */
	if (!poll(&p, 1, 0)) {
		atomic_fetch_add(&log->left_out, left_out + 1);
		errno = saved_errno;
		return;
	}
	do {
		n = write(log->fd, line, len);
	} while (n < 0 && errno == EINTR);
	errno = saved_errno;
}

void log_line(struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log->level)
		return;
	va_start(ap, fmt);
	emit(log, level, 0, fmt, ap);
	va_end(ap);
}

/*
 * Whether one more line may pass now. Second and count sit in one word, so that the limit holds
 * exactly with any number of threads. In the second after one that had too many, only a single line
 * passes: a guest that never stops gets one line a second.
 */
static bool guest_line_passes(struct log *log, uint64_t now)
{
	uint64_t old = atomic_load(&log->window), new;
	bool passes;

	do {
		uint64_t second = old >> 8;
		unsigned int used = old & 0xff;

		if (now > second) {
			used = used == LOG_GUEST_OVER && now == second + 1 ? LOG_GUEST_MAX - 1 : 0;
			second = now;
		}
		passes = used < LOG_GUEST_MAX;
		new = second << 8 | (passes ? used + 1 : LOG_GUEST_OVER);
	} while (!atomic_compare_exchange_weak(&log->window, &old, new));
	return passes;
}

void log_guest(struct log *log, const char *fmt, ...)
{
	struct timespec ts = {0};
	va_list ap;

	if (LOG_WARNING > log->level)
		return;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	/* One more, since zero in the window means that there was no line yet. */
	if (!guest_line_passes(log, (uint64_t)ts.tv_sec + 1)) {
		atomic_fetch_add(&log->left_out, 1);
		return;
	}
	va_start(ap, fmt);
	emit(log, LOG_WARNING, atomic_exchange(&log->left_out, 0), fmt, ap);
	va_end(ap);
}
