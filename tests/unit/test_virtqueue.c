/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtqueue, with drivers that keep to the rules and such that do not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit/fake_vring.h"

#define EVENT	 (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define N	 VRING_DESC_F_NEXT
#define W	 VRING_DESC_F_WRITE
#define I	 VRING_DESC_F_INDIRECT
#define A	 UINT64_C(0x5000) /* some address */
#define TABLE	 (FAKE_GPA + 0x20000)

static const struct vq_limits limits = { .segs = 16, .bytes = 1 << 20 };

static struct fake_vring g;
static struct virtqueue vq;
static struct vq_seg *segs; /* so that ASan sees the end */
static struct vq_chain chain;
static struct err e;

static int start(void)
{
	return vq_start(&vq, &g.setup, &g.mem, &g.log, &limits, &e);
}

static void begin(uint32_t num, uint64_t features)
{
	fake_vring_init(&g, num, features);
	segs = malloc(limits.segs * sizeof(*segs));
	chain.seg = segs;
	cr_assert_eq(start(), 0, "%s", e.text);
}

static void end(void)
{
	free(segs);
	fake_vring_fini(&g);
}

static int pop(void)
{
	return vq_pop(&vq, &chain, &e);
}

/* The request at `head` is refused, and the ring of no use from then on. */
#define refused(head, why)                                                                     \
	do {                                                                                   \
		fake_vring_offer(&g, head);                                                    \
		e.text[0] = 0;                                                                 \
		cr_assert_eq(pop(), -EPROTO);                                                  \
		cr_assert_not_null(strstr(e.text, why), "said: %s", e.text);                   \
		cr_assert(vq.broken);                                                          \
		cr_assert_eq(pop(), -EPROTO);                                                  \
		g.avail->idx = 0;                                                              \
		cr_assert_eq(start(), 0);                                                      \
	} while (0)

Test(virtqueue, a_chain_is_taken_once)
{
	begin(8, 0);
	cr_assert_eq(pop(), 0);
	fake_vring_set(&g, 5, A, 16, N, 2);
	fake_vring_set(&g, 2, A + 100, 4096, N, 7);
	fake_vring_set(&g, 7, UINT64_MAX, 1, W | N, 0);
	fake_vring_set(&g, 0, 77, 3, W, 5); /* next without its flag is nothing */
	fake_vring_offer(&g, 5);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.head, 5);
	cr_assert_eq(chain.n_read, 2);
	cr_assert_eq(chain.n_write, 2);
	cr_assert_eq(chain.read_bytes, 4112);
	cr_assert_eq(chain.write_bytes, 4);
	cr_assert_eq(segs[0].gpa, A);
	cr_assert_eq(segs[0].len, 16);
	cr_assert_eq(segs[1].gpa, A + 100);
	cr_assert_eq(segs[1].len, 4096);
	cr_assert_eq(segs[2].gpa, UINT64_MAX);
	cr_assert_eq(segs[2].len, 1);
	cr_assert_eq(segs[3].gpa, 77);
	cr_assert_eq(segs[3].len, 3);
	cr_assert_eq(pop(), 0);
	cr_assert_eq(vq.in_flight, 1);
	end();
}

Test(virtqueue, an_answer_shows_when_it_is_published)
{
	const struct vring_used_elem *u;

	begin(8, EVENT);
	for (uint16_t i = 0; i < 3; i++) {
		fake_vring_set(&g, i, A, 1, 0, 0);
		fake_vring_offer(&g, i);
		cr_assert_eq(pop(), 1);
	}
	cr_assert_eq(vq_push(&vq, 2, 22, &e), 0);
	cr_assert_eq(vq_push(&vq, 0, 0, &e), 0);
	cr_assert_null(fake_vring_take(&g));
	cr_assert_eq(vq_publish(&vq, &e), 0);
	u = fake_vring_take(&g);
	cr_assert_eq(u->id, 2);
	cr_assert_eq(u->len, 22);
	u = fake_vring_take(&g);
	cr_assert_eq(u->id, 0);
	cr_assert_eq(u->len, 0);
	cr_assert_null(fake_vring_take(&g));
	cr_assert_eq(vq.in_flight, 1);
	cr_assert_eq(vq_publish(&vq, &e), 0);
	cr_assert_null(fake_vring_take(&g));
	end();
}

