/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does this machine keep one tag for each granule? QEMU's system emulator before 8.0 drops the page
 * offset when it computes where a tag is stored, so that all granules of a page share the tag written
 * last: the average of i & 15 over all granules comes out as 14.5 and not 7.5, and no test of tags
 * means anything there.
 *
 * Exit code 0: tags are kept. 1: they are not. 2: no MTE.
 */
#include <unistd.h>

#include "mte.h"

#define PAGES 4

int main(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t n = PAGES * page / GRANULE;
	unsigned long sum = 0, wrong = 0;
	char *mem;

	if (mte_enable() < 0) {
		printf("tagcheck: this machine has no MTE\n");
		return 2;
	}
	mem = mte_alloc(PAGES * page);
	if (!mem) {
		perror("tagcheck: mmap with PROT_MTE");
		return 1;
	}

	for (size_t i = 0; i < n; i++)
		set_memory_tag(with_tag(mem + i * GRANULE, i & 15));
	for (size_t i = 0; i < n; i++) {
		const unsigned int tag = memory_tag(mem + i * GRANULE);

		sum += tag;
		wrong += tag != (i & 15);
	}
	printf("tagcheck: %zu granules tagged 0 to 15 in turn read back an average of %lu.%02lu (7.50 is right), %lu wrong\n",
	       n, sum / n, sum * 100 / n % 100, wrong);
	if (!wrong)
		return 0;
	printf("tagcheck: BROKEN: this machine does not keep a tag for each granule. If it is QEMU, it is older than 8.0.\n");
	return 1;
}
