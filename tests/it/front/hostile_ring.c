/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings and requests that are wrong, or are changed while they are looked at. */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"

#define BASE(h)	  ((h)->f.ring_end)
#define DATA(h)	  (BASE(h) + 0x2000)
#define TABLE(h)  (BASE(h) + 0x10000)
#define STATUS(h) (BASE(h) + 0x1000)
#define NEXT	  VRING_DESC_F_NEXT
#define WRITE	  VRING_DESC_F_WRITE
#define INDIRECT  VRING_DESC_F_INDIRECT

static struct vring_desc *desc(struct hostile *h)
{
	return h->f.queue[0].desc;
}

static void put(struct vring_desc *d, uint64_t addr, uint64_t len, unsigned int flags,
		unsigned int next)
{
	*d = (struct vring_desc){ .addr = addr,
				  .len = (uint32_t)len,
				  .flags = (uint16_t)flags,
				  .next = (uint16_t)next };
}

/* A read of 4 KiB in descriptors d[0] to d[2], which are `at` and so on of their table. */
static void good(struct hostile *h, struct vring_desc *d, unsigned int at, uint32_t type,
		 uint64_t sector)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };

	front_put(&h->f, BASE(h), &header, sizeof(header));
	front_set(&h->f, STATUS(h), 0xff, 1);
	h->status_at = STATUS(h);
	put(&d[0], BASE(h), sizeof(header), NEXT, at + 1);
	put(&d[1], DATA(h), 4096, NEXT | (type == VIRTIO_BLK_T_IN ? WRITE : 0), at + 2);
	put(&d[2], STATUS(h), 1, WRITE, 0);
}

static void post(struct hostile *h, unsigned int head, unsigned int ahead)
{
	struct fqueue *q = &h->f.queue[0];
	uint64_t one = 1;

	h->used = q->used->idx;
	q->avail->ring[q->avail_idx & (q->num - 1)] = (uint16_t)head;
	q->avail_idx = (uint16_t)(q->avail_idx + ahead);
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	if (write(q->kick, &one, sizeof(one)) < 0)
		return;
}

/* A case: a good request in `d`, of which `change` makes something else. */
#define REQUEST(name, type, sector, change)                                                    \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		struct vring_desc *d = desc(h);                                                \
		hostile_up(h);                                                                 \
		good(h, d, 0, type, sector);                                                   \
		change;                                                                        \
		post(h, 0, 1);                                                                 \
	}

#define IN  VIRTIO_BLK_T_IN
#define OUT VIRTIO_BLK_T_OUT

REQUEST(nothing_wrong, IN, 0, )
REQUEST(chain_to_itself, IN, 0, d[1].next = 1)
REQUEST(chain_in_a_circle, IN, 0, d[2].flags |= NEXT; d[2].next = 1)
REQUEST(chain_leaves_ring, IN, 0, d[1].next = 64)
REQUEST(chain_leaves_memory, IN, 0, d[1].next = 65535)
REQUEST(data_outside, IN, 0, d[1].addr = UINT64_C(1) << 40)
REQUEST(data_wraps, IN, 0, d[1].addr = ~UINT64_C(0) - 100)
REQUEST(data_beyond_end, IN, 0, d[1].addr = h->f.opt.ram - 512)
REQUEST(data_endless, IN, 0, d[1].len = 0xffffffff)
REQUEST(data_empty, IN, 0, d[1].len = 0)
REQUEST(data_odd, IN, 0, d[1].len = 100)
REQUEST(data_in_the_ring, IN, 0, d[1].addr = 0)
REQUEST(data_in_wrong_order, OUT, 0, d[0].flags |= WRITE)
REQUEST(header_outside, IN, 0, d[0].addr = ~UINT64_C(0))
REQUEST(header_short, IN, 0, d[0].len = 7)
REQUEST(header_written, IN, 0, d[0].flags |= WRITE)
REQUEST(status_none, OUT, 0, d[1].flags = 0)
REQUEST(status_empty, IN, 0, d[2].len = 0)
REQUEST(status_outside, IN, 0, d[2].addr = UINT64_C(1) << 50)
REQUEST(only_a_header, IN, 0, d[0].flags = 0)
REQUEST(only_a_status, IN, 0, put(&d[0], STATUS(h), 1, WRITE, 0))
REQUEST(type_unknown, 99, 0, )
REQUEST(sector_beyond, IN, h->f.config.capacity, )
REQUEST(sector_at_the_edge, IN, h->f.config.capacity - 7, )
REQUEST(sector_wraps, IN, ~UINT64_C(0), )
REQUEST(sector_times_512_wraps, OUT, UINT64_C(1) << 55, )
REQUEST(sector_of_write_beyond, OUT, h->f.config.capacity + 8, )

