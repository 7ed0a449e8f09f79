/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hw/uart-regs.h"
#include "hw/uart.h"

#define CHIP_FIFO  16u
#define RX_SIZE	   256u
#define RX_RESERVE 2u	 /* of it, for uart_sysrq() */
#define RX_BREAK   0x100 /* set in an element of the ring: it stands for a break */
#define TX_SIZE	   4096u
#define TX_MUCH	   (TX_SIZE / 2)

/* So many idle looks at an empty receiver are a guest that polls for input. */
#define POLLS_LISTENING 8

struct uart_state {
	uint16_t rx[RX_SIZE]; /* a ring: the byte, and RX_BREAK */
	uint8_t tx[TX_SIZE];  /* a ring */
	uint16_t rx_head, rx_count;
	uint16_t tx_head, tx_count;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t msr_deltas;
	uint8_t lsr_latched; /* LSR_LATCHED bits that were not read yet */
	uint8_t thre_irq;    /* the transmitter has become empty, and IIR did not say so yet */
	uint8_t polls;	     /* see listening() */
	uint8_t uses_rts;    /* MCR_RTS has been set at least once */
};

struct uart {
	struct device dev;
	struct uart_state state;
	struct irq_line irq;
	struct chardev *chardev;
	struct log *log;
	bool looked; /* at LSR, and nothing else since: a hint for count_poll(), not worth saving */
};

static struct uart *to_uart(struct device *dev)
{
	/* dev is the first member. */
	return (struct uart *)dev;
}

static bool fifos_on(const struct uart_state *s)
{
	return s->fcr & FCR_ENABLE;
}

/* Room for all that a driver may write after seeing it; what is in the ring counts as sent. */
static bool tx_has_room(const struct uart_state *s)
{
	return s->tx_count <= TX_SIZE - UART_TX_FIFO;
}

/* --- interrupts --- */

static unsigned int rx_trigger(const struct uart_state *s)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return levels[s->fcr >> 6];
}

/* The interrupt that IIR shows. */
static uint8_t pending(const struct uart_state *s)
{
	if ((s->ier & IER_RLSI) && s->lsr_latched)
		return IIR_RLSI;
	/*
	 * Below the trigger level the chip waits for four character times without input before it says so: to the
	 * guest any time may have passed, so it is said at once.
	 */
	if ((s->ier & IER_RDI) && s->rx_count)
		return fifos_on(s) && s->rx_count < rx_trigger(s) ? IIR_TIMEOUT : IIR_RDI;
	if ((s->ier & IER_THRI) && s->thre_irq)
		return IIR_THRI;
	if ((s->ier & IER_MSI) && s->msr_deltas)
		return IIR_MSI;
	return IIR_NONE;
}

static void update_irq(struct uart *u)
{
	irq_set(&u->irq, pending(&u->state) != IIR_NONE);
}

/* --- the receiver --- */

/*
 * Whether the guest takes input at all. The host's input waits outside until it does, because a driver that starts
 * resets the FIFOs, and a script that was piped into stdin must not be lost to that.
 *
 * A guest that drives RTS says it by RTS, which is what the line is for; before it ever did, by enabling the receive
 * interrupt. One that works without interrupts gives itself away by polling.
 */
static bool listening(const struct uart_state *s)
{
	if (s->mcr & MCR_LOOP)
		return false;
	if (s->polls >= POLLS_LISTENING)
		return true;
	return (s->ier & IER_RDI) && (!s->uses_rts || (s->mcr & MCR_RTS));
}

/*
 * Nothing there: a sign of polling, unless it is the transmitter that is looked at. Output takes one look at LSR a byte,
 * so the first after a byte tells nothing, but another one does, even if only one line in many has it.
 */
static void count_poll(struct uart *u)
{
	struct uart_state *s = &u->state;

	if (s->polls >= POLLS_LISTENING || !tx_has_room(s))
		return;
	if (++s->polls == POLLS_LISTENING)
		chardev_rx_room(u->chardev);
}

/* A break is told in LSR when it comes to the top of the FIFO (8.4, note 1), and stays there until LSR is read. */
static void rx_latch_top(struct uart_state *s)
{
	if (s->rx_count && (s->rx[s->rx_head] & RX_BREAK))
		s->lsr_latched |= LSR_BI;
}

static bool rx_push(struct uart_state *s, uint16_t element)
{
	if (s->rx_count == RX_SIZE)
		return false;
	s->rx[(s->rx_head + s->rx_count++) % RX_SIZE] = element;
	if (s->rx_count == 1)
		rx_latch_top(s);
	return true;
}

