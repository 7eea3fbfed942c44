/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The driver owns the descriptors and the available ring, we own the used ring, and each
 * may be written by the driver while we look.  So everything is read once, into our own memory,
 * and checked there: `load` functions are volatile or atomic, and no pointer into the ring
 * leaves this file.
 *
 * A chain is walked with a counter for each table: a table of n entries cannot have a chain
 * of more than n, so a loop ends at the n + 1st.  The segments are counted besides, and their
 * bytes.  An indirect descriptor ends the chain of the ring and begins one in its table, which
 * must not have another (virtio 1.1, 2.6.5.3).
 *
 * A head that is in flight already is refused: it would be answered twice, and the in-flight
 * region has one place for it.  What waits, what is in flight and what is about to be shown
 * are together no more than the ring has entries, or the driver lies.
 *
 * Order.  avail->idx is loaded with acquire before the entries and descriptors that it
 * promises. used->idx is stored with release after the entries that it promises.  Two places
 * need a full fence, for each side writes one word and then reads another, and if both read old
 * values the last request waits forever: vq_enable_kicks (avail_event or flags, then
 * avail->idx) and vq_should_notify (used->idx, then used_event or flags).
 *
 * Left in the middle by SIGBUS.  What a function changes in struct virtqueue it changes
 * after its last access to the ring and the log (`commit` keeps the compiler to that), so
 * that it may be called again.
 *
 * Log.  A write to the used ring is marked after it was made.  setup.log_addr is not an address
 * in memory, so the whole ring is checked against the log at vq_start and vq_move.
 */
#include "vmm/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtio's order is ours");
static_assert(sizeof(struct vring_desc) == 16 && sizeof(struct vring_used_elem) == 8,
	      "no padding");

static void commit(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static bool is_busy(const struct virtqueue *vq, uint16_t head)
{
	return vq->busy[head / 64] >> head % 64 & 1;
}

static int breaks(struct virtqueue *vq)
{
	vq->broken = true;
	return -EPROTO;
}

/* Bytes of each part: with EVENT_IDX there is a word more at the end of two of them. */
static uint64_t desc_bytes(uint32_t num)
{
	return num * sizeof(struct vring_desc);
}

static uint64_t avail_bytes(uint32_t num, bool event_idx)
{
	return sizeof(struct vring_avail) + num * sizeof(uint16_t) +
	       (event_idx ? sizeof(uint16_t) : 0);
}

static uint64_t used_bytes(uint32_t num, bool event_idx)
{
	return sizeof(struct vring_used) + num * sizeof(struct vring_used_elem) +
	       (event_idx ? sizeof(uint16_t) : 0);
}

static int find(const struct vhost_mem *mem, uint64_t uva, uint64_t size, unsigned int align,
		const char *what, void *out, struct err *e)
{
	void *ptr = vhost_mem_uva(mem, uva, size, NULL);

	if (!ptr)
		return err_set(e, -EPROTO,
			       "the %s at %#lx (%lu bytes) is not in the guest's memory", what,
			       uva, size);
	if ((uintptr_t)ptr % align)
		return err_set(e, -EPROTO, "the %s at %#lx is not aligned to %u bytes", what,
			       uva, align);
	memcpy(out, &ptr, sizeof(ptr));
	return 0;
}

/* Find the three parts in vq->mem, and see that the log has room for the used ring. */
static int map(struct virtqueue *vq, struct err *e)
{
	const struct vq_setup *s = &vq->setup;
	uint64_t used = used_bytes(s->num, vq->event_idx);
	int rc;

	rc = find(vq->mem, s->desc, desc_bytes(s->num), VRING_DESC_ALIGN_SIZE,
		  "descriptor table", &vq->desc, e);
	if (rc == 0)
		rc = find(vq->mem, s->avail, avail_bytes(s->num, vq->event_idx),
			  VRING_AVAIL_ALIGN_SIZE, "available ring", &vq->avail, e);
	if (rc == 0)
		rc = find(vq->mem, s->used, used, VRING_USED_ALIGN_SIZE, "used ring", &vq->used,
			  e);
	if (rc == 0 && s->logged && !vhost_log_has(vq->log, s->log_addr, used))
		rc = err_set(e, -EPROTO,
			     "the log of %lu bytes does not cover the used ring at %#lx",
			     vq->log->size, s->log_addr);
	return rc;
}

int vq_start(struct virtqueue *vq, const struct vq_setup *s, const struct vhost_mem *mem,
	     const struct vhost_log *log, const struct vq_limits *limits, struct err *e)
{
	uint16_t used_idx, ahead;
	int rc;

	assert(limits->segs >= 1 && limits->segs <= VQ_SEGS_MAX);
	memset(vq, 0, sizeof(*vq));
	vq->broken = true; /* until all is well */
	if (s->num == 0 || s->num > VQ_NUM_MAX || (s->num & (s->num - 1)))
		return err_set(e, -EPROTO, "a ring of %u entries: not a power of two up to %u",
			       s->num, VQ_NUM_MAX);
	vq->mem = mem;
	vq->log = log;
	vq->limits = *limits;
	vq->setup = *s;
	vq->event_idx = s->features >> VIRTIO_RING_F_EVENT_IDX & 1;
	vq->indirect = s->features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	rc = map(vq, e);
	if (rc < 0)
		return rc;
	used_idx = __atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE);
	ahead = (uint16_t)(s->base - used_idx);
	if (ahead > s->num)
		return err_set(e, -EPROTO,
			       "a ring of %u entries has used %u, and is to go on at %u",
			       s->num, used_idx, s->base);
	commit();
	vq->used_idx = vq->signalled = used_idx;
	vq->last_avail = s->base;
	vq->broken = false;
	return 0;
}

