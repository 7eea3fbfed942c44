/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-flight region: deaths at every instruction, and regions that lie. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/crash.h"
#include "unit/fake_vring.h"
#include "vmm/inflight.h"

#define NUM 8u

static struct err e;
static struct inflight f;
static uint16_t heads[VQ_NUM_MAX];
static uint64_t memory[VQ_NUM_MAX * 4];
static struct inflight_region *const region = (void *)memory;

static int reopen(void)
{
	return inflight_open(&f, memory, sizeof(memory), 1, NUM, 0, NUM, 0, &e);
}

Test(inflight, size)
{
	/* what libvhost-user computes */
	cr_assert_eq(inflight_bytes(1, 1), 64);
	cr_assert_eq(inflight_bytes(1, 3), 64);
	cr_assert_eq(inflight_bytes(1, 4), 128);
	cr_assert_eq(inflight_bytes(1, 128), 2112);
	cr_assert_eq(inflight_bytes(4, 128), 8448);
	cr_assert_eq(inflight_bytes(65535, 1024), UINT64_C(65535) * 16448);
}

Test(inflight, each_queue_has_its_part)
{
	uint64_t bytes = inflight_bytes(3, 4);
	uint8_t *m = aligned_alloc(64, bytes);

	memset(m, 0, bytes);
	for (uint32_t i = 0; i < 3; i++) {
		cr_assert_eq(inflight_open(&f, m, bytes, 3, 4, i, 4, (uint16_t)(i + 7), &e), 0);
		cr_assert_eq((uint8_t *)f.region, m + i * 128);
		cr_assert_eq(f.region->version, 1);
		cr_assert_eq(f.region->desc_num, 4);
		cr_assert_eq(f.region->used_idx, i + 7);
		inflight_begin(&f, 3);
	}
	cr_assert_eq(inflight_open(&f, m, bytes, 3, 4, 3, 4, 0, &e), -EPROTO);
	cr_assert_eq(inflight_open(&f, m, bytes - 1, 3, 4, 2, 4, 0, &e), -EPROTO);
	cr_assert_eq(inflight_open(&f, m, bytes, 3, 4, 2, 8, 0, &e), -EPROTO);
	cr_assert_eq(inflight_open(&f, m, bytes, 3, 0, 2, 0, 0, &e), -EPROTO);
	cr_assert_eq(inflight_open(&f, m, UINT64_MAX, 3, 2048, 2, 8, 0, &e), -EPROTO);
	free(m);
}

Test(inflight, comes_back_oldest_first)
{
	static const uint16_t popped[] = { 5, 1, 7, 0, 2 };

	cr_assert_eq(reopen(), 0);
	cr_assert_eq(inflight_recover(&f, NUM, 0, heads, &e), 0);
	for (size_t i = 0; i < 5; i++)
		inflight_begin(&f, popped[i]);
	inflight_push(&f, 7);
	inflight_publish(&f, 1);
	cr_assert_eq(reopen(), 0);
	cr_assert_eq(inflight_recover(&f, NUM, 1, heads, &e), 4);
	cr_assert_eq(heads[0], 5);
	cr_assert_eq(heads[1], 1);
	cr_assert_eq(heads[2], 0);
	cr_assert_eq(heads[3], 2);
	/* what is popped now is younger */
	inflight_begin(&f, 7);
	cr_assert_eq(inflight_recover(&f, NUM, 1, heads, &e), 5);
	cr_assert_eq(heads[4], 7);
}

Test(inflight, sorts_a_whole_ring)
{
	uint64_t seed = 12345;

	for (uint32_t n = 1; n <= 1024; n = n * 3 / 2 + 1) {
		memset(memory, 0, sizeof(memory));
		cr_assert_eq(inflight_open(&f, memory, sizeof(memory), 1, 1024, 0, n, 0, &e),
			     0);
		for (uint32_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			region->desc[i].inflight = 1;
			region->desc[i].counter = seed >> 33;
		}
		cr_assert_eq(inflight_recover(&f, n, 0, heads, &e), (int)n);
		for (uint32_t i = 1; i < n; i++)
			cr_assert_leq(region->desc[heads[i - 1]].counter,
				      region->desc[heads[i]].counter);
	}
}

