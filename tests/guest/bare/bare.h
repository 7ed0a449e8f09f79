/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the bare-metal guests share. A guest has a main() of its own, prints TAP on the first UART and ends with PSCI
 * SYSTEM_OFF. It is started with `lkvm run -k GUEST.img` or `-f GUEST.img`; words of the command line (-p) that are
 * NAME=VALUE steer it (word()).
 *
 * Memory is mapped as it lies, with caches on; RAM as Normal Tagged memory where the CPU has MTE. The same addresses
 * once more from ALIAS on are Normal memory without caches, executable: what no device mapping lets through stage 1
 * reaches the hypervisor there.
 */
#ifndef LKVM_TESTS_BARE_H
#define LKVM_TESTS_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUS_MAX 64
#define ALIAS	 (1ull << 39)
#define IRQS_MAX 256 /* of those that are counted */

/* --- what the device tree says --- */
enum gic { GIC_NONE, GIC_V2, GIC_V3 };

struct range {
	uint64_t base, size;
};

struct board {
	struct range ram;
	struct range fdt;
	const char *cmdline;
	enum gic gic;
	struct range gic_dist, gic_redist; /* or the CPU interface */
	struct range its, v2m;		   /* size 0: none */
	uint64_t uart[4];
	uint32_t uart_irq[4];
	uint32_t uarts;
	uint64_t rtc;
	uint32_t rtc_irq;
	uint64_t vmgenid;
	uint32_t vmgenid_irq, vmgenid_flags;
	uint32_t cpus;
	uint64_t mpidr[CPUS_MAX];
};

extern struct board board;
void board_parse(const void *fdt);
/* The value of NAME=VALUE on the command line, up to the next space, or @absent. */
const char *word(const char *name, char *value, size_t size, const char *absent);
uint64_t word_number(const char *name, uint64_t absent);
bool word_is(const char *name, const char *value);

/* --- registers --- */
#define read_reg(name)                                                  \
	({                                                              \
		uint64_t v_;                                            \
		__asm__ volatile("mrs %0, " name : "=r"(v_)::"memory"); \
		v_;                                                     \
	})
#define write_reg(name, value)                                             \
	do {                                                               \
		uint64_t w_ = (value);                                     \
		__asm__ volatile("msr " name ", %0" ::"r"(w_) : "memory"); \
	} while (0)

#define isb() __asm__ volatile("isb" ::: "memory")
#define dsb() __asm__ volatile("dsb sy" ::: "memory")
#define wfi() __asm__ volatile("wfi" ::: "memory")

/* One load or store instruction with a syndrome, as a device wants it. */
#define DEFINE_IO(bits, insn, w)                                                              \
	static inline uint##bits##_t in##bits(uint64_t at)                                    \
	{                                                                                     \
		uint##bits##_t v;                                                             \
		__asm__ volatile("ldr" insn " %" w "0, [%1]" : "=r"(v) : "r"(at) : "memory"); \
		return v;                                                                     \
	}                                                                                     \
	static inline void out##bits(uint64_t at, uint##bits##_t v)                           \
	{                                                                                     \
		__asm__ volatile("str" insn " %" w "0, [%1]" ::"r"(v), "r"(at) : "memory");   \
	}
DEFINE_IO(8, "b", "w")
DEFINE_IO(16, "h", "w")
DEFINE_IO(32, "", "w")
DEFINE_IO(64, "", "x")

/* --- CPUs --- */
struct cpu {
	uint8_t *stack_top; /* start.S knows that this is the first */
	uint32_t index;
	uint64_t mpidr;
	void (*run)(struct cpu *cpu);
	volatile uint32_t state; /* enum cpu_state */
	uint64_t gicr;		 /* its redistributor */
	/* Exceptions: see try_begin() */
	volatile bool trying;
	volatile uint32_t faults;
	volatile uint64_t esr, far, elr;
	/* Interrupts taken */
	volatile uint32_t irqs[IRQS_MAX];
	volatile uint32_t lpis, spurious;
	volatile uint32_t last_irq;
};

enum cpu_state { CPU_OFF, CPU_STARTED, CPU_RUNNING };

