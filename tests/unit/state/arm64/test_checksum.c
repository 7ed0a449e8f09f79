/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checksum by arm64's CRC32CX gives what the table gives; that the table is right is test_record's business. Files
 * written on arm64 are read by programs on other machines too.
 */
#include <string.h>

#include "../../../tap.h"
#include "state/checksum.h"

#define MOST 1100

static bool same(struct tap *tap, const uint8_t *bytes, size_t cut)
{
	for (size_t len = cut; len <= MOST; len++) {
		struct checksum hw, table;

		checksum_init(&hw);
		table = hw;
		table.hw = false;
		checksum_add(&hw, bytes, cut);
		checksum_add(&hw, bytes + cut, len - cut);
		checksum_add(&table, bytes, len);
		if (checksum_end(&hw) != checksum_end(&table)) {
			tap_note(tap, "%zu bytes, the first %zu by themselves", len, cut);
			return false;
		}
	}
	return true;
}

int main(void)
{
	uint8_t bytes[1 + MOST];
	struct tap tap = {0};
	struct checksum c;
	uint32_t x = 1;

	checksum_init(&c);
	if (!c.hw)
		return tap_skip_all("this CPU has no CRC32 instructions");
	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(x >> 24);
	}
	tap_ok(&tap, checksum("", 0) == 0x73d74d7573d74d75, "nothing has its checksum");
	tap_ok(&tap, same(&tap, bytes, 0), "any length");
	tap_ok(&tap, same(&tap, bytes, 16) && same(&tap, bytes, 512), "in pieces");
	tap_ok(&tap, same(&tap, bytes + 1, 0), "not aligned");
	return tap_end(&tap);
}
