/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "hw/rtc.h"

/* Registers (DDI 0224C, chapter 3), 32 bits each. */
#define RTC_DR	 0x00 /* the time */
#define RTC_MR	 0x04 /* match: the alarm */
#define RTC_LR	 0x08 /* load: sets the time */
#define RTC_CR	 0x0c
#define RTC_IMSC 0x10
#define RTC_RIS	 0x14
#define RTC_MIS	 0x18
#define RTC_ICR	 0x1c
#define RTC_IDS	 0xfe0 /* eight of them, a byte each */

#define CR_START 0x01
#define ALARM	 0x01 /* the one interrupt, in IMSC, RIS, MIS and ICR */

#define NS_PER_S 1000000000ull
/*
 * The timer counts the host's monotonic clock, the alarm its real time: someone may set the latter, and it goes on while
 * the host sleeps. So an alarm looks at the time once a minute.
 */
#define LOOK_S 60

struct rtc_state {
	/*
	 * The guest's time is the host's plus offset, and RTCDR the low half of that: it is kept in 64 bits so that the
	 * time of the next match has an order, also for a guest that was away when it passed.
	 */
	uint64_t offset;
	uint64_t due; /* guest's time at which RTCDR will equal RTCMR */
	uint32_t match;
	uint32_t load;
	uint32_t mask;	 /* RTCIMSC */
	uint32_t raised; /* RTCRIS */
};

struct rtc {
	struct device dev;
	struct rtc_state state;
	struct irq_line irq;
	struct event_timer timer;
	bool armed;
	uint64_t (*now)(void);
};