Test(virtqueue, goes_round_for_ever)
{
	uint16_t flying[4], n = 0, offered = 0, next = 0;
	unsigned int seed = 1, done = 0;

	begin(4, EVENT);
	for (uint16_t i = 0; i < 4; i++)
		fake_vring_set(&g, i, A + i, 1u + i, 0, 0);
	while (done < 200000) {
		const struct vring_used_elem *u;

		while (offered < 4 && rand_r(&seed) % 3) {
			fake_vring_offer(&g, next++ % 4);
			offered++;
		}
		/* in order, for the driver here uses descriptors in order */
		while (pop() == 1) {
			cr_assert_eq(segs[0].gpa, A + chain.head);
			flying[n++] = chain.head;
		}
		cr_assert_not(vq.broken, "%s", e.text);
		while (n > 0 && rand_r(&seed) % 2) {
			cr_assert_eq(vq_push(&vq, flying[0], done, &e), 0);
			memmove(flying, flying + 1, --n * sizeof(flying[0]));
		}
		cr_assert_eq(vq_publish(&vq, &e), 0);
		while ((u = fake_vring_take(&g))) {
			cr_assert_eq(u->id, done % 4);
			done++;
			offered--;
		}
	}
	end();
}

Test(virtqueue, chains_that_cannot_be)
{
	begin(8, 0);
	refused(8, "at 8 of 8");
	refused(0xffff, "at 65535 of 8");
	fake_vring_set(&g, 0, A, 1, N, 0);
	refused(0, "no end");
	fake_vring_set(&g, 0, A, 1, N, 1);
	fake_vring_set(&g, 1, A, 1, N, 0);
	refused(0, "no end");
	fake_vring_set(&g, 1, A, 1, N, 8);
	refused(0, "leaves its ring");
	fake_vring_set(&g, 1, A, 0, 0, 0);
	refused(0, "empty");
	fake_vring_set(&g, 1, UINT64_MAX, 2, 0, 0);
	refused(0, "without an end");
	fake_vring_set(&g, 0, A, 1, N | W, 1);
	fake_vring_set(&g, 1, A, 1, 0, 0);
	refused(0, "behind one to write");
	fake_vring_set(&g, 0, A, 1, N, 1);
	fake_vring_set(&g, 1, A, (1 << 20), 0, 0);
	refused(0, "more than 1048576 bytes");
	fake_vring_set(&g, 1, A, UINT32_MAX, W, 0);
	refused(0, "more than 1048576 bytes");
	fake_vring_set(&g, 1, A, (1 << 20) - 1, W, 0);
	fake_vring_offer(&g, 0);
	cr_assert_eq(pop(), 1);
	end();
}

Test(virtqueue, buffers_are_counted)
{
	begin(32, 0);
	for (uint16_t i = 0; i < 32; i++)
		fake_vring_set(&g, i, A, 1, N, i + 1u);
	g.desc[15].flags = 0;
	fake_vring_offer(&g, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.n_read, 16);
	g.avail->idx = 0;
	cr_assert_eq(start(), 0);
	g.desc[15].flags = N | W;
	g.desc[16].flags = W;
	refused(0, "more than 16 buffers");
	end();
}

/* The table has n entries of one byte each, one after the other. */
static struct vring_desc *table(uint64_t gpa, uint16_t n)
{
	struct vring_desc *t = fake_vring_at(&g, gpa);

	for (uint16_t i = 0; i < n; i++)
		t[i] = (struct vring_desc){
			.addr = A + i, .len = 1, .flags = N, .next = i + 1u
		};
	t[n - 1].flags = 0;
	fake_vring_set(&g, 0, gpa, n * 16u, I, 0);
	return t;
}

Test(virtqueue, indirect_tables)
{
	begin(8, INDIRECT);
	table(TABLE, 16); /* longer than the ring, which Linux does */
	fake_vring_offer(&g, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.n_read, 16);
	for (uint16_t i = 0; i < 16; i++)
		cr_assert_eq(segs[i].gpa, A + i);
	/* behind other descriptors; and it is no buffer, so W says nothing */
	fake_vring_set(&g, 1, 7, 8, N, 2);
	fake_vring_set(&g, 2, TABLE, 32, I | W, 0);
	table(TABLE, 2)[1].flags = W;
	fake_vring_offer(&g, 1);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.n_read, 2);
	cr_assert_eq(chain.n_write, 1);
	cr_assert_eq(segs[0].gpa, 7);
	cr_assert_eq(segs[1].gpa, A);
	cr_assert_eq(segs[2].gpa, A + 1);
	end();
}