Test(inflight, the_last_batch_is_finished)
{
	cr_assert_eq(reopen(), 0);
	for (uint16_t i = 0; i < NUM; i++)
		inflight_begin(&f, i);
	inflight_push(&f, 6);
	inflight_publish(&f, 1);
	inflight_push(&f, 3);
	inflight_push(&f, 0);
	inflight_push(&f, 4);
	/* published, and dead */
	cr_assert_eq(reopen(), 0);
	cr_assert_eq(inflight_recover(&f, NUM, 4, heads, &e), 4);
	cr_assert_eq(heads[0], 1);
	cr_assert_eq(heads[1], 2);
	cr_assert_eq(heads[2], 5);
	cr_assert_eq(heads[3], 7);
	cr_assert_eq(region->used_idx, 4);
	/* not published, and dead: they are done again */
	inflight_push(&f, 1);
	inflight_push(&f, 2);
	cr_assert_eq(reopen(), 0);
	cr_assert_eq(inflight_recover(&f, NUM, 4, heads, &e), 4);
	/* in another order, and published now */
	inflight_push(&f, 2);
	inflight_push(&f, 1);
	cr_assert_eq(reopen(), 0);
	cr_assert_eq(inflight_recover(&f, NUM, 6, heads, &e), 2);
	cr_assert_eq(heads[0], 5);
	cr_assert_eq(heads[1], 7);
}

Test(inflight, nothing_is_tracked_without_a_region)
{
	memset(&f, 0, sizeof(f));
	inflight_begin(&f, 3);
	inflight_push(&f, 3);
	inflight_publish(&f, 1);
}

Test(inflight, regions_that_lie)
{
	cr_assert_eq(reopen(), 0);
	region->version = 2;
	cr_assert_eq(reopen(), -EPROTO);
	region->version = 1;
	region->features = 1;
	cr_assert_eq(reopen(), -EPROTO);
	region->features = 0;
	region->desc_num = NUM - 1;
	cr_assert_eq(reopen(), -EPROTO);
	region->desc_num = NUM;
	region->last_batch_head = NUM;
	cr_assert_eq(reopen(), -EPROTO);
	region->last_batch_head = 0;
	cr_assert_eq(reopen(), 0);
	/* it changes when it was looked at: that is not looked at again */
	region->desc_num = 0xffff;
	region->last_batch_head = 0xffff;
	cr_assert_eq(inflight_recover(&f, NUM, 1, heads, &e), 0);
	/* a batch that leaves the ring */
	region->used_idx = 0;
	region->desc[0].next = NUM;
	cr_assert_eq(inflight_recover(&f, NUM, 1, heads, &e), 0);
	region->used_idx = 0;
	cr_assert_eq(inflight_recover(&f, NUM, 2, heads, &e), -EPROTO);
	/* one that goes round */
	region->desc[0].next = 0;
	cr_assert_eq(inflight_recover(&f, NUM, 8, heads, &e), 0);
	/* a request beyond the ring, which is smaller than the region */
	region->desc[4].inflight = 1;
	cr_assert_eq(inflight_recover(&f, 4, 8, heads, &e), -EPROTO);
	cr_assert_eq(inflight_recover(&f, 5, 8, heads, &e), 1);
	region->desc[4].inflight = 0xff;
	cr_assert_eq(inflight_recover(&f, 5, 8, heads, &e), 1);
}

Test(inflight, of_another_life_of_the_ring)
{
	cr_assert_eq(reopen(), 0);
	region->used_idx = 300;
	/* the driver was reset, nothing is in flight */
	cr_assert_eq(inflight_recover(&f, NUM, 0, heads, &e), 0);
	cr_assert_eq(region->used_idx, 0);
	region->used_idx = 300;
	region->desc[2].inflight = 1;
	cr_assert_eq(inflight_recover(&f, NUM, 0, heads, &e), -EPROTO);
	cr_assert_eq(inflight_recover(&f, NUM, 309, heads, &e), -EPROTO);
	cr_assert_eq(inflight_recover(&f, NUM, 299, heads, &e), -EPROTO);
	/* across 65535 */
	region->used_idx = 0xffff;
	region->last_batch_head = 2;
	cr_assert_eq(reopen(), 0);
	cr_assert_eq(inflight_recover(&f, NUM, 0, heads, &e), 0);
}

/* ---- a ring and its region in a file, and a process that dies anywhere ---- */