uint64_t rtc_host_now(void)
{
	struct timespec ts;

	/* Not time(): that one may lag a tick behind, and so before the alarm it is asked for. */
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static struct rtc *to_rtc(struct device *dev)
{
	/* dev is the first member. */
	return (struct rtc *)dev;
}

static uint64_t guest_now(const struct rtc *r)
{
	return r->now() + r->state.offset;
}

/* When RTCDR will equal RTCMR: now, or within the next round of its 32 bits. */
static uint64_t next_match(const struct rtc *r, uint64_t now)
{
	return now + (uint32_t)(r->state.match - (uint32_t)now);
}

/* How far the host is in its present second. */
static uint64_t ns_of_second(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_nsec;
}

/* Has the match happened? To be called before anything is read or changed, and after; then line and timer are right. */
static void catch_up(struct rtc *r)
{
	struct rtc_state *s = &r->state;
	/* In this order: with the border of a second between the two the timer is early and looks again, not late. */
	uint64_t into = ns_of_second(), now = guest_now(r), wait;

	if (now >= s->due) {
		s->raised = ALARM;
		/* Equal once in a round: past the whole second, or a cleared interrupt would be back in it. */
		s->due = next_match(r, now + 1);
	}
	irq_set(&r->irq, s->raised & s->mask);

	/* Nobody is told of a masked alarm: whoever reads RTCRIS comes by here. */
	if ((s->mask & ALARM) && !s->raised) {
		wait = s->due - now < LOOK_S ? s->due - now : LOOK_S;
		/* To the border of a second of the host's, which is when RTCDR counts. */
		event_timer_arm(&r->timer, wait * NS_PER_S - into);
		r->armed = true;
	} else if (r->armed) {
		event_timer_disarm(&r->timer);
		r->armed = false;
	}
}

static void rtc_expired(struct event_timer *timer)
{
	struct rtc *r = timer->ctx;

	device_lock(&r->dev);
	catch_up(r);
	device_unlock(&r->dev);
}

static uint32_t read_register(struct rtc *r, uint64_t reg)
{
	/* Peripheral id: part 0x031, designer 0x41 (Arm), revision 0. Then the id of all PrimeCells. */
	static const uint8_t ids[] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
	struct rtc_state *s = &r->state;

	switch (reg) {
	case RTC_DR:
		return (uint32_t)guest_now(r);
	case RTC_MR:
		return s->match;
	case RTC_LR:
		return s->load;
	case RTC_CR:
		/* It counts from the start, like one that a battery keeps; nothing can stop it (3.3.4). */
		return CR_START;
	case RTC_IMSC:
		return s->mask;
	case RTC_RIS:
		catch_up(r);
		return s->raised;
	case RTC_MIS:
		catch_up(r);
		return s->raised & s->mask;
	default:
		reg = (reg - RTC_IDS) / 4;
		return reg < sizeof(ids) ? ids[reg] : 0;
	}
}

static uint64_t rtc_read(struct device *dev, uint64_t offset, unsigned int len)
{
	/* All registers are words; a narrower access gets its part, a wider one the first. */
	uint32_t value = read_register(to_rtc(dev), offset & ~3ull) >> (8 * (offset & 3));

	return len < 4 ? value & ((1u << (8 * len)) - 1) : value;
}

static void rtc_write(struct device *dev, uint64_t offset, unsigned int len, uint64_t value)
{
	struct rtc *r = to_rtc(dev);
	struct rtc_state *s = &r->state;
	uint32_t word = (uint32_t)value;
	uint64_t now;

	if (len < 4 || (offset & 3))
		return;
	catch_up(r);
	switch (offset) {
	case RTC_MR:
		now = guest_now(r);
		s->match = word;
		s->due = next_match(r, now);
		break;
	case RTC_LR:
		s->load = word;
		s->offset = word - r->now();
		s->due = next_match(r, word);
		break;
	case RTC_IMSC:
		s->mask = word & ALARM;
		break;
	case RTC_ICR:
		s->raised &= ~word;
		break;
	default:
		return;
	}
	catch_up(r);
}

static const struct state_field rtc_fields[] = {
	STATE_FIELD(struct rtc_state, offset), STATE_FIELD(struct rtc_state, due),
	STATE_FIELD(struct rtc_state, match),  STATE_FIELD(struct rtc_state, load),
	STATE_FIELD(struct rtc_state, mask),   STATE_FIELD(struct rtc_state, raised),
};

static int rtc_check(const void *state, struct err *err)
{
	const struct rtc_state *s = state;

	if ((s->mask & ~ALARM) || (s->raised & ~ALARM))
		return err_set(err, -EBADMSG, "it has one interrupt, mask 0x%x and status 0x%x",
			       s->mask, s->raised);
	if ((uint32_t)s->due != s->match)
		return err_set(err, -EBADMSG, "the alarm is not due at its time");
	return 0;
}

static const struct state_desc rtc_desc = {
	.name = "rtc",
	.version = 1,
	.nfields = sizeof(rtc_fields) / sizeof(rtc_fields[0]),
	.size = sizeof(struct rtc_state),
	.fields = rtc_fields,
	.check = rtc_check,
};

/* To the nearest second, which is all it shows. */
static void rtc_stood_still(struct device *dev, uint64_t ns)
{
	to_rtc(dev)->state.offset -= (ns + NS_PER_S / 2) / NS_PER_S;
}

static void rtc_loaded(struct device *dev)
{
	catch_up(to_rtc(dev));
}

static void rtc_release(struct device *dev)
{
	struct rtc *r = to_rtc(dev);

	event_timer_release(&r->timer);
	pthread_mutex_destroy(&dev->lock);
	free(r);
}

static const struct device_ops rtc_ops = {
	.read = rtc_read,
	.write = rtc_write,
	.stood_still = rtc_stood_still,
	.loaded = rtc_loaded,
	.release = rtc_release,
};

int rtc_create(const char *name, struct event_loop *loop, const struct irq_line *irq,
	       uint64_t (*now)(void), struct device **out, struct err *err)
{
	struct rtc *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_sys(err, -ENOMEM, "%s", name);
	rc = event_timer_init(&r->timer, loop, rtc_expired, r, err);
	if (rc) {
		err_prefix(err, "%s", name);
		free(r);
		return rc;
	}
	r->dev.name = name;
	r->dev.ops = &rtc_ops;
	r->dev.state_desc = &rtc_desc;
	r->dev.state = &r->state;
	pthread_mutex_init(&r->dev.lock, NULL);
	r->irq = *irq;
	r->now = now;
	r->state.due = next_match(r, guest_now(r));
	*out = &r->dev;
	return 0;
}
