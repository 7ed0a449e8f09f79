/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket's server: a part of the event loop that never waits.
 *
 * Each client has one message under way: bytes of a request come in until it is whole, it is carried out, the reply
 * goes out, and only then is the next request looked at. Whatever a client does, it costs the server one message of
 * memory and one deadline. One timer serves all deadlines: it is set for the earliest one, and since a deadline only
 * ever moves away, being early costs a look and nothing else.
 */
#include "vm/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/passfd.h"
#include "vm/control-dir.h"
#include "vm/control-wire.h"
#include "vm/vm.h"

#define NEVER	      UINT64_MAX
#define ACCEPT_NAP_NS 100000000u /* when the host has no descriptor for a new client */
#define BACKLOG	      128

struct client {
	struct event_source source;
	struct control_server *server;
	uint64_t since;		 /* it came, or its last request was done with */
	struct control_frame in; /* the request */
	int passed;		 /* a descriptor that came with it, or -1 */
	struct wbuf out;	 /* the reply, and how far it is sent */
	size_t sent;
	bool closing; /* once the reply is out */
};

struct control_server {
	struct vm *vm;
	struct control_limits limits;
	struct control_folder folder;
	char file[CONTROL_FILE_MAX];
	struct stat id; /* of our socket: its name may become another VM's */
	struct event_source listener;
	bool accepting;
	struct event_timer timer;
	uint64_t timer_at;
	uint64_t accept_at; /* not accepting: look again then */
	struct client *clients[CONTROL_MAX_CLIENTS];
};

static void timer_for(struct control_server *server, uint64_t at)
{
	uint64_t now;

	if (at >= server->timer_at)
		return;
	now = clock_now_ns();
	event_timer_arm(&server->timer, at > now ? at - now : 0);
	server->timer_at = at;
}

static void stop_accepting(struct control_server *server, uint64_t until)
{
	server->accept_at = until;
	timer_for(server, until);
	if (server->accepting)
		event_change(&server->vm->loop, &server->listener, 0);
	server->accepting = false;
}

static void start_accepting(struct control_server *server)
{
	if (!server->accepting)
		event_change(&server->vm->loop, &server->listener, EPOLLIN);
	server->accepting = true;
}

static void forget_passed(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void client_drop(struct client *c)
{
	struct control_server *server = c->server;

	for (unsigned int i = 0; i < CONTROL_MAX_CLIENTS; i++)
		if (server->clients[i] == c)
			server->clients[i] = NULL;
	event_remove(&server->vm->loop, &c->source);
	close(c->source.fd);
	forget_passed(&c->passed);
	control_frame_release(&c->in);
	wbuf_release(&c->out);
	free(c);
	start_accepting(server);
}

static bool client_replying(const struct client *c)
{
	return c->out.len > 0;
}

/* Sends what the socket takes. False when the client is no more. */
static bool client_send(struct client *c)
{
	struct event_loop *loop = &c->server->vm->loop;

	while (c->sent < c->out.len) {
		ssize_t n = send(c->source.fd, c->out.data + c->sent, c->out.len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			c->sent += (size_t)n;
		} else if (errno == EAGAIN) {
			event_change(loop, &c->source, EPOLLOUT);
			return true;
		} else if (errno != EINTR) {
			client_drop(c);
			return false;
		}
	}
	if (c->closing) {
		client_drop(c);
		return false;
	}
	wbuf_release(&c->out);
	control_frame_release(&c->in);
	c->sent = 0;
	c->since = clock_now_ns();
	event_change(loop, &c->source, EPOLLIN);
	return true;
}

/* The stream cannot be followed any further: say why, once, and close. */
static void client_refuse(struct client *c, int why)
{
	struct err err = ERR_INIT;

	if (why == -EPROTONOSUPPORT)
		err_set(&err, why, "this VM speaks version %u of the control protocol, not %u",
			CONTROL_VERSION, c->in.h.version);
	else if (why == -EMSGSIZE)
		err_set(&err, why, "a request has at most %u bytes, not %u", CONTROL_MAX_REQUEST,
			c->in.h.length);
	else if (why == -EBADMSG)
		err_set(&err, why, "this is not the control protocol of lkvm");
	else
		err_sys(&err, why, "request");
	c->closing = true;
	control_reply_begin(&c->out, why == -EBADMSG ? 0 : c->in.h.type, why, err.msg);
	if (control_reply_end(&c->out, c->in.h.type))
		client_drop(c);
	else
		(void)client_send(c);
}

static void client_request(struct client *c)
{
	struct vm *vm = c->server->vm;

	vm->passed_fd = c->passed;
	c->passed = -1;
	(void)control_handle(vm, c->in.h.type, c->in.payload, c->in.h.length, &c->out);
	forget_passed(&vm->passed_fd);
	c->since = clock_now_ns();
	if (c->out.error)
		client_drop(c); /* no memory for a reply */
	else
		(void)client_send(c);
}

/* A descriptor that comes along is kept for the request, the last one if there are several. */
static ssize_t receive_some(struct client *c, uint8_t *at, size_t room)
{
	int fd;
	ssize_t n = passfd_recv(c->source.fd, at, room, MSG_DONTWAIT, &fd);

	if (fd >= 0) {
		forget_passed(&c->passed);
		c->passed = fd;
	}
	return n;
}

/* At most one request a call, so that a client who sends many gets no more turns than others. */
static void client_receive(struct client *c)
{
	int whole = 0;

	while (!whole) {
		uint8_t *at;
		size_t room = control_frame_room(&c->in, &at);
		ssize_t n = receive_some(c, at, room);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			client_drop(c);
			return;
		}
		whole = control_frame_filled(&c->in, (size_t)n);
	}
	if (whole < 0)
		client_refuse(c, whole);
	else
		client_request(c);
}

