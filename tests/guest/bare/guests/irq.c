/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The generic timer and the interrupt controller: PPIs, SGIs, SPIs, priorities, routing, LPIs (with an ITS), messages
 * (with a GICv2m frame). gic=2, 2m, 3 or 3-its on the command line is what the device tree must have.
 */
#include "its.h"

#define PPI_VIRTUAL  27
#define PPI_PHYSICAL 30
#define PPI_FREE     20
#define SPI_FREE     45 /* nobody's; and the two after it */

static uint32_t order[8];
static volatile uint32_t order_n;

static void hook(struct cpu *cpu, uint32_t intid)
{
	(void)cpu;
	if (cpu->index == 0 && order_n < 8)
		order[order_n++] = intid;
	if (intid == PPI_VIRTUAL)
		write_reg("cntv_ctl_el0", 0);
	else if (intid == PPI_PHYSICAL)
		write_reg("cntp_ctl_el0", 0);
	else if (intid == board.uart_irq[0])
		(void)in8(board.uart[0] + 2); /* IIR: the transmitter's interrupt is taken back */
	isb();
}

struct count {
	volatile uint32_t *what;
	uint32_t want;
};

static bool reached(void *ctx)
{
	const struct count *c = ctx;

	return *c->what >= c->want;
}

/* That counter comes to that value within two seconds, and goes no further in the next 2 ms. */
static bool counts_to(volatile uint32_t *what, uint32_t want)
{
	struct count c = {what, want};
	bool good;

	irqs_on();
	good = wait_until(reached, &c, 2000);
	delay_us(2000);
	irqs_off();
	return good && *what == want;
}

static void which_controller(void)
{
	static const struct {
		const char *name;
		enum gic gic;
		bool msi;
	} kinds[] = {{"2", GIC_V2, false},
		     {"2m", GIC_V2, true},
		     {"3", GIC_V3, false},
		     {"3-its", GIC_V3, true}};
	char text[16];
	const char *want = word("gic", text, sizeof(text), NULL);

	if (!want) {
		skip(1, "no gic= on the command line");
		return;
	}
	for (unsigned int i = 0; i < 4; i++)
		if (!strcmp(want, kinds[i].name)) {
			bool msi = kinds[i].gic == GIC_V2 ? board.v2m.size : board.its.size;

			ok(board.gic == kinds[i].gic && msi == kinds[i].msi,
			   "the controller is a GICv%s", want);
			return;
		}
	ok(false, "gic=%s is none of 2, 2m, 3, 3-its", want);
}

static void timer(uint32_t ppi, const char *name)
{
	struct cpu *cpu = this_cpu();
	uint64_t hz = read_reg("cntfrq_el0"), start;
	bool virtual = ppi == PPI_VIRTUAL, good;
	uint64_t us;

	gic_enable(ppi, 0x80, false);
	start = now_us();
	if (virtual) {
		write_reg("cntv_tval_el0", hz / 50);
		write_reg("cntv_ctl_el0", 1);
	} else {
		write_reg("cntp_tval_el0", hz / 50);
		write_reg("cntp_ctl_el0", 1);
	}
	isb();
	irqs_on();
	while (!cpu->irqs[ppi] && now_us() < start + 3000000)
		;
	us = now_us() - start;
	irqs_off();
	ok(cpu->irqs[ppi] == 1 && us >= 20000, "%s timer: after 20 ms (%lu us)", name, us);
	good = counts_to(&cpu->irqs[ppi], 1);
	ok(good, "%s timer: once", name);

	/* Masked: its time has come, but it says nothing. */
	if (virtual) {
		write_reg("cntv_tval_el0", 0);
		write_reg("cntv_ctl_el0", 3);
	} else {
		write_reg("cntp_tval_el0", 0);
		write_reg("cntp_ctl_el0", 3);
	}
	good = counts_to(&cpu->irqs[ppi], 1);
	us = virtual ? read_reg("cntv_ctl_el0") : read_reg("cntp_ctl_el0");
	ok(good && us == 7, "%s timer: masked", name);
	write_reg("cntv_ctl_el0", 0);
	write_reg("cntp_ctl_el0", 0);
	isb();
}

static void wait_for_interrupt(void)
{
	struct cpu *cpu = this_cpu();
	uint32_t before = cpu->irqs[PPI_VIRTUAL];
	uint64_t start = now_us(), us;

	write_reg("cntv_tval_el0", read_reg("cntfrq_el0") / 20);
	write_reg("cntv_ctl_el0", 1);
	isb();
	/* Masked in the CPU: WFI ends all the same. */
	do
		wfi();
	while (!(read_reg("cntv_ctl_el0") & 4));
	us = now_us() - start;
	ok(us >= 50000, "WFI ends with the timer (%lu us)", us);
	ok(counts_to(&cpu->irqs[PPI_VIRTUAL], before + 1), "which is then taken");
}

