/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/log.h"
#include "vm/config.h"

#define MIB (1ull << 20)

void vm_config_init(struct vm_config *config)
{
	*config = (struct vm_config){
		.pvtime = true,
		.mem_size = 256 * MIB,
		.mem_backend = MEM_BACKEND_ANON,
		.irqchip = IRQCHIP_AUTO,
		.log_level = LOG_INFO,
	};
}

/* A CPU number at *@at, which is moved behind it; -1 if there is none or it is too large. */
static int parse_cpu(const char **at)
{
	const char *s = *at;
	int cpu = 0;

	if (*s < '0' || *s > '9')
		return -1;
	for (; *s >= '0' && *s <= '9'; s++) {
		cpu = cpu * 10 + (*s - '0');
		if (cpu >= VM_CPU_SET)
			return -1;
	}
	*at = s;
	return cpu;
}

int vm_cpu_list_parse(const char *list, uint64_t set[VM_CPU_SET / 64], struct err *err)
{
	const char *s = list;

	memset(set, 0, VM_CPU_SET / 8);
	for (;;) {
		int first = parse_cpu(&s), last = first;

		if (first >= 0 && *s == '-') {
			s++;
			last = parse_cpu(&s);
		}
		if (first < 0 || last < first || (*s && *s != ','))
			return err_set(err, -EINVAL,
				       "\"%s\" is not a list of host CPUs such as 0-3,6 "
				       "(0 to %d, ranges upwards)",
				       list, VM_CPU_SET - 1);
		for (int cpu = first; cpu <= last; cpu++)
			set[cpu / 64] |= 1ull << (cpu % 64);
		if (!*s++)
			return 0;
	}
}

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

bool vm_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= VM_NAME_MAX && strspn(name, ALNUM) > 0 &&
	       strspn(name, ALNUM "._-") == len;
}

static int check_name(const char *name, struct err *err)
{
	if (vm_name_valid(name))
		return 0;
	return err_set(err, -EINVAL,
		       "--name: \"%s\" is not a name (1 to %d letters, digits and . _ - with a "
		       "letter or digit first)",
		       name, VM_NAME_MAX);
}

static uint32_t most_cpus(const struct vm_config *config)
{
	return config->irqchip == IRQCHIP_GICV2 || config->irqchip == IRQCHIP_GICV2M ? VM_GICV2_CPUS
										     : VM_MAX_CPUS;
}

uint32_t vm_config_default_cpus(const struct vm_config *config, long host)
{
	if (host < 1)
		return 1;
	return host < most_cpus(config) ? (uint32_t)host : most_cpus(config);
}

static int check_cpus(const struct vm_config *config, struct err *err)
{
	uint64_t set[VM_CPU_SET / 64];
	int rc;

	if (config->cpus > VM_MAX_CPUS)
		return err_set(err, -EINVAL, "--cpus: %u is out of range, 1 to %d", config->cpus,
			       VM_MAX_CPUS);
	if (config->irqchip < IRQCHIP_AUTO || config->irqchip > IRQCHIP_GICV3_ITS)
		return err_set(err, -EINVAL, "--irqchip: %d is not a kind of interrupt controller",
			       config->irqchip);
	if (config->cpus > most_cpus(config))
		return err_set(err, -EINVAL,
			       "--cpus: a GICv2 serves at most %d CPUs; for %u take --irqchip "
			       "gicv3",
			       VM_GICV2_CPUS, config->cpus);
	/* Arm ARM, ZCR_ELx.LEN: vector lengths are multiples of 128 bits, up to 2048. */
	if (config->sve_max_vl &&
	    (config->sve_max_vl % 128 || config->sve_max_vl < 128 || config->sve_max_vl > 2048))
		return err_set(err, -EINVAL,
			       "--sve-max-vl: %u is not a vector length (128 to 2048 bits, a "
			       "multiple of 128)",
			       config->sve_max_vl);
	if (config->vcpu_affinity) {
		rc = vm_cpu_list_parse(config->vcpu_affinity, set, err);
		if (rc) {
			err_prefix(err, "--vcpu-affinity");
			return rc;
		}
	}
	return 0;
}

static int check_mem(const struct vm_config *config, struct err *err)
{
	if (config->mem_size < VM_MEM_MIN)
		return err_set(err, -EINVAL,
			       "--mem: %" PRIu64 " bytes are too few, %llu MiB is the least",
			       config->mem_size, VM_MEM_MIN / MIB);
	if (config->mem_size % VM_MEM_UNIT)
		return err_set(err, -EINVAL,
			       "--mem: %" PRIu64 " bytes is not a multiple of 2 MiB, %" PRIu64
			       "M is next",
			       config->mem_size, (config->mem_size / VM_MEM_UNIT + 1) * 2);
	if (config->mem_addr % VM_MEM_UNIT)
		return err_set(err, -EINVAL,
			       "--mem: the address 0x%" PRIx64 " is not a multiple of 2 MiB",
			       config->mem_addr);
	if (config->mem_addr + config->mem_size < config->mem_size)
		return err_set(err, -EINVAL,
			       "--mem: %" PRIu64 " bytes at 0x%" PRIx64 " end past 64 bits",
			       config->mem_size, config->mem_addr);
	if (config->mem_backend < MEM_BACKEND_ANON || config->mem_backend > MEM_BACKEND_MEMFD)
		return err_set(err, -EINVAL, "--mem-backend: %d is not a kind of memory",
			       config->mem_backend);
	if (config->hugetlbfs && config->mem_backend_set)
		return err_set(err, -EINVAL,
			       "--hugetlbfs: is a memory backend itself, leave out --mem-backend");
	if (config->debug_no_tags && !config->mte)
		return err_set(err, -EINVAL,
			       "--debug-no-tags: there are no tags to leave out without --mte");
	return 0;
}

static int check_boot(const struct vm_config *config, struct err *err)
{
	size_t len = config->params ? strlen(config->params) : 0;

	if (config->restoring)
		return 0;
	if (config->lazy)
		return err_set(err, -EINVAL, "--lazy: needs --restore FILE");
	if (!config->kernel && !config->firmware)
		return err_set(err, -EINVAL,
			       "nothing to boot, give a kernel with -k FILE or a firmware with -f "
			       "FILE");
	if (config->kernel && config->firmware)
		return err_set(err, -EINVAL,
			       "--kernel and --firmware exclude each other, give one of them");
	if (config->initrd && !config->kernel)
		return err_set(err, -EINVAL,
			       "--initrd: a firmware takes no initrd, use it with --kernel");
	if (config->firmware_address && !config->firmware)
		return err_set(err, -EINVAL, "--firmware-address: needs --firmware FILE");
	if (len > VM_PARAMS_MAX)
		return err_set(err, -EINVAL,
			       "--params: %zu bytes are too long for arm64 Linux, %d is the most",
			       len, VM_PARAMS_MAX);
	return 0;
}

int vm_config_check(const struct vm_config *config, struct err *err)
{
	int rc = 0;

	if (config->name)
		rc = check_name(config->name, err);
	if (!rc)
		rc = check_cpus(config, err);
	if (!rc)
		rc = check_mem(config, err);
	if (!rc)
		rc = check_boot(config, err);
	if (!rc && (config->log_level < LOG_ERROR || config->log_level > LOG_DEBUG))
		rc = err_set(err, -EINVAL, "--loglevel: %d is not a level", config->log_level);
	return rc;
}