Test(virtqueue, indirect_tables_lie_anywhere)
{
	uint8_t bytes[48];

	begin(8, INDIRECT);
	memcpy(bytes, table(TABLE, 3), sizeof(bytes));
	/* across the border of two regions, at each offset */
	for (uint64_t gpa = FAKE_GPA + FAKE_BYTES - 50; gpa < FAKE_GPA + FAKE_BYTES + 3;
	     gpa++) {
		for (uint64_t i = 0; i < sizeof(bytes); i++)
			*(uint8_t *)fake_vring_at(&g, gpa + i) = bytes[i];
		fake_vring_set(&g, 0, gpa, 48, I, 0);
		fake_vring_offer(&g, 0);
		cr_assert_eq(pop(), 1, "%s", e.text);
		cr_assert_eq(chain.n_read, 3);
		cr_assert_eq(segs[0].gpa, A);
		cr_assert_eq(segs[1].gpa, A + 1);
		cr_assert_eq(segs[2].gpa, A + 2);
		cr_assert_eq(vq_push(&vq, 0, 0, &e), 0);
		cr_assert_eq(vq_publish(&vq, &e), 0);
	}
	end();
}

Test(virtqueue, indirect_tables_that_cannot_be)
{
	struct vring_desc *t;

	begin(8, INDIRECT);
	t = table(TABLE, 3);
	g.desc[0].flags |= N;
	refused(0, "goes on behind");
	t = table(TABLE, 3);
	g.desc[0].len = 0;
	refused(0, "of 0 bytes");
	g.desc[0].len = 47;
	refused(0, "of 47 bytes");
	g.desc[0].len = 17 * 16;
	refused(0, "of 272 bytes");
	g.desc[0].len = UINT32_MAX - 15;
	refused(0, "of 4294967280 bytes");
	t = table(TABLE, 3);
	t[2].flags = N; /* to entry 3 */
	refused(0, "leaves its table");
	t[2].next = 0;
	refused(0, "no end");
	t[2].next = 0xffff;
	refused(0, "leaves its table");
	t[0].next = 3; /* one that would do, but for where it is */
	t[3] = (struct vring_desc){ .addr = A, .len = 1 };
	refused(0, "leaves its table");
	t = table(TABLE, 3);
	t[1].flags |= I;
	refused(0, "table in another");
	t = table(TABLE, 3);
	t[0].flags |= W;
	refused(0, "behind one to write");
	t = table(TABLE, 3);
	g.desc[0].addr = FAKE_GPA + 2 * FAKE_BYTES - 47;
	g.desc[0].flags = I;
	memcpy(fake_vring_at(&g, g.desc[0].addr), t, 47);
	refused(0, "not in memory");
	g.desc[0].addr = FAKE_GPA - 16;
	refused(0, "not in memory");
	g.desc[0].addr = UINT64_MAX - 40;
	refused(0, "without an end");
	table(TABLE, 3);
	g.setup.features = 0;
	cr_assert_eq(start(), 0);
	refused(0, "not agreed on");
	end();
}

Test(virtqueue, more_requests_than_entries)
{
	begin(8, 0);
	fake_vring_set(&g, 0, A, 1, 0, 0);
	g.avail->idx = 9;
	cr_assert_eq(pop(), -EPROTO);
	g.avail->idx = 0xffff; /* has it gone back? */
	cr_assert_eq(start(), 0);
	cr_assert_eq(pop(), -EPROTO);
	/* what is in flight has its entry still, and what was not published too */
	for (uint16_t pushed = 0; pushed < 2; pushed++) {
		g.avail->idx = 0;
		cr_assert_eq(start(), 0);
		for (uint16_t i = 0; i < 8; i++) {
			fake_vring_set(&g, i, A, 1, 0, 0);
			fake_vring_offer(&g, i);
		}
		cr_assert_eq(pop(), 1);
		if (pushed)
			cr_assert_eq(vq_push(&vq, 0, 0, &e), 0);
		fake_vring_offer(&g, 0);
		cr_assert_eq(pop(), -EPROTO);
	}
	end();
}

Test(virtqueue, a_request_twice_before_it_was_answered)
{
	begin(8, 0);
	fake_vring_set(&g, 3, A, 1, 0, 0);
	fake_vring_offer(&g, 3);
	cr_assert_eq(pop(), 1);
	fake_vring_offer(&g, 3);
	cr_assert_eq(pop(), -EPROTO);
	cr_assert_not_null(strstr(e.text, "once more"));
	/* it may still be answered */
	cr_assert_eq(vq_push(&vq, 3, 0, &e), 0);
	cr_assert_eq(vq_publish(&vq, &e), 0);
	cr_assert_eq(fake_vring_take(&g)->id, 3);
	end();
}

