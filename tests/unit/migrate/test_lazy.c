/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A lazy restore without KVM: threads of this program are the guest, a fake sidecar takes the tags. Needs userfaultfd for
 * faults of the kernel too, as root has it; skipped without.
 */
#include "lazy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

#include "migrate/lazy.h"
#include "migrate/ram.h"
#include "vm/control.h"
#include "vm/memory-lazy.h"
#include "vm/vm.h"

struct guest {
	struct vm vm;
	struct snap_chain chain;
	struct mem_sidecar side;
	uint8_t *tags; /* of the whole bank, packed */
	uint8_t *ram;
	int uffd;
	/* A vCPU that looks at page 1 when its data are there and its tags are not yet; and what it saw. */
	enum { PEEK_NOT, PEEK_ALONGSIDE, PEEK_AND_WAIT } peek;
	pthread_t peeker;
	bool data_seen, tags_seen;
};

static void *peek(void *arg)
{
	struct guest *g = arg;
	size_t page = g->vm.mem.page_size;

	g->data_seen = *(volatile uint8_t *)(g->ram + page) == file_byte(1);
	g->tags_seen = *(volatile uint8_t *)(g->tags + page / 32) == file_tag(1);
	return NULL;
}

/* In place of vm/control.c. */
void control_server_abandon(struct control_server *server)
{
	assert_null(server);
}

static int put(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, const uint8_t *in,
	       struct err *err)
{
	struct guest *g = ctx;

	(void)err;
	(void)host;
	if (g->peek != PEEK_NOT && gpa - FILE_GPA == g->vm.mem.page_size) {
		assert_int_equal(pthread_create(&g->peeker, NULL, peek, g), 0);
		if (g->peek == PEEK_AND_WAIT)
			pthread_join(g->peeker, NULL);
	}
	memcpy(g->tags + (gpa - FILE_GPA) / 32, in, len / 32);
	return 0;
}

static struct guest *guest_new(bool shared)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct err err = ERR_INIT;
	struct mem_bank *bank;

	assert_non_null(g);
	assert_int_equal(mem_lazy_open("--lazy", &g->uffd, &err), 0);
	assert_int_equal(mem_init(&g->vm.mem, &err), 0);
	assert_int_equal(event_loop_init(&g->vm.loop, &err), 0);
	log_init(&g->vm.log, STDERR_FILENO, LOG_ERROR);
	g->vm.memory_exit_code = 3;
	file_chain(&g->chain, g->vm.mem.page_size);
	bank = &g->vm.mem.banks[g->vm.mem.n++];
	bank->spec = (struct mem_spec){.name = "ram",
				       .gpa = FILE_GPA,
				       .size = FILE_PAGES * g->vm.mem.page_size,
				       .backing = MEM_LAZY};
	bank->shared = shared;
	bank->fd = memfd_create("ram", MFD_CLOEXEC);
	assert_int_equal(ftruncate(bank->fd, (off_t)bank->spec.size), 0);
	bank->host = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE,
			  shared ? MAP_SHARED : MAP_PRIVATE, bank->fd, 0);
	assert_true(bank->host != MAP_FAILED);
	g->ram = bank->host;
	g->tags = calloc(1, bank->spec.size / 32);
	assert_non_null(g->tags);
	g->side = (struct mem_sidecar){.put = put, .ctx = g};
	g->vm.mem.sidecar = &g->side;
	return g;
}

static void guest_free(struct guest *g)
{
	lazy_stop(&g->vm);
	assert_false(mem_is_filling(&g->vm.mem));
	mem_release(&g->vm.mem);
	event_loop_release(&g->vm.loop);
	snap_chain_close(&g->chain);
	free(g->tags);
	free(g);
}

static void begin(struct guest *g, bool prefetch)
{
	struct err err = ERR_INIT;

	assert_int_equal(lazy_start(&g->vm, &g->chain, g->uffd, prefetch, &err), 0);
	assert_int_equal(g->chain.n, 0);
	assert_non_null(g->vm.lazy);
}

/* The page as the guest finds it, with its tags. */
static void expect_page(const struct guest *g, unsigned int page)
{
	size_t size = g->vm.mem.page_size;
	uint8_t byte = file_has(page) ? file_byte(page) : 0;
	uint8_t tag = file_has(page) ? file_tag(page) : 0;

	for (size_t i = 0; i < size; i += 64)
		assert_int_equal(((volatile uint8_t *)g->ram)[page * size + i], byte);
	for (size_t i = 0; i < size / 32; i++)
		assert_int_equal(g->tags[page * size / 32 + i], tag);
}

/* All came; the loop hears of it. */
static void run_loop(struct guest *g)
{
	struct epoll_event event;

	while (mem_is_filling(&g->vm.mem)) {
		struct event_source *source;

		assert_int_equal(epoll_wait(g->vm.loop.epfd, &event, 1, 60000), 1);
		source = event.data.ptr;
		source->ready(source, event.events);
	}
	assert_int_equal(g->vm.mem.missing, 0);
}

