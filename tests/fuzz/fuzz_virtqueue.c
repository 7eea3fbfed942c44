/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver may write into a ring, and a front end into an in-flight region.
 *
 * The input: 16 bytes of set-up, SCRIPT bytes that say what happens in which order, and
 * then what memory holds: the region, if there is one, and descriptors and rings.  Memory is
 * two blocks of the heap, so that ASan sees what is accessed beside them.  Checked: a chain
 * keeps to its limits, no head is in flight twice, a ring that was broken stays so, what is
 * published is what was pushed, and all of it ends.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/inflight.h"
#include "vmm/virtqueue.h"

#define SCRIPT 64u
#define RAM    VHOST_PAGE /* of each region */
#define UVA    UINT64_C(0x7f0000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first bytes of an input. */
struct start {
	uint8_t num_shift, flags;
	uint16_t base, desc, avail, used, queue_size;
	uint32_t log_addr;
};

enum { EVENT = 1, INDIRECT = 2, LOGGED = 4, TRACKED = 8 };

struct world {
	struct vhost_mem mem;
	struct vhost_log log;
	struct vq_setup setup;
	struct virtqueue vq;
	struct inflight inflight;
	uint8_t *ram[2], *region;
	uint64_t region_bytes;
	uint16_t flying[VQ_NUM_MAX];
	unsigned int n; /* of flying */
};

static const struct vq_limits limits = { .segs = 24, .bytes = UINT64_C(1) << 33 };

static void *block(size_t bytes)
{
	void *p = aligned_alloc(VHOST_PAGE, bytes);

	if (!p)
		abort();
	memset(p, 0, bytes);
	return p;
}

static void make(struct world *w, const struct start *s, const uint8_t *data, size_t size)
{
	struct err e;

	if (s->flags & TRACKED) {
		size_t n;

		w->region_bytes = inflight_bytes(1, s->queue_size % 128);
		w->region = block(VHOST_PAGE);
		n = size < w->region_bytes ? size : w->region_bytes;
		memcpy(w->region, data, n);
		data += n;
		size -= n;
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_region r = { .gpa = i * RAM,
					  .size = RAM,
					  .uva = UVA + 2 * i * RAM };
		size_t n = size < RAM ? size : RAM;

		w->ram[i] = block(RAM);
		memcpy(w->ram[i], data, n);
		data += n;
		size -= n;
		if (vhost_mem_add(&w->mem, &r, w->ram[i], i, &e) < 0)
			abort();
	}
	w->setup = (struct vq_setup){
		.num = 1u << s->num_shift % 8,
		.base = s->base,
		.features =
			(s->flags & EVENT ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0) |
			(s->flags & INDIRECT ? UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC : 0),
		.desc = UVA + s->desc,
		.avail = UVA + s->avail,
		.used = UVA + s->used,
		.logged = s->flags & LOGGED,
		.log_addr = s->log_addr,
	};
	if (s->flags & LOGGED) {
		w->log.size = 64;
		w->log.bits = block(VHOST_PAGE);
	}
}

static void unmake(struct world *w)
{
	for (unsigned int i = 0; i < 2; i++)
		free(w->ram[i]);
	free(w->region);
	free(w->log.bits);
}

static void taken(struct world *w, const struct vq_chain *c)
{
	uint64_t bytes = 0;

	assert(c->n_read + c->n_write >= 1 && c->n_read + c->n_write <= limits.segs);
	for (unsigned int i = 0; i < (unsigned int)c->n_read + c->n_write; i++) {
		assert(c->seg[i].len > 0 && c->seg[i].len - 1 <= UINT64_MAX - c->seg[i].gpa);
		bytes += c->seg[i].len;
	}
	assert(bytes == c->read_bytes + c->write_bytes && bytes <= limits.bytes);
	assert(c->head < w->setup.num);
	for (unsigned int i = 0; i < w->n; i++)
		assert(w->flying[i] != c->head);
	w->flying[w->n++] = c->head;
	assert(w->n <= w->setup.num && w->n == w->vq.in_flight);
}

/* As a pager does that takes the ring over.  => false: there is nothing to take over */
static bool begin(struct world *w, uint16_t queue_size, struct vq_chain *c)
{
	uint16_t used_idx, heads[VQ_NUM_MAX];
	struct err e;
	int n = 0;

	if (vq_start(&w->vq, &w->setup, &w->mem, &w->log, &limits, &e) < 0)
		return false;
	used_idx = w->vq.used_idx;
	if (w->region) {
		if (inflight_open(&w->inflight, w->region, w->region_bytes, 1, queue_size % 128,
				  0, w->setup.num, used_idx, &e) < 0)
			return false;
		n = inflight_recover(&w->inflight, w->setup.num, used_idx, heads, &e);
		if (n < 0)
			return false;
		w->setup.base = (uint16_t)(used_idx + n);
		if (vq_start(&w->vq, &w->setup, &w->mem, &w->log, &limits, &e) < 0)
			return false;
	}
	assert(n <= (int)w->setup.num);
	for (int i = 0; i < n; i++) {
		if (vq_resume(&w->vq, heads[i], c, &e) < 0)
			return false;
		taken(w, c);
	}
	return true;
}

/* The driver writes something into the ring. */
static void scribble(struct world *w, uint8_t what)
{
	uint16_t *avail = (void *)w->vq.avail;

	if (what & 0x10)
		avail[1]++;
	else
		avail[2 + what % w->setup.num] = (uint16_t)(what % (w->setup.num + 1));
}

static void step(struct world *w, uint8_t what, struct vq_chain *c)
{
	uint16_t head, used;
	bool any;
	struct err e;

	switch (what % 8) {
	case 0:
	case 1:
		if (vq_pop(&w->vq, c, &e) == 1) {
			assert(!w->vq.broken);
			inflight_begin(&w->inflight, c->head);
			(void)!vq_log_chain(&w->vq, c);
			taken(w, c);
		}
		break;
	case 2:
	case 3:
		if (w->n == 0)
			break;
		head = w->flying[what / 8 % w->n];
		w->flying[what / 8 % w->n] = w->flying[w->n - 1];
		w->n--;
		inflight_push(&w->inflight, head);
		(void)!vq_push(&w->vq, head, what, &e);
		break;
	case 4:
		any = w->vq.pushed > 0;
		used = (uint16_t)(w->vq.used_idx + w->vq.pushed);
		(void)!vq_publish(&w->vq, &e);
		assert(!any || w->vq.used->idx == used);
		inflight_publish(&w->inflight, used);
		(void)!vq_should_notify(&w->vq);
		break;
	case 5:
		(void)!vq_enable_kicks(&w->vq, &e);
		break;
	case 6:
		(void)!vq_disable_kicks(&w->vq, &e);
		break;
	default:
		scribble(w, what / 8);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vq_seg *segs;
	struct world *w;
	struct vq_chain c;
	struct start s;

	if (size < sizeof(s) + SCRIPT || size > sizeof(s) + SCRIPT + 2 * RAM + 4096)
		return -1;
	w = calloc(1, sizeof(*w));
	segs = malloc(limits.segs * sizeof(*segs));
	if (!w || !segs)
		abort();
	c.seg = segs;
	memcpy(&s, data, sizeof(s));
	make(w, &s, data + sizeof(s) + SCRIPT, size - sizeof(s) - SCRIPT);
	if (begin(w, s.queue_size, &c))
		for (unsigned int i = 0; i < SCRIPT; i++) {
			bool broken = w->vq.broken;

			step(w, data[sizeof(s) + i], &c);
			assert(!broken || w->vq.broken);
		}
	unmake(w);
	free(segs);
	free(w);
	return 0;
}
