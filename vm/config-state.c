/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine's configuration as a record: what restore and incoming migration build from. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/config.h"

#define UART_BITS ((1u << VM_MAX_UARTS) - 1)

void vm_config_encode(const struct vm_config *config, const char *name, struct wbuf *out)
{
	uint8_t uarts = 1;

	for (unsigned int i = 1; i < VM_MAX_UARTS; i++)
		uarts |= config->tty[i] << i;
	wbuf_str(out, name);
	wbuf_u32(out, config->cpus);
	wbuf_u64(out, config->mem_size);
	wbuf_u64(out, config->mem_addr);
	wbuf_u8(out, config->mem_backend);
	wbuf_u8(out, config->irqchip);
	wbuf_u8(out, config->mte);
	wbuf_u8(out, config->pmu);
	wbuf_u8(out, config->pvtime);
	wbuf_u8(out, config->flash != NULL || config->flash_bank);
	wbuf_u8(out, uarts);
	for (unsigned int i = 0; i < VM_SVE_WORDS; i++)
		wbuf_u64(out, config->sve_vls[i]);
}

static bool read_flag(struct rbuf *in)
{
	uint8_t v = rbuf_u8(in);

	if (v > 1)
		in->error = -EBADMSG;
	return v;
}

int vm_config_decode(struct rbuf *in, struct vm_config *config, char name[VM_NAME_MAX + 1],
		     struct err *err)
{
	uint8_t uarts;

	vm_config_init(config);
	rbuf_str(in, name, VM_NAME_MAX + 1);
	config->cpus = rbuf_u32(in);
	config->mem_size = rbuf_u64(in);
	config->mem_addr = rbuf_u64(in);
	config->mem_backend = rbuf_u8(in);
	config->irqchip = rbuf_u8(in);
	config->mte = read_flag(in);
	config->pmu = read_flag(in);
	config->pvtime = read_flag(in);
	config->flash_bank = read_flag(in);
	uarts = rbuf_u8(in);
	for (unsigned int i = 0; i < VM_SVE_WORDS; i++)
		config->sve_vls[i] = rbuf_u64(in);
	for (unsigned int i = 1; i < VM_MAX_UARTS; i++)
		config->tty[i] = uarts >> i & 1;
	if (rbuf_done(in) || !(uarts & 1) || uarts & ~UART_BITS || !config->cpus ||
	    config->irqchip == IRQCHIP_AUTO)
		return err_set(err, -EBADMSG, "the record of the configuration is malformed");
	config->name = name;
	config->restoring = true;
	return vm_config_check(config, err);
}