/* ---- heads and the available ring ---- */

#define POST(name, head, ahead)                                                                \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		hostile_up(h);                                                                 \
		good(h, desc(h), 0, IN, 0);                                                    \
		post(h, head, ahead);                                                          \
	}

POST(head_outside, 64, 1)
POST(head_far_outside, 65535, 1)
POST(avail_jumps_a_ring, 0, 65)
POST(avail_jumps_half, 0, 32768)
POST(avail_goes_back, 0, 65535)

static void head_twice(struct hostile *h)
{
	hostile_up(h);
	good(h, desc(h), 0, IN, 0);
	for (unsigned int i = 0; i < 60; i++) {
		struct fqueue *q = &h->f.queue[0];

		q->avail->ring[q->avail_idx++ & (q->num - 1)] = 0;
	}
	post(h, 0, 1);
}

/* ---- indirect tables ---- */

static struct vring_desc *table(struct hostile *h)
{
	return front_at(&h->f, TABLE(h), 16 << 20, NULL);
}

#define INDIRECTLY(name, bytes, change)                                                        \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		struct vring_desc *d = desc(h), *t = table(h);                                 \
		hostile_up(h);                                                                 \
		good(h, t, 0, IN, 0);                                                          \
		put(&d[0], TABLE(h), bytes, INDIRECT, 0);                                      \
		change;                                                                        \
		(void)t;                                                                       \
		post(h, 0, 1);                                                                 \
	}

INDIRECTLY(table_good, 48, )
INDIRECTLY(table_empty, 0, )
INDIRECTLY(table_odd, 47, )
INDIRECTLY(table_cut, 32, )
INDIRECTLY(table_huge, 8 << 20, )
INDIRECTLY(table_endless, 0xfffffff0, )
INDIRECTLY(table_outside, 48, d[0].addr = UINT64_C(1) << 44)
INDIRECTLY(table_wraps, 48, d[0].addr = ~UINT64_C(0) - 31)
INDIRECTLY(table_beyond_end, 48, d[0].addr = h->f.opt.ram - 32)
INDIRECTLY(table_in_itself, 48, t[1] = d[0])
INDIRECTLY(table_in_another, 48, put(&t[1], TABLE(h) + 0x1000, 48, INDIRECT | NEXT, 2))
INDIRECTLY(table_and_next, 48, d[0].flags |= NEXT; put(&d[1], STATUS(h), 1, WRITE, 0);
	   d[0].next = 1)
INDIRECTLY(table_written, 48, d[0].flags |= WRITE)
INDIRECTLY(table_to_itself, 48, t[1].next = 1)
INDIRECTLY(table_in_a_circle, 48, t[2].flags |= NEXT; t[2].next = 0)
INDIRECTLY(table_leaves, 48, t[1].next = 1000)

/* As many pieces as there can be, of a byte each. */
static void table_of_many(struct hostile *h)
{
	struct vring_desc *t = table(h);
	unsigned int n = 65534;

	hostile_up(h);
	good(h, t, 0, IN, 0);
	for (unsigned int i = 1; i < n; i++)
		put(&t[i], DATA(h) + i % 4096, 1, WRITE | NEXT, i + 1);
	put(&t[n], STATUS(h), 1, WRITE, 0);
	put(&desc(h)[0], TABLE(h), (n + 1) * 16u, INDIRECT, 0);
	post(h, 0, 1);
}

/* The same 8 MiB again and again: a request of gigabytes in memory that is there. */
static void table_of_gigabytes(struct hostile *h)
{
	struct vring_desc *t = table(h);

	hostile_up(h);
	good(h, t, 0, IN, 0);
	for (unsigned int i = 1; i < 1000; i++)
		put(&t[i], 8 << 20, 8 << 20, WRITE | NEXT, i + 1);
	put(&t[1000], STATUS(h), 1, WRITE, 0);
	put(&desc(h)[0], TABLE(h), 1001 * 16, INDIRECT, 0);
	post(h, 0, 1);
}

/* ---- ranges ---- */

static void ranges(struct hostile *h, uint32_t type, uint64_t sector, uint32_t n,
		   uint32_t flags, uint32_t bytes)
{
	struct virtio_blk_discard_write_zeroes range = { sector, n, flags };

	hostile_up(h);
	good(h, desc(h), 0, type, 0);
	for (uint32_t at = 0; at < 4096; at += sizeof(range))
		front_put(&h->f, DATA(h) + at, &range, sizeof(range));
	desc(h)[1].len = bytes;
	post(h, 0, 1);
}

