/* SPDX-License-Identifier: GPL-2.0-only */
/* Options of the verbs about migration, as data (cli.h). */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cli.h"
#include "vm/config.h"

#define MIG(member) offsetof(struct migrate_opts, member)
#define INC(member) offsetof(struct incoming_opts, member)

#define TIMEOUT_MAX  604800 /* a week */
#define POSTCOPY_MAX 30

/* SECONDS, SECONDS:cancel or SECONDS:switch. */
static int call_timeout(void *values, const char *value, struct err *err)
{
	struct migrate_opts *opts = values;
	const char *then = strchr(value, ':');
	size_t len = then ? (size_t)(then - value) : strlen(value);
	char text[16] = "";
	uint64_t seconds = 0;
	int rc = -EINVAL;

	if (len < sizeof(text)) {
		memcpy(text, value, len);
		rc = opt_parse_u64(text, &seconds, err);
	}
	if (rc || !seconds || seconds > TIMEOUT_MAX ||
	    (then && strcmp(then, ":cancel") && strcmp(then, ":switch")))
		return err_set(err, -EINVAL,
			       "\"%s\" is not SECONDS (1 to %d), SECONDS:cancel or SECONDS:switch",
			       value, TIMEOUT_MAX);
	opts->timeout = (uint32_t)seconds;
	opts->on_timeout = then && !strcmp(then, ":switch");
	return 0;
}

static int call_postcopy(void *values, const char *value, struct err *err)
{
	struct migrate_opts *opts = values;
	uint64_t n;
	int rc = opt_parse_u64(value, &n, err);

	if (rc)
		return rc;
	if (n > POSTCOPY_MAX)
		return err_set(err, -EINVAL, "%s is out of range, 0 to %d", value, POSTCOPY_MAX);
	opts->postcopy = true;
	opts->rounds = (uint32_t)n;
	return 0;
}

static int call_tty(void *values, const char *value, struct err *err)
{
	struct incoming_opts *opts = values;
	uint64_t n;
	int rc = opt_parse_u64(value, &n, err);

	if (rc)
		return rc;
	if (n >= VM_MAX_UARTS)
		return err_set(err, -EINVAL, "%s is out of range, 0 to %d", value,
			       VM_MAX_UARTS - 1);
	opts->tty[n] = true;
	return 0;
}

static const char *const compress_words[] = {"none", "zstd", NULL};

static const struct opt migrate_opts[] = {
	{.name = "downtime",
	 .kind = OPT_U32,
	 .offset = MIG(downtime),
	 .arg = "MS",
	 .min = 0,
	 .max = 3600000,
	 .help = "Milliseconds that the guest may stand still (default 300)."},
	{.name = "bandwidth",
	 .kind = OPT_SIZE,
	 .offset = MIG(bandwidth),
	 .arg = "SIZE",
	 .min = 1,
	 .max = UINT64_MAX,
	 .help = "At the most that much a second on the line while the guest runs: 500K, 20M; a bare number is "
		 "MiB (default no limit)."},
	{.name = "timeout",
	 .kind = OPT_CALL,
	 .call = call_timeout,
	 .arg = "SECONDS[:THEN]",
	 .help = "When the guest still writes too much after that time: cancel (default), or switch over "
		 "whatever the downtime will be."},
	{.name = "channels",
	 .kind = OPT_U32,
	 .offset = MIG(channels),
	 .arg = "N",
	 .min = 1,
	 .max = 16,
	 .help = "Send memory over N connections, by a thread each (default 1); unix: and tcp: alone."},
	{.name = "compress",
	 .kind = OPT_WORD,
	 .offset = MIG(codec),
	 .arg = "HOW",
	 .words = compress_words,
	 .help = "Compress pages with zstd (default none)."},
	{.name = "auto-converge",
	 .kind = OPT_FLAG,
	 .offset = MIG(auto_converge),
	 .help = "Slow the guest down, step by step, as long as it writes more than the line takes."},
	{.name = "keep-paused",
	 .kind = OPT_FLAG,
	 .offset = MIG(keep_paused),
	 .help = "Leave the guest paused at the destination until lkvm resume there."},
	{.name = "postcopy",
	 .kind = OPT_FLAG,
	 .offset = MIG(postcopy),
	 .help = "After one round the guest goes on at the destination, and the rest of its memory follows: however much it "
		 "writes, it moves. When the line is lost meanwhile it stands still: see --recover."},
	{.name = "postcopy-after",
	 .kind = OPT_CALL,
	 .call = call_postcopy,
	 .arg = "ROUNDS",
	 .help = "The same after that many rounds, 0 to 30."},
	{.name = "recover",
	 .kind = OPT_FLAG,
	 .offset = MIG(recover),
	 .help = "Go on with a post-copy whose line was lost; the destination waits with lkvm incoming --recover."},
	{.name = "insecure",
	 .kind = OPT_FLAG,
	 .offset = MIG(insecure),
	 .help = "Let tcp:HOST:PORT be another host, with guest memory readable by all in between."},
	{.name = "tls-psk",
	 .kind = OPT_FILE,
	 .offset = MIG(tls_psk),
	 .arg = "FILE",
	 .help = "TLS 1.3 over tcp:HOST:PORT, with the first key in FILE (IDENTITY:KEY, as psktool(1) writes it)."},
	{.name = "cancel",
	 .kind = OPT_FLAG,
	 .offset = MIG(cancel),
	 .help = "Without DEST: end the migration of that VM that is under way; the guest goes on here."},
	{.name = "drop-tags",
	 .kind = OPT_FLAG,
	 .offset = MIG(drop_tags),
	 .help = "For tests: leave out memory tags, as a VMM would that knows none."},
	{.name = "json",
	 .kind = OPT_FLAG,
	 .offset = MIG(json),
	 .help = "Print one JSON object a line."},
	{0},
};