int vq_move(struct virtqueue *vq, bool logged, uint64_t log_addr, struct err *e)
{
	vq->setup.logged = logged;
	vq->setup.log_addr = log_addr;
	return map(vq, e) < 0 ? breaks(vq) : 0;
}

uint16_t vq_waiting(const struct virtqueue *vq)
{
	uint16_t idx = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);

	return (uint16_t)(idx - vq->last_avail);
}

/* One descriptor of the ring, each field read once; it is aligned. */
static struct vring_desc load_desc(const struct vring_desc *d)
{
	return (struct vring_desc){ .addr = READ_ONCE(d->addr),
				    .len = READ_ONCE(d->len),
				    .flags = READ_ONCE(d->flags),
				    .next = READ_ONCE(d->next) };
}

/* Add a buffer to the chain. */
static int add_seg(const struct virtqueue *vq, const struct vring_desc *d, struct vq_chain *c,
		   struct err *e)
{
	bool write = d->flags & VRING_DESC_F_WRITE;
	unsigned int n = c->n_read + c->n_write;

	if (d->len == 0)
		return err_set(e, -EPROTO, "an empty buffer in the request at %u", c->head);
	if (d->len - 1 > UINT64_MAX - d->addr)
		return err_set(e, -EPROTO,
			       "a buffer without an end in the request at %u: %u at %#llx",
			       c->head, d->len, (unsigned long long)d->addr);
	if (!write && c->n_write > 0)
		return err_set(e, -EPROTO,
			       "a buffer to read behind one to write in the request at %u",
			       c->head);
	if (n >= vq->limits.segs)
		return err_set(e, -EPROTO, "more than %u buffers in the request at %u",
			       vq->limits.segs, c->head);
	if (d->len > vq->limits.bytes - c->read_bytes - c->write_bytes)
		return err_set(e, -EPROTO, "more than %lu bytes in the request at %u",
			       vq->limits.bytes, c->head);
	c->seg[n] = (struct vq_seg){ .gpa = d->addr, .len = d->len };
	if (write) {
		c->n_write++;
		c->write_bytes += d->len;
	} else {
		c->n_read++;
		c->read_bytes += d->len;
	}
	return 0;
}