static void sgis(void)
{
	struct cpu *cpu = this_cpu();
	bool good = true;

	for (uint32_t i = 0; i < 16; i++) {
		gic_enable(i, 0x80, true);
		gic_send_sgi(0, i);
		good = good && counts_to(&cpu->irqs[i], 1);
	}
	ok(good, "each SGI to this CPU");
}

static volatile uint32_t replies;

/* Answers each SGI 1 of the first CPU with an SGI 2, until an SGI 3. */
static void answer_hook(struct cpu *cpu, uint32_t intid)
{
	hook(cpu, intid);
	if (cpu->index && intid == 1)
		gic_send_sgi(0, 2);
	if (!cpu->index && intid == 2)
		replies++;
}

static void answering_cpu(struct cpu *cpu)
{
	gic_cpu_init();
	for (uint32_t i = 1; i < 4; i++)
		gic_enable(i, 0x80, true);
	irqs_on();
	while (!cpu->irqs[3])
		wfi();
}

static bool has_state(void *ctx)
{
	return ((struct cpu *)ctx)->state == CPU_RUNNING;
}

static void other_cpus(void)
{
	bool good = true, routed = true;

	if (board.cpus < 2) {
		skip(2, "one CPU only");
		return;
	}
	irq_hook = answer_hook;
	for (uint32_t i = 1; i < board.cpus && good; i++) {
		replies = 0;
		good = cpu_start(i, answering_cpu) == PSCI_SUCCESS;
		good = good && wait_until(has_state, &cpus[i], 5000);
		for (uint32_t n = 1; n <= 10 && good; n++) {
			gic_send_sgi(i, 1);
			good = counts_to(&replies, n) && cpus[i].irqs[1] == n;
		}
		/* An SPI that is routed there. */
		gic_enable(SPI_FREE, 0x80, true);
		gic_route(SPI_FREE, i);
		gic_set_pending(SPI_FREE, true);
		routed = routed && counts_to(&cpus[i].irqs[SPI_FREE], 1);
		gic_disable(SPI_FREE);
		gic_send_sgi(i, 3);
		good = good && cpu_wait_off(i, 5000);
	}
	irq_hook = hook;
	ok(good, "SGIs to each other CPU and back");
	ok(routed, "an SPI to each other CPU");
}

static void ppis_and_spis(void)
{
	struct cpu *cpu = this_cpu();
	uint32_t uart = board.uart_irq[0], before;
	bool good;

	gic_enable(PPI_FREE, 0x80, true);
	gic_set_pending(PPI_FREE, true);
	ok(counts_to(&cpu->irqs[PPI_FREE], 1), "a PPI that is made pending");

	before = cpu->irqs[SPI_FREE];
	gic_enable(SPI_FREE, 0x80, true);
	gic_disable(SPI_FREE);
	good = !gic_is_enabled(SPI_FREE);
	gic_set_pending(SPI_FREE, true);
	good = good && gic_is_pending(SPI_FREE) && counts_to(&cpu->irqs[SPI_FREE], before);
	ok(good, "an SPI that is disabled waits");
	gic_enable(SPI_FREE, 0x80, true);
	good = counts_to(&cpu->irqs[SPI_FREE], before + 1) && !gic_is_pending(SPI_FREE);
	ok(good, "and comes when it is enabled");
	gic_disable(SPI_FREE);
	gic_set_pending(SPI_FREE, true);
	gic_set_pending(SPI_FREE, false);
	gic_enable(SPI_FREE, 0x80, true);
	ok(counts_to(&cpu->irqs[SPI_FREE], before + 1), "and not when that was taken back");

	before = cpu->irqs[uart];
	gic_enable(uart, 0x80, false);
	out8(board.uart[0] + 1, 2); /* IER: transmitter empty */
	good = counts_to(&cpu->irqs[uart], before + 1);
	out8(board.uart[0] + 1, 0);
	gic_disable(uart);
	ok(good, "the UART's SPI");
}

static void priorities(void)
{
	bool good;

	for (uint32_t i = 0; i < 3; i++)
		gic_enable(SPI_FREE + i, (uint8_t[]){0xa0, 0x40, 0x80}[i], true);
	order_n = 0;
	for (uint32_t i = 0; i < 3; i++)
		gic_set_pending(SPI_FREE + i, true);
	good = counts_to(&order_n, 3);
	ok(good && order[0] == SPI_FREE + 1 && order[1] == SPI_FREE + 2 && order[2] == SPI_FREE,
	   "the more urgent interrupt comes first");

	order_n = 0;
	gic_priority_mask(0x80);
	gic_set_pending(SPI_FREE, true);
	gic_set_pending(SPI_FREE + 1, true);
	good = counts_to(&order_n, 1) && order[0] == SPI_FREE + 1;
	ok(good, "the priority mask holds the others back");
	gic_priority_mask(0xff);
	ok(counts_to(&order_n, 2) && order[1] == SPI_FREE, "until it is opened");
}

