/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's time. One mechanism only: the virtual counter is set through KVM_REG_ARM_TIMER_CNT of one vCPU, which moves
 * the offset of the whole VM. KVM_ARM_SET_COUNTER_OFFSET is not used: after it, writes of the counter are ignored without
 * a word. Where the kernel lets the physical counter be set (Linux 6.4 and later) it is moved along; before that the
 * guest's physical counter is the host's, and its physical timer can be neither read nor set.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <time.h>

#include "arm/state.h"
#include "arm/vcpu.h"
#include "vm/vm.h"

#define NS_PER_S 1000000000ull

static uint64_t now_realtime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int clock_state_save(struct vm *vm, struct wbuf *out, struct err *err)
{
	uint64_t cntvct, cntpct;
	int rc = arm_get_reg(&vm->vcpus[0], KVM_REG_ARM_TIMER_CNT, &cntvct);

	if (rc)
		return err_sys(err, rc, "the guest's counter");
	/* Where KVM does not tell, the guest's physical counter is the host's, whose virtual one has no offset. */
	if (arm_get_reg(&vm->vcpus[0], KVM_REG_ARM_PTIMER_CNT, &cntpct))
		cntpct = arm_cntvct();
	wbuf_u64(out, cntvct);
	wbuf_u64(out, cntpct);
	wbuf_u32(out, arm_cntfrq());
	wbuf_u64(out, now_realtime());
	return 0;
}

int clock_state_decode(struct rbuf *in, struct clock_state *state, struct err *err)
{
	state->cntvct = rbuf_u64(in);
	state->cntpct = rbuf_u64(in);
	state->cntfrq = rbuf_u32(in);
	state->realtime = rbuf_u64(in);
	if (rbuf_done(in) || !state->cntfrq)
		return err_set(err, -EBADMSG, "malformed");
	if (state->cntfrq != arm_cntfrq())
		return err_set(err, -EOPNOTSUPP,
			       "the guest's counter runs at %u Hz, this host's at %u",
			       state->cntfrq, arm_cntfrq());
	return 0;
}

static int set_counter(struct vm *vm, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

	return ioctl(vm->vcpus[0].fd, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

int clock_state_apply(struct vm *vm, const struct clock_state *state, bool advance,
		      uint64_t *away_ns, struct err *err)
{
	uint64_t now = now_realtime(), ticks = 0;
	int rc;

	/* A wall clock that was set back is no reason to send a guest back in time. */
	*away_ns = now > state->realtime ? now - state->realtime : 0;
	if (advance)
		ticks = (unsigned __int128)*away_ns * state->cntfrq / NS_PER_S;
	rc = set_counter(vm, KVM_REG_ARM_TIMER_CNT, state->cntvct + ticks);
	if (rc)
		return err_sys(err, rc, "cannot set the guest's counter");
	/* Before Linux 6.4 it cannot be set and shows the host's: Linux guests do not read it. */
	(void)set_counter(vm, KVM_REG_ARM_PTIMER_CNT, state->cntpct + ticks);
	return 0;
}
