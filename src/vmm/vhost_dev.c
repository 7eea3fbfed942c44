/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A message is applied to a copy, which becomes the device when all of it was right: a message
 * that is refused has changed nothing.  If we die while the copy is stored, the message is
 * applied again, and writes the same.
 *
 * A ring is *started* by SET_VRING_KICK and stopped by GET_VRING_BASE.  While it is started,
 * its size, its place and its base stay; what says the same again is fine, for front ends
 * repeat themselves (QEMU sends all addresses again to turn the log on).  It is *enabled* by
 * SET_VRING_ENABLE, or always if VHOST_F_PROTOCOL_FEATURES was not accepted.  Either may come
 * first, and for rings that nobody will ever set up.
 *
 * The log.  A front end says by LOG_ALL that writes are to be logged and by SET_LOG_BASE where,
 * in this order when it starts a device in the middle of a migration.  So a ring does not run
 * while there is the one without the other: what it wrote would be missing on the other
 * side.  For the same reason a log is forgotten when LOG_ALL goes, and when the last ring
 * stops.
 */
#include "vmm/vhost_dev.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vmm/inflight.h"
#include "vmm/vhost_dev_priv.h"
#include "vmm/virtqueue.h"

static_assert(sizeof(struct vhost_dev_ring) == 56, "no padding that is not named");
static_assert(sizeof(struct vhost_dev) == 8 + 8 + 8 + 264 + 16 + 24 + VHOST_QUEUES_MAX * 56,
	      "no padding that is not named");

/* A message that is being applied. */
struct work {
	struct vhost_dev *d; /* the copy */
	const struct vhost_disk *disk;
	const struct vhost_msg *m;
	const int *fd;
	unsigned int nfds;
	struct vhost_msg *reply;
	struct vhost_todo *todo;
	bool refused; /* it is acknowledged with a 1 */
	struct err *e;
};

void vhost_dev_init(struct vhost_dev *d, const struct vhost_disk *disk)
{
	assert(disk->num_queues >= 1 && disk->num_queues <= VHOST_QUEUES_MAX);
	memset(d, 0, sizeof(*d));
	d->wce = disk->wce;
}

bool vhost_dev_logs(const struct vhost_dev *d)
{
	return d->features & BIT(VHOST_F_LOG_ALL);
}

bool vhost_dev_caches(const struct vhost_dev *d)
{
	if (!(d->features & BIT(VIRTIO_BLK_F_FLUSH)))
		return false;
	return !(d->features & BIT(VIRTIO_BLK_F_CONFIG_WCE)) || d->wce;
}

/* But for memory, which it needs too. */
static bool is_wanted(const struct vhost_dev *d, unsigned int ring)
{
	const struct vhost_dev_ring *r = &d->ring[ring];

	return r->started && r->num > 0 && r->has_addr &&
	       (r->enabled || !(d->features & BIT(VHOST_F_PROTOCOL_FEATURES)));
}

bool vhost_dev_runs(const struct vhost_dev *d, unsigned int ring)
{
	return is_wanted(d, ring) && d->table.n > 0 && (!vhost_dev_logs(d) || d->has_log);
}

static bool any_started(const struct vhost_dev *d)
{
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
		if (d->ring[i].started)
			return true;
	return false;
}

static void keep_fd(struct vhost_todo *todo, unsigned int role, int fd)
{
	assert(todo->nfds < VHOST_REGIONS_MAX);
	todo->fd[todo->nfds++] =
		(struct vhost_fd){ .role = (enum vhost_fd_role)role, .fd = fd };
}

static void forget_log(struct vhost_dev *d, struct vhost_todo *todo)
{
	if (d->has_log)
		keep_fd(todo, VHOST_FD_LOG, -1);
	d->has_log = 0;
	memset(&d->log, 0, sizeof(d->log));
	todo->log = true;
}

/* => NULL and e: there is no such ring */
static struct vhost_dev_ring *ring_of(const struct work *w, uint64_t index)
{
	if (index < w->disk->num_queues)
		return &w->d->ring[index];
	err_set(w->e, -EPROTO, "%s for ring %lu of %u", vhost_msg_name(w->m->header.request),
		index, w->disk->num_queues);
	return NULL;
}

static void answer_u64(const struct work *w, uint64_t value)
{
	vhost_msg_reply(w->reply, w->m, sizeof(uint64_t));
	w->reply->payload.u64 = value;
	w->todo->answer = true;
}

