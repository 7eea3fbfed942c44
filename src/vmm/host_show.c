/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control thread tells of swap devices: figures, and events. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "swap/device_mirror.h"
#include "swap/device_ram.h"
#include "vmm/host_priv.h"

static const char *half_state(const struct mirror_half_stats *half)
{
	switch (half->state) {
	case MIRROR_MISSING:
		return "missing";
	case MIRROR_LOST:
		return "lost";
	case MIRROR_AWAY:
		return "offline";
	case MIRROR_GOOD:
		break;
	}
	return half->lacking > 0 ? "mending" : "whole";
}

static void half_stats(const struct host_swap *s, struct swap_device *dev,
		       struct swap_stats *out)
{
	out->halves = 2;
	for (unsigned int k = 0; k < 2; k++) {
		struct mirror_half_stats half;

		/* the mirror may have them in the other order */
		device_mirror_half(dev, k, &half);
		if (half.path && strcmp(half.path, s->part[k].path) != 0)
			device_mirror_half(dev, 1 - k, &half);
		snprintf(out->half[k].path, sizeof(out->half[k].path), "%s", s->part[k].path);
		snprintf(out->half[k].state, sizeof(out->half[k].state), "%s",
			 half_state(&half));
		out->half[k].lacking = half.lacking << SWAP_BLOCK_SHIFT;
	}
}

