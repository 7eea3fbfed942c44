/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Figures of guests, for the control layer: what they have counted, a picture of the RAM of
 * one, which its worker makes (map.h), how long its faults take, and where on swap it is.
 *
 * The last needs nobody but the drum: each guest has a share of it (drum_promise.c), which is
 * charged with every block that becomes its own, and knows the devices.  So it is right after a
 * restart as soon as the guest has claimed its blocks, and while blocks are moved.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memlock.h"
#include "vmm/figures.h"
#include "vmm/host_priv.h"

size_t host_guest_stats(struct host *h, struct guest_stats *out, size_t max)
{
	size_t n = 0;

	for (struct guest *g = h->guests; g; g = g->next, n++)
		if (n < max)
			guest_get_stats(g, &out[n]);
	return n;
}

int host_guest_stats_one(struct host *h, const char *name, struct guest_stats *out)
{
	struct guest *g = host_find_guest(h, name);

	if (!g)
		return -ENOENT;
	guest_get_stats(g, out);
	return 0;
}

struct map_request {
	struct map_order order;
	host_map_fn done;
	void *ctx;
};

static void mapped(void *ctx, const struct err *e)
{
	struct map_request *r = ctx;
	struct guest_map map = { .size = r->order.npages << PAGE_SHIFT,
				 .cell_size = r->order.cell_pages << PAGE_SHIFT,
				 .n = r->order.n,
				 .cell = r->order.cell };

	r->done(r->ctx, e->code ? NULL : &map, e);
	free(r->order.cell);
	free(r);
}

void host_guest_map(struct host *h, const char *name, uint32_t cells, host_map_fn done,
		    void *ctx)
{
	struct map_request *r = calloc(1, sizeof(*r));
	struct err e = { 0 };

	if (!r)
		BROKEN("out of memory");
	*r = (struct map_request){ .order.cells = cells, .done = done, .ctx = ctx };
	r->order.cell = calloc(cells, sizeof(*r->order.cell));
	if (!r->order.cell) {
		err_set(&e, -ENOMEM, "out of memory");
		host_refuse(h, mapped, r, &e);
		return;
	}
	/* not by the worker, which may have a fault pending */
	memlock_touch(r->order.cell, cells * sizeof(*r->order.cell));
	host_command(h, name, &(struct command){ .type = CMD_MAP, .map = &r->order }, mapped,
		     r);
}

int host_guest_latency(struct host *h, const char *name, struct latency_stats *out)
{
	const struct guest *g = host_find_guest(h, name);

	if (!g)
		return -ENOENT;
	latency_of(&g->fault_hist, out);
	return 0;
}

size_t host_guest_swap(struct host *h, const char *name, struct guest_swap *out, size_t max)
{
	const struct guest *g = host_find_guest(h, name);
	size_t n = 0;

	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX && g && g->share; i++) {
		uint64_t used = __atomic_load_n(&g->share->used[i], __ATOMIC_RELAXED);

		if (used == 0)
			continue;
		if (n < max) {
			snprintf(out[n].path, sizeof(out[n].path), "%s",
				 drum_path(h->drum, drum_make(i, 0)));
			out[n].used = used << SWAP_BLOCK_SHIFT;
		}
		n++;
	}
	return n;
}
