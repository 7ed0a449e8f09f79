/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private to vm/control*.c: the folder that holds the sockets.
 *
 * Nothing in it is trusted by its name. A socket is opened with O_PATH and O_NOFOLLOW, looked at, and connected to
 * through that descriptor, so that a link is never followed. Whether a socket is a left-over is decided, and acted on,
 * under flock(2) on the folder: between bind() and listen() a living VM's socket refuses connections too.
 */
#ifndef LKVM_VM_CONTROL_DIR_H
#define LKVM_VM_CONTROL_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "util/err.h"
#include "vm/config.h"

#define CONTROL_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)
#define CONTROL_SUFFIX	 ".sock"
#define CONTROL_FILE_MAX (VM_NAME_MAX + sizeof(CONTROL_SUFFIX))

struct control_folder {
	int fd;
	char path[CONTROL_PATH_MAX];
};

/* -ENOENT when it is not there and @create is false. The folder is ours alone, or it is an error. */
int control_folder_open(struct control_folder *f, bool create, struct err *err);
void control_folder_close(struct control_folder *f);
/* LOCK_EX or LOCK_SH; waits a few seconds at most. Ends with LOCK_UN or the descriptor. */
int control_folder_lock(const struct control_folder *f, int operation, struct err *err);
void control_folder_unlock(const struct control_folder *f);

/* "NAME.sock", for a good name. */
void control_file_name(const char *name, char file[CONTROL_FILE_MAX]);

/*
 * A connection to that socket, non-blocking. -ENOENT: nothing there. -ENOTSOCK: something that is not a stream socket,
 * or a link. -ECONNREFUSED: nobody listens. -EAGAIN: somebody does, but has no room at present.
 */
int control_folder_connect(const struct control_folder *f, const char *file);

/* 1: a VM listens. 0: a left-over. Else as control_folder_connect(). */
int control_folder_probe(const struct control_folder *f, const char *file);

#endif