Test(virtqueue, rings_that_cannot_be)
{
	static const uint32_t sizes[] = { 0, 3, 6, 1023, 2048, 32768, 65536, UINT32_MAX };
	struct vq_setup good;

	begin(8, EVENT);
	good = g.setup;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		g.setup.num = sizes[i];
		cr_assert_eq(start(), -EPROTO);
		cr_assert_eq(pop(), -EPROTO);
	}
	for (uint32_t num = 1; num <= 1024; num *= 2) {
		g.setup.num = num;
		cr_assert_eq(start(), 0);
	}
#define try(field, value, ok)                                                                  \
	do {                                                                                   \
		g.setup = good;                                                                \
		g.setup.field = value;                                                         \
		cr_assert_eq(start(), ok ? 0 : -EPROTO);                                       \
		cr_assert_eq(vq.broken, !ok);                                                  \
	} while (0)
	try(desc, FAKE_UVA + 8, false);
	try(desc, FAKE_UVA + 0x4010, true);
	try(avail, FAKE_UVA + 0x4001, false);
	try(avail, FAKE_UVA + 0x4002, true);
	try(used, FAKE_UVA + 0x4002, false);
	try(used, FAKE_UVA + 0x4004, true);
	/* 8 entries have 128, 22 and 70 bytes */
	try(desc, FAKE_UVA + FAKE_BYTES - 128, true);
	try(desc, FAKE_UVA + FAKE_BYTES - 112, false);
	try(avail, FAKE_UVA + FAKE_BYTES - 22, true);
	try(avail, FAKE_UVA + FAKE_BYTES - 20, false);
	try(used, FAKE_UVA + FAKE_BYTES - 72, true);
	try(used, FAKE_UVA + FAKE_BYTES - 68, false);
	try(desc, FAKE_UVA - 16, false);
	try(used, FAKE_GPA, false);
	try(used, UINT64_MAX - 3, false);
	try(used, FAKE_UVA2, true);
	/* without EVENT_IDX they end before that word */
	good.features = 0;
	try(avail, FAKE_UVA + FAKE_BYTES - 20, true);
	try(used, FAKE_UVA + FAKE_BYTES - 68, true);
#undef try
	end();
}

Test(virtqueue, begins_where_it_is_told)
{
	begin(8, 0);
	g.used->idx = 0xfffe;
	for (unsigned int base = 0; base <= 0xffff; base++) {
		g.setup.base = (uint16_t)base;
		cr_assert_eq(start() == 0, base >= 0xfffe || base <= 6);
	}
	g.setup.base = 0xfffe;
	cr_assert_eq(start(), 0);
	g.avail->idx = 0xfffe;
	for (uint16_t i = 0; i < 4; i++) {
		fake_vring_set(&g, i, A, 1, 0, 0);
		fake_vring_offer(&g, i);
		cr_assert_eq(pop(), 1);
		cr_assert_eq(chain.head, i);
		cr_assert_eq(vq_push(&vq, i, i, &e), 0);
	}
	cr_assert_eq(vq_publish(&vq, &e), 0);
	cr_assert_eq(g.used->idx, 2);
	cr_assert_eq(g.used->ring[6].id, 0);
	cr_assert_eq(g.used->ring[1].id, 3);
	end();
}

Test(virtqueue, goes_on_after_a_death)
{
	begin(8, 0);
	for (uint16_t i = 0; i < 5; i++) {
		fake_vring_set(&g, i, A + i, 1, 0, 0);
		fake_vring_offer(&g, i);
	}
	for (uint16_t i = 0; i < 4; i++)
		cr_assert_eq(pop(), 1);
	cr_assert_eq(vq_push(&vq, 2, 0, &e), 0);
	cr_assert_eq(vq_publish(&vq, &e), 0);
	/* another process: 0, 1 and 3 are in flight, 4 waits */
	g.setup.base = (uint16_t)(g.used->idx + 3);
	cr_assert_eq(start(), 0);
	for (uint16_t i = 0; i < 4; i++) {
		if (i == 2)
			continue;
		cr_assert_eq(vq_resume(&vq, i, &chain, &e), 0);
		cr_assert_eq(chain.head, i);
		cr_assert_eq(segs[0].gpa, A + i);
	}
	cr_assert_eq(vq.in_flight, 3);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.head, 4);
	cr_assert_eq(pop(), 0);
	cr_assert_eq(vq_resume(&vq, 3, &chain, &e), -EPROTO);
	cr_assert_eq(pop(), -EPROTO);
	end();
}

