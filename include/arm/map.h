/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board's guest physical addresses and interrupts, kvmtool's where it has one (kvm-unit-tests and earlycon users
 * rely on the first UART at 0x1000000). docs/architecture.md shows the same as a table.
 */
#ifndef LKVM_ARM_MAP_H
#define LKVM_ARM_MAP_H

#define MAP_UART_BASE	 0x01000000ull /* UART n at + n * UART_MMIO_SIZE; 64 KiB in all */
#define MAP_RTC_BASE	 0x01010000ull
#define MAP_PVTIME_BASE	 0x01020000ull
#define MAP_PVTIME_SIZE	 0x00010000ull /* 64 bytes a vCPU (Arm DEN0057A) */
#define MAP_VMGENID_BASE 0x01030000ull
#define MAP_VMGENID_SIZE 0x00010000ull /* 16 bytes are used: whole pages of any host */
#define MAP_FLASH_BASE	 0x02000000ull
#define MAP_FLASH_SIZE	 0x01000000ull
#define MAP_GIC_TOP	 0x40000000ull /* the GIC grows down from here */
#define MAP_RAM_BASE	 0x80000000ull

/* INTIDs. PPIs are those KVM uses by default; SPIs start at 32. */
#define MAP_PMU_IRQ	23
#define MAP_UART_IRQ	32 /* + n */
#define MAP_RTC_IRQ	36
#define MAP_VMGENID_IRQ 37
#define MAP_V2M_IRQ	64 /* the MSI frame's SPIs */
#define MAP_V2M_IRQS	64

#endif