static void lpi_cpu(struct cpu *cpu)
{
	gic_cpu_init();
	its_cpu_init();
	gic_enable(3, 0x80, true);
	irqs_on();
	while (!cpu->irqs[3])
		wfi();
}

static void lpis(void)
{
	struct cpu *cpu = this_cpu();
	bool good;

	if (!board.its.size) {
		skip(6, "no ITS");
		return;
	}
	its_init();
	its_map_device(7);
	its_map_event(7, 1, LPI_FIRST + 5, 0);
	its_map_event(7, 2, LPI_FIRST + 6, 0);
	its_int(7, 1);
	good = counts_to(&cpu->lpis, 0);
	ok(good, "an LPI that is disabled waits");
	its_enable(7, 1, LPI_FIRST + 5, 0x80, true);
	ok(counts_to(&cpu->lpis, 1) && cpu->last_irq == LPI_FIRST + 5,
	   "and comes when it is enabled (%u)", cpu->last_irq);
	its_enable(7, 2, LPI_FIRST + 6, 0x40, true);
	its_int(7, 2);
	ok(counts_to(&cpu->lpis, 2) && cpu->last_irq == LPI_FIRST + 6, "another event");
	order_n = 0;
	its_int(7, 1);
	its_int(7, 2);
	its_int(7, 2);
	good = counts_to(&order_n, 2) && order[0] == LPI_FIRST + 6 && order[1] == LPI_FIRST + 5;
	ok(good, "by priority, and once");
	its_int(7, 1);
	its_clear(7, 1);
	its_discard(7, 2);
	its_int(7, 2);
	ok(counts_to(&cpu->lpis, 4), "not what was cleared or discarded");
	if (board.cpus < 2) {
		skip(1, "one CPU only");
		return;
	}
	cpus[1].irqs[3] = 0;
	good = cpu_start(1, lpi_cpu) == PSCI_SUCCESS && wait_until(has_state, &cpus[1], 5000);
	delay_us(100000);
	its_move(7, 1, 1);
	its_int(7, 1);
	ok(good && counts_to(&cpus[1].lpis, 1) && cpu->lpis == 4,
	   "one that is moved to another CPU");
	gic_send_sgi(1, 3);
	cpu_wait_off(1, 5000);
}

static void messages(void)
{
	struct cpu *cpu = this_cpu();
	uint32_t typer, first, last;
	bool good;

	if (!board.v2m.size) {
		skip(3, "no GICv2m frame");
		return;
	}
	typer = in32(board.v2m.base + 0x008);
	first = typer >> 16 & 0x3ff;
	last = first + (typer & 0x3ff) - 1;
	ok(first >= 32 && last < 1020 && last >= first, "the frame has SPIs %u to %u", first, last);
	gic_enable(first, 0x80, true);
	gic_enable(last, 0x80, true);
	out32(board.v2m.base + 0x040, first);
	good = counts_to(&cpu->irqs[first], 1);
	out32(board.v2m.base + 0x040, last);
	good = good && counts_to(&cpu->irqs[last], 1);
	out32(board.v2m.base + 0x040, last);
	ok(good && counts_to(&cpu->irqs[last], 2), "a message is an interrupt");
	order_n = 0;
	gic_enable(SPI_FREE, 0x80, true);
	out32(board.v2m.base + 0x040, first - 1);
	out32(board.v2m.base + 0x040, last + 1);
	out32(board.v2m.base + 0x040, ~0u);
	ok(counts_to(&order_n, 0), "not one for an SPI of somebody else's");
}

static bool gets_later(void *ctx)
{
	uint64_t *last = ctx, now;

	isb();
	now = read_reg("cntvct_el0");
	if (now < *last)
		return true;
	*last = now;
	return false;
}

void guest_main(void)
{
	uint64_t last = 0;

	plan(32);
	which_controller();
	ok(read_reg("cntfrq_el0") >= 1000000, "the counter has %lu Hz", read_reg("cntfrq_el0"));
	ok(!wait_until(gets_later, &last, 20), "it never goes back");
	gic_init();
	gic_cpu_init();
	irq_hook = hook;
	timer(PPI_VIRTUAL, "virtual");
	timer(PPI_PHYSICAL, "physical");
	wait_for_interrupt();
	sgis();
	other_cpus();
	ppis_and_spis();
	priorities();
	lpis();
	messages();
	ok(!this_cpu()->spurious, "no interrupt was spurious (%u)", this_cpu()->spurious);
}
