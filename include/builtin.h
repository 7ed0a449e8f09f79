/* SPDX-License-Identifier: GPL-2.0-only */
/* The verbs' functions; each returns an exit code of cli.h. @argv[0] is the verb. */
#ifndef LKVM_BUILTIN_H
#define LKVM_BUILTIN_H

int cmd_run(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_incoming(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* What every verb says when its command line is wrong: one line, the way to --help, EXIT_USAGE. */
struct err;
int builtin_usage(const char *verb, const struct err *err);

/* A verb's --help on stdout; EXIT_OK. */
struct verb_spec;
int builtin_help(const struct verb_spec *verb);

/*
 * A VM in this process, until it ends: the exit code. @load (or NULL) fills the machine after it was built the first time.
 * (builtin-machine.c)
 */
struct vm;
struct vm_config;
typedef int (*builtin_load_fn)(struct vm *vm, void *ctx, struct err *err);
int builtin_run_machine(const struct vm_config *config, builtin_load_fn load, void *ctx);

/* The same for a guest that comes bit by bit. */
struct builtin_guest {
	builtin_load_fn load;
	void (*leave)(void *ctx); /* or NULL: the vCPUs have ended, the machine is about to go */
	void *ctx;
	struct err
		*why; /* or NULL: gets what made it fail before it ran, which is printed as well */
};
int builtin_run_guest(const struct vm_config *config, const struct builtin_guest *guest);

/* The parts of snapshot that look into files (builtin-snapshot-file.c); exit codes. */
struct snapshot_opts;
int builtin_snapshot_info(const char *file, const struct snapshot_opts *opts);
int builtin_snapshot_verify(const char *file, const struct snapshot_opts *opts);
int builtin_snapshot_diff(const char *one, const char *other, const struct snapshot_opts *opts);
struct restore_opts;
int builtin_restore(const char *file, const struct restore_opts *opts);
/* Whether it would come to the point where memory is read: the machine is built, and never run. */
int builtin_restore_check(const char *file);
int builtin_snapshot_merge(const char *file, const char *out, const struct snapshot_opts *opts);

/* --- What the verbs about running VMs share (builtin-common.c) --- */

#include <stdbool.h>
#include <stdint.h>

struct control_opts;
struct wbuf;

#define BUILTIN_OUT_MAX (64u << 20) /* bytes that one verb prints at a time */

/* True when the verb is to go on; else it has been dealt with and *@code is the exit code. A NAME is in opts->name. */
bool builtin_parse(const struct verb_spec *verb, int argc, char **argv, struct control_opts *opts,
		   int *code);

/*
 * Calls @act for the VM that was named, for all with -a, or for the only one that runs. What it puts into @out is
 * printed whatever it returns, and its error is one line on stderr. Returns the exit code for all together.
 */
typedef int (*builtin_act)(const char *name, const struct control_opts *opts, struct wbuf *out,
			   struct err *err);
int builtin_each(const struct verb_spec *verb, const struct control_opts *opts, builtin_act act);

/* One line "lkvm VERB: text" on stderr; EXIT_FAILED. */
int builtin_failed(const char *verb, const struct err *err);
/* The whole buffer to stdout; EXIT_OK, or EXIT_FAILED with a line when it did not arrive. */
int builtin_print(const char *verb, const struct wbuf *out);
void builtin_printf(struct wbuf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "512M", "4G": the largest unit that gives a whole number. */
const char *builtin_size(uint64_t bytes, char text[32]);

#endif
