/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 16550A UART, byte registers, level interrupt (National Semiconductor PC16550D data sheet).
 *
 * The baud rate does not matter: a byte written is sent when the host takes it. Both FIFOs are deeper behind the
 * registers than the 16 bytes the chip has, which a driver cannot tell: THRE is set while there is room for
 * UART_TX_FIFO bytes. A driver that ignores THRE when the host does not drain loses bytes, as on the chip, and is
 * logged.
 */
#ifndef LKVM_HW_UART_H
#define LKVM_HW_UART_H

#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "vm/chardev.h"
#include "vm/device.h"
#include "vm/irq.h"

#define UART_MMIO_SIZE 0x1000
#define UART_CLOCK_HZ  1843200
#define UART_TX_FIFO \
	64 /* "fifo-size" of the device tree: a quarter of the interrupts that 16 bytes take */

/*
 * Creates the device, attached to @chardev (kept by the caller, outlives the device). @irq is copied.
 * The device is ready for device_register() and bus_add().
 */
int uart_create(const char *name, struct chardev *chardev, const struct irq_line *irq,
		struct log *log, struct device **out, struct err *err);

/* A break as from the line (sysrq), then one character. Takes the device lock. Any thread. -EAGAIN: no room. */
int uart_sysrq(struct device *dev, char key);

#endif