const struct verb_spec verb_migrate = {
	.name = "migrate",
	.args = "NAME DEST",
	.summary = "Move a running VM, memory tags included, to another host.",
	.details =
		"DEST is where lkvm incoming waits: unix:PATH, tcp:HOST:PORT (a numeric address, IPv6 in brackets), fd:N "
		"(a connected socket) or exec:COMMAND (its stdin and stdout). ssh://[USER@]HOST[:PORT] starts lkvm incoming "
		"there, encrypted and authenticated, with nothing to set up; its console is then a pseudo-terminal.\n\n"
		"With --tls-psk both sides need a file with the same key, which psktool -u NAME -p FILE makes, readable to "
		"its owner alone.\n\n"
		"The guest goes on here until all of it is there, and on any error before that; afterwards the VM ends "
		"here. Ctrl-C cancels. When the line is lost at the one moment in which it cannot be known whether the "
		"guest runs there, the VM stays paused here and the message names the command for either case.",
	.opts = migrate_opts,
	.max_args = 2,
};

static const struct opt incoming_opts[] = {
	{.name = "name",
	 .letter = 'n',
	 .kind = OPT_STR,
	 .offset = INC(name),
	 .arg = "NAME",
	 .help = "Name of the VM here (default the one it has)."},
	{.name = "tty",
	 .kind = OPT_CALL,
	 .call = call_tty,
	 .arg = "N",
	 .help = "Make serial port N a pseudo-terminal; 0 is otherwise stdin and stdout."},
	{.name = "detach",
	 .kind = OPT_FLAG,
	 .offset = INC(detach),
	 .help = "Go to the background when the guest runs; only with --tty 0."},
	{.name = "recover",
	 .kind = OPT_STR,
	 .offset = INC(recover),
	 .arg = "NAME",
	 .help = "No new VM: a line for the VM of that name here, whose post-copy has lost it."},
	{.name = "insecure",
	 .kind = OPT_FLAG,
	 .offset = INC(insecure),
	 .help = "Let tcp:HOST:PORT be an address that others can reach."},
	{.name = "tls-psk",
	 .kind = OPT_FILE,
	 .offset = INC(tls_psk),
	 .arg = "FILE",
	 .help = "TLS 1.3 over tcp:HOST:PORT, for those who have one of the keys in FILE."},
	{.name = "kernel",
	 .letter = 'k',
	 .kind = OPT_FILE,
	 .offset = INC(kernel),
	 .arg = "FILE",
	 .help = "Kernel to boot when the guest resets (default: the VM ends then)."},
	{.name = "initrd",
	 .letter = 'i',
	 .kind = OPT_FILE,
	 .offset = INC(initrd),
	 .arg = "FILE",
	 .help = "Initial RAM disk for that kernel."},
	{.name = "params",
	 .letter = 'p',
	 .kind = OPT_STR,
	 .offset = INC(params),
	 .arg = "TEXT",
	 .help = "That kernel's command line."},
	{0},
};

const struct verb_spec verb_incoming = {
	.name = "incoming",
	.args = "SRC",
	.summary =
		"Wait for a VM that lkvm migrate sends, become it, and stay with it until it ends.",
	.details =
		"SRC is unix:PATH (made here, for this user alone), tcp:HOST:PORT (a numeric address of this host, port 0 "
		"for any), fd:N (a connected socket), fd:N,M (read from N, write to M) or exec:COMMAND (its stdout and "
		"stdin). The machine comes with the guest. What this host cannot give it is told, all of it, on both sides "
		"before any memory is sent.\n\n"
		"Who connects and is no such source is sent away with a line that says why, and it waits on.\n\n"
		"Before it reads what the other side sends it gives up all that a VM does not need: files, programs, the "
		"network, privileges. It stays like that: lkvm snapshot hands such a VM its file, and saves all of it, "
		"without --base.",
	.opts = incoming_opts,
	.max_args = 1,
};
