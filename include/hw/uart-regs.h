/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers of the 16550A (PC16550D data sheet, section 8); for hw/uart.c. */
#ifndef LKVM_HW_UART_REGS_H
#define LKVM_HW_UART_REGS_H

/* Registers by offset (PC16550D, table II). With LCR_DLAB, 0 and 1 are the divisor latch. */
#define REG_DATA 0 /* read RBR, write THR */
#define REG_IER	 1
#define REG_IIR	 2 /* write: FCR */
#define REG_LCR	 3
#define REG_MCR	 4
#define REG_LSR	 5
#define REG_MSR	 6
#define REG_SCR	 7

#define IER_RDI	 0x01 /* data received */
#define IER_THRI 0x02 /* transmitter empty */
#define IER_RLSI 0x04 /* line status */
#define IER_MSI	 0x08 /* modem status */
#define IER_BITS 0x0f

/* Lowest first; a higher one hides those below it (8.6). */
#define IIR_MSI	    0x00
#define IIR_NONE    0x01
#define IIR_THRI    0x02
#define IIR_RDI	    0x04
#define IIR_RLSI    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS   0xc0

#define FCR_ENABLE   0x01
#define FCR_RX_RESET 0x02
#define FCR_BITS     0xc9 /* those that stay: enable, DMA mode, trigger level */

#define LCR_DLAB 0x80

#define MCR_DTR	 0x01
#define MCR_RTS	 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_BITS 0x1f

#define LSR_DR	       0x01
#define LSR_OE	       0x02
#define LSR_BI	       0x10
#define LSR_THRE       0x20
#define LSR_TEMT       0x40
#define LSR_FIFO_ERROR 0x80
#define LSR_LATCHED    (LSR_OE | LSR_BI)

#define MSR_DELTA_CTS 0x01
#define MSR_DELTA_DSR 0x02
#define MSR_RI_FELL   0x04
#define MSR_DELTA_DCD 0x08
#define MSR_CTS	      0x10
#define MSR_DSR	      0x20
#define MSR_RI	      0x40
#define MSR_DCD	      0x80
#define MSR_DELTAS    0x0f

#endif
