/* SPDX-License-Identifier: GPL-2.0-only */
/* What each request of the control socket does, without a socket. */
#include "unit.h"

#include <sys/mman.h>

#include "fake_vm.h"

struct answer {
	int result;
	char text[CONTROL_TEXT_MAX];
	struct wbuf out;
	struct rbuf body;
};

static void ask(struct fake_vm *f, uint16_t type, const void *payload, size_t len, struct answer *a)
{
	struct control_header h;
	int rc;

	wbuf_init(&a->out, 0);
	rc = control_handle(&f->vm, type, payload, len, &a->out);
	assert_int_equal(a->out.error, 0);
	assert_int_equal(control_header_decode(a->out.data, CONTROL_MAX_PAYLOAD, &h), 0);
	assert_int_equal(h.type, type | 0x8000);
	assert_int_equal(h.length, a->out.len - CONTROL_HEADER);
	rbuf_init(&a->body, a->out.data + CONTROL_HEADER, h.length);
	assert_int_equal(control_reply_decode(&a->body, &a->result, a->text), 0);
	assert_int_equal(a->result, rc);
	if (rc) {
		assert_true(a->text[0]);
		assert_int_equal(rbuf_done(&a->body), 0);
	}
}

static int ask_result(struct fake_vm *f, uint16_t type, const void *payload, size_t len)
{
	struct answer a;

	ask(f, type, payload, len, &a);
	wbuf_release(&a.out);
	return a.result;
}

static void unknown_types_are_refused(void **state)
{
	struct fake_vm f;

	(void)state;
	fake_init(&f, "a");
	assert_int_equal(ask_result(&f, 0, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ + 1, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(ask_result(&f, 0x8001, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(ask_result(&f, 0xffff, NULL, 0), -EOPNOTSUPP);
	fake_release(&f);
}

/* Every request with every payload length but its own: refused, and nothing done. */
static void payload_of_another_length_is_refused(void **state)
{
	static const uint8_t zeros[CONTROL_MAX_REQUEST];
	struct fake_vm f;

	(void)state;
	fake_init(&f, "a");
	for (uint16_t type = CONTROL_INFO; type <= CONTROL_SYSRQ; type++) {
		size_t own = type == CONTROL_REGISTERS ? 4 : type == CONTROL_SYSRQ ? 1 : 0;

		for (size_t len = 0; len <= 16; len++)
			if (len != own)
				assert_int_equal(ask_result(&f, type, zeros, len), -EBADMSG);
		assert_int_equal(ask_result(&f, type, zeros, sizeof(zeros)), -EBADMSG);
	}
	assert_int_equal(f.finished, 0);
	assert_int_equal(f.vm.pauses, 0);
	assert_int_equal(f.sysrq, 0);
	fake_release(&f);
}

static void no_machine_no_answer(void **state)
{
	static const uint8_t zeros[4];
	struct control_info info;
	struct answer a;
	struct fake_vm f;

	(void)state;
	fake_init(&f, "a");
	f.vm.vcpus = NULL;
	assert_int_equal(ask_result(&f, CONTROL_PAUSE, NULL, 0), -EAGAIN);
	assert_int_equal(ask_result(&f, CONTROL_RESUME, NULL, 0), -EAGAIN);
	assert_int_equal(ask_result(&f, CONTROL_REGISTERS, zeros, 4), -EAGAIN);
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, "t", 1), -EAGAIN);
	assert_int_equal(ask_result(&f, CONTROL_STAT, NULL, 0), 0);
	ask(&f, CONTROL_INFO, NULL, 0, &a);
	assert_int_equal(control_info_decode(&a.body, &info), 0);
	assert_int_equal(info.state, CONTROL_STARTING);
	wbuf_release(&a.out);
	assert_int_equal(ask_result(&f, CONTROL_STOP, NULL, 0), 0);
	assert_int_equal(f.finished, 1);
	fake_release(&f);
}

static void pause_and_resume(void **state)
{
	struct control_info info;
	struct answer a;
	struct fake_vm f;

	(void)state;
	fake_init(&f, "a");
	assert_int_equal(ask_result(&f, CONTROL_RESUME, NULL, 0), -EALREADY);
	assert_int_equal(ask_result(&f, CONTROL_PAUSE, NULL, 0), 0);
	assert_int_equal(f.vm.pauses, 1);
	ask(&f, CONTROL_PAUSE, NULL, 0, &a);
	assert_int_equal(a.result, -EALREADY);
	assert_string_equal(a.text, "is paused already");
	wbuf_release(&a.out);
	ask(&f, CONTROL_INFO, NULL, 0, &a);
	assert_int_equal(control_info_decode(&a.body, &info), 0);
	assert_int_equal(info.state, CONTROL_PAUSED);
	wbuf_release(&a.out);
	assert_int_equal(ask_result(&f, CONTROL_RESUME, NULL, 0), 0);
	assert_int_equal(f.vm.pauses, 0);
	fake_release(&f);
}

static void registers(void **state)
{
	static const uint8_t one[4] = {1}, two[4] = {2}, last[4] = {255, 255, 255, 255};
	char name[CONTROL_REG_NAME], value[CONTROL_REG_HEX];
	struct answer a;
	struct fake_vm f;

	(void)state;
	fake_init(&f, "a");
	ask(&f, CONTROL_REGISTERS, one, 4, &a);
	assert_int_equal(a.result, 0);
	assert_int_equal(rbuf_u32(&a.body), 3);
	for (int i = 0; i < 3; i++) {
		rbuf_str(&a.body, name, sizeof(name));
		rbuf_str(&a.body, value, sizeof(value));
	}
	assert_int_equal(rbuf_done(&a.body), 0);
	assert_string_equal(name, "x2");
	assert_string_equal(value, "0000000100000002");
	wbuf_release(&a.out);
	assert_false(f.unpaused_read);
	assert_int_equal(f.vm.pauses, 0);

	assert_int_equal(ask_result(&f, CONTROL_REGISTERS, two, 4), -EINVAL);
	assert_int_equal(ask_result(&f, CONTROL_REGISTERS, last, 4), -EINVAL);

	f.registers = 100000; /* more than a message holds */
	assert_int_equal(ask_result(&f, CONTROL_REGISTERS, one, 4), -E2BIG);
	f.registers = 3;
	f.registers_fail = true;
	ask(&f, CONTROL_REGISTERS, one, 4, &a);
	assert_int_equal(a.result, -EIO);
	assert_string_equal(a.text, "vcpu 1: x9: no luck");
	wbuf_release(&a.out);
	assert_int_equal(f.vm.pauses, 0);
	fake_release(&f);
}

static void sysrq(void **state)
{
	struct fake_vm f;

	(void)state;
	fake_init(&f, "a");
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, "t", 1), 0);
	assert_int_equal(f.sysrq, 't');
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, "9", 1), -ENODEV);
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, "\n", 1), -EINVAL);
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, " ", 1), -EINVAL);
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, "\x7f", 1), -EINVAL);
	assert_int_equal(ask_result(&f, CONTROL_SYSRQ, "\xff", 1), -EINVAL);
	assert_int_equal(f.sysrq, 't');
	fake_release(&f);
}