/* The table that d names, which ends the chain. */
static int walk_indirect(const struct virtqueue *vq, const struct vring_desc *d,
			 struct vq_chain *c, struct err *e)
{
	uint32_t n = d->len / sizeof(struct vring_desc), at = 0, seen = 0;
	struct vring_desc i;

	if (!vq->indirect)
		return err_set(e, -EPROTO, "an indirect table, which was not agreed on, at %u",
			       c->head);
	if (d->flags & VRING_DESC_F_NEXT)
		return err_set(e, -EPROTO, "the request at %u goes on behind an indirect table",
			       c->head);
	if (n == 0 || d->len % sizeof(struct vring_desc) || n > vq->limits.segs)
		return err_set(e, -EPROTO, "an indirect table of %u bytes in the request at %u",
			       d->len, c->head);
	if (d->len - 1 > UINT64_MAX - d->addr)
		return err_set(e, -EPROTO,
			       "an indirect table without an end in the request at %u",
			       c->head);
	do {
		if (at >= n || seen++ >= n)
			return err_set(e, -EPROTO,
				       "the request at %u leaves its table or has no end",
				       c->head);
		if (vhost_mem_read(vq->mem, d->addr + at * sizeof(i), &i, sizeof(i)) < 0)
			return err_set(
				e, -EPROTO,
				"the indirect table of the request at %u is not in memory",
				c->head);
		if (i.flags & VRING_DESC_F_INDIRECT)
			return err_set(e, -EPROTO,
				       "an indirect table in another in the request at %u",
				       c->head);
		if (add_seg(vq, &i, c, e) < 0)
			return -EPROTO;
		at = i.next;
	} while (i.flags & VRING_DESC_F_NEXT);
	return 0;
}

static int walk(const struct virtqueue *vq, uint16_t head, struct vq_chain *c, struct err *e)
{
	uint32_t at = head, seen = 0;
	struct vring_desc d;

	c->head = head;
	c->n_read = c->n_write = 0;
	c->read_bytes = c->write_bytes = 0;
	if (head >= vq->setup.num)
		return err_set(e, -EPROTO, "a request at %u of %u descriptors", head,
			       vq->setup.num);
	if (is_busy(vq, head))
		return err_set(e, -EPROTO, "the request at %u once more before it was answered",
			       head);
	do {
		if (at >= vq->setup.num || seen++ >= vq->setup.num)
			return err_set(e, -EPROTO,
				       "the request at %u leaves its ring or has no end", head);
		d = load_desc(&vq->desc[at]);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return walk_indirect(vq, &d, c, e);
		if (add_seg(vq, &d, c, e) < 0)
			return -EPROTO;
		at = d.next;
	} while (d.flags & VRING_DESC_F_NEXT);
	return 0;
}

static void take(struct virtqueue *vq, uint16_t head)
{
	vq->busy[head / 64] |= UINT64_C(1) << head % 64;
	vq->in_flight++;
}

int vq_pop(struct virtqueue *vq, struct vq_chain *chain, struct err *e)
{
	uint16_t waiting, head;
	unsigned int all;

	if (vq->broken)
		return err_set(e, -EPROTO, "the ring is broken");
	waiting = vq_waiting(vq);
	if (waiting == 0)
		return 0;
	all = (unsigned int)waiting + vq->in_flight + vq->pushed;
	if (all > vq->setup.num) {
		err_set(e, -EPROTO, "%u requests in a ring of %u entries", all, vq->setup.num);
		return breaks(vq);
	}
	head = READ_ONCE(vq->avail->ring[vq->last_avail & (vq->setup.num - 1)]);
	if (walk(vq, head, chain, e) < 0)
		return breaks(vq);
	commit();
	take(vq, head);
	vq->last_avail++;
	return 1;
}