/* EPOLLHUP and EPOLLERR need no look: the call that is due says what became of the client. */
static void client_ready(struct event_source *source, uint32_t events)
{
	struct client *c = source->ctx;

	(void)events;
	if (client_replying(c))
		(void)client_send(c);
	else
		client_receive(c);
}

/* The folder keeps others out already; this holds if someone opens it up. */
static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == geteuid() || peer.uid == 0;
}

static int client_add(struct control_server *server, unsigned int slot, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->server = server;
	c->passed = -1;
	c->since = clock_now_ns();
	c->source = (struct event_source){.fd = fd, .ready = client_ready, .ctx = c};
	control_frame_init(&c->in, CONTROL_MAX_REQUEST);
	rc = event_add(&server->vm->loop, &c->source, EPOLLIN);
	if (rc) {
		free(c);
		return rc;
	}
	server->clients[slot] = c;
	timer_for(server, c->since + server->limits.client_ns);
	return 0;
}

/* Who has been here longest, those first who are in the middle of nothing. */
static struct client *oldest(const struct control_server *server)
{
	struct client *best = NULL;
	bool best_idle = false;

	for (unsigned int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *c = server->clients[i];
		bool idle = c && !c->in.have && !client_replying(c);

		if (!c || (best && best_idle && !idle))
			continue;
		if (!best || (idle && !best_idle) || c->since < best->since) {
			best = c;
			best_idle = idle;
		}
	}
	return best;
}

/*
 * A slot for a new client. When all are taken the oldest goes, unless it is so young that it may be about to ask: a
 * burst of good clients is served in its turn, and a full house of silent ones delays a good one by one grace each.
 */
static bool find_slot(struct control_server *server, unsigned int *slot)
{
	struct client *victim;
	uint64_t due;

	for (*slot = 0; *slot < CONTROL_MAX_CLIENTS; ++*slot)
		if (!server->clients[*slot])
			return true;
	victim = oldest(server);
	due = victim->since + server->limits.grace_ns;
	if (clock_now_ns() < due) {
		stop_accepting(server, due);
		return false;
	}
	client_drop(victim);
	for (*slot = 0; server->clients[*slot]; ++*slot)
		;
	return true;
}

static void listener_ready(struct event_source *source, uint32_t events)
{
	struct control_server *server = source->ctx;
	unsigned int slot;
	int fd;

	(void)events;
	if (!find_slot(server, &slot))
		return;
	fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Else the loop would be told of the same connection again at once, and for ever. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			stop_accepting(server, clock_now_ns() + ACCEPT_NAP_NS);
		return;
	}
	if (!peer_allowed(fd)) {
		log_line(&server->vm->log, LOG_DEBUG,
			 "control: a client of another user was refused");
		close(fd);
	} else if (client_add(server, slot, fd)) {
		close(fd);
	}
}

static void timer_expired(struct event_timer *timer)
{
	struct control_server *server = timer->ctx;
	uint64_t now = clock_now_ns(), next = NEVER;

	server->timer_at = NEVER;
	if (!server->accepting && now >= server->accept_at)
		start_accepting(server);
	for (unsigned int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *c = server->clients[i];
		uint64_t due = c ? c->since + server->limits.client_ns : NEVER;

		if (c && now >= due)
			client_drop(c);
		else if (due < next)
			next = due;
	}
	if (!server->accepting && server->accept_at < next)
		next = server->accept_at;
	if (next != NEVER)
		timer_for(server, next);
}

/* The folder is locked. Makes sure that the name is free. */
static int claim_name(const struct control_server *server, struct err *err)
{
	const struct control_folder *f = &server->folder;
	int rc = control_folder_probe(f, server->file);

	/* A confined process cannot ask; what was dead it has removed before. */
	if (rc == 1 || rc == -EPERM)
		return err_set(err, -EEXIST, "a VM named %s runs already: choose another --name",
			       server->vm->name);
	if (rc == -ENOENT)
		return 0;
	if (rc == -ENOTSOCK)
		return err_set(err, -ENOTSOCK, "%s/%s is not a socket of a VM: remove it", f->path,
			       server->file);
	if (rc == 0 && unlinkat(f->fd, server->file, 0) < 0)
		rc = -errno;
	if (rc)
		return err_sys(err, rc, "%s/%s", f->path, server->file);
	log_line(&server->vm->log, LOG_INFO, "control: took over the socket that a dead VM left");
	return 0;
}