Test(virtqueue, tells_the_driver_by_its_flag)
{
	begin(8, 0);
	fake_vring_set(&g, 0, A, 1, 0, 0);
	cr_assert(vq_should_notify(&vq)); /* nobody knows what it was told of */
	cr_assert_not(vq_should_notify(&vq));
	for (uint16_t i = 0; i < 4; i++) {
		fake_vring_offer(&g, 0);
		cr_assert_eq(pop(), 1);
		cr_assert_eq(vq_push(&vq, 0, 0, &e), 0);
		cr_assert_eq(vq_publish(&vq, &e), 0);
		g.avail->flags = i % 2 ? VRING_AVAIL_F_NO_INTERRUPT : 0;
		cr_assert_eq(vq_should_notify(&vq), i % 2 == 0);
		cr_assert_not(vq_should_notify(&vq));
	}
	end();
}

/* The driver wants to hear of entry `event`: we publish [from, from + n). */
static bool hears(uint16_t from, uint16_t n, uint16_t event)
{
	g.used->idx = g.avail->idx = g.setup.base = from;
	cr_assert_eq(start(), 0);
	cr_assert(vq_should_notify(&vq));
	for (uint16_t i = 0; i < n; i++) {
		fake_vring_offer(&g, i);
		cr_assert_eq(pop(), 1);
		cr_assert_eq(vq_push(&vq, i, 0, &e), 0);
	}
	cr_assert_eq(vq_publish(&vq, &e), 0);
	g.avail->ring[g.setup.num] = event;
	g.avail->flags = VRING_AVAIL_F_NO_INTERRUPT; /* says nothing now */
	return vq_should_notify(&vq);
}

Test(virtqueue, tells_the_driver_by_event_idx)
{
	static const uint16_t from[] = { 0, 5, 0x7ffe, 0xfff9, 0xffff };

	begin(8, EVENT);
	for (uint16_t i = 0; i < 8; i++)
		fake_vring_set(&g, i, A, 1, 0, 0);
	for (size_t k = 0; k < sizeof(from) / sizeof(from[0]); k++)
		for (uint16_t n = 1; n <= 8; n++)
			for (int at = -10; at < 20; at++)
				cr_assert_eq(hears(from[k], n, (uint16_t)(from[k] + at)),
					     at >= 0 && at < n, "%u + %u, event %d", from[k], n,
					     at);
	end();
}

Test(virtqueue, kicks_by_the_flag)
{
	begin(8, 0);
	cr_assert_eq(vq_disable_kicks(&vq, &e), 0);
	cr_assert_eq(g.used->flags, VRING_USED_F_NO_NOTIFY);
	cr_assert_eq(vq_enable_kicks(&vq, &e), 0);
	cr_assert_eq(g.used->flags, 0);
	fake_vring_set(&g, 0, A, 1, 0, 0);
	cr_assert_eq(vq_disable_kicks(&vq, &e), 0);
	fake_vring_offer(&g, 0);
	cr_assert_eq(vq_enable_kicks(&vq, &e), 1);
	end();
}

Test(virtqueue, kicks_by_event_idx)
{
	const uint16_t *event;

	begin(8, EVENT);
	event = (const uint16_t *)(const void *)&g.used->ring[8];
	fake_vring_set(&g, 0, A, 1, 0, 0);
	fake_vring_set(&g, 1, A, 1, 0, 0);
	fake_vring_offer(&g, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(vq_disable_kicks(&vq, &e), 0);
	cr_assert_eq(*event, 0);
	cr_assert_eq(vq_enable_kicks(&vq, &e), 0);
	cr_assert_eq(*event, 1); /* it kicks when it adds number 1 */
	cr_assert_eq(g.used->flags, 0);
	fake_vring_offer(&g, 1);
	cr_assert_eq(vq_enable_kicks(&vq, &e), 1);
	end();
}

static unsigned int marked(void)
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < g.log.size; i++)
		n += (unsigned int)__builtin_popcount(g.log.bits[i]);
	return n;
}

static bool take_mark(uint64_t addr)
{
	uint64_t page = addr / 4096;
	bool was = g.log.bits[page / 8] >> page % 8 & 1;

	g.log.bits[page / 8] &= (uint8_t) ~(1u << page % 8);
	return was;
}