/* --- features ----------------------------------------------------------------- */

static int set_features(const struct work *w)
{
	uint64_t f = w->m->payload.u64, offered = vhost_dev_features(w->disk);
	uint64_t changed = f ^ w->d->features;

	if (f & ~offered)
		return err_set(w->e, -EPROTO,
			       "features %#lx were accepted, which are not offered",
			       f & ~offered);
	if ((changed & ~BIT(VHOST_F_LOG_ALL)) && any_started(w->d))
		return err_set(w->e, -EPROTO, "features %#lx change while a ring runs",
			       changed & ~BIT(VHOST_F_LOG_ALL));
	w->d->features = f;
	w->todo->log = true;
	if (!vhost_dev_logs(w->d) && (changed & BIT(VHOST_F_LOG_ALL)))
		forget_log(w->d, w->todo);
	return 0;
}

static int set_proto(const struct work *w)
{
	uint64_t f = w->m->payload.u64;

	if (f & ~vhost_dev_proto())
		return err_set(w->e, -EPROTO,
			       "protocol features %#lx were accepted, which are not offered",
			       f & ~vhost_dev_proto());
	w->d->proto = f;
	return 0;
}

/* --- memory that is shared --------------------------------------------------- */

static int set_table(const struct work *w)
{
	const struct vhost_table *t = &w->m->payload.table;
	int rc = vhost_dev_check_table(t, w->e);

	if (rc < 0)
		return rc;
	memset(&w->d->table, 0, sizeof(w->d->table));
	w->d->table.n = t->n;
	memcpy(w->d->table.region, t->region, t->n * sizeof(t->region[0]));
	for (unsigned int i = 0; i < VHOST_REGIONS_MAX; i++)
		keep_fd(w->todo, VHOST_FD_MEM + i, i < w->nfds ? w->fd[i] : -1);
	w->todo->memory = true;
	return 0;
}

static int set_log(const struct work *w)
{
	const struct vhost_log_area *a = &w->m->payload.log;
	int rc = vhost_dev_check_area(a->size, a->offset, "a log", w->e);

	if (rc < 0)
		return rc;
	w->d->log = *a;
	w->d->has_log = 1;
	keep_fd(w->todo, VHOST_FD_LOG, w->fd[0]);
	w->todo->log = true;
	answer_u64(w, 0);
	return 0;
}

static int get_inflight(const struct work *w)
{
	struct vhost_inflight_area a = w->m->payload.inflight;
	int rc = vhost_dev_check_inflight(&a, w->disk, w->e);

	if (rc < 0)
		return rc;
	a.size = inflight_bytes(a.num_queues, a.queue_size);
	a.offset = 0;
	a.padding = 0;
	/* QEMU sends its padding, and takes no answer without it */
	vhost_msg_reply(w->reply, w->m, w->m->header.size);
	w->reply->payload.inflight = a;
	w->todo->new_inflight = w->todo->answer = true;
	return 0;
}

static int set_inflight(const struct work *w)
{
	struct vhost_inflight_area a = w->m->payload.inflight;
	int rc = vhost_dev_check_inflight(&a, w->disk, w->e);

	if (rc == 0)
		rc = vhost_dev_check_area(a.size, a.offset, "an in-flight region", w->e);
	if (rc < 0)
		return rc;
	if (a.size < inflight_bytes(a.num_queues, a.queue_size))
		return err_set(w->e, -EPROTO,
			       "an in-flight region of %lu bytes for %u rings of %u", a.size,
			       a.num_queues, a.queue_size);
	if (any_started(w->d))
		return err_set(w->e, -EPROTO, "another in-flight region while a ring runs");
	a.padding = 0;
	w->d->inflight = a;
	w->d->has_inflight = 1;
	keep_fd(w->todo, VHOST_FD_INFLIGHT, w->fd[0]);
	w->todo->inflight = true;
	return 0;
}

/* --- configuration space ------------------------------------------------------ */

/* As many bytes as were asked for, or QEMU drops the connection: zeros behind what we have. */
static int get_config(const struct work *w)
{
	const struct vhost_config *c = &w->m->payload.config;
	uint8_t all[VHOST_CONFIG_MAX];

	vhost_dev_config(w->d, w->disk, all);
	vhost_msg_reply(w->reply, w->m, (uint32_t)VHOST_CONFIG_BYTES + c->size);
	w->reply->payload.config = (struct vhost_config){ .offset = c->offset,
							  .size = c->size,
							  .flags = c->flags };
	memcpy(w->reply->payload.config.bytes, all + c->offset, c->size);
	w->todo->answer = true;
	return 0;
}