static void ram_stats(struct swap_device *dev, struct swap_stats *out)
{
	struct device_ram_stats ram;

	device_ram_get_stats(dev, &ram);
	out->ram_limit = ram.limit;
	out->ram_used = ram.memory;
	out->ram_pages = ram.pages;
	out->ram_refused = ram.incompressible + ram.no_memory;
	out->checksum_errors += ram.damaged;
	out->checksums = true;
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void device_stats(struct host *h, const struct drum_device_stats *d,
			 struct swap_stats *out)
{
	const struct host_swap *s = &h->swap[d->number];
	struct swap_device *dev = drum_device(h->drum, d->number);
	const struct swap_device_counters *c = &dev->count;
	bool suspended = __atomic_load_n(&dev->suspended, __ATOMIC_RELAXED);

	*out = (struct swap_stats){
		.priority = d->priority,
		.size = d->blocks << SWAP_BLOCK_SHIFT,
		.used = d->used << SWAP_BLOCK_SHIFT,
		.bad = d->bad << SWAP_BLOCK_SHIFT,
		.inflight = __atomic_load_n(&dev->queue.inflight, __ATOMIC_RELAXED),
		.reads = get(&c->reads),
		.writes = get(&c->writes),
		.read_bytes = get(&c->read_bytes),
		.write_bytes = get(&c->write_bytes),
		.read_errors = get(&c->read_errors),
		.write_errors = get(&c->write_errors),
		.checksum_errors = get(&c->checksum_errors),
		.waited = get(&dev->queue.waited),
		.max_inflight = s->max_inflight,
		.max_bandwidth = s->max_bandwidth,
		.checksums = dev->sums || s->flags & SWAPSET_MIRROR,
		.discard = d->discard,
		.discarded = get(&c->discard_bytes),
		.to_move = d->to_move << SWAP_BLOCK_SHIFT,
	};
	if (d->off && d->to_move > d->used)
		out->moved = (d->to_move - d->used) << SWAP_BLOCK_SHIFT;
	snprintf(out->path, sizeof(out->path), "%s", dev->path);
	snprintf(out->type, sizeof(out->type), "%s", dev->ops->kind);
	snprintf(out->state, sizeof(out->state), "%s",
		 d->off				    ? "removing"
		 : suspended && !device_is_ram(dev) ? "offline"
						    : "on");
	if (s->flags & SWAPSET_MIRROR)
		half_stats(s, dev, out);
	if (device_is_ram(dev))
		ram_stats(dev, out);
}

/* As they are used: higher priorities first, and equal ones as they came. */
static int by_priority(const void *a, const void *b)
{
	const struct drum_device_stats *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

size_t host_swap_stats(struct host *h, struct swap_stats *out, size_t max)
{
	struct drum_device_stats dev[DRUM_DEVICES_MAX];
	size_t n = drum_stats(h->drum, dev, DRUM_DEVICES_MAX);

	qsort(dev, n, sizeof(dev[0]), by_priority);
	for (size_t i = 0; i < n && i < max; i++)
		device_stats(h, &dev[i], &out[i]);
	return n;
}

void host_tell_device(void *arg, struct swap_device *dev, enum swap_event event, int err,
		      const char *text)
{
	static const char *const names[] = {
		[SWAP_EVENT_ERROR] = "SWAP_DEVICE_ERROR",
		[SWAP_EVENT_OFFLINE] = "SWAP_DEVICE_OFFLINE",
		[SWAP_EVENT_ONLINE] = "SWAP_DEVICE_ONLINE",
		[SWAP_EVENT_MIRROR_LOST] = "SWAP_MIRROR_LOST",
		[SWAP_EVENT_MIRROR_WHOLE] = "SWAP_MIRROR_WHOLE",
	};
	struct report *r = host_new_report(arg, REPORT_EVENT);

	(void)err;
	log_at(event == SWAP_EVENT_ONLINE || event == SWAP_EVENT_MIRROR_WHOLE ? LOG_LVL_INFO
									      : LOG_LVL_ERROR,
	       "swap: %s: %s%s%s", dev->path,
	       event == SWAP_EVENT_OFFLINE	  ? "offline"
	       : event == SWAP_EVENT_ONLINE	  ? "online again"
	       : event == SWAP_EVENT_MIRROR_LOST  ? "half of the mirror is lost"
	       : event == SWAP_EVENT_MIRROR_WHOLE ? "the mirror is whole again"
						  : "error",
	       text[0] ? ": " : "", text);
	if (!r)
		return;
	r->event = names[event];
	r->key[0] = "path";
	snprintf(r->text[0], sizeof(r->text[0]), "%s", dev->path);
	if (text[0]) {
		r->key[1] = "error";
		snprintf(r->text[1], sizeof(r->text[1]), "%s", text);
	}
	host_post_report(arg, r);
}

void host_tell_level(void *arg, enum drum_level level)
{
	struct host *h = arg;
	struct report *r = host_new_report(h, REPORT_EVENT);

	if (level == DRUM_FULL)
		log_err("swap is full: nothing more is paged out");
	else if (level == DRUM_LOW)
		log_warn("swap is low: fewer than %d blocks are free", DRUM_LOW_BLOCKS);
	else
		log_info("swap is ok");
	if (!r)
		return;
	r->event = level == DRUM_FULL  ? "SWAP_FULL"
		   : level == DRUM_LOW ? "SWAP_LOW"
				       : "SWAP_OK";
	r->key[0] = "free";
	/* the swapcache gives up what it has, at once */
	r->number[0] = (drum_avail(h->drum) + drum_cached(h->drum)) << SWAP_BLOCK_SHIFT;
	r->key[1] = "size";
	r->number[1] = drum_blocks(h->drum) << SWAP_BLOCK_SHIFT;
	host_post_report(h, r);
}

void host_tell_swblocks(struct host *h, bool full)
{
	struct report *r = host_new_report(h, REPORT_EVENT);

	if (full)
		log_err("all %llu swblocks are in use: page-out pauses (drumctl paging set "
			"--swblocks)",
			(unsigned long long)h->paging.zone.max);
	else
		log_info("there are swblocks again");
	if (!r)
		return;
	r->event = full ? "SWAPBLOCKS_FULL" : "SWAPBLOCKS_OK";
	r->key[0] = "used";
	r->number[0] = __atomic_load_n(&h->paging.zone.used, __ATOMIC_RELAXED);
	r->key[1] = "max";
	r->number[1] = h->paging.zone.max;
	host_post_report(h, r);
}

void host_tell_page(struct host *h, const struct guest *g, enum guest_event event,
		    uint64_t page, drum_addr a)
{
	struct report *r = host_new_report(h, REPORT_EVENT);

	if (!r)
		return;
	(void)event; /* there is one */
	r->event = "PAGE_POISONED";
	r->key[0] = "guest";
	snprintf(r->text[0], sizeof(r->text[0]), "%s", g->name);
	r->key[1] = "path";
	snprintf(r->text[1], sizeof(r->text[1]), "%s", drum_path(h->drum, a));
	r->key[2] = "page";
	r->number[2] = page;
	host_post_report(h, r);
}

void host_tell_guest(struct host *h, const struct guest *g)
{
	struct report *r = host_new_report(h, REPORT_EVENT);

	if (!r)
		return;
	r->event = g->state == GUEST_WAITING ? "GUEST_WAITING" : "GUEST_QUARANTINED";
	r->key[0] = "guest";
	snprintf(r->text[0], sizeof(r->text[0]), "%s", g->name);
	r->key[1] = "reason";
	snprintf(r->text[1], sizeof(r->text[1]), "%s", g->why);
	host_post_report(h, r);
}

void host_tell_restarted(struct host *h)
{
	static const char *const reasons[] = { [AFTER_NOBODY] = "drumd-started",
					       [AFTER_DEATH] = "pager-died",
					       [AFTER_REPLACED] = "drumd-replaced" };
	struct host_event event = { .name = "PAGER_RESTARTED",
				    .field = {
					    { .key = "reason", .text = reasons[h->opt.after] },
					    { .key = "guests", .number = h->adopted },
					    { .key = "waiting", .number = h->waiting } } };

	/* the first pager of all restarts nothing */
	if (h->restart_told || (h->opt.after == AFTER_NOBODY && h->adopted == 0))
		return;
	h->restart_told = true;
	if (h->paused)
		event.field[3] =
			(struct host_event_field){ .key = "paused-us",
						   .number = h->paused / NSEC_PER_USEC };
	log_info("%u guests were taken over", h->adopted);
	host_tell(h, &event);
}

static void log_stall(const struct guest *g, const struct guest_stall *s)
{
	char page[32] = "a page";

	if (s->page != UINT64_MAX)
		snprintf(page, sizeof(page), "page %llu", (unsigned long long)s->page);
	if (s->over)
		log_info("guest %s goes on, after %llu s", g->name,
			 (unsigned long long)s->seconds);
	else
		log_warn("guest %s: %s has been waited for for %llu s%s%s: %s", g->name, page,
			 (unsigned long long)s->seconds, s->path ? ", swap device " : "",
			 s->path ? s->path : "", s->why);
}

void host_tell_stall(struct host *h, const struct guest *g, const struct guest_stall *s)
{
	struct report *r = host_new_report(h, REPORT_EVENT);
	unsigned int n = 0;

	log_stall(g, s);
	if (!r)
		return;
	r->event = s->over ? "GUEST_RESUMED" : "GUEST_STALLED";
	/* texts come first: see struct report */
	r->key[n] = "guest";
	snprintf(r->text[n++], sizeof(r->text[0]), "%s", g->name);
	if (!s->over) {
		r->key[n] = "reason";
		snprintf(r->text[n++], sizeof(r->text[0]), "%s", s->why);
	}
	if (s->path) {
		r->key[n] = "path";
		snprintf(r->text[n++], sizeof(r->text[0]), "%s", s->path);
	}
	if (s->page != UINT64_MAX) {
		r->key[n] = "page";
		r->number[n++] = s->page;
	}
	r->key[n] = "seconds";
	r->number[n++] = s->seconds;
	host_post_report(h, r);
}