Test(virtqueue, writes_to_the_used_ring_are_logged)
{
	const uint64_t at = 0x200000 - 4 - 8; /* entry 0 is before the border of two pages */

	begin(8, EVENT);
	g.log.size = 0x201000 / 4096 / 8 + 1;
	g.log.bits = calloc(1, g.log.size);
	g.setup.logged = true;
	g.setup.log_addr = at;
	cr_assert_eq(start(), 0);
	for (uint16_t i = 0; i < 2; i++) {
		fake_vring_set(&g, i, A, 1, 0, 0);
		fake_vring_offer(&g, i);
		cr_assert_eq(pop(), 1);
	}
	cr_assert_eq(marked(), 0);
	cr_assert_eq(vq_push(&vq, 1, 0, &e), 0);
	cr_assert(take_mark(at + 4));
	cr_assert_eq(marked(), 0);
	cr_assert_eq(vq_push(&vq, 0, 0, &e), 0);
	cr_assert(take_mark(at + 12));
	cr_assert_eq(marked(), 0);
	cr_assert_eq(vq_publish(&vq, &e), 0);
	cr_assert(take_mark(at));
	cr_assert_eq(marked(), 0);
	cr_assert_eq(vq_enable_kicks(&vq, &e), 0);
	cr_assert(take_mark(at + 4 + 64));
	cr_assert_eq(marked(), 0);
	g.setup.features = 0;
	g.setup.base = 2;
	cr_assert_eq(start(), 0);
	cr_assert_eq(vq_disable_kicks(&vq, &e), 0);
	cr_assert(take_mark(at));
	cr_assert_eq(vq_enable_kicks(&vq, &e), 0);
	cr_assert(take_mark(at));
	cr_assert_eq(marked(), 0);
	end();
}

Test(virtqueue, a_log_that_is_too_short)
{
	begin(8, EVENT);
	g.log.size = 1; /* 8 pages; the used ring has 70 bytes */
	g.log.bits = calloc(1, 1);
	g.setup.logged = true;
	g.setup.log_addr = 0x8000 - 70;
	cr_assert_eq(start(), 0);
	g.setup.log_addr++;
	cr_assert_eq(start(), -EPROTO);
	g.setup.log_addr = UINT64_MAX - 8;
	cr_assert_eq(start(), -EPROTO);
	g.setup.logged = false;
	cr_assert_eq(start(), 0);
	/* it is turned on while the ring runs */
	cr_assert_eq(vq_move(&vq, true, 0x8000 - 70, &e), 0);
	cr_assert_eq(vq_move(&vq, true, 0x8000 - 69, &e), -EPROTO);
	cr_assert_eq(pop(), -EPROTO);
	end();
}

Test(virtqueue, what_a_request_wrote_is_logged)
{
	begin(8, 0);
	g.log.size = 4;
	g.log.bits = calloc(1, 4);
	fake_vring_set(&g, 0, 0x1000, 1, N, 1);
	fake_vring_set(&g, 1, 0x2fff, 2, N | W, 2);
	fake_vring_set(&g, 2, 0x7000, 1, W, 0);
	fake_vring_offer(&g, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(vq_log_chain(&vq, &chain), 0);
	cr_assert(take_mark(0x2000));
	cr_assert(take_mark(0x3000));
	cr_assert(take_mark(0x7000));
	cr_assert_eq(marked(), 0);
	segs[1].gpa = 32 * 4096; /* not covered, the other is */
	cr_assert_eq(vq_log_chain(&vq, &chain), -EPROTO);
	cr_assert(take_mark(0x7000));
	cr_assert_eq(marked(), 0);
	end();
}

Test(virtqueue, memory_moves_under_it)
{
	uint8_t *old;

	begin(8, 0);
	fake_vring_set(&g, 0, A, 1, 0, 0);
	fake_vring_offer(&g, 0);
	cr_assert_eq(pop(), 1);
	/* the first region is mapped elsewhere now */
	old = g.ram;
	g.ram = aligned_alloc(4096, FAKE_BYTES);
	memcpy(g.ram, old, FAKE_BYTES);
	free(old);
	g.mem.region[0].ptr = g.ram;
	g.used = (void *)(g.ram + 0x10000);
	cr_assert_eq(vq_move(&vq, false, 0, &e), 0);
	cr_assert_eq(vq_push(&vq, 0, 0, &e), 0);
	cr_assert_eq(vq_publish(&vq, &e), 0);
	cr_assert_eq(fake_vring_take(&g)->id, 0);
	g.mem.n = 0;
	cr_assert_eq(vq_move(&vq, false, 0, &e), -EPROTO);
	end();
}
