/* SPDX-License-Identifier: BSD-2-Clause */
/* What to ask next, by chance; never where something is in flight. */
#include <string.h>

#include "verify.h"

static uint64_t features(const struct verify *v, unsigned int bit)
{
	return v->f.features & BIT(bit);
}

static bool overlap(uint64_t a, uint64_t n, uint64_t b, uint64_t m)
{
	return a < b + m && b < a + n;
}

/* Is anything of it in flight, or in a range of r itself? */
static bool is_taken(const struct verify *v, const struct request *r, uint64_t sector,
		     uint64_t n)
{
	for (unsigned int i = 0; i <= v->n_pending; i++) {
		const struct request *p = i < v->n_pending ? v->pending[i] : r;

		if (p != r && p->sectors && overlap(sector, n, p->sector, p->sectors))
			return true;
		for (unsigned int k = 0; k < p->n_ranges; k++)
			if (overlap(sector, n, p->range[k].sector, p->range[k].num_sectors))
				return true;
	}
	return false;
}

static uint32_t unit(const struct verify *v)
{
	return features(v, VIRTIO_BLK_F_BLK_SIZE) && v->f.config.blk_size > SECTOR
		       ? v->f.config.blk_size / SECTOR
		       : 1;
}

/* A place for n sectors. => false: none was found */
static bool find_place(struct verify *v, const struct request *r, uint32_t n, uint32_t align,
		       uint64_t *sector)
{
	for (unsigned int tries = 0; tries < 8; tries++) {
		uint32_t room = (uint32_t)((v->m.sectors - n) / align + 1);

		*sector = v->m.first + (uint64_t)random_to(&v->rng, room) * align;
		if (!is_taken(v, r, *sector, n))
			return true;
	}
	return false;
}

/* A page; pages; sectors: what the guest's page cache does, and what it does not. */
static bool pick_transfer(struct verify *v, struct request *r)
{
	uint32_t u = unit(v), align = 8 > u ? 8 : u;

	switch (random_to(&v->rng, 3)) {
	case 0:
		r->sectors = align;
		break;
	case 1:
		r->sectors = align * (1 + random_to(&v->rng, DATA_MAX / SECTOR / align));
		break;
	default:
		align = u;
		r->sectors = u * (1 + random_to(&v->rng, DATA_MAX / SECTOR / u));
		break;
	}
	return find_place(v, r, r->sectors, align, &r->sector);
}

static bool pick_ranges(struct verify *v, struct request *r)
{
	bool discard = r->type == VIRTIO_BLK_T_DISCARD;
	uint32_t segs =
		discard ? v->f.config.max_discard_seg : v->f.config.max_write_zeroes_seg;
	uint32_t most = discard ? v->f.config.max_discard_sectors
				: v->f.config.max_write_zeroes_sectors;
	uint32_t u = unit(v), want;

	segs = segs > RANGES_MAX ? RANGES_MAX : segs ? segs : 1;
	if (most > 2048)
		most = 2048;
	if (most > v->m.sectors)
		most = (uint32_t)v->m.sectors;
	if (most < u)
		return false;
	want = 1 + random_to(&v->rng, segs);
	while (r->n_ranges < want) {
		struct virtio_blk_discard_write_zeroes *range = &r->range[r->n_ranges];
		uint32_t n = u * (1 + random_to(&v->rng, most / u));
		uint64_t sector;

		if (!find_place(v, r, n, random_to(&v->rng, 2) ? u : 8 > u ? 8 : u, &sector))
			break;
		range->sector = sector;
		range->num_sectors = n;
		range->flags = !discard && random_to(&v->rng, 2)
				       ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
				       : 0;
		r->n_ranges++;
	}
	return r->n_ranges > 0;
}

