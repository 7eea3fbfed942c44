/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A balloon is asked for a step at a time, and for the next when it has come near the last:
 * so it never has more than a step to do, and it is soon seen whether it follows.  What it
 * should be comes from above (`want`), and is left alone within the dead band.
 *
 * What was asked for last stands in the device until something else is asked for: a driver that
 * is slow, or was busy, goes on towards it, whatever the guest needs by then.  So it is taken
 * back when it is wanted no longer, when the balloon gets stuck, and when the guest is short.
 *
 * It is stuck when it was asked and has not moved for a while, or when it says that it has
 * taken memory which we see in use all the same.  Each time that happens it is left alone
 * twice as long, and then tried once more; until it has been as it should for a while.
 *
 * A guest that takes memory back by itself is short of it (deflate-on-oom): for a while
 * nothing more is taken.
 *
 * Inflating needs more than the dead band of memory to spare, deflating more than that
 * lacking: so a guest whose use of memory wavers within the band is not asked for anything.
 */
#include "balloon/balloon.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/minmax.h"

#define MIB (UINT64_C(1) << 20)

#define DEAD_PART 64u /* of a guest: less than that is not worth asking */
#define STEP_PART 16u /* asked for at once */
#define STEP_MIN  (16 * MIB)
#define KEEP_PART 16u /* of what it has left, that a guest should keep available */
#define KEEP_MIN  (32 * MIB)
#define SLACK                                                                                  \
	(32 * MIB) /* of what a liar has in use: QEMU's own RAM, and pages on their way        \
		    */
#define PATIENCE_NS (10 * NSEC_PER_SEC)
#define STALE_NS    (30 * NSEC_PER_SEC) /* statistics that are older say nothing */
#define BACKOFF_NS  (60 * NSEC_PER_SEC)
#define BACKOFF_MAX (3600 * NSEC_PER_SEC)
#define HOLD_NS	    (60 * NSEC_PER_SEC)

