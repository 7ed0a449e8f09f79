/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of keys: what is taken, what is refused, and that no message holds a key. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/psk.h"

#define K16 "00112233445566778899aAbBcCdDeEfF"

static int parse(const char *text, struct psks *psks, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return psk_parse("keys", text, strlen(text), psks, err);
}

static void test_good(void **state)
{
	struct psks psks;
	struct err err;

	(void)state;
	assert_int_equal(parse("# a comment\n\nme:" K16 "\nyou@there:" K16 K16, &psks, &err), 0);
	assert_int_equal(psks.n, 2);
	assert_string_equal(psks.all[0].identity, "me");
	assert_int_equal(psks.all[0].len, 16);
	assert_int_equal(psks.all[0].key[10], 0xaa);
	assert_int_equal(psks.all[0].key[15], 0xff);
	assert_int_equal(psks.all[1].len, 32);
	assert_ptr_equal(psk_find(&psks, "you@there", 9), &psks.all[1]);
	assert_null(psk_find(&psks, "you@there", 8));
	assert_null(psk_find(&psks, "me\0", 3));
	psk_wipe(&psks);
	for (size_t i = 0; i < sizeof(psks); i++)
		assert_int_equal(((uint8_t *)&psks)[i], 0);
}

static void test_bad(void **state)
{
	static const char *const bad[][2] = {
		{"", "no key in it"},
		{"#x:" K16 "\n", "no key in it"},
		{"me", "line 1 is not IDENTITY:KEY"},
		{":" K16, "line 1 is not"},
		{"\nme:", "line 2 has no key of 16"},
		{"me:" K16 "\nyou:0011223344556677889900112233445\n", "line 2 has no key of 16"},
		{"me:" K16 "0", "line 1 has no key of 16"},
		{"me:0011223344556677889900112233445g", "line 1 has a key that is not hexadecimal"},
		{"me:" K16 " ", "line 1 has no key"},
		{"me:" K16 K16 K16 K16 "00", "line 1 has no key"},
		{"m e:" K16, "line 1 has an identity with"},
		{"me:" K16 "\nme:" K16, "line 2 names an identity for the second time"},
	};
	char text[PSK_FILE_MAX * 2] = "";
	size_t len = 0;
	struct psks psks;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i][0], &psks, &err), -EINVAL);
		if (!strstr(err.msg, bad[i][1]))
			fail_msg("\"%s\" is not in \"%s\"", bad[i][1], err.msg);
		assert_null(strstr(err.msg, "00112233"));
		assert_int_equal(psks.n, 0);
	}
	memset(text, 'i', PSK_IDENTITY_MAX + 1);
	snprintf(text + PSK_IDENTITY_MAX + 1, 64, ":" K16);
	assert_int_equal(parse(text, &psks, &err), -EINVAL);
	assert_int_equal(parse(text + 1, &psks, &err), 0);
	for (int i = 0; i < PSK_KEYS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%d:" K16 "\n", i);
	assert_int_equal(parse(text, &psks, &err), 0);
	snprintf(text + len, sizeof(text) - len, "64:" K16 "\n");
	assert_int_equal(parse(text, &psks, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "line 65 is one too many"));
}

static void test_file(void **state)
{
	char path[] = "/tmp/lkvm-psk-XXXXXX";
	int fd = mkstemp(path);
	struct err err = ERR_INIT;
	struct psks psks;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "me:" K16 "\n", 36), 36);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(psk_load(path, &psks, &err), 0);
	assert_int_equal(fchmod(fd, 0400), 0);
	assert_int_equal(psk_load(path, &psks, &err), 0);
	assert_int_equal(psks.n, 1);
	for (mode_t mode = 01; mode < 0100; mode <<= 1) {
		assert_int_equal(fchmod(fd, 0600 | mode), 0);
		assert_int_equal(psk_load(path, &psks, &err), -EPERM);
		assert_non_null(strstr(err.msg, "chmod 600"));
	}
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(ftruncate(fd, PSK_FILE_MAX + 1), 0);
	assert_int_equal(psk_load(path, &psks, &err), -EINVAL);
	close(fd);
	unlink(path);
	assert_int_equal(psk_load(path, &psks, &err), -ENOENT);
	assert_int_equal(psk_load("/dev/zero", &psks, &err), -EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_good),
	cmocka_unit_test(test_bad),
	cmocka_unit_test(test_file),
};

UNIT_MAIN(tests)