static uint8_t read_rbr(struct uart *u)
{
	struct uart_state *s = &u->state;
	uint8_t byte;

	if (!s->rx_count) {
		count_poll(u);
		return 0;
	}
	u->looked = false;
	byte = (uint8_t)s->rx[s->rx_head];
	s->rx_head = (s->rx_head + 1) % RX_SIZE;
	s->rx_count--;
	rx_latch_top(s);
	update_irq(u);
	/* Not for each byte: the host's side is woken once for half a ring. */
	if (s->rx_count <= RX_SIZE / 2 && listening(s))
		chardev_rx_room(u->chardev);
	return byte;
}

/* In loopback the transmitter feeds the receiver, which has no more than the chip's depth then. */
static void loop_back(struct uart_state *s, uint8_t byte)
{
	unsigned int depth = fifos_on(s) ? CHIP_FIFO : 1;

	if (s->rx_count < depth)
		(void)rx_push(s, byte);
	else
		s->lsr_latched |= LSR_OE;
}

static size_t port_rx_room(struct device *dev)
{
	const struct uart_state *s = &to_uart(dev)->state;
	/*
	 * Without FIFOs one byte, as on the chip. What stays in the ring when a driver turns the FIFOs on (which it
	 * may do after it has enabled the interrupt) is no more than that.
	 */
	unsigned int depth = fifos_on(s) ? RX_SIZE - RX_RESERVE : 1;

	return listening(s) && s->rx_count < depth ? depth - s->rx_count : 0;
}

static void port_rx(struct device *dev, const uint8_t *bytes, size_t n)
{
	struct uart *u = to_uart(dev);

	for (size_t i = 0; i < n; i++)
		(void)rx_push(&u->state, bytes[i]);
	update_irq(u);
}

static void port_rx_break(struct device *dev)
{
	struct uart *u = to_uart(dev);

	(void)rx_push(&u->state, RX_BREAK);
	update_irq(u);
}

/* --- the transmitter --- */

static void write_thr(struct uart *u, uint8_t byte)
{
	struct uart_state *s = &u->state;

	if (s->mcr & MCR_LOOP) {
		loop_back(s, byte);
		s->thre_irq = tx_has_room(s);
		update_irq(u);
		return;
	}
	if (s->tx_count == TX_SIZE) {
		log_guest(u->log, "%s: output lost: the guest writes to a full transmitter",
			  u->dev.name);
		return;
	}
	s->tx[(s->tx_head + s->tx_count++) % TX_SIZE] = byte;
	/* It is sent at once, so the transmitter is empty again, unless that was the last room. */
	s->thre_irq = tx_has_room(s);
	update_irq(u);
	if (s->tx_count == 1 || s->tx_count == TX_MUCH + 1)
		chardev_tx_waiting(u->chardev);
}

static size_t port_tx_peek(struct device *dev, uint8_t *bytes, size_t max)
{
	const struct uart_state *s = &to_uart(dev)->state;
	size_t n = s->tx_count < max ? s->tx_count : max;
	size_t first = n < TX_SIZE - s->tx_head ? n : TX_SIZE - s->tx_head;

	memcpy(bytes, &s->tx[s->tx_head], first);
	memcpy(bytes + first, s->tx, n - first);
	return n;
}

static void port_tx_done(struct device *dev, size_t n)
{
	struct uart *u = to_uart(dev);
	struct uart_state *s = &u->state;
	bool had_room = tx_has_room(s);

	if (n > s->tx_count)
		n = s->tx_count;
	s->tx_head = (s->tx_head + n) % TX_SIZE;
	s->tx_count -= n;
	if (!had_room && tx_has_room(s)) {
		s->thre_irq = 1;
		update_irq(u);
	}
}

static const struct chardev_port uart_port = {
	.rx_room = port_rx_room,
	.rx = port_rx,
	.rx_break = port_rx_break,
	.tx_peek = port_tx_peek,
	.tx_done = port_tx_done,
};

/* --- registers --- */

/* The other end of the line is always there and ready; in loopback it is our own outputs (8.8). */
static uint8_t modem_lines(const struct uart_state *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart_state *s, uint8_t value)
{
	uint8_t before = modem_lines(s), changed;

	s->mcr = value & MCR_BITS;
	if ((value & MCR_RTS) && !(value & MCR_LOOP))
		s->uses_rts = 1;
	changed = before ^ modem_lines(s);
	if (changed & MSR_CTS)
		s->msr_deltas |= MSR_DELTA_CTS;
	if (changed & MSR_DSR)
		s->msr_deltas |= MSR_DELTA_DSR;
	if (changed & before & MSR_RI)
		s->msr_deltas |= MSR_RI_FELL;
	if (changed & MSR_DCD)
		s->msr_deltas |= MSR_DELTA_DCD;
}

