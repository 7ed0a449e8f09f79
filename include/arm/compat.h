/* SPDX-License-Identifier: GPL-2.0-only */
/* The payload of RECORD_COMPAT, field by field: `lkvm snapshot info` shows it. */
#ifndef LKVM_ARM_COMPAT_H
#define LKVM_ARM_COMPAT_H

#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "vm/config.h"

struct compat {
	char kernel[65]; /* of the host that saved; for people, not compared */
	uint64_t midr;	 /* the same; the registers themselves are compared when they are loaded */
	uint32_t page_size;
	uint8_t mte; /* ID_AA64PFR1_EL1.MTE of the guest, 0: none */
	uint8_t ipa_bits;
	uint8_t gic; /* enum fdt_gic */
	uint8_t pmu;
	uint32_t cpus;
	uint32_t cntfrq;		/* Hz */
	uint64_t sve_vls[VM_SVE_WORDS]; /* KVM_REG_ARM64_SVE_VLS; all zero: no SVE */
};

void compat_encode(const struct compat *c, struct wbuf *out);
int compat_decode(struct rbuf *in, struct compat *c, struct err *err);

#endif
