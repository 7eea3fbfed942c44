/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One row a request says how long its payload is and how many descriptors may come beside
 * it.  For two of them (a memory table, configuration space) the payload says itself how
 * long it is, and is looked at once it is there.  Some front ends send the whole of a
 * union for a request that needs less of it, so a table may be longer than its regions;
 * nothing else may.
 */
#include "vmm/vhost_msg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof(struct vhost_header) == 12, "no padding");
static_assert(sizeof(struct vhost_ring_state) == 8, "no padding");
static_assert(sizeof(struct vhost_ring_addr) == 40, "no padding");
static_assert(sizeof(struct vhost_table) == 8 + 8 * 32, "no padding");
static_assert(VHOST_INFLIGHT_BYTES == 20, "no padding");
static_assert(VHOST_CONFIG_BYTES == 12, "no padding");
static_assert(VHOST_PAYLOAD_MAX >= sizeof(struct vhost_table), "the longest one");
static_assert(sizeof(union vhost_payload) >= VHOST_PAYLOAD_MAX, "fits");

static const struct request {
	const char *name;
	uint16_t min, max;   /* bytes of payload */
	uint8_t fd_min, fds; /* descriptors: at least, at most */
	bool answered;
} requests[VHOST_REQUESTS] = {
#define U64    sizeof(uint64_t), sizeof(uint64_t)
#define STATE  sizeof(struct vhost_ring_state), sizeof(struct vhost_ring_state)
#define CONFIG VHOST_CONFIG_BYTES, VHOST_PAYLOAD_MAX
#define AREA   VHOST_INFLIGHT_BYTES, sizeof(struct vhost_inflight_area)
	[VHOST_GET_FEATURES] = { "GET_FEATURES", 0, 0, 0, 0, true },
	[VHOST_SET_FEATURES] = { "SET_FEATURES", U64, 0, 0, false },
	[VHOST_SET_OWNER] = { "SET_OWNER", 0, 0, 0, 0, false },
	[VHOST_RESET_OWNER] = { "RESET_OWNER", 0, 0, 0, 0, false },
	[VHOST_SET_MEM_TABLE] = { "SET_MEM_TABLE", 8, sizeof(struct vhost_table), 0,
				  VHOST_REGIONS_MAX, false },
	[VHOST_SET_LOG_BASE] = { "SET_LOG_BASE", sizeof(struct vhost_log_area),
				 sizeof(struct vhost_log_area), 1, 1, true },
	[VHOST_SET_LOG_FD] = { "SET_LOG_FD", 0, sizeof(uint64_t), 1, 1, false },
	[VHOST_SET_VRING_NUM] = { "SET_VRING_NUM", STATE, 0, 0, false },
	[VHOST_SET_VRING_ADDR] = { "SET_VRING_ADDR", sizeof(struct vhost_ring_addr),
				   sizeof(struct vhost_ring_addr), 0, 0, false },
	[VHOST_SET_VRING_BASE] = { "SET_VRING_BASE", STATE, 0, 0, false },
	[VHOST_GET_VRING_BASE] = { "GET_VRING_BASE", STATE, 0, 0, true },
	[VHOST_SET_VRING_KICK] = { "SET_VRING_KICK", U64, 0, 1, false },
	[VHOST_SET_VRING_CALL] = { "SET_VRING_CALL", U64, 0, 1, false },
	[VHOST_SET_VRING_ERR] = { "SET_VRING_ERR", U64, 0, 1, false },
	[VHOST_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", 0, 0, 0, 0, true },
	[VHOST_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", U64, 0, 0, false },
	[VHOST_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", 0, 0, 0, 0, true },
	[VHOST_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", STATE, 0, 0, false },
	[VHOST_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", 0, sizeof(uint64_t), 1, 1, false },
	[VHOST_GET_CONFIG] = { "GET_CONFIG", CONFIG, 0, 0, true },
	[VHOST_SET_CONFIG] = { "SET_CONFIG", CONFIG, 0, 0, false },
	[VHOST_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", AREA, 0, 0, true },
	[VHOST_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", AREA, 1, 1, false },
#undef U64
#undef STATE
#undef CONFIG
#undef AREA
};

/* => NULL: we do not know it */
static const struct request *find(uint32_t request)
{
	if (request >= VHOST_REQUESTS || !requests[request].name)
		return NULL;
	return &requests[request];
}

const char *vhost_msg_name(uint32_t request)
{
	const struct request *r = find(request);

	return r ? r->name : "?";
}

bool vhost_msg_is_answered(uint32_t request)
{
	const struct request *r = find(request);

	return r && r->answered;
}

bool vhost_msg_has_fds(const struct vhost_msg *m)
{
	const struct request *r = find(m->header.request);

	switch (m->header.request) {
	case VHOST_SET_MEM_TABLE:
		return m->payload.table.n > 0;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return !(m->payload.u64 & VHOST_RING_NO_FD);
	default:
		return r && r->fds > 0;
	}
}

int vhost_msg_check_header(const struct vhost_header *h, struct err *e)
{
	const struct request *r = find(h->request);

	if ((h->flags & VHOST_VERSION_MASK) != VHOST_VERSION)
		return err_set(e, -EPROTO, "a vhost-user message of version %u, 1 is known",
			       h->flags & VHOST_VERSION_MASK);
	if (h->flags & VHOST_REPLY)
		return err_set(e, -EPROTO, "an answer (to request %u) where a request belongs",
			       h->request);
	if (!r)
		return err_set(e, -EPROTO, "vhost-user request %u, which is not supported",
			       h->request);
	if (h->size < r->min || h->size > r->max)
		return err_set(e, -EPROTO, "%s with %u bytes of payload, %u to %u are right",
			       r->name, h->size, r->min, r->max);
	return 0;
}

/* What a payload of variable length says of itself. */
static int check_length(const struct vhost_msg *m, unsigned int nfds, struct err *e)
{
	const struct vhost_table *t = &m->payload.table;
	const struct vhost_config *c = &m->payload.config;
	uint32_t size = m->header.size;

	switch (m->header.request) {
	case VHOST_SET_MEM_TABLE:
		if (t->n > VHOST_REGIONS_MAX)
			return err_set(e, -EPROTO, "SET_MEM_TABLE with %u regions, %u fit",
				       t->n, VHOST_REGIONS_MAX);
		if (size < offsetof(struct vhost_table, region) + t->n * sizeof(t->region[0]))
			return err_set(e, -EPROTO, "SET_MEM_TABLE: %u bytes for %u regions",
				       size, t->n);
		if (nfds != t->n)
			return err_set(e, -EPROTO,
				       "SET_MEM_TABLE: %u descriptors for %u regions", nfds,
				       t->n);
		return 0;
	case VHOST_GET_CONFIG:
	case VHOST_SET_CONFIG:
		if (c->size > VHOST_CONFIG_MAX || c->offset > VHOST_CONFIG_MAX - c->size)
			return err_set(e, -EPROTO, "%s of %u bytes at %u, beyond byte %u",
				       vhost_msg_name(m->header.request), c->size, c->offset,
				       VHOST_CONFIG_MAX);
		if (size == VHOST_CONFIG_BYTES && m->header.request == VHOST_GET_CONFIG)
			return 0;
		if (size != VHOST_CONFIG_BYTES + c->size)
			return err_set(e, -EPROTO, "%s of %u bytes with %u bytes of payload",
				       vhost_msg_name(m->header.request), c->size, size);
		return 0;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		if (nfds != !(m->payload.u64 & VHOST_RING_NO_FD))
			return err_set(e, -EPROTO, "%s with %u descriptors, and it says %s",
				       vhost_msg_name(m->header.request), nfds,
				       nfds ? "none" : "one");
		return 0;
	default:
		return 0;
	}
}

int vhost_msg_check(const struct vhost_msg *m, unsigned int nfds, struct err *e)
{
	const struct request *r;
	int rc = vhost_msg_check_header(&m->header, e);

	if (rc < 0)
		return rc;
	r = find(m->header.request);
	if (nfds < r->fd_min || nfds > r->fds)
		return err_set(e, -EPROTO, "%s with %u descriptors, %u to %u are right",
			       r->name, nfds, r->fd_min, r->fds);
	return check_length(m, nfds, e);
}

void vhost_msg_reply(struct vhost_msg *r, const struct vhost_msg *m, uint32_t size)
{
	/* no other flag: QEMU takes an answer only with exactly these */
	r->header = (struct vhost_header){ .request = m->header.request,
					   .flags = VHOST_VERSION | VHOST_REPLY,
					   .size = size };
}

void vhost_msg_to_front_end(struct vhost_msg *r, enum vhost_backend_request request)
{
	memset(r, 0, sizeof(*r));
	r->header = (struct vhost_header){ .request = request, .flags = VHOST_VERSION };
}