/*
 * The transmit FIFO is never cleared: what is in the ring was sent as far as the guest can know, since LSR said so, and
 * a console's last line must not vanish because a driver takes over.
 */
static void write_fcr(struct uart_state *s, uint8_t value)
{
	bool was_on = fifos_on(s);
	/* Without the enable bit the others are not programmed (8.5). */
	bool clear = value & FCR_ENABLE ? value & FCR_RX_RESET : was_on;

	s->fcr = value & FCR_ENABLE ? value & FCR_BITS : 0;
	/*
	 * Turning FIFOs on clears them too, by the data sheet. But what the receiver holds without FIFOs is one byte,
	 * and that it came a moment later than it did is something no guest can disprove: it is kept.
	 */
	if (clear) {
		s->rx_head = s->rx_count = 0;
		s->lsr_latched &= ~LSR_BI;
	}
}

static uint8_t read_lsr(struct uart *u)
{
	struct uart_state *s = &u->state;
	uint8_t value = s->lsr_latched;

	if (s->rx_count)
		value |= LSR_DR;
	else if (u->looked)
		count_poll(u);
	u->looked = true;
	if (tx_has_room(s))
		value |= LSR_THRE | LSR_TEMT;
	if (fifos_on(s)) {
		if (s->lsr_latched & LSR_BI)
			value |= LSR_FIFO_ERROR;
		for (unsigned int i = 1; i < s->rx_count && i < CHIP_FIFO; i++)
			if (s->rx[(s->rx_head + i) % RX_SIZE] & RX_BREAK)
				value |= LSR_FIFO_ERROR;
	}
	if (s->lsr_latched) {
		s->lsr_latched = 0;
		update_irq(u);
	}
	return value;
}

static uint8_t read_iir(struct uart *u)
{
	struct uart_state *s = &u->state;
	uint8_t value = pending(s);

	s->polls = 0; /* whoever asks for the interrupt is driven by it */
	u->looked = false;
	if (value == IIR_THRI) {
		s->thre_irq = 0;
		update_irq(u);
	}
	return value | (fifos_on(s) ? IIR_FIFOS : 0);
}

static uint8_t read_msr(struct uart *u)
{
	struct uart_state *s = &u->state;
	uint8_t value = modem_lines(s) | s->msr_deltas;

	s->msr_deltas = 0;
	update_irq(u);
	return value;
}

static uint8_t read_register(struct uart *u, unsigned int reg)
{
	struct uart_state *s = &u->state;

	switch (reg) {
	case REG_DATA:
		return s->lcr & LCR_DLAB ? s->dll : read_rbr(u);
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR:
		return read_iir(u);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		return read_msr(u);
	default:
		return s->scr;
	}
}

static void write_ier(struct uart_state *s, uint8_t value)
{
	/* Enabled with the transmitter empty: the interrupt comes at once (8.6, and every driver's start). */
	if ((value & ~s->ier & IER_THRI) && tx_has_room(s))
		s->thre_irq = 1;
	s->ier = value & IER_BITS;
}

/* All but THR, which has no time to lose. */
static void write_register(struct uart *u, unsigned int reg, uint8_t value)
{
	struct uart_state *s = &u->state;

	switch (reg) {
	case REG_DATA:
		s->dll = value;
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB)
			s->dlm = value;
		else
			write_ier(s, value);
		break;
	case REG_IIR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		write_mcr(s, value);
		break;
	case REG_SCR:
		s->scr = value;
		break;
	default: /* LSR and MSR are for reading */
		break;
	}
	update_irq(u);
	if (listening(s))
		chardev_rx_room(u->chardev);
}

/* A register is one byte wide; a wider access reaches the one at its address. The rest of the window is empty. */
static uint64_t uart_read(struct device *dev, uint64_t offset, unsigned int len)
{
	(void)len;
	return offset <= REG_SCR ? read_register(to_uart(dev), (unsigned int)offset) : 0;
}

static void uart_write(struct device *dev, uint64_t offset, unsigned int len, uint64_t value)
{
	struct uart *u = to_uart(dev);

	(void)len;
	if (offset > REG_SCR)
		return;
	u->looked = false;
	if (offset == REG_DATA && !(u->state.lcr & LCR_DLAB)) {
		write_thr(u, (uint8_t)value);
		return;
	}
	u->state.polls = 0; /* a driver that sets the chip up */
	write_register(u, (unsigned int)offset, (uint8_t)value);
}

/* --- state --- */

