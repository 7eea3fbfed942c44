/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/fake_vring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define AVAIL 0x8000u
#define USED  0x10000u

void fake_vring_init(struct fake_vring *g, uint32_t num, uint64_t features)
{
	struct vhost_region r = { .gpa = FAKE_GPA, .size = FAKE_BYTES, .uva = FAKE_UVA };
	struct err e;

	memset(g, 0, sizeof(*g));
	g->ram = aligned_alloc(4096, FAKE_BYTES);
	g->ram2 = aligned_alloc(4096, FAKE_BYTES);
	if (!g->ram || !g->ram2)
		abort();
	memset(g->ram, 0, FAKE_BYTES);
	memset(g->ram2, 0, FAKE_BYTES);
	if (vhost_mem_add(&g->mem, &r, g->ram, 1000, &e) < 0)
		abort();
	r.gpa += FAKE_BYTES;
	r.uva = FAKE_UVA2;
	if (vhost_mem_add(&g->mem, &r, g->ram2, 5000, &e) < 0)
		abort();
	g->setup = (struct vq_setup){ .num = num,
				      .features = features,
				      .desc = FAKE_UVA,
				      .avail = FAKE_UVA + AVAIL,
				      .used = FAKE_UVA + USED };
	g->desc_gpa = FAKE_GPA;
	g->desc = (void *)g->ram;
	g->avail = (void *)(g->ram + AVAIL);
	g->used = (void *)(g->ram + USED);
}

void fake_vring_fini(struct fake_vring *g)
{
	free(g->ram);
	free(g->ram2);
	free(g->log.bits);
}

void *fake_vring_at(struct fake_vring *g, uint64_t gpa)
{
	uint64_t at = gpa - FAKE_GPA;

	return at < FAKE_BYTES ? g->ram + at : g->ram2 + (at - FAKE_BYTES);
}

void fake_vring_set(struct fake_vring *g, uint16_t i, uint64_t gpa, uint32_t len,
		    uint16_t flags, uint16_t next)
{
	g->desc[i] =
		(struct vring_desc){ .addr = gpa, .len = len, .flags = flags, .next = next };
}

void fake_vring_offer(struct fake_vring *g, uint16_t head)
{
	g->avail->ring[g->avail->idx % g->setup.num] = head;
	__atomic_store_n(&g->avail->idx, (uint16_t)(g->avail->idx + 1), __ATOMIC_RELEASE);
}

const struct vring_used_elem *fake_vring_take(struct fake_vring *g)
{
	if (__atomic_load_n(&g->used->idx, __ATOMIC_ACQUIRE) == g->seen)
		return NULL;
	return &g->used->ring[g->seen++ % g->setup.num];
}