static void test_prefetch(void **state)
{
	for (int shared = 0; shared < 2; shared++) {
		struct guest *g = guest_new(shared);

		(void)state;
		begin(g, true);
		run_loop(g);
		for (unsigned int page = 0; page < FILE_PAGES; page++)
			expect_page(g, page);
		guest_free(g);
	}
}

static void test_faults_alone(void **state)
{
	for (int shared = 0; shared < 2; shared++) {
		struct guest *g = guest_new(shared);
		size_t size = g->vm.mem.page_size;

		(void)state;
		begin(g, false);
		assert_int_equal(g->vm.mem.missing, FILE_HERE);
		expect_page(g, 5);
		assert_int_equal(g->vm.mem.missing, FILE_HERE - 3);
		/* Absent ones bring nothing, and keep what is written to them; so do the others. */
		g->ram[3 * size] = 77;
		g->ram[200 * size + 9] = 78;
		g->ram[5 * size + 4] = 79;
		expect_page(g, 129);
		assert_int_equal(g->vm.mem.missing, FILE_HERE - 6);
		lazy_want_all(g->vm.lazy);
		run_loop(g);
		expect_page(g, 325);
		expect_page(g, 1);
		expect_page(g, 63);
		assert_int_equal(g->ram[3 * size], 77);
		assert_int_equal(g->ram[200 * size + 9], 78);
		assert_int_equal(g->ram[5 * size + 4], 79);
		guest_free(g);
	}
}

struct vcpu_arg {
	struct guest *g;
	unsigned int number;
};

/* Each adds 1 to a word of its own in every page: a page that were brought twice would lose it. */
static void *vcpu(void *arg)
{
	const struct vcpu_arg *a = arg;
	size_t size = a->g->vm.mem.page_size;

	for (unsigned int i = 0; i < FILE_PAGES; i++) {
		unsigned int page = a->number % 2 ? FILE_PAGES - 1 - i : i;
		volatile uint8_t *p = a->g->ram + page * size + a->number * 8;

		*p = *p + 1;
	}
	return NULL;
}

static void test_many_at_once(void **state)
{
	for (int round = 0; round < 20; round++) {
		struct guest *g = guest_new(round % 2);
		struct vcpu_arg args[4];
		pthread_t threads[4];

		(void)state;
		begin(g, round % 4 < 2);
		for (unsigned int i = 0; i < 4; i++) {
			args[i] = (struct vcpu_arg){g, i};
			assert_int_equal(pthread_create(&threads[i], NULL, vcpu, &args[i]), 0);
		}
		for (unsigned int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		for (unsigned int page = 0; page < FILE_PAGES; page++)
			for (unsigned int i = 0; i < 4; i++)
				assert_int_equal(
					g->ram[page * g->vm.mem.page_size + i * 8],
					(uint8_t)((file_has(page) ? file_byte(page) : 0) + 1));
		guest_free(g);
	}
}

static void test_data_never_without_tags(void **state)
{
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		struct guest *g = guest_new(shared);

		g->peek = PEEK_ALONGSIDE;
		begin(g, true);
		run_loop(g);
		pthread_join(g->peeker, NULL);
		assert_true(g->data_seen && g->tags_seen);
		guest_free(g);
	}
}

/* Control: memory is filled as an eager restore does it, but the guest runs already. */
static void test_control_without_it(void **state)
{
	struct guest *g = guest_new(true);
	uint8_t *tags = malloc(SNAP_CHUNK_PAGES * g->vm.mem.page_size / 32);
	struct err err = ERR_INIT;
	uint64_t present;

	(void)state;
	g->peek = PEEK_AND_WAIT;
	assert_int_equal(ram_load_chunk(&g->vm.mem, &g->chain, 0, 0, g->ram, tags, &present, &err),
			 0);
	assert_true(g->data_seen);
	assert_false(g->tags_seen);
	expect_page(g, 1);
	free(tags);
	close(g->uffd);
	guest_free(g);
}

/* As a balloon would do it. */
static void test_discarded_meanwhile(void **state)
{
	struct guest *g = guest_new(true);
	size_t size = g->vm.mem.page_size;

	(void)state;
	begin(g, false);
	expect_page(g, 1);
	assert_int_equal(madvise(g->ram + size, size, MADV_REMOVE), 0);
	assert_int_equal(g->ram[size], 0);
	expect_page(g, 2);
	guest_free(g);
}

static void test_stop_early(void **state)
{
	struct guest *g = guest_new(true);

	(void)state;
	begin(g, false);
	expect_page(g, 1);
	lazy_stop(&g->vm);
	assert_null(g->vm.lazy);
	assert_int_equal(g->vm.mem.missing, 0);
	/* Nobody waits for what did not come. */
	assert_int_equal(g->ram[130 * g->vm.mem.page_size], 0);
	guest_free(g);
}