static int socket_address(const struct control_server *server, struct sockaddr_un *at,
			  struct err *err)
{
	size_t len = strlen(server->folder.path) + 1 + strlen(server->file);

	*at = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len >= sizeof(at->sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "the control socket's path %s/%s has %zu bytes, %zu are possible "
			       "(unix(7)): choose a shorter --name or XDG_RUNTIME_DIR",
			       server->folder.path, server->file, len, sizeof(at->sun_path) - 1);
	memcpy(at->sun_path, server->folder.path, strlen(server->folder.path));
	at->sun_path[strlen(server->folder.path)] = '/';
	memcpy(at->sun_path + len - strlen(server->file), server->file, strlen(server->file));
	return 0;
}

/* The folder is locked. */
static int bind_and_listen(struct control_server *server, const struct sockaddr_un *at,
			   struct err *err)
{
	int fd = server->listener.fd, rc;
	/* Whatever the user's is; who is confined can change no file's mode later. */
	mode_t mask = umask(0177);

	/* bind() gives the file the mode of the socket, less the umask: it is never open to others. */
	rc = fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ? -errno
											    : 0;
	umask(mask);
	if (rc)
		return err_sys(err, rc, "%s", at->sun_path);
	if (fstatat(server->folder.fd, server->file, &server->id, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, -errno, "%s", at->sun_path);
	if (listen(fd, BACKLOG) < 0)
		return err_sys(err, -errno, "%s", at->sun_path);
	return 0;
}

/* Only if the name is still ours. No lock: while we listen, no one takes our socket for a left-over. */
static void remove_socket(struct control_server *server)
{
	struct stat now;

	if (!server->id.st_ino)
		return;
	if (fstatat(server->folder.fd, server->file, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	    now.st_ino == server->id.st_ino && now.st_dev == server->id.st_dev)
		(void)unlinkat(server->folder.fd, server->file, 0);
	server->id.st_ino = 0;
}

void control_server_abandon(struct control_server *server)
{
	if (server)
		remove_socket(server);
}

static int open_socket(struct control_server *server, struct err *err)
{
	struct sockaddr_un at;
	int rc;

	server->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener.fd < 0)
		return err_sys(err, -errno, "control socket");
	rc = control_folder_open(&server->folder, true, err);
	if (!rc)
		rc = socket_address(server, &at, err);
	if (!rc)
		rc = control_folder_lock(&server->folder, LOCK_EX, err);
	if (rc)
		return rc;
	rc = claim_name(server, err);
	if (!rc)
		rc = bind_and_listen(server, &at, err);
	if (rc)
		remove_socket(server); /* while nobody else looks at it */
	control_folder_unlock(&server->folder);
	return rc;
}

int control_server_open(struct vm *vm, struct control_server **out, struct err *err)
{
	const struct control_limits limits = {
		.client_ns = CONTROL_CLIENT_SECONDS * 1000000000ull,
		.grace_ns = 100000000,
	};

	return control_server_open_limits(vm, &limits, out, err);
}

int control_server_open_limits(struct vm *vm, const struct control_limits *limits,
			       struct control_server **out, struct err *err)
{
	struct control_server *server;
	int rc;

	*out = NULL;
	if (!vm_name_valid(vm->name))
		return err_set(err, -EINVAL, "'%s' cannot be a VM's name", vm->name);
	server = calloc(1, sizeof(*server));
	if (!server)
		return err_set(err, -ENOMEM, "no memory for the control socket");
	server->vm = vm;
	server->limits = *limits;
	server->folder.fd = -1;
	server->timer.source.fd = -1;
	server->timer_at = NEVER;
	server->accepting = true;
	server->listener.ready = listener_ready;
	server->listener.ctx = server;
	control_file_name(vm->name, server->file);

	rc = open_socket(server, err);
	if (!rc)
		rc = event_timer_init(&server->timer, &vm->loop, timer_expired, server, err);
	if (!rc) {
		rc = event_add(&vm->loop, &server->listener, EPOLLIN);
		if (rc)
			err_sys(err, rc, "control socket");
	}
	if (rc) {
		control_server_close(server);
		return rc;
	}
	*out = server;
	return 0;
}

/* First the name, then the listener, then the connections: a client that sees its end knows that the name is free. */
void control_server_close(struct control_server *server)
{
	remove_socket(server);
	if (server->listener.added)
		event_remove(&server->vm->loop, &server->listener);
	if (server->listener.fd >= 0)
		close(server->listener.fd);
	server->accepting = true; /* there is nothing to start again */
	for (unsigned int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *c = server->clients[i];

		if (c && (!client_replying(c) || client_send(c)))
			client_drop(c);
	}
	if (server->timer.source.fd >= 0)
		event_timer_release(&server->timer);
	control_folder_close(&server->folder);
	free(server);
}
