/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split ring (virtio 1.1, 2.6), as Linux has it: links between
 * descriptors are kept in memory of our own, so that what a device writes where it must not
 * shows as a wrong answer and breaks nothing here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "front.h"

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))

static uint64_t avail_at(uint32_t num)
{
	return num * sizeof(struct vring_desc);
}

static uint64_t used_at(uint32_t num)
{
	return (avail_at(num) + sizeof(struct vring_avail) + (num + 1) * sizeof(uint16_t) + 3) &
	       ~UINT64_C(3);
}

uint64_t fqueue_bytes(uint32_t num)
{
	uint64_t end = used_at(num) + sizeof(struct vring_used) +
		       num * sizeof(struct vring_used_elem) + sizeof(uint16_t);

	return (end + FRONT_PAGE - 1) & ~(uint64_t)(FRONT_PAGE - 1);
}

void fqueue_init(struct fqueue *q, uint32_t num, void *memory, uint64_t gpa)
{
	int kick = q->kick, call = q->call;

	memset(memory, 0, fqueue_bytes(num));
	memset(q, 0, sizeof(*q));
	q->kick = kick;
	q->call = call;
	q->num = num;
	q->desc = memory;
	q->avail = (void *)((uint8_t *)memory + avail_at(num));
	q->used = (void *)((uint8_t *)memory + used_at(num));
	q->used_gpa = gpa + used_at(num);
	for (uint32_t i = 0; i < num; i++)
		q->next[i] = (uint16_t)(i + 1);
	q->n_free = (uint16_t)num;
}

bool fqueue_has_room(const struct fqueue *q, unsigned int n, bool indirect)
{
	return q->n_free >= (indirect ? 1 : n);
}

static struct vring_desc describe(const struct fseg *seg, unsigned int i, unsigned int n_out,
				  unsigned int n)
{
	return (struct vring_desc){
		.addr = seg[i].gpa,
		.len = seg[i].len,
		.flags = (uint16_t)((i >= n_out ? VRING_DESC_F_WRITE : 0) |
				    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
	};
}

void fqueue_add(struct fqueue *q, const struct fseg *seg, unsigned int n_out, unsigned int n_in,
		void *token, struct vring_desc *table, uint64_t table_gpa)
{
	unsigned int n = n_out + n_in;
	uint16_t head = q->free, at = head;

	if (table) {
		for (unsigned int i = 0; i < n; i++) {
			table[i] = describe(seg, i, n_out, n);
			table[i].next = (uint16_t)(i + 1);
		}
		q->desc[head] = (struct vring_desc){
			.addr = table_gpa,
			.len = (uint32_t)(n * sizeof(*table)),
			.flags = VRING_DESC_F_INDIRECT,
		};
		q->free = q->next[head];
		q->chain_len[head] = 1;
	} else {
		for (unsigned int i = 0; i < n; i++) {
			struct vring_desc d = describe(seg, i, n_out, n);

			d.next = q->next[at];
			q->desc[at] = d;
			if (i + 1 < n)
				at = q->next[at];
		}
		q->free = q->next[at];
		q->chain_len[head] = (uint16_t)n;
	}
	q->n_free = (uint16_t)(q->n_free - q->chain_len[head]);
	q->token[head] = token;
	q->in_flight++;
	q->avail->ring[q->avail_idx & (q->num - 1)] = head;
	q->avail_idx++;
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
}

void fqueue_kick(struct fqueue *q)
{
	const uint16_t *avail_event = (const void *)&q->used->ring[q->num];
	uint16_t old = q->kicked, event;
	uint64_t one = 1;
	bool wanted;

	if (q->avail_idx == old)
		return;
	/* avail->idx is out before we look whether it is waited for */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->event_idx) {
		event = __atomic_load_n(avail_event, __ATOMIC_RELAXED);
		wanted = vring_need_event(event, q->avail_idx, old);
	} else {
		wanted = !(READ_ONCE(q->used->flags) & VRING_USED_F_NO_NOTIFY);
	}
	q->kicked = q->avail_idx;
	if (wanted && write(q->kick, &one, sizeof(one)) != sizeof(one))
		perror("kick");
}

int fqueue_get(struct fqueue *q, void **token, uint32_t *len, char *why, unsigned int why_size)
{
	uint16_t idx = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	struct vring_used_elem done;
	uint16_t head, at;

	if (idx == q->last_used)
		return 0;
	if ((uint16_t)(idx - q->last_used) > q->in_flight) {
		snprintf(why, why_size, "%u answers, and %u requests are in flight",
			 (uint16_t)(idx - q->last_used), q->in_flight);
		return -EPROTO;
	}
	done.id = READ_ONCE(q->used->ring[q->last_used & (q->num - 1)].id);
	done.len = READ_ONCE(q->used->ring[q->last_used & (q->num - 1)].len);
	q->last_used++;
	if (done.id >= q->num || q->chain_len[done.id] == 0) {
		snprintf(why, why_size,
			 "an answer to %u, which is not in flight: answered twice", done.id);
		return -EPROTO;
	}
	head = at = (uint16_t)done.id;
	for (uint16_t i = 1; i < q->chain_len[head]; i++)
		at = q->next[at];
	q->next[at] = q->free;
	q->free = head;
	q->n_free = (uint16_t)(q->n_free + q->chain_len[head]);
	q->chain_len[head] = 0;
	q->in_flight--;
	*token = q->token[head];
	*len = done.len;
	return 1;
}

bool fqueue_arm(struct fqueue *q)
{
	if (q->event_idx)
		__atomic_store_n(&q->avail->ring[q->num], q->last_used, __ATOMIC_RELAXED);
	else
		q->avail->flags = 0;
	/* what we wait for is out before we look for what came already */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) != q->last_used;
}