#define RANGES(name, type, sector, n, flags, bytes)                                            \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		ranges(h, type, sector, n, flags, bytes);                                      \
	}

RANGES(discard_beyond, VIRTIO_BLK_T_DISCARD, ~UINT64_C(0) - 7, 8, 0, 16)
RANGES(discard_everything, VIRTIO_BLK_T_DISCARD, 1 << 30, 0xffffffff, 0, 16)
RANGES(discard_flags, VIRTIO_BLK_T_DISCARD, 8, 8, 0xffffffff, 16)
RANGES(discard_odd, VIRTIO_BLK_T_DISCARD, UINT64_C(1) << 40, 8, 0, 15)
RANGES(discard_none, VIRTIO_BLK_T_DISCARD, 0, 0, 0, 16)
RANGES(discard_many, VIRTIO_BLK_T_DISCARD, UINT64_C(1) << 40, 8, 0, 4096)
RANGES(zeroes_wrap, VIRTIO_BLK_T_WRITE_ZEROES, ~UINT64_C(0), 0xffffffff, 1, 16)
RANGES(zeroes_flags, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_C(1) << 40, 8, 0xfffe, 16)

/* ---- while it works ---- */

enum scribble { DESCRIPTORS, AVAIL, USED, HEADERS, INFLIGHT };

static void scribble_at(struct hostile *h, void *memory, size_t bytes)
{
	uint64_t *word = memory;

	word[random_to(&h->rng, (uint32_t)(bytes / 8))] ^= mix64(h->rng) & mix64(h->rng + 1);
}

/* Good reads for a third of a second, and random bits change in what they are made of. */
static void scribble(struct hostile *h, enum scribble where)
{
	uint64_t end, one = 1;
	struct fqueue *q = &h->f.queue[0];
	void *inflight = NULL;

	hostile_up(h);
	if (where == INFLIGHT && h->f.inflight_fd >= 0)
		inflight = mmap(NULL, h->f.inflight.size, PROT_READ | PROT_WRITE, MAP_SHARED,
				h->f.inflight_fd, (off_t)h->f.inflight.offset);
	h->impossible = where == INFLIGHT && (!inflight || inflight == MAP_FAILED);
	if (h->impossible)
		return;
	end = front_now_ns() + UINT64_C(300000000);
	while (front_now_ns() < end) {
		unsigned int at = random_to(&h->rng, 20) * 3;

		good(h, &q->desc[at], at, IN, random_to(&h->rng, 1000) * 8);
		q->avail->ring[q->avail_idx & (q->num - 1)] = (uint16_t)at;
		__atomic_store_n(&q->avail->idx, ++q->avail_idx, __ATOMIC_RELEASE);
		if (write(q->kick, &one, sizeof(one)) < 0)
			break;
		for (unsigned int i = 0; i < 20; i++)
			switch (where) {
			case DESCRIPTORS:
				scribble_at(h, q->desc, q->num * sizeof(*q->desc));
				break;
			case AVAIL:
				scribble_at(h, q->desc + q->num, 2 * q->num);
				break;
			case USED:
				scribble_at(h, q->used, 8 * q->num);
				break;
			case HEADERS:
				scribble_at(h, front_at(&h->f, BASE(h), 16, NULL), 16);
				/* never a write */
				((struct virtio_blk_outhdr *)front_at(&h->f, BASE(h), 16, NULL))
					->type &= ~UINT32_C(VIRTIO_BLK_T_OUT | 8);
				break;
			case INFLIGHT:
				scribble_at(h, inflight, h->f.inflight.size);
				break;
			}
	}
	h->status_at = 0;
}

#define SCRIBBLE(name, where)                                                                  \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		scribble(h, where);                                                            \
	}

SCRIBBLE(scribble_descriptors, DESCRIPTORS)
SCRIBBLE(scribble_avail, AVAIL)
SCRIBBLE(scribble_used, USED)
SCRIBBLE(scribble_headers, HEADERS)
SCRIBBLE(scribble_inflight, INFLIGHT)

/* 20 reads at once. */
static void many(struct hostile *h)
{
	struct fqueue *q = &h->f.queue[0];

	for (unsigned int i = 0; i < 20; i++) {
		good(h, &q->desc[3 * i], 3 * i, IN, 8 * i);
		q->avail->ring[q->avail_idx++ & (q->num - 1)] = (uint16_t)(3 * i);
	}
	good(h, &q->desc[60], 60, IN, 0);
	post(h, 60, 1);
	h->status_at = 0;
}