#define PAGE   4096u
#define ROUNDS 2u

struct life {
	struct vhost_mem mem;
	struct vhost_log log;
	struct vq_setup setup;
	struct virtqueue vq;
	struct inflight f;
	struct vq_seg seg[4];
	struct vring_avail *avail;
	struct vring_used *used;
};

static const struct vq_limits limits = { .segs = 4, .bytes = 4096 };

/* Pages of the file: descriptors and rings, the region. */
static void live(struct life *l, uint8_t *map)
{
	struct vhost_region r = { .gpa = 0, .size = PAGE, .uva = PAGE };
	struct vring_desc *desc = (void *)map;

	memset(l, 0, sizeof(*l));
	cr_assert_eq(vhost_mem_add(&l->mem, &r, map, 0, &e), 0);
	l->setup = (struct vq_setup){
		.num = NUM, .desc = PAGE, .avail = PAGE + 1024, .used = PAGE + 2048
	};
	l->avail = (void *)(map + 1024);
	l->used = (void *)(map + 2048);
	for (uint16_t i = 0; i < NUM; i++)
		desc[i] = (struct vring_desc){ .addr = i, .len = 1 };
	cr_assert_eq(inflight_open(&l->f, map + PAGE, PAGE, 1, NUM, 0, NUM, l->used->idx, &e),
		     0);
}

static uint8_t *map_of(int fd)
{
	uint8_t *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	cr_assert_neq(map, MAP_FAILED);
	return map;
}

struct death {
	struct life *life;	/* of who dies */
	unsigned int in_flight; /* a sum, so that it is seen that something was looked at */
};

/* Serve two rounds of 8 requests, which come in another order and are answered in yet another.
 */
static void serve(void *arg)
{
	static const uint16_t order[NUM] = { 3, 0, 6, 1, 7, 5, 2, 4 };
	struct life *l = ((struct death *)arg)->life;
	struct vq_chain c = { .seg = l->seg };

	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (uint16_t i = 0; i < NUM; i++) {
			l->avail->ring[l->avail->idx % NUM] = (uint16_t)(i * 3 + round) % NUM;
			__atomic_store_n(&l->avail->idx, l->avail->idx + 1, __ATOMIC_RELEASE);
		}
		while (vq_pop(&l->vq, &c, &e) == 1)
			inflight_begin(&l->f, c.head);
		/* batches of 1, 2, 3, 2 */
		for (uint16_t i = 0; i < NUM; i++) {
			inflight_push(&l->f, order[i]);
			if (vq_push(&l->vq, order[i], 0, &e) < 0)
				abort();
			if (i != 0 && i != 2 && i != 5 && i != 7)
				continue;
			if (vq_publish(&l->vq, &e) < 0)
				abort();
			inflight_publish(&l->f, l->vq.used_idx);
		}
	}
}

/* All that was offered in this round is answered, in flight, or to be taken: one of them. */
static void look(void *arg, const int *copy)
{
	struct death *death = arg;
	uint8_t *map = map_of(copy[0]);
	uint16_t used, round, found[NUM];
	struct life l;
	unsigned int n = 0;
	int rc;

	live(&l, map);
	used = l.used->idx;
	round = used / NUM * NUM;
	rc = inflight_recover(&l.f, NUM, used, found, &e);
	cr_assert_geq(rc, 0, "%s", e.text);
	death->in_flight += (unsigned int)rc;
	for (uint16_t i = round; i < l.avail->idx; i++) {
		uint16_t head = l.avail->ring[i % NUM];
		unsigned int times = 0;

		for (uint16_t k = round; k < used; k++)
			times += l.used->ring[k % NUM].id == head;
		for (int k = 0; k < rc; k++)
			times += found[k] == head;
		for (uint16_t k = (uint16_t)(used + rc); k < l.avail->idx; k++)
			times += l.avail->ring[k % NUM] == head;
		cr_assert_eq(times, 1, "head %u, %u used, %d in flight, %u offered", head, used,
			     rc, l.avail->idx);
		n += i < used + rc;
	}
	cr_assert_eq(n, used - round + rc);
	/* and in the order in which they were offered */
	for (int k = 0, at = round; k < rc; k++, at++)
		while (l.avail->ring[at % NUM] != found[k])
			cr_assert_lt(++at, l.avail->idx);
	munmap(map, 2 * PAGE);
}