/* @spoil in a process of its own, which then touches the memory. Its exit code, and what it said. */
static int ends_with(void (*spoil)(int fd), unsigned int page, char *said, size_t size)
{
	int ends[2], status;
	ssize_t n, have = 0;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct guest *g = guest_new(true);

		g->vm.log.fd = ends[1];
		spoil(g->chain.fd[0]);
		begin(g, false);
		_exit(((volatile uint8_t *)g->ram)[page * g->vm.mem.page_size] ? 100 : 101);
	}
	close(ends[1]);
	while ((n = read(ends[0], said + have, size - 1 - (size_t)have)) > 0)
		have += n;
	said[have] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void leave(int fd)
{
	(void)fd;
}

static void cut(int fd)
{
	assert_int_equal(ftruncate(fd, 4096), 0);
}

/* Chunk 0's data are the first in the file that are not records. */
static void flip(int fd)
{
	uint8_t page[4096];

	for (off_t at = 4096; pread(fd, page, sizeof(page), at) == sizeof(page); at += 4096) {
		if (page[0] != file_byte(1) || page[4095] != file_byte(1))
			continue;
		page[1234] ^= 4;
		assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
		return;
	}
	fail_msg("the page is not in the file");
}

static void unreadable(int fd)
{
	assert_int_equal(dup2(open("/", O_RDONLY | O_CLOEXEC), fd), fd);
}

static void test_never_on_wrong_memory(void **state)
{
	char said[2048];

	(void)state;
	assert_int_equal(ends_with(leave, 1, said, sizeof(said)), 100);
	assert_string_equal(said, "");
	assert_int_equal(ends_with(flip, 130, said, sizeof(said)), 100); /* another chunk */
	assert_int_equal(ends_with(flip, 1, said, sizeof(said)), 3);
	assert_non_null(strstr(said, "lazy.snap: bank ram, chunk at guest address 0x80000000: "));
	assert_non_null(strstr(said, "the checksum is wrong; the guest cannot go on"));
	/* A page beside it: the whole chunk is not to be trusted. */
	assert_int_equal(ends_with(flip, 5, said, sizeof(said)), 3);
	assert_int_equal(ends_with(cut, 322, said, sizeof(said)), 3);
	assert_non_null(strstr(said, "guest address 0x80140000"));
	assert_non_null(strstr(said, "the file ends at offset"));
	assert_int_equal(ends_with(unreadable, 130, said, sizeof(said)), 3);
	assert_non_null(strstr(said, "guest address 0x80080000"));
	assert_non_null(strstr(said, "cannot read data at offset"));
	/* What is absent needs no file. */
	assert_int_equal(ends_with(cut, 70, said, sizeof(said)), 101);
}

/* Not root, and no sysctl or device that helps. */
static void test_not_allowed(void **state)
{
	int status, may = 0;
	FILE *sysctl = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	pid_t child;

	(void)state;
	if (sysctl) {
		may = fgetc(sysctl) == '1';
		fclose(sysctl);
	}
	child = may || getuid() ? -1 : fork();
	if (child < 0)
		skip();
	if (!child) {
		struct err err = ERR_INIT;
		int fd, rc;

		if (setgid(65534) < 0 || setuid(65534) < 0 ||
		    !access("/dev/userfaultfd", R_OK | W_OK))
			_exit(77);
		rc = mem_lazy_open("--lazy", &fd, &err);
		_exit(rc == -EPERM && strstr(err.msg, "vm.unprivileged_userfaultfd") &&
				      strstr(err.msg, "CAP_SYS_PTRACE") &&
				      strstr(err.msg, "/dev/userfaultfd")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_not_built_for_it(void **state)
{
	struct guest *g = guest_new(true);
	struct err err = ERR_INIT;

	(void)state;
	g->vm.mem.banks[0].spec.backing = MEM_MEMFD;
	assert_int_equal(lazy_start(&g->vm, &g->chain, g->uffd, true, &err), -EINVAL);
	assert_null(g->vm.lazy);
	assert_int_equal(g->chain.n, 1);
	close(g->uffd);
	guest_free(g);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_prefetch),	   cmocka_unit_test(test_faults_alone),
	cmocka_unit_test(test_many_at_once),	   cmocka_unit_test(test_data_never_without_tags),
	cmocka_unit_test(test_control_without_it), cmocka_unit_test(test_discarded_meanwhile),
	cmocka_unit_test(test_stop_early),	   cmocka_unit_test(test_never_on_wrong_memory),
	cmocka_unit_test(test_not_built_for_it),   cmocka_unit_test(test_not_allowed),
};

int main(void)
{
	struct err err = ERR_INIT;
	int fd;

	if (mem_lazy_open("--lazy", &fd, &err)) {
		printf("1..0 # SKIP %s\n", err.msg);
		return 0;
	}
	close(fd);
	alarm(120); /* who is not served waits for ever */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
