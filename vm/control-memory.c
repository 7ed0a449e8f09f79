/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this process takes of the host's memory, split into the guest's and the VMM's own. The kernel's list of
 * mappings is the one source that knows both (proc(5), /proc/PID/smaps); smaps_rollup has no split.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/control-wire.h"
#include "vm/memory-lazy.h"
#include "vm/vm.h"

/* "55d0c0000000-55d0c0021000 rw-p ..." */
static bool mapping_line(const char *line, struct control_range *r)
{
	char *end;

	r->start = strtoull(line, &end, 16);
	if (end == line || *end != '-')
		return false;
	line = end + 1;
	r->end = strtoull(line, &end, 16);
	return end != line && *end == ' ';
}

/* "Pss:   12 kB": adds the bytes if the field is the one asked for. */
static void field(const char *line, const char *name, uint64_t *sum)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) == 0 && line[len] == ':')
		*sum += strtoull(line + len + 1, NULL, 10) * 1024;
}

static const struct control_range *touched(const struct control_range *r,
					   const struct control_range *guest, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (r->start < guest[i].end && guest[i].start < r->end)
			return &guest[i];
	return NULL;
}

int control_memory_sum(FILE *smaps, const struct control_range *guest, unsigned int n,
		       struct control_memory *sum)
{
	const struct control_range *of = NULL;
	struct control_range r;
	char *line = NULL;
	size_t size = 0;
	int rc;

	memset(sum, 0, sizeof(*sum));
	while (getline(&line, &size, smaps) > 0) {
		if (mapping_line(line, &r)) {
			of = touched(&r, guest, n);
		} else if (of && of->again) {
			continue;
		} else if (of) {
			/* Huge pages of hugetlbfs are in neither Rss nor Pss. */
			field(line, "Rss", &sum->guest_resident);
			field(line, "Private_Hugetlb", &sum->guest_resident);
			field(line, "Shared_Hugetlb", &sum->guest_resident);
		} else {
			field(line, "Pss", &sum->own_pss);
			field(line, "Anonymous", &sum->own_anonymous);
		}
	}
	rc = ferror(smaps) ? -EIO : 0;
	free(line);
	return rc;
}

static void add_range(struct control_range *ranges, unsigned int *n, const void *p, uint64_t size,
		      bool again)
{
	ranges[(*n)++] = (struct control_range){(uintptr_t)p, (uintptr_t)p + size, again};
}

int control_memory_read(struct vm *vm, struct control_memory *sum)
{
	struct control_range guest[2 * MEM_MAX_BANKS];
	unsigned int n = 0;
	FILE *smaps;
	int rc;

	for (unsigned int i = 0; i < vm->mem.n && i < MEM_MAX_BANKS; i++) {
		const struct mem_spec *spec = &vm->mem.banks[i].spec;
		const void *p = gpa_ptr(&vm->mem, spec->gpa, spec->size, MEM_READ);
		const void *fill = mem_lazy_ptr(&vm->mem, i, 0, spec->size);

		if (p)
			add_range(guest, &n, p, spec->size, false);
		if (fill)
			add_range(guest, &n, fill, spec->size, true);
	}
	smaps = fopen("/proc/self/smaps", "re");
	if (!smaps)
		return -errno;
	rc = control_memory_sum(smaps, guest, n, sum);
	(void)fclose(smaps);
	return rc;
}
