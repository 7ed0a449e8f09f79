/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What --mte asks of a host before anything starts. The host's answers are made up (linked with --wrap); the tags are
 * real, but for one case in which the memory has none: as with an emulator that gets them wrong, they do not come back.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../../../tap.h"
#include "arm/mte.h"

#define KVM_FD 5000 /* no real one */

static struct host {
	bool cpu, kvm, tags;
	int mappings; /* made and not given back */
} host;

unsigned long __real_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type);
int __wrap_ioctl(int fd, unsigned long request, long arg);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);

unsigned long __wrap_getauxval(unsigned long type)
{
	return type == AT_HWCAP2 && !host.cpu ? 0 : __real_getauxval(type);
}

int __wrap_ioctl(int fd, unsigned long request, long arg)
{
	if (fd == KVM_FD && request == KVM_CHECK_EXTENSION && arg == KVM_CAP_ARM_MTE)
		return host.kvm;
	errno = ENOTTY;
	return -1;
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	host.mappings++;
	return __real_mmap(at, len, host.tags ? prot : prot & ~mte_prot(), flags, fd, offset);
}

int __wrap_munmap(void *at, size_t len)
{
	host.mappings--;
	return __real_munmap(at, len);
}

static void refused(struct tap *tap, const struct host *as, int code, const char *text)
{
	struct err err = ERR_INIT;

	host = *as;
	tap_ok(tap, mte_check_host(KVM_FD, &err) == code && strstr(err.msg, text), "refused: %s",
	       text);
	if (!strstr(err.msg, text))
		tap_note(tap, "said: %s", err.msg);
	tap_ok(tap, !host.mappings, "nothing is left mapped");
}

int main(void)
{
	const struct host good = {.cpu = true, .kvm = true, .tags = true};
	struct err err = ERR_INIT;
	struct tap tap = {0};

	if (!(__real_getauxval(AT_HWCAP2) & 1 << 18))
		return tap_skip_all("this machine has no MTE");
	host = good;
	tap_ok(&tap, mte_check_host(KVM_FD, &err) == 0 && !err.msg[0],
	       "control: a host that can is taken");
	tap_ok(&tap, !host.mappings, "nothing is left mapped");
	refused(&tap, &(struct host){.kvm = true, .tags = true}, -ENODEV,
		"--mte: this host's CPU has no MTE");
	refused(&tap, &(struct host){.cpu = true, .tags = true}, -ENODEV,
		"--mte: this kernel's KVM cannot give MTE to a guest (Linux 5.14 or later can)");
	refused(&tap, &(struct host){.cpu = true, .kvm = true}, -EIO, "QEMU before version 8");
	return tap_end(&tap);
}