extern struct cpu cpus[CPUS_MAX];
struct cpu *this_cpu(void);
/* Runs @run on that CPU, which is turned off when it returns. Returns what PSCI says. */
int64_t cpu_start(uint32_t index, void (*run)(struct cpu *cpu));
/* Waits until it is off; false after @ms. */
bool cpu_wait_off(uint32_t index, uint64_t ms);

uint64_t now_us(void);
bool wait_until(bool (*done)(void *), void *ctx, uint64_t ms);
void delay_us(uint64_t us);
/* The same, with the CPU idle meanwhile, by the virtual timer. Its interrupt is enabled in the GIC, but not taken: irqs_off(). */
void sleep_us(uint64_t us);

/* --- PSCI and SMCCC --- */
#define PSCI_VERSION		0x84000000u
#define PSCI_CPU_SUSPEND	0xc4000001u
#define PSCI_CPU_OFF		0x84000002u
#define PSCI_CPU_ON		0xc4000003u
#define PSCI_AFFINITY_INFO	0xc4000004u
#define PSCI_MIGRATE		0xc4000005u
#define PSCI_MIGRATE_INFO_TYPE	0x84000006u
#define PSCI_SYSTEM_OFF		0x84000008u
#define PSCI_SYSTEM_RESET	0x84000009u
#define PSCI_FEATURES		0x8400000au
#define PSCI_SYSTEM_RESET2	0xc4000012u
#define PSCI_SUCCESS		0
#define PSCI_NOT_SUPPORTED	-1
#define PSCI_INVALID_PARAMETERS -2
#define PSCI_ALREADY_ON		-4
int64_t hvc(uint64_t function, uint64_t a, uint64_t b, uint64_t c);

/* --- exceptions --- */
/*
 * Between try_begin() and try_end() a synchronous exception is counted, kept in this_cpu()->esr, far and elr, and the
 * instruction skipped (after a failed instruction fetch: goes back to call()). Elsewhere it ends the guest.
 */
void try_begin(void);
uint32_t try_end(void); /* how many there were */
#define ESR_EC(esr)   ((esr) >> 26 & 0x3f)
#define ESR_DFSC(esr) ((esr)&0x3f)
#define EC_UNKNOWN    0x00
#define EC_SYSREG     0x18
#define EC_IABT	      0x21
#define EC_DABT	      0x25
void call(uint64_t address);

struct frame {
	uint64_t x[31];
	uint64_t elr, spsr;
	uint64_t unused[3];
};

static inline void irqs_on(void)
{
	__asm__ volatile("msr daifclr, #2" ::: "memory");
}

static inline void irqs_off(void)
{
	__asm__ volatile("msr daifset, #2" ::: "memory");
}

/* --- interrupt controller --- */
/* Called with the interrupt; has to quiet a level. Without one, a level interrupt of a device is disabled. */
extern void (*irq_hook)(struct cpu *cpu, uint32_t intid);
void gic_init(void);	 /* once */
void gic_cpu_init(void); /* on each CPU */
void gic_take(struct cpu *cpu);
void gic_enable(uint32_t intid, uint8_t priority, bool edge);
void gic_disable(uint32_t intid);
void gic_set_pending(uint32_t intid, bool pending);
bool gic_is_pending(uint32_t intid);
bool gic_is_enabled(uint32_t intid);
void gic_route(uint32_t intid, uint32_t cpu);
void gic_priority_mask(uint8_t mask);
void gic_send_sgi(uint32_t cpu, uint32_t intid);

/* --- memory --- */
extern uint8_t _start[], _end[];
void mmu_init(void);
void mmu_on(void);
extern bool has_mte;
/* RAM that is nobody's, zeroed, aligned as wanted; never given back. */
void *alloc(uint64_t size, uint64_t align);
uint64_t free_start(void); /* RAM from here to free_end() is nobody's */
uint64_t free_end(void);
void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int strcmp(const char *a, const char *b);
size_t strlen(const char *s);

/* --- output --- */
void put_char(char c);
/* %s %c %d %u %x %lu %lx, widths with zeros; the rest is not there. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- TAP; the boot CPU only --- */
void plan(uint32_t n);
bool ok(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
void skip(uint32_t n, const char *why);
void power_off(void) __attribute__((noreturn));
void bail_out(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
bool all_passed(void);

/* The guest's own. Returning is powering off. */
void guest_main(void);

#endif
