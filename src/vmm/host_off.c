/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Switching a swap device off: the drum allocates nothing there any more,
 * workers move what they have there (move.c), the swapcache drops what it has, and a timer
 * looks how much is left.  When nothing is, the device goes.  When it does not get less and
 * workers say that they find no room, or cannot read, the device is on again
 * and all is as before.  It is not begun if a promise would be broken by it.  A pager that dies
 * meanwhile leaves a device that is on.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/meminfo.h"
#include "base/point.h"
#include "swap/swapcached.h"
#include "vmm/host_priv.h"

#define TICK_MS	 50
#define STUCK_NS (2 * NSEC_PER_SEC)

static uint64_t used_of(struct host *h, unsigned int number)
{
	struct drum_device_stats dev[DRUM_DEVICES_MAX];
	size_t n = drum_stats(h->drum, dev, DRUM_DEVICES_MAX);

	for (size_t i = 0; i < n; i++)
		if (dev[i].number == number)
			return dev[i].used;
	return 0;
}

static void end_off(struct host *h, unsigned int number, const struct err *e)
{
	struct request *r = h->swap[number].off;

	h->swap[number].off = NULL;
	if (e->code)
		drum_set_off(h->drum, number, false);
	host_end_request(h, r, e);
}

static void gone(struct host *h, unsigned int number, struct swap_device *dev)
{
	struct request *r = h->swap[number].off;
	struct report *event = host_new_report(h, REPORT_EVENT);
	struct err e = { 0 };

	log_info("swap: %s off", dev->path);
	if (event) {
		event->event = "SWAP_DEVICE_REMOVED";
		event->key[0] = "path";
		snprintf(event->text[0], sizeof(event->text[0]), "%s", dev->path);
		host_post_report(h, event);
	}
	device_close(dev);
	point_crash("swap-removed");
	host_swap_gone(h, number);
	host_end_request(h, r, &e);
}

/* What workers have met since something was last moved. */
static void off_trouble(struct host *h, uint64_t *no_room, uint64_t *no_read)
{
	*no_room = *no_read = 0;
	for (struct guest *g = h->guests; g; g = g->next) {
		*no_room += __atomic_load_n(&g->no_room, __ATOMIC_RELAXED);
		*no_read += __atomic_load_n(&g->no_read, __ATOMIC_RELAXED);
	}
}

static void clear_trouble(struct host *h)
{
	for (struct guest *g = h->guests; g; g = g->next) {
		__atomic_store_n(&g->no_room, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&g->no_read, 0, __ATOMIC_RELAXED);
	}
}

static void no_room_for(struct host *h, unsigned int number, uint64_t blocks, struct err *e)
{
	err_set(e, -ENOMEM,
		"%s stays on: %llu MiB of what is there fit neither on other devices nor into "
		"memory under the guests' limits",
		h->swap[number].part[0].path, (unsigned long long)(blocks + 255) >> 8);
}

static void look_at_off(struct host *h, unsigned int number)
{
	struct host_swap *s = &h->swap[number];
	/* a half that was replaced may still call the mirror */
	struct swap_device *dev =
		host_swap_close_retired(s) ? drum_remove(h->drum, number) : NULL;
	uint64_t used, no_room, no_read, now = clock_ns();
	struct err e = { 0 };

	if (dev) {
		gone(h, number, dev);
		return;
	}
	used = used_of(h, number);
	if (used < s->off_used) {
		s->off_used = used;
		s->off_since = now;
		clear_trouble(h);
		return;
	}
	off_trouble(h, &no_room, &no_read);
	if (now - s->off_since < STUCK_NS)
		return;
	if (no_read > 0)
		err_set(&e, -EIO, "%s stays on: %llu KiB of what is there cannot be read",
			s->part[0].path, (unsigned long long)used << 2);
	else if (no_room > 0)
		no_room_for(h, number, used, &e);
	if (e.code)
		end_off(h, number, &e);
}

static void off_tick(void *arg)
{
	struct host *h = arg;
	bool any = false;

	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		if (h->swap[n].off)
			look_at_off(h, n);
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		any |= h->swap[n].off != NULL;
	if (!any) {
		loop_remove(h->off_timer);
		h->off_timer = NULL;
	}
}

bool host_off_fits(struct host *h, unsigned int number, uint64_t blocks)
{
	/* what is cached there need not move, what is cached elsewhere makes room */
	uint64_t elsewhere = drum_avail_beside(h->drum, number) + drum_cached(h->drum);
	uint64_t room = 0, owned = 0, have;

	if (blocks <= elsewhere)
		return true;
	for (struct guest *g = h->guests; g; g = g->next) {
		struct guest_stats s;

		guest_get_stats(g, &s);
		elsewhere += s.kept >> PAGE_SHIFT; /* copies are given up */
		owned += (s.swapped + s.kept + s.reading + s.writing) >> PAGE_SHIFT;
		room += s.grant > s.resident ? s.grant - s.resident : 0;
	}
	/* what is held for a while, or being discarded, is nobody's, and goes by itself */
	if (blocks > owned)
		blocks = owned;
	if (blocks <= elsewhere)
		return true;
	blocks -= elsewhere;
	return blocks <= room >> PAGE_SHIFT && meminfo_fits(blocks << PAGE_SHIFT, &have);
}

void host_swap_off(struct host *h, const char *path, host_done_fn done, void *ctx)
{
	unsigned int number = host_swap_find(h, path);
	struct host_swap *s = &h->swap[number];
	struct err e = { 0 };

	if (number == 0) {
		host_swap_unknown(h, path, done, ctx);
		return;
	}
	if (s->off)
		err_set(&e, -EBUSY, "%s is being switched off already", path);
	else if (h->closed || h->waiting > 0)
		err_set(&e, -EBUSY,
			"%s stays on: a guest of an earlier daemon has not been taken over, "
			"and may have pages there",
			path);
	else if (!host_off_fits(h, number, used_of(h, number)))
		no_room_for(h, number, used_of(h, number), &e);
	if (e.code == 0 && !h->off_timer) {
		h->off_timer = loop_every(h->opt.loop, TICK_MS, off_tick, h);
		if (!h->off_timer)
			err_set(&e, -errno, "no timer: %s", strerror(errno));
	}
	/* last, for it is begun by that */
	if (e.code || host_promise_off(h, number, &e) < 0) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	clear_trouble(h);
	if (h->paging.swapcached)
		swapcached_wake(h->paging.swapcached);
	s->off_used = used_of(h, number);
	s->off_since = clock_ns();
	s->off = host_new_request(h, done, ctx);
}

void host_swap_off_cancel(struct host *h, const char *path, const void *of, host_done_fn done,
			  void *ctx)
{
	unsigned int number = host_swap_find(h, path);
	struct err e = { 0 }, why = { 0 };

	if (number == 0) {
		host_swap_unknown(h, path, done, ctx);
		return;
	}
	if (!h->swap[number].off || (of && h->swap[number].off->ctx != of)) {
		err_set(&e, -EINVAL, "%s is not being switched off%s", path,
			of ? " by that any more" : "");
	} else {
		err_set(&why, -ECANCELED, "%s stays on: cancelled", path);
		end_off(h, number, &why);
	}
	host_refuse(h, done, ctx, &e);
}
