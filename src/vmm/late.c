/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A write may still be carried out although nobody waits for it any more: that
 * of a pager that was killed, or one to a server that is gone.  Its blocks hold
 * nothing, but must not be used again before it can only be over: they are
 * late for DRUM_HOLD_NS.
 *
 * The guest owns them until then, and they are noted in its object's file,
 * among the intents: so a pager that dies meanwhile is no end of it, the next
 * one begins the time anew.  Blocks that follow each other share a note, as
 * those of a cluster do.  Should there ever be no note left, the drum holds
 * them, which a death forgets.
 *
 * A block of a device that is missing cannot be claimed, and its note stays as it is
 * for a pager that finds the device (late_note).
 *
 * The order is: a late block has its note before whatever told of it before (a
 * word, the intent of a move) is taken away; and the note goes before the
 * block is free.
 */

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"

#define RUN_MAX 256u /* blocks of one note */

static unsigned int note_of(unsigned int i)
{
	return OBJECT_INTENTS + i;
}

static void set_until(struct guest *g, unsigned int i)
{
	g->late.until[i] = clock_ns() + DRUM_HOLD_NS;
	if (g->late.next == 0 || g->late.until[i] < g->late.next)
		g->late.next = g->late.until[i];
}

/* Does the block follow what was noted last, and was that ours, or not, as well? */
static bool extend(struct guest *g, drum_addr a, bool ours)
{
	unsigned int i = g->late.last;
	drum_addr first;
	uint32_t n = object_intent_get(g->object, note_of(i), &first);

	if (n == 0 || n == RUN_MAX || a != first + n ||
	    drum_device_of(a) != drum_device_of(first) || (g->late.until[i] != 0) != ours)
		return false;
	object_intent(g->object, note_of(i), first, n + 1);
	if (ours)
		set_until(g, i);
	return true;
}

static bool note(struct guest *g, drum_addr a, bool ours)
{
	drum_addr first;

	if (extend(g, a, ours))
		return true;
	for (unsigned int i = 0; i < OBJECT_LATES; i++)
		if (object_intent_get(g->object, note_of(i), &first) == 0) {
			object_intent(g->object, note_of(i), a, 1);
			g->late.last = i;
			if (ours)
				set_until(g, i);
			return true;
		}
	log_warn("guest %s: too many writes that may be late; block %llu of device %u is not "
		 "kept out of use if the pager is killed within a minute",
		 g->name, (unsigned long long)drum_block_of(a), drum_device_of(a));
	return false;
}

void late_hold(struct guest *g, drum_addr a)
{
	if (!note(g, a, true))
		drum_hold(g->drum, g->share, a, 1);
}

void late_claim(struct guest *g, drum_addr a)
{
	int ret = drum_claim(g->drum, g->share, a);

	if (ret == 0)
		late_hold(g, a);
	else if (ret == -ENODEV)
		(void)!note(g, a, false);
}

void late_step(struct guest *g, uint64_t now)
{
	if (g->late.next == 0 || now < g->late.next)
		return;
	g->late.next = 0;
	for (unsigned int i = 0; i < OBJECT_LATES; i++) {
		drum_addr a;
		uint32_t n = object_intent_get(g->object, note_of(i), &a);

		if (n == 0 || g->late.until[i] == 0)
			continue;
		if (g->late.until[i] <= now) {
			object_intent_end(g->object, note_of(i));
			point_crash("late-over");
			drum_free(g->drum, g->share, a, n);
			g->late.until[i] = 0;
		} else if (g->late.next == 0 || g->late.until[i] < g->late.next) {
			g->late.next = g->late.until[i];
		}
	}
}

void late_recover(struct guest *g)
{
	for (unsigned int i = 0; i < OBJECT_LATES; i++) {
		uint64_t claimed[RUN_MAX / 64] = { 0 };
		uint32_t n, nclaimed = 0;
		bool missing = false;
		drum_addr a;

		n = object_intent_get(g->object, note_of(i), &a);
		for (uint32_t k = 0; k < n; k++) {
			int ret = drum_claim(g->drum, g->share, a + k);

			missing |= ret == -ENODEV;
			if (ret == 0) {
				claimed[k / 64] |= UINT64_C(1) << (k % 64);
				nclaimed++;
			}
		}
		if (n > 0 && nclaimed == n)
			set_until(g, i);
		/* on a device that is missing: it may be there next time; else the
		 * note is wrong, and what is ours of it is still not used */
		for (uint32_t k = 0; nclaimed > 0 && nclaimed < n && k < n; k++)
			if (claimed[k / 64] >> (k % 64) & 1)
				drum_hold(g->drum, g->share, a + k, 1);
		if (nclaimed < n && (nclaimed > 0 || !missing))
			object_intent_end(g->object, note_of(i));
	}
}

void late_recover_intents(struct guest *g)
{
	for (unsigned int i = 0; i < OBJECT_INTENTS; i++) {
		drum_addr a;
		uint32_t n = object_intent_get(g->object, i, &a);

		/* a block that a word has, has it since the write was done */
		for (uint32_t k = 0; k < n; k++)
			late_claim(g, a + k);
		point_crash("late-intent");
		object_intent_end(g->object, i);
	}
}

void late_bury(struct guest *g)
{
	for (unsigned int i = 0; i < OBJECT_LATES; i++) {
		drum_addr a;
		uint32_t n = object_intent_get(g->object, note_of(i), &a);

		if (n > 0 && g->late.until[i])
			drum_hold(g->drum, g->share, a, n);
		object_intent_end(g->object, note_of(i));
	}
	g->late.next = 0;
}