/* The guest may write one field; a migration all of them, of which one is not the disk's. */
static int set_config(struct work *w)
{
	const struct vhost_config *c = &w->m->payload.config;
	const uint32_t at = offsetof(struct virtio_blk_config, wce);
	bool has = c->offset <= at && at - c->offset < c->size;

	if (c->flags == VHOST_CONFIG_GUEST ? !has || c->size != 1
					   : c->flags != VHOST_CONFIG_MIGRATION)
		w->refused = true;
	else if (has)
		w->d->wce = c->bytes[at - c->offset] != 0;
	return 0;
}

/* --- rings -------------------------------------------------------------------- */

static int set_num(const struct work *w)
{
	const struct vhost_ring_state *s = &w->m->payload.state;
	struct vhost_dev_ring *r = ring_of(w, s->index);

	if (!r)
		return -EPROTO;
	if (s->num == 0 || s->num > VQ_NUM_MAX || (s->num & (s->num - 1)))
		return err_set(w->e, -EPROTO,
			       "a ring of %u entries: not a power of two up to %u", s->num,
			       VQ_NUM_MAX);
	if (r->started && r->num > 0 && r->num != s->num)
		return err_set(w->e, -EPROTO, "a ring gets %u entries while it runs", s->num);
	r->num = s->num;
	return 0;
}

static int set_base(const struct work *w)
{
	const struct vhost_ring_state *s = &w->m->payload.state;
	struct vhost_dev_ring *r = ring_of(w, s->index);

	if (!r)
		return -EPROTO;
	if (s->num > UINT16_MAX || (r->started && s->num != r->base))
		return err_set(w->e, -EPROTO, "ring %u is to go on at %u", s->index, s->num);
	r->base = (uint16_t)s->num;
	return 0;
}

static int set_addr(const struct work *w)
{
	const struct vhost_ring_addr *a = &w->m->payload.addr;
	struct vhost_dev_ring *r = ring_of(w, a->index);

	if (!r)
		return -EPROTO;
	if (a->desc % VRING_DESC_ALIGN_SIZE || a->avail % VRING_AVAIL_ALIGN_SIZE ||
	    a->used % VRING_USED_ALIGN_SIZE)
		return err_set(w->e, -EPROTO, "ring %u is not aligned: %#lx, %#lx, %#lx",
			       a->index, a->desc, a->avail, a->used);
	if (r->started && r->has_addr &&
	    (a->desc != r->addr.desc || a->avail != r->addr.avail || a->used != r->addr.used))
		return err_set(w->e, -EPROTO, "ring %u moves while it runs", a->index);
	r->addr = *a;
	r->has_addr = 1;
	w->todo->ring = (int)a->index;
	return 0;
}

/* A front end that does not share memory may send a table without regions, and no error. */
static int check_memory(const struct work *w, unsigned int ring)
{
	if (is_wanted(w->d, ring) && w->d->table.n == 0)
		return err_set(w->e, -EPROTO,
			       "ring %u is started, but no memory is shared with us: the VMM's "
			       "memory must be of a memfd with share=on",
			       ring);
	return 0;
}

static int set_enable(const struct work *w)
{
	const struct vhost_ring_state *s = &w->m->payload.state;
	struct vhost_dev_ring *r = ring_of(w, s->index);

	if (!r)
		return -EPROTO;
	r->enabled = s->num != 0;
	return check_memory(w, s->index);
}

static int set_ring_fd(const struct work *w, enum vhost_fd_role role)
{
	unsigned int index = w->m->payload.u64 & VHOST_RING_INDEX_MASK;
	struct vhost_dev_ring *r = ring_of(w, index);

	if (!r)
		return -EPROTO;
	if (role == VHOST_FD_CALL)
		r->has_call = w->nfds > 0;
	else if (role == VHOST_FD_ERR)
		r->has_err = w->nfds > 0;
	else
		r->has_kick = w->nfds > 0;
	keep_fd(w->todo, role + index, w->nfds > 0 ? w->fd[0] : -1);
	w->todo->ring = (int)index;
	if (role != VHOST_FD_KICK)
		return 0;
	r->started = 1;
	return check_memory(w, index);
}

