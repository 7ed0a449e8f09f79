/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of terminals: a pair of them, and patience. */
#ifndef LKVM_TESTS_TTY_H
#define LKVM_TESTS_TTY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* The user's side and the one that programs have, in modes that are not the kernel's own. */
struct tty {
	int user;
	int fd;
	char path[64];
	struct termios modes;
};

static inline void tty_open(struct tty *t)
{
	t->user = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(t->user >= 0);
	assert_int_equal(grantpt(t->user), 0);
	assert_int_equal(unlockpt(t->user), 0);
	assert_int_equal(ptsname_r(t->user, t->path, sizeof(t->path)), 0);
	t->fd = open(t->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(t->fd >= 0);
	assert_int_equal(tcgetattr(t->fd, &t->modes), 0);
	t->modes.c_iflag ^= IXANY;
	t->modes.c_cc[VQUIT] = 'q';
	assert_int_equal(tcsetattr(t->fd, TCSANOW, &t->modes), 0);
	assert_int_equal(tcgetattr(t->fd, &t->modes), 0);
}

static inline void tty_close(struct tty *t)
{
	close(t->fd);
	close(t->user);
}

static inline bool tty_has(const struct tty *t, const struct termios *modes)
{
	struct termios now;

	return !tcgetattr(t->fd, &now) && now.c_iflag == modes->c_iflag &&
	       now.c_oflag == modes->c_oflag && now.c_cflag == modes->c_cflag &&
	       now.c_lflag == modes->c_lflag && !memcmp(now.c_cc, modes->c_cc, sizeof(now.c_cc));
}

static inline bool tty_is_raw(const struct tty *t)
{
	struct termios now;

	return !tcgetattr(t->fd, &now) && !(now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) &&
	       !(now.c_iflag & (ICRNL | INLCR | IXON | ISTRIP)) && !(now.c_oflag & OPOST);
}

/* Waits for it, 30 s and more. */
#define EVENTUALLY(condition)                       \
	({                                          \
		int patience_ = 30000;              \
                                                    \
		while (!(condition) && --patience_) \
			usleep(1000);               \
		patience_ > 0;                      \
	})

#endif