static bool pick_mix(struct verify *v, struct request *r)
{
	uint32_t dice = random_to(&v->rng, 100);
	bool writable = !features(v, VIRTIO_BLK_F_RO);

	if (v->o->reads && random_to(&v->rng, 100) < v->o->reads)
		dice = 99;
	if (dice < 40 && writable)
		r->type = VIRTIO_BLK_T_OUT;
	else if (dice < 45 && writable && features(v, VIRTIO_BLK_F_WRITE_ZEROES))
		r->type = VIRTIO_BLK_T_WRITE_ZEROES;
	else if (dice < 50 && writable && features(v, VIRTIO_BLK_F_DISCARD))
		r->type = VIRTIO_BLK_T_DISCARD;
	else if (dice < 53 && features(v, VIRTIO_BLK_F_FLUSH))
		r->type = VIRTIO_BLK_T_FLUSH;
	else if (dice < 54)
		r->type = VIRTIO_BLK_T_GET_ID;
	else
		r->type = VIRTIO_BLK_T_IN;
	switch (r->type) {
	case VIRTIO_BLK_T_FLUSH:
	case VIRTIO_BLK_T_GET_ID:
		return true;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return pick_ranges(v, r);
	default:
		return pick_transfer(v, r);
	}
}

/* All of the region in order. */
static bool pick_pass(struct verify *v, struct request *r)
{
	uint64_t left = v->m.sectors - v->at;

	r->type = v->phase == FILL ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
	r->sector = v->m.first + v->at;
	r->sectors = (uint32_t)(left < DATA_MAX / SECTOR ? left : DATA_MAX / SECTOR);
	if (is_taken(v, r, r->sector, r->sectors))
		return false;
	v->at += r->sectors;
	return true;
}

/* One of those that are not in flight; what lies in its RAM is still to be what it was. */
static struct request *take(struct verify *v)
{
	unsigned int i = random_to(&v->rng, v->n_requests);
	struct request *r;

	while (v->request[i]->busy)
		i = (i + 1) % v->n_requests;
	r = v->request[i];
	if (r->has_sum && request_sum(&v->f, r) != r->sum)
		verify_bad(v, r, "its buffer has changed since it was done");
	r->has_sum = false;
	r->n_ranges = 0;
	r->sector = r->sectors = r->gen = 0;
	return r;
}

struct request *verify_next(struct verify *v)
{
	bool indirect = features(v, VIRTIO_RING_F_INDIRECT_DESC) && random_to(&v->rng, 4);
	unsigned int seg_max = features(v, VIRTIO_BLK_F_SEG_MAX) && v->f.config.seg_max
				       ? v->f.config.seg_max
				       : 1;
	struct request *r;

	if (v->depth_left-- == 0) {
		v->depth = 1u << random_to(&v->rng, 8);
		if (v->depth > v->o->depth)
			v->depth = v->o->depth;
		v->depth_left = random_to(&v->rng, 500);
	}
	if (v->n_pending >= v->depth || v->phase == DONE ||
	    (v->phase != MIX && v->at == v->m.sectors))
		return NULL;
	r = take(v);
	r->queue = random_to(&v->rng, v->f.queues);
	if (!(v->phase == MIX ? pick_mix(v, r) : pick_pass(v, r)))
		return NULL;
	if (seg_max > v->f.opt.num - 4)
		seg_max = v->f.opt.num - 4;
	request_random(&v->f, r, seg_max, &v->rng);
	if (!request_fits(&v->f, r, indirect)) {
		if (v->phase != MIX)
			v->at -= r->sectors;
		return NULL;
	}
	if (r->type == VIRTIO_BLK_T_OUT) {
		r->gen = ++v->m.last_gen;
		model_fill(v->data, r->sector, r->sectors, r->gen);
		request_put(&v->f, r, v->data);
	} else if (r->type == VIRTIO_BLK_T_IN) {
		request_spoil(&v->f, r);
	}
	if (v->f.log)
		request_log_clear(&v->f, r);
	v->pending[v->n_pending++] = r;
	request_submit(&v->f, r, indirect);
	return r;
}