static void stat_of_this_process(void **state)
{
	const size_t size = 16 << 20, touched = 3 << 20;
	/* With a page on each side that keeps it from growing together with another mapping. */
	uint8_t *guard = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *ram = guard + 4096;
	struct control_stat stat;
	struct answer a;
	struct fake_vm f;

	(void)state;
	assert_true(guard != MAP_FAILED);
	assert_int_equal(mprotect(ram, size, PROT_READ | PROT_WRITE), 0);
	memset(ram, 1, touched);
	fake_init(&f, "a");
	f.vm.mem.n = 1;
	f.vm.mem.banks[0].spec = (struct mem_spec){.gpa = 0x80000000, .size = size};
	f.vm.mem.banks[0].host = ram;
	ask(&f, CONTROL_STAT, NULL, 0, &a);
	assert_int_equal(a.result, 0);
	assert_int_equal(control_stat_decode(&a.body, &stat), 0);
	assert_int_equal(stat.vcpus, 2);
	assert_int_equal(stat.boots, 1);
	for (int kind = 0; kind < COUNT_KINDS; kind++)
		rbuf_u64(&a.body);
	assert_int_equal(rbuf_u64(&a.body), 1001); /* vCPU 1, KVM_RUN */
	/* Huge pages may have rounded it up. */
	assert_in_range(stat.guest_resident, touched, touched + (4 << 20));
	assert_true(stat.own_pss > 0 && stat.own_pss != CONTROL_UNKNOWN);
	assert_true(stat.own_anonymous > 0 && stat.own_anonymous != CONTROL_UNKNOWN);
	wbuf_release(&a.out);
	fake_release(&f);
	munmap(guard, size + 8192);
}

static void smaps_is_split(void **state)
{
	static char smaps[] =
		"00400000-00500000 r-xp 00000000 08:01 42    /usr/bin/lkvm\n"
		"Size:               1024 kB\n"
		"Rss:                 500 kB\n"
		"Pss:                 400 kB\n"
		"Pss_Dirty:            77 kB\n"
		"Anonymous:             4 kB\n"
		"VmFlags: rd ex mr mw me\n"
		"7f0000000000-7f0010000000 rw-p 00000000 00:00 0 \n"
		"Rss:               65536 kB\n"
		"Pss:               65536 kB\n"
		"Anonymous:         65536 kB\n"
		"7f0010000000-7f0010001000 rw-p 00000000 00:00 0      /tmp/Pss: 9999 kB\n"
		"Rss:                   4 kB\n"
		"Pss:                   2 kB\n"
		"Anonymous:             1 kB\n"
		"7f0020000000-7f0020200000 rw-s 00000000 00:0f 7      /huge/x\n"
		"Rss:                   0 kB\n"
		"Pss:                   0 kB\n"
		"Shared_Hugetlb:     1024 kB\n"
		"Private_Hugetlb:    1024 kB\n";
	const struct control_range guest[] = {
		{0x7f0000000000, 0x7f0010000000, false},
		{0x7f0020001000, 0x7f0020002000, false},
	};
	struct control_memory sum;
	FILE *file = fmemopen(smaps, sizeof(smaps) - 1, "r");

	(void)state;
	assert_non_null(file);
	assert_int_equal(control_memory_sum(file, guest, 2, &sum), 0);
	fclose(file);
	assert_int_equal(sum.guest_resident, (65536 + 2048) * 1024);
	assert_int_equal(sum.own_pss, (400 + 2) * 1024);
	assert_int_equal(sum.own_anonymous, (4 + 1) * 1024);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(unknown_types_are_refused),
	cmocka_unit_test(payload_of_another_length_is_refused),
	cmocka_unit_test(no_machine_no_answer),
	cmocka_unit_test(pause_and_resume),
	cmocka_unit_test(registers),
	cmocka_unit_test(sysrq),
	cmocka_unit_test(stat_of_this_process),
	cmocka_unit_test(smaps_is_split),
};

UNIT_MAIN(tests)