static int get_base(const struct work *w)
{
	const struct vhost_ring_state *s = &w->m->payload.state;
	struct vhost_dev_ring *r = ring_of(w, s->index);

	if (!r)
		return -EPROTO;
	if (r->started)
		w->todo->stop = (int)s->index;
	else
		vhost_dev_stopped(w->d, w->m, r->base, w->reply, w->todo);
	return 0;
}

void vhost_dev_stopped(struct vhost_dev *d, const struct vhost_msg *m, uint16_t base,
		       struct vhost_msg *reply, struct vhost_todo *todo)
{
	uint32_t index = m->payload.state.index;
	struct vhost_dev_ring *r = &d->ring[index];

	*todo = (struct vhost_todo){ .ring = (int)index, .stop = -1, .answer = true };
	r->base = base;
	r->started = 0;
	r->has_kick = 0;
	keep_fd(todo, VHOST_FD_KICK + index, -1);
	if (!any_started(d))
		forget_log(d, todo);
	vhost_msg_reply(reply, m, sizeof(reply->payload.state));
	reply->payload.state = (struct vhost_ring_state){ .index = index, .num = base };
}

/* --- all of them -------------------------------------------------------------- */

static int keep_one(const struct work *w, enum vhost_fd_role role, uint8_t *has)
{
	*has = 1;
	keep_fd(w->todo, role, w->fd[0]);
	return 0;
}

static int dispatch(struct work *w)
{
	switch ((enum vhost_request)w->m->header.request) {
	case VHOST_GET_FEATURES:
		answer_u64(w, vhost_dev_features(w->disk));
		return 0;
	case VHOST_GET_PROTOCOL_FEATURES:
		answer_u64(w, vhost_dev_proto());
		return 0;
	case VHOST_GET_QUEUE_NUM:
		answer_u64(w, w->disk->num_queues);
		return 0;
	case VHOST_SET_FEATURES:
		return set_features(w);
	case VHOST_SET_PROTOCOL_FEATURES:
		return set_proto(w);
	case VHOST_SET_OWNER:
		w->d->owned = 1;
		return 0;
	case VHOST_RESET_OWNER:
		for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
			w->d->ring[i].enabled = 0;
		return 0;
	case VHOST_SET_MEM_TABLE:
		return set_table(w);
	case VHOST_SET_LOG_BASE:
		return set_log(w);
	case VHOST_SET_LOG_FD:
		return keep_one(w, VHOST_FD_LOG_EVENT, &w->d->has_log_event);
	case VHOST_SET_BACKEND_REQ_FD:
		return keep_one(w, VHOST_FD_BACKEND_REQ, &w->d->has_backend_req);
	case VHOST_SET_VRING_NUM:
		return set_num(w);
	case VHOST_SET_VRING_ADDR:
		return set_addr(w);
	case VHOST_SET_VRING_BASE:
		return set_base(w);
	case VHOST_GET_VRING_BASE:
		return get_base(w);
	case VHOST_SET_VRING_KICK:
		return set_ring_fd(w, VHOST_FD_KICK);
	case VHOST_SET_VRING_CALL:
		return set_ring_fd(w, VHOST_FD_CALL);
	case VHOST_SET_VRING_ERR:
		return set_ring_fd(w, VHOST_FD_ERR);
	case VHOST_SET_VRING_ENABLE:
		return set_enable(w);
	case VHOST_GET_CONFIG:
		return get_config(w);
	case VHOST_SET_CONFIG:
		return set_config(w);
	case VHOST_GET_INFLIGHT_FD:
		return get_inflight(w);
	case VHOST_SET_INFLIGHT_FD:
		return set_inflight(w);
	case VHOST_REQUESTS:
		break;
	}
	return err_set(w->e, -EPROTO, "vhost-user request %u", w->m->header.request);
}

int vhost_dev_apply(struct vhost_dev *d, const struct vhost_disk *disk,
		    const struct vhost_msg *m, const int *fd, unsigned int nfds,
		    struct vhost_msg *reply, struct vhost_todo *todo, struct err *e)
{
	struct vhost_dev next = *d;
	struct work w = { &next, disk, m, fd, nfds, reply, todo, false, e };
	int rc;

	*todo = (struct vhost_todo){ .ring = -1, .stop = -1 };
	rc = dispatch(&w);
	if (rc < 0)
		return rc;
	if ((m->header.flags & VHOST_NEED_REPLY) && (next.proto & VHOST_PROTO_REPLY_ACK) &&
	    !vhost_msg_is_answered(m->header.request))
		answer_u64(&w, w.refused);
	*d = next;
	return 0;
}