static const struct state_field uart_fields[] = {
	STATE_ARRAY(struct uart_state, rx, RX_SIZE), STATE_ARRAY(struct uart_state, tx, TX_SIZE),
	STATE_FIELD(struct uart_state, rx_head),     STATE_FIELD(struct uart_state, rx_count),
	STATE_FIELD(struct uart_state, tx_head),     STATE_FIELD(struct uart_state, tx_count),
	STATE_FIELD(struct uart_state, ier),	     STATE_FIELD(struct uart_state, fcr),
	STATE_FIELD(struct uart_state, lcr),	     STATE_FIELD(struct uart_state, mcr),
	STATE_FIELD(struct uart_state, scr),	     STATE_FIELD(struct uart_state, dll),
	STATE_FIELD(struct uart_state, dlm),	     STATE_FIELD(struct uart_state, msr_deltas),
	STATE_FIELD(struct uart_state, lsr_latched), STATE_FIELD(struct uart_state, thre_irq),
	STATE_FIELD(struct uart_state, polls),	     STATE_FIELD(struct uart_state, uses_rts),
};

static int uart_check(const void *state, struct err *err)
{
	const struct uart_state *s = state;

	if (s->rx_head >= RX_SIZE || s->rx_count > RX_SIZE)
		return err_set(err, -EBADMSG, "receive buffer: %u bytes at %u of %u", s->rx_count,
			       s->rx_head, RX_SIZE);
	if (s->tx_head >= TX_SIZE || s->tx_count > TX_SIZE)
		return err_set(err, -EBADMSG, "transmit buffer: %u bytes at %u of %u", s->tx_count,
			       s->tx_head, TX_SIZE);
	for (unsigned int i = 0; i < RX_SIZE; i++)
		if (s->rx[i] & ~(RX_BREAK | 0xff))
			return err_set(err, -EBADMSG, "receive buffer: 0x%x is no character",
				       s->rx[i]);
	if ((s->ier & ~IER_BITS) || (s->fcr & ~FCR_BITS) || (s->fcr && !fifos_on(s)) ||
	    (s->mcr & ~MCR_BITS) || (s->msr_deltas & ~MSR_DELTAS) ||
	    (s->lsr_latched & ~LSR_LATCHED))
		return err_set(err, -EBADMSG, "a register has a bit set that the chip has not");
	if (s->thre_irq > 1 || s->uses_rts > 1 || s->polls > POLLS_LISTENING)
		return err_set(err, -EBADMSG, "a flag is neither set nor clear");
	return 0;
}

static const struct state_desc uart_desc = {
	.name = "uart",
	.version = 1,
	.nfields = sizeof(uart_fields) / sizeof(uart_fields[0]),
	.size = sizeof(struct uart_state),
	.fields = uart_fields,
	.check = uart_check,
};

static void uart_loaded(struct device *dev)
{
	struct uart *u = to_uart(dev);

	update_irq(u);
	if (u->state.tx_count)
		chardev_tx_waiting(u->chardev);
	chardev_rx_room(u->chardev);
}

/* --- the device --- */

static void uart_release(struct device *dev)
{
	struct uart *u = to_uart(dev);

	chardev_attach(u->chardev, NULL, NULL);
	pthread_mutex_destroy(&dev->lock);
	free(u);
}

static const struct device_ops uart_ops = {
	.read = uart_read,
	.write = uart_write,
	.loaded = uart_loaded,
	.release = uart_release,
};

int uart_create(const char *name, struct chardev *chardev, const struct irq_line *irq,
		struct log *log, struct device **out, struct err *err)
{
	struct uart *u = calloc(1, sizeof(*u));

	if (!u)
		return err_sys(err, -ENOMEM, "%s", name);
	u->dev.name = name;
	u->dev.ops = &uart_ops;
	u->dev.state_desc = &uart_desc;
	u->dev.state = &u->state;
	pthread_mutex_init(&u->dev.lock, NULL);
	u->irq = *irq;
	u->chardev = chardev;
	u->log = log;
	u->state.dll = 1; /* 115200 at UART_CLOCK_HZ: some drivers take over the rate they find */
	chardev_attach(chardev, &u->dev, &uart_port);
	*out = &u->dev;
	return 0;
}

int uart_sysrq(struct device *dev, char key)
{
	struct uart *u = to_uart(dev);
	int rc = -EAGAIN;

	device_lock(dev);
	if (u->state.rx_count <= RX_SIZE - RX_RESERVE) {
		(void)rx_push(&u->state, RX_BREAK);
		(void)rx_push(&u->state, (uint8_t)key);
		update_irq(u);
		rc = 0;
	}
	device_unlock(dev);
	return rc;
}
