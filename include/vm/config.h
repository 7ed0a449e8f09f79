/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the user asked for: plain data, filled by the options of `lkvm run`, checked by vm_config_check(), then only
 * read. Strings belong to whoever filled it (argv) and live as long as the VM. The machine is built from this and
 * from nothing else.
 */
#ifndef LKVM_VM_CONFIG_H
#define LKVM_VM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

#define VM_NAME_MAX   63  /* bytes, see vm_name_valid() */
#define VM_MAX_CPUS   512 /* GICv3's limit in KVM; the host may have a lower one */
#define VM_MAX_UARTS  4
#define VM_MEM_UNIT   0x200000 /* RAM comes in 2 MiB, the block size of stage 2 with 4 KiB pages */
#define VM_MEM_MIN    (16ull << 20)
#define VM_SVE_WORDS  8 /* of KVM_REG_ARM64_SVE_VLS */
#define VM_CPU_SET    1024
#define VM_PARAMS_MAX 2047 /* bytes; arm64's COMMAND_LINE_SIZE is 2048 with the NUL */
#define VM_GICV2_CPUS 8	   /* a GICv2 has no more CPU interfaces */

enum vm_irqchip { IRQCHIP_AUTO, IRQCHIP_GICV2, IRQCHIP_GICV2M, IRQCHIP_GICV3, IRQCHIP_GICV3_ITS };
enum vm_mem_backend { MEM_BACKEND_ANON, MEM_BACKEND_MEMFD };

struct vm_config {
	const char *name; /* NULL: guest-PID */

	uint32_t cpus;		   /* 0: see vm_config_default_cpus() */
	const char *vcpu_affinity; /* host CPU list such as 0-3,6; NULL: free */
	uint32_t sve_max_vl;	   /* bits, a multiple of 128; 0: the host's */
	/* Exactly these SVE vector lengths, a bit each (KVM_REG_ARM64_SVE_VLS); all zero: see sve_max_vl. */
	uint64_t sve_vls[VM_SVE_WORDS];
	bool pmu;
	bool pvtime;

	uint64_t mem_size;     /* bytes, a multiple of VM_MEM_UNIT */
	uint64_t mem_addr;     /* guest physical, 0: the board's default (2 GiB) */
	int mem_backend;       /* enum vm_mem_backend */
	bool mem_backend_set;  /* asked for, not the default */
	const char *hugetlbfs; /* mount point; instead of mem_backend */
	bool mte;

	int irqchip; /* enum vm_irqchip */

	const char *kernel;
	const char *initrd;
	const char *params;	   /* added to the guest's command line */
	const char *firmware;	   /* flat image; instead of kernel */
	uint64_t firmware_address; /* guest physical, 0: start of RAM */
	const char *flash;
	const char *dump_dtb;
	const char *restore; /* this snapshot instead of all but name, kernel, initrd and params */
	uint64_t kaslr_seed;
	bool kaslr_seed_set; /* else from host entropy */
	bool flash_bank;     /* the flash is there, its contents come from a snapshot */
	bool restoring;	     /* nothing to boot: all comes from a snapshot or a stream */
	bool lazy;	     /* with restore: RAM comes while the guest runs */
	bool nodefaults;     /* add nothing to the command line */
	bool no_reboot;

	bool tty[VM_MAX_UARTS]; /* this UART is a pseudo-terminal; else UART 0 is stdin and stdout */

	int log_level; /* enum log_level */

	/* Controls for the tests: each takes one protection away, so that its failure can be seen. */
	bool debug_no_seal; /* RAM mapping is not sealed */
	bool debug_no_tags; /* RAM is mapped without PROT_MTE although the guest has MTE */
};

/* Defaults, before options. */
void vm_config_init(struct vm_config *config);

/* [A-Za-z0-9][A-Za-z0-9._-]*, at most VM_NAME_MAX: safe as part of a path. */
bool vm_name_valid(const char *name);

/* How many vCPUs there are when it is not said, on a host that has, or gives a guest, so many CPUs. */
uint32_t vm_config_default_cpus(const struct vm_config *config, long host);

/* Host CPUs of a list such as 0-3,6, a bit for each; at least one. The text of an error names the list. */
int vm_cpu_list_parse(const char *list, uint64_t set[VM_CPU_SET / 64], struct err *err);

/*
 * The machine's configuration as the payload of RECORD_CONFIG, what restore and incoming migration build from. @name: the
 * VM's. Decoding checks all values; config->name points to @name then, and host resources are those of the defaults.
 */
void vm_config_encode(const struct vm_config *config, const char *name, struct wbuf *out);
int vm_config_decode(struct rbuf *in, struct vm_config *config, char name[VM_NAME_MAX + 1],
		     struct err *err);

/* What can be told wrong without looking at the host or any file; -EINVAL and one line that names the option. */
int vm_config_check(const struct vm_config *config, struct err *err);

#endif