Test(inflight, dies_at_any_instruction)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	struct life *l = malloc(sizeof(*l));
	struct death death = { .life = l };
	unsigned int times;

	cr_assert_eq(ftruncate(fd, 2 * PAGE), 0);
	live(l, map_of(fd));
	cr_assert_eq(vq_start(&l->vq, &l->setup, &l->mem, &l->log, &limits, &e), 0);
	times = crash_everywhere(serve, &fd, 1, look, &death);
	/* 16 requests, each of which changes the ring and the region several times */
	cr_assert_gt(times, 16 * 6);
	cr_assert_gt(death.in_flight, times);
	free(l);
}

/* ---- many deaths, between any two steps, with heads used again ---- */

/* What the driver knows: each head is free, or offered and with a number. */
struct model {
	struct fake_vring g;
	uint64_t offered[NUM]; /* 0: free */
	uint64_t answers, offers;
};

static void drive(struct model *m, unsigned int *seed)
{
	const struct vring_used_elem *u;
	uint16_t head = (uint16_t)rand_r(seed) % NUM;

	while ((u = fake_vring_take(&m->g))) {
		cr_assert_lt(u->id, NUM);
		cr_assert_neq(m->offered[u->id], 0, "answered twice");
		m->offered[u->id] = 0;
		m->answers++;
	}
	if (m->offered[head])
		return;
	m->offered[head] = ++m->offers;
	fake_vring_offer(&m->g, head);
}

static unsigned int reborn(struct model *m, struct life *l, uint16_t *flying)
{
	struct vq_chain c = { .seg = l->seg };
	uint64_t before = 0;
	int rc;

	memset(l, 0, sizeof(*l));
	cr_assert_eq(inflight_open(&l->f, memory, sizeof(memory), 1, NUM, 0, NUM,
				   m->g.used->idx, &e),
		     0);
	rc = inflight_recover(&l->f, NUM, m->g.used->idx, flying, &e);
	cr_assert_geq(rc, 0, "%s", e.text);
	m->g.setup.base = (uint16_t)(m->g.used->idx + rc);
	cr_assert_eq(vq_start(&l->vq, &m->g.setup, &m->g.mem, &m->g.log, &limits, &e), 0);
	for (int i = 0; i < rc; i++) {
		cr_assert_eq(vq_resume(&l->vq, flying[i], &c, &e), 0, "%s", e.text);
		/* what was published is no more in flight, though the driver has not looked */
		cr_assert_gt(m->offered[flying[i]], before, "not in order");
		before = m->offered[flying[i]];
	}
	return (unsigned int)rc;
}

Test(inflight, dies_often)
{
	struct life *l = malloc(sizeof(*l));
	struct vq_chain c = { .seg = l->seg };
	uint16_t flying[NUM];
	unsigned int seed = 7, n, deaths = 0;
	struct model m;

	memset(&m, 0, sizeof(m));
	fake_vring_init(&m.g, NUM, 0);
	for (uint16_t i = 0; i < NUM; i++)
		fake_vring_set(&m.g, i, i, 1, 0, 0);
	n = reborn(&m, l, flying);
	while (m.answers < 100000) {
		unsigned int pick = (unsigned int)rand_r(&seed);

		drive(&m, &seed);
		if (pick % 8 < 3 && vq_pop(&l->vq, &c, &e) == 1) {
			flying[n++] = c.head;
			if (pick % 64 != 0) {
				inflight_begin(&l->f, c.head);
				continue;
			}
		} else if (pick % 8 < 6 && n > 0) {
			unsigned int i = pick / 8 % n;
			uint16_t head = flying[i];

			inflight_push(&l->f, head);
			cr_assert_eq(vq_push(&l->vq, head, 0, &e), 0);
			flying[i] = flying[--n];
			continue;
		} else if (pick % 8 == 6) {
			cr_assert_eq(vq_publish(&l->vq, &e), 0);
			if (pick % 64 != 6) {
				inflight_publish(&l->f, l->vq.used_idx);
				continue;
			}
		} else if (pick % 64 != 7) {
			continue;
		}
		cr_assert_not(l->vq.broken, "%s", e.text);
		n = reborn(&m, l, flying);
		deaths++;
	}
	cr_assert_gt(deaths, 1000);
	fake_vring_fini(&m.g);
	free(l);
}
