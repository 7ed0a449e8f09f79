/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is wrong behind a slot. KVM says only EFAULT and, before Linux 6.18, not for which guest address; the kernel's
 * own list of this process's mappings does (Documentation/filesystems/proc.rst, smaps).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/memory.h"

struct vma {
	uint64_t start, end;
	char perms[5];
	uint64_t inode;
	char path[128];
	bool tags; /* "mt" in VmFlags */
};

/* The next mapping of an smaps listing: its head line up to its VmFlags line. */
static bool next_vma(FILE *smaps, char **line, size_t *cap, struct vma *vma)
{
	bool in_vma = false;

	while (getline(line, cap, smaps) > 0) {
		struct vma head = {0};

		if (sscanf(*line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %" SCNu64 " %127[^\n]",
			   &head.start, &head.end, head.perms, &head.inode, head.path) >= 4) {
			*vma = head;
			in_vma = true;
		} else if (in_vma && !strncmp(*line, "VmFlags:", 8)) {
			vma->tags = strstr(*line, " mt") != NULL;
			return true;
		}
	}
	return false;
}

/* NULL when @vma is as we made it. */
static const char *what_is_wrong(const struct mem *mem, const struct mem_bank *bank,
				 const struct vma *vma)
{
	struct stat st = {0};

	if (bank->fd >= 0 && fstat(bank->fd, &st) < 0)
		return "has lost its memory file";
	if (vma->inode != st.st_ino)
		return "was mapped over with something else";
	if (mem->tag_prot && !vma->tags)
		return "was mapped over with memory that has no tags";
	if (vma->perms[0] != 'r' || vma->perms[1] != 'w')
		return "was protected";
	return NULL;
}

static bool explain_bank(const struct mem *mem, const struct mem_bank *bank, FILE *smaps,
			 char **line, size_t *cap, char *text, size_t size)
{
	uint64_t at = (uintptr_t)bank->host, end = at + bank->spec.size;
	const char *what = NULL;
	struct vma vma = {0};
	struct stat st;

	if (bank->fd >= 0 && fstat(bank->fd, &st) == 0 && (uint64_t)st.st_size < bank->spec.size) {
		snprintf(text, size,
			 "guest memory at 0x%" PRIx64
			 " (%s) is beyond its memory file, which was cut short",
			 bank->spec.gpa + st.st_size, bank->spec.name);
		return true;
	}
	rewind(smaps);
	while (at < end && !what) {
		bool found = false;

		while (!found && next_vma(smaps, line, cap, &vma))
			found = vma.end > at;
		if (!found || vma.start > at) {
			what = "is no longer mapped";
		} else {
			what = what_is_wrong(mem, bank, &vma);
			if (!what)
				at = vma.end;
		}
	}
	if (!what)
		return false;
	snprintf(text, size, "guest memory at 0x%" PRIx64 " (%s) %s",
		 bank->spec.gpa + (at - (uintptr_t)bank->host), bank->spec.name, what);
	return true;
}

bool mem_explain_fault(const struct mem *mem, char *text, size_t size)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = false;

	if (!smaps)
		return false;
	for (unsigned int i = 0; i < mem->n && !found; i++)
		if (mem->banks[i].in_slot)
			found = explain_bank(mem, &mem->banks[i], smaps, &line, &cap, text, size);
	free(line);
	fclose(smaps);
	return found;
}