int vq_resume(struct virtqueue *vq, uint16_t head, struct vq_chain *chain, struct err *e)
{
	if (vq->broken)
		return err_set(e, -EPROTO, "the ring is broken");
	if (walk(vq, head, chain, e) < 0)
		return breaks(vq);
	commit();
	take(vq, head);
	return 0;
}

/* So many bytes of the used ring, from `at` on, were written. */
static int mark(struct virtqueue *vq, uint64_t at, uint64_t bytes, struct err *e)
{
	if (!vq->setup.logged || vhost_log_mark(vq->log, vq->setup.log_addr + at, bytes))
		return 0;
	err_set(e, -EPROTO, "the log does not cover the used ring");
	return breaks(vq);
}

int vq_push(struct virtqueue *vq, uint16_t head, uint32_t len, struct err *e)
{
	uint32_t i = (uint16_t)(vq->used_idx + vq->pushed) & (vq->setup.num - 1);
	struct vring_used_elem *entry = &vq->used->ring[i];
	int rc;

	assert(head < vq->setup.num && is_busy(vq, head));
	WRITE_ONCE(entry->id, head);
	WRITE_ONCE(entry->len, len);
	rc = mark(vq, (uint64_t)((uint8_t *)entry - (uint8_t *)vq->used), sizeof(*entry), e);
	commit();
	vq->pushed++;
	vq->in_flight--;
	vq->busy[head / 64] &= ~(UINT64_C(1) << head % 64);
	return rc;
}

int vq_publish(struct virtqueue *vq, struct err *e)
{
	uint16_t idx = (uint16_t)(vq->used_idx + vq->pushed);
	int rc;

	if (vq->pushed == 0)
		return 0;
	__atomic_store_n(&vq->used->idx, idx, __ATOMIC_RELEASE);
	rc = mark(vq, offsetof(struct vring_used, idx), sizeof(uint16_t), e);
	commit();
	vq->used_idx = idx;
	vq->pushed = 0;
	return rc;
}

int vq_log_chain(const struct virtqueue *vq, const struct vq_chain *chain)
{
	int rc = 0;

	for (unsigned int i = chain->n_read; i < (unsigned int)chain->n_read + chain->n_write;
	     i++)
		if (!vhost_log_mark(vq->log, chain->seg[i].gpa, chain->seg[i].len))
			rc = -EPROTO;
	return rc;
}

bool vq_should_notify(struct virtqueue *vq)
{
	uint16_t old = vq->signalled, event;
	bool any = vq->signalled_any, wanted;

	if (any && vq->used_idx == old)
		return false;
	/* used->idx is out before we look whether it is waited for */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx) {
		event = READ_ONCE(vq->avail->ring[vq->setup.num]);
		wanted = !any || vring_need_event(event, vq->used_idx, old);
	} else {
		wanted = !(READ_ONCE(vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	}
	commit();
	vq->signalled = vq->used_idx;
	vq->signalled_any = true;
	return wanted;
}

/* The driver is to kick when it adds to the next entry, or (unwanted) need not. */
static int set_kicks(struct virtqueue *vq, bool wanted, struct err *e)
{
	uint16_t *event = (uint16_t *)(void *)&vq->used->ring[vq->setup.num];

	if (!vq->event_idx) {
		WRITE_ONCE(vq->used->flags, wanted ? 0 : VRING_USED_F_NO_NOTIFY);
		return mark(vq, offsetof(struct vring_used, flags), sizeof(uint16_t), e);
	}
	if (!wanted) /* it will pass the one that we named last, and be silent */
		return 0;
	WRITE_ONCE(*event, vq->last_avail);
	return mark(vq, used_bytes(vq->setup.num, false), sizeof(*event), e);
}

int vq_enable_kicks(struct virtqueue *vq, struct err *e)
{
	int rc = set_kicks(vq, true, e);

	if (rc < 0)
		return rc;
	/* what we wait for is out before we look for what came already */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq_waiting(vq) != 0;
}

int vq_disable_kicks(struct virtqueue *vq, struct err *e)
{
	return set_kicks(vq, false, e);
}