const char *balloon_state_name(enum balloon_state s)
{
	static const char *const names[] = { "absent", "idle", "inflating", "deflating",
					     "stuck" };

	return s < BALLOON_STATES ? names[s] : "?";
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static uint64_t dead_band(const struct balloon_view *v)
{
	return max_u64(v->size / DEAD_PART, MIB);
}

static bool tells(const struct balloon_view *v)
{
	return v->there && v->stats && v->now - v->stats_at < STALE_NS;
}

/* What a guest should have available, not to run short: more where that would be its death. */
static uint64_t keep(const struct balloon_view *v)
{
	uint64_t least = max_u64(v->actual / KEEP_PART, KEEP_MIN);

	return v->deflate_on_oom ? least : 2 * least;
}

uint64_t balloon_need(const struct balloon_view *v)
{
	uint64_t need;

	if (!tells(v) || v->actual > v->size || v->available > v->actual)
		return v->size;
	need = v->actual - v->available + keep(v);
	return need < v->size ? need : v->size;
}

uint64_t balloon_gives(const struct balloon *b, const struct balloon_view *v)
{
	uint64_t need = balloon_need(v), spare;

	if (b->state == BALLOON_ABSENT || b->state == BALLOON_STUCK || v->now < b->hold_until ||
	    !tells(v) || v->actual > v->size || need >= v->actual)
		return 0;
	spare = v->actual - need;
	/* what it has given back by itself is nobody's gain a second time */
	if (v->reports_free)
		spare = v->used > need && v->used - need < spare ? v->used - need
			: v->used > need			 ? spare
								 : 0;
	return spare > dead_band(v) ? spare : 0;
}

static void become(struct balloon *b, enum balloon_state state, uint64_t now, const char *why)
{
	if (b->state != state)
		b->since = now;
	b->state = state;
	snprintf(b->why, sizeof(b->why), "%s", why);
}

/* => what to ask for: that it stays as it is */
static uint64_t get_stuck(struct balloon *b, const struct balloon_view *v, const char *why)
{
	b->backoff = b->backoff ? b->backoff * 2 : BACKOFF_NS;
	if (b->backoff > BACKOFF_MAX)
		b->backoff = BACKOFF_MAX;
	become(b, BALLOON_STUCK, v->now, why);
	b->asked = v->actual;
	b->asked_at = v->now;
	return v->actual;
}

/* Does it say that it has memory which is in use? */
static bool lies(const struct balloon *b, const struct balloon_view *v)
{
	return v->actual < v->size && v->used > v->actual + SLACK &&
	       v->now - b->moved_at >= PATIENCE_NS;
}

static void see(struct balloon *b, const struct balloon_view *v)
{
	if (b->moved_at == 0 || v->actual != b->actual) {
		/* it has more than it was left with, and was not given that */
		if (b->moved_at && v->deflate_on_oom && v->actual > b->actual &&
		    b->state != BALLOON_DEFLATING && v->actual > b->asked + dead_band(v) &&
		    b->asked)
			b->hold_until = v->now + HOLD_NS;
		b->moved_at = v->now;
	}
	b->actual = v->actual;
}

static uint64_t next_step(const struct balloon_view *v, uint64_t want)
{
	uint64_t step = max_u64(v->size / STEP_PART, STEP_MIN);

	if (want < v->actual)
		return v->actual - want > step ? v->actual - step : want;
	return want; /* who is given memory may have it at once */
}

static uint64_t ask(struct balloon *b, const struct balloon_view *v, uint64_t want)
{
	uint64_t next = next_step(v, want);
	bool arrived = !b->asked || distance(b->actual, b->asked) <= dead_band(v);

	become(b, want < v->actual ? BALLOON_INFLATING : BALLOON_DEFLATING, v->now, "");
	/* on its way to what was asked for last, in the same direction, and no further: a guest
	 * whose need has grown since is not squeezed on */
	if (!arrived && (b->asked < v->actual) == (want < v->actual) &&
	    b->asked + dead_band(v) >= want) {
		if (v->now - max_u64(b->moved_at, b->asked_at) >= PATIENCE_NS)
			return get_stuck(b, v, "it does not follow");
		return 0;
	}
	b->asked = next < v->size ? next : v->size;
	b->asked_at = v->now;
	return b->asked;
}

/* It is as it should be.  What was asked for may be something else by now. */
static uint64_t rest(struct balloon *b, const struct balloon_view *v)
{
	if (!v->stats)
		become(b, BALLOON_ABSENT, v->now, "its driver tells nothing, or there is none");
	else
		become(b, BALLOON_IDLE, v->now,
		       v->now < b->hold_until
			       ? "the guest has taken memory back, being short of it"
			       : "");
	if (!b->asked || distance(b->asked, v->actual) <= dead_band(v))
		return 0;
	b->asked = v->actual;
	b->asked_at = v->now;
	return v->actual;
}

uint64_t balloon_step(struct balloon *b, const struct balloon_view *v, uint64_t want)
{
	uint64_t need = balloon_need(v);

	if (!v->there) {
		*b = (struct balloon){ .since =
					       b->state == BALLOON_ABSENT ? b->since : v->now };
		snprintf(b->why, sizeof(b->why), "there is no balloon that could be asked");
		return 0;
	}
	see(b, v);
	if (b->state == BALLOON_STUCK) {
		/* memory is given back to it whatever it has done */
		if (want > v->actual + dead_band(v) && b->asked < want) {
			b->asked = want;
			b->asked_at = v->now;
			return want;
		}
		if (v->now - b->since < b->backoff)
			return 0;
		become(b, BALLOON_IDLE, v->now, "");
		b->moved_at = v->now;
	}
	if (lies(b, v))
		return get_stuck(b, v, "it says that it has taken memory which is in use");
	/* it has done what it was asked for, and that has lasted */
	if (b->state == BALLOON_IDLE && v->actual < v->size &&
	    v->now - b->moved_at >= PATIENCE_NS)
		b->backoff = 0;
	want = max_u64(want, need);
	if (want > v->size)
		want = v->size;
	if ((want < v->actual && v->now < b->hold_until) ||
	    distance(want, v->actual) <= dead_band(v))
		return rest(b, v);
	return ask(b, v, want);
}
