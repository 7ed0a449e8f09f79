/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Serial data in bulk. The command line says what:
 *   test=pattern            prints lines of 64 bytes, bytes=N in all (default 204800), then "crc HEX bytes N"
 *   test=count bytes=N      reads N bytes (default 65536), then prints "crc HEX bytes N"
 *   test=echo bytes=N       the same, and gives each byte back before that
 * irq=1: input by the receive interrupt instead of polling. The CRC is zlib's crc32().
 */
#include "bare.h"

#define RBR	 0
#define THR	 0
#define IER	 1
#define FCR	 2
#define LSR	 5
#define LSR_DR	 0x01
#define LSR_THRE 0x20
#define RING	 (1u << 17)

static uint32_t crc_table[256];

static void crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
	return crc_table[(crc ^ byte) & 0xff] ^ crc >> 8;
}

static void pattern(uint64_t bytes)
{
	uint64_t uart = board.uart[0];
	uint32_t crc = ~0u;

	out8(uart + FCR, 1);

	for (uint64_t n = 0; n < bytes; n++) {
		uint64_t line = n / 64, column = n % 64;
		char c = column == 63 ? '\n'
			 : column < 8 ? "0123456789abcdef"[line >> (28 - 4 * column) & 0xf]
				      : (char)('!' + (line + column) % 90);

		/* THRE: the FIFO is empty, and takes sixteen. */
		while (n % 16 == 0 && !(in8(uart + LSR) & LSR_THRE))
			;
		out8(uart + THR, (uint8_t)c);
		crc = crc_byte(crc, (uint8_t)c);
	}
	print("crc %08x bytes %lu\n", ~crc, bytes);
}

static uint8_t *ring;
static volatile uint32_t ring_in, ring_out;

static void hook(struct cpu *cpu, uint32_t intid)
{
	uint64_t uart = board.uart[0];

	(void)cpu;
	if (intid != board.uart_irq[0])
		return;
	while (in8(uart + LSR) & LSR_DR)
		ring[ring_in++ % RING] = in8(uart + RBR);
}

static uint8_t next_byte(bool irq)
{
	uint64_t uart = board.uart[0];

	if (!irq) {
		while (!(in8(uart + LSR) & LSR_DR))
			;
		return in8(uart + RBR);
	}
	while (ring_in == ring_out) {
		/* With interrupts masked a pending one ends the wait, so none is missed. */
		irqs_off();
		if (ring_in == ring_out)
			wfi();
		irqs_on();
	}
	return ring[ring_out++ % RING];
}

static void take(uint64_t bytes, bool echo)
{
	bool irq = word_is("irq", "1");
	uint32_t crc = ~0u;

	out8(board.uart[0] + FCR, 0x81);
	if (irq) {
		ring = alloc(RING, 16);
		gic_init();
		gic_cpu_init();
		irq_hook = hook;
		gic_enable(board.uart_irq[0], 0x80, false);
		out8(board.uart[0] + IER, 1);
		irqs_on();
	}
	print("ready\n");
	for (uint64_t n = 0; n < bytes; n++) {
		uint8_t byte = next_byte(irq);

		crc = crc_byte(crc, byte);
		if (echo)
			put_char((char)byte);
	}
	irqs_off();
	if (irq)
		print("# %u interrupts\n", this_cpu()->irqs[board.uart_irq[0]]);
	print("%scrc %08x bytes %lu\n", echo ? "\n" : "", ~crc, bytes);
}

void guest_main(void)
{
	crc_init();
	if (word_is("test", "pattern"))
		pattern(word_number("bytes", 200 * 1024));
	else
		take(word_number("bytes", 64 * 1024), word_is("test", "echo"));
}
