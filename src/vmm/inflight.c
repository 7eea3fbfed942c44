/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A request is in flight from inflight_begin to inflight_publish.  The one moment that counts
 * is the store to the used ring's idx, in vq_publish between inflight_push and
 * inflight_publish: before it the driver has no answer and the request is done again, after it
 * the driver has one.  Who comes later tells which by comparing idx with region.used_idx:
 *
 *	equal		nothing was published since: all that are marked are in flight
 *	d ahead		the last d that were pushed are answered; they are the first d of the
 *			list that begins at last_batch_head
 *
 * The list goes on into older batches; nobody follows it there.  A death within
 * inflight_publish leaves some of the batch marked, and idx ahead, so that they are found;
 * used_idx is stored last.  A death before inflight_begin has stored its mark leaves a
 * request that was popped by nobody: the next process takes it from the available ring again,
 * for its place there is used_idx + the number in flight.
 *
 * This needs stores to reach memory in program order as another process sees it after we are
 * dead, so they are release stores: for the compiler, on x86.
 *
 * If idx is more than a whole ring ahead, or behind, the region is of another life of the
 * ring.  It is taken if nothing in it is in flight, as after a reset of the driver.
 */
#include "vmm/inflight.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define VERSION 1u

static_assert(sizeof(struct inflight_desc) == 16, "as the specification has it");
static_assert(sizeof(struct inflight_region) == 16, "as the specification has it");

#define LOAD(x)	    __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELEASE)

static uint64_t queue_bytes(uint32_t queue_size)
{
	uint64_t bytes = sizeof(struct inflight_region) +
			 (uint64_t)queue_size * sizeof(struct inflight_desc);

	return (bytes + INFLIGHT_ALIGN - 1) / INFLIGHT_ALIGN * INFLIGHT_ALIGN;
}

uint64_t inflight_bytes(uint32_t num_queues, uint32_t queue_size)
{
	return num_queues * queue_bytes(queue_size);
}

int inflight_open(struct inflight *f, void *memory, uint64_t bytes, uint32_t num_queues,
		  uint32_t queue_size, uint32_t queue, uint32_t num, uint16_t used_idx,
		  struct err *e)
{
	struct inflight_region *r;
	uint16_t version, desc_num;

	memset(f, 0, sizeof(*f));
	if (queue_size == 0 || queue_size > VQ_NUM_MAX || num > queue_size)
		return err_set(e, -EPROTO,
			       "an in-flight region for rings of %u, and a ring of %u",
			       queue_size, num);
	if (queue >= num_queues || bytes / queue_bytes(queue_size) < num_queues)
		return err_set(
			e, -EPROTO,
			"an in-flight region of %lu bytes for %u rings of %u, and ring %u",
			bytes, num_queues, queue_size, queue);
	r = (void *)((uint8_t *)memory + queue * queue_bytes(queue_size));
	assert((uintptr_t)r % sizeof(uint64_t) == 0);
	version = LOAD(r->version);
	if (version == 0) {
		STORE(r->features, 0);
		STORE(r->desc_num, (uint16_t)queue_size);
		STORE(r->last_batch_head, 0);
		STORE(r->used_idx, used_idx);
		for (uint32_t i = 0; i < queue_size; i++)
			STORE(r->desc[i].inflight, 0);
		STORE(r->version, VERSION);
	} else {
		desc_num = LOAD(r->desc_num);
		if (version != VERSION || LOAD(r->features) != 0 || desc_num != queue_size)
			return err_set(e, -EPROTO,
				       "an in-flight region of version %u, for a ring of %u",
				       version, desc_num);
	}
	f->last = LOAD(r->last_batch_head);
	if (f->last >= queue_size)
		return err_set(e, -EPROTO,
			       "an in-flight region for a ring of %u, with a head %u",
			       queue_size, f->last);
	f->region = r;
	f->desc_num = (uint16_t)queue_size;
	return 0;
}

/* The last `ahead` that were pushed are answered. */
static int finish_batch(struct inflight *f, uint16_t ahead, uint16_t used_idx, struct err *e)
{
	uint16_t at = f->last;

	for (uint16_t i = 0; i < ahead; i++) {
		if (at >= f->desc_num)
			return err_set(e, -EPROTO,
				       "a batch of the in-flight region has a head %u", at);
		STORE(f->region->desc[at].inflight, 0);
		at = LOAD(f->region->desc[at].next);
	}
	STORE(f->region->used_idx, used_idx);
	return 0;
}

/* Shell's sort: up to 1024 heads, without memory.  Equal counters keep no order. */
static void sort(uint16_t *heads, uint64_t *counter, unsigned int n)
{
	for (unsigned int gap = n / 2; gap > 0; gap /= 2)
		for (unsigned int i = gap; i < n; i++) {
			uint64_t c = counter[i];
			uint16_t h = heads[i];
			unsigned int k = i;

			for (; k >= gap && counter[k - gap] > c; k -= gap) {
				counter[k] = counter[k - gap];
				heads[k] = heads[k - gap];
			}
			counter[k] = c;
			heads[k] = h;
		}
}

int inflight_recover(struct inflight *f, uint32_t num, uint16_t used_idx, uint16_t *heads,
		     struct err *e)
{
	struct inflight_region *r = f->region;
	uint16_t ahead = (uint16_t)(used_idx - LOAD(r->used_idx));
	uint64_t counter[VQ_NUM_MAX];
	unsigned int n = 0;
	int rc;

	assert(num <= f->desc_num);
	if (ahead <= f->desc_num) {
		rc = finish_batch(f, ahead, used_idx, e);
		if (rc < 0)
			return rc;
	}
	for (unsigned int i = 0; i < f->desc_num; i++) {
		if (!LOAD(r->desc[i].inflight))
			continue;
		if (i >= num)
			return err_set(e, -EPROTO, "request %u is in flight in a ring of %u", i,
				       num);
		counter[n] = LOAD(r->desc[i].counter);
		heads[n++] = (uint16_t)i;
	}
	if (ahead > f->desc_num) {
		if (n > 0)
			return err_set(e, -EPROTO,
				       "%u requests are in flight in a ring that has gone from "
				       "%u to %u",
				       n, (uint16_t)(used_idx - ahead), used_idx);
		STORE(r->used_idx, used_idx);
	}
	sort(heads, counter, n);
	f->counter = n > 0 ? counter[n - 1] + 1 : 0;
	return (int)n;
}

void inflight_begin(struct inflight *f, uint16_t head)
{
	if (!f->region)
		return;
	assert(head < f->desc_num);
	STORE(f->region->desc[head].counter, f->counter++);
	STORE(f->region->desc[head].inflight, 1);
}

void inflight_push(struct inflight *f, uint16_t head)
{
	if (!f->region)
		return;
	assert(head < f->desc_num && f->pushed < f->desc_num);
	STORE(f->region->desc[head].next, f->last);
	STORE(f->region->last_batch_head, head);
	f->last = head;
	f->batch[f->pushed++] = head;
}

void inflight_publish(struct inflight *f, uint16_t used_idx)
{
	if (!f->region)
		return;
	for (unsigned int i = 0; i < f->pushed; i++)
		STORE(f->region->desc[f->batch[i]].inflight, 0);
	f->pushed = 0;
	STORE(f->region->used_idx, used_idx);
}