static void close_with_requests(struct hostile *h)
{
	hostile_up(h);
	many(h);
	front_disconnect(&h->f);
	h->closed_by_us = true;
}

static void die_with_requests(struct hostile *h)
{
	hostile_up(h);
	many(h);
	h->closed_by_us = true;
}

static void base_with_requests(struct hostile *h)
{
	struct vhost_ring_state s = { 0, 0 };

	hostile_up(h);
	many(h);
	hostile_say(h, VHOST_GET_VRING_BASE, VHOST_VERSION, &s, sizeof(s), NULL, 0);
}

static void other_memory_with_requests(struct hostile *h)
{
	int fd = memfd_create("other", MFD_CLOEXEC);

	hostile_up(h);
	many(h);
	if (ftruncate(fd, (off_t)h->f.opt.ram))
		return;
	hostile_say(h, VHOST_SET_MEM_TABLE, VHOST_VERSION, &h->f.table, 40, &fd, 1);
}

static void no_memory_with_requests(struct hostile *h)
{
	struct vhost_table t = { .n = 0 };

	hostile_up(h);
	many(h);
	hostile_say(h, VHOST_SET_MEM_TABLE, VHOST_VERSION, &t, 8, NULL, 0);
}

/* ---- files that are shorter than they were said to be ---- */

static void cut_short(struct hostile *h, bool rings)
{
	hostile_up(h);
	good(h, desc(h), 0, IN, 0);
	/* what is cut off is touched no more here */
	if (rings)
		h->status_at = 0;
	else
		desc(h)[1].addr = 12 << 20;
	h->f.queue[0].avail->idx = 1;
	h->impossible = ftruncate(h->f.memfd, rings ? 0 : 8 << 20) ||
			write(h->f.queue[0].kick, &(uint64_t){ 1 }, 8) < 0;
}

static void memory_cut_below_data(struct hostile *h)
{
	cut_short(h, false);
}

static void memory_cut_below_rings(struct hostile *h)
{
	cut_short(h, true);
}

static void inflight_cut(struct hostile *h)
{
	hostile_up(h);
	h->impossible = h->f.inflight_fd < 0 || ftruncate(h->f.inflight_fd, 0);
	if (h->impossible)
		return;
	good(h, desc(h), 0, IN, 0);
	post(h, 0, 1);
}

#define C(name)                                                                                \
	{                                                                                      \
#name, name                                                                    \
	}

const struct hostile_case hostile_rings[] = {
	C(nothing_wrong),
	C(chain_to_itself),
	C(chain_in_a_circle),
	C(chain_leaves_ring),
	C(chain_leaves_memory),
	C(data_outside),
	C(data_wraps),
	C(data_beyond_end),
	C(data_endless),
	C(data_empty),
	C(data_odd),
	C(data_in_the_ring),
	C(data_in_wrong_order),
	C(header_outside),
	C(header_short),
	C(header_written),
	C(status_none),
	C(status_empty),
	C(status_outside),
	C(only_a_header),
	C(only_a_status),
	C(type_unknown),
	C(sector_beyond),
	C(sector_at_the_edge),
	C(sector_wraps),
	C(sector_times_512_wraps),
	C(sector_of_write_beyond),
	C(head_outside),
	C(head_far_outside),
	C(head_twice),
	C(avail_jumps_a_ring),
	C(avail_jumps_half),
	C(avail_goes_back),
	C(table_good),
	C(table_empty),
	C(table_odd),
	C(table_cut),
	C(table_huge),
	C(table_endless),
	C(table_outside),
	C(table_wraps),
	C(table_beyond_end),
	C(table_in_itself),
	C(table_in_another),
	C(table_and_next),
	C(table_written),
	C(table_to_itself),
	C(table_in_a_circle),
	C(table_leaves),
	C(table_of_many),
	C(table_of_gigabytes),
	C(discard_beyond),
	C(discard_everything),
	C(discard_flags),
	C(discard_odd),
	C(discard_none),
	C(discard_many),
	C(zeroes_wrap),
	C(zeroes_flags),
	C(scribble_descriptors),
	C(scribble_avail),
	C(scribble_used),
	C(scribble_headers),
	C(scribble_inflight),
	C(close_with_requests),
	C(die_with_requests),
	C(base_with_requests),
	C(other_memory_with_requests),
	C(no_memory_with_requests),
	C(memory_cut_below_data),
	C(memory_cut_below_rings),
	C(inflight_cut),
	{ NULL, NULL },
};
