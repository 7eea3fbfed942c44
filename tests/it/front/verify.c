/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mode verify: requests at random, every answer checked.
 *
 * Theory of operation
 *
 * The region is filled first, then worked on for the time that was asked for, and read as a
 * whole in the end.  What a request leaves in its RAM is summed up when it is done, and looked
 * at again before that RAM is used for another one and in the end: RAM must not change by
 * itself, whatever becomes of the disk meanwhile.
 *
 * The driver is as strict as a guest: after it has armed a ring it looks there only when it
 * was called, so that an answer without its call is never found and counts as lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "verify.h"

#define S   UINT64_C(1000000000)
#define MIB (1u << 20)

void verify_bad(struct verify *v, const struct request *r, const char *fmt, ...)
{
	va_list ap;

	if (v->bad++ >= 20)
		return;
	printf("front BAD: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (r)
		printf(" (type %u, sector %" PRIu64 ", %u sectors, %u ranges, %u + %u pieces, "
		       "queue %u)",
		       r->type, r->sector, r->sectors, r->n_ranges, r->n_out, r->n_in,
		       r->queue);
	printf("\n");
}

static void check_read(struct verify *v, struct request *r, uint32_t len)
{
	unsigned int bad;
	char why[200];

	if (len != r->in_bytes)
		verify_bad(v, r, "a read says that %u bytes were written, and %u were to be",
			   len, r->in_bytes);
	request_get(&v->f, r, v->data);
	bad = model_check(&v->m, v->data, r->sector, r->sectors, why, sizeof(why));
	if (bad)
		verify_bad(v, r, "%u sectors read wrong: %s", bad, why);
	if (!request_guards_hold(&v->f, r))
		verify_bad(v, r, "a read wrote beside its buffers");
}

static void succeeded(struct verify *v, struct request *r, uint32_t len)
{
	char id[VIRTIO_BLK_ID_BYTES + 1];

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		check_read(v, r, len);
		break;
	case VIRTIO_BLK_T_OUT:
		model_set(&v->m, r->sector, r->sectors, r->gen);
		break;
	case VIRTIO_BLK_T_GET_ID:
		request_id(&v->f, r, id);
		if (!v->has_id)
			memcpy(v->id, id, sizeof(id));
		v->has_id = true;
		if (strcmp(v->id, id))
			verify_bad(v, r, "the serial was '%s' and is '%s'", v->id, id);
		break;
	default:
		for (unsigned int i = 0; i < r->n_ranges; i++)
			if (r->type == VIRTIO_BLK_T_DISCARD)
				model_discard(&v->m, r->range[i].sector,
					      r->range[i].num_sectors);
			else
				model_set(&v->m, r->range[i].sector, r->range[i].num_sectors,
					  GEN_ZERO);
		break;
	}
}

/* What it was to change may have changed or not. */
static void failed(struct verify *v, struct request *r, uint8_t status)
{
	v->errors++;
	if (!v->o->errors_allowed || status != VIRTIO_BLK_S_IOERR)
		verify_bad(v, r, "status %u", status);
	if (r->type == VIRTIO_BLK_T_OUT)
		model_set(&v->m, r->sector, r->sectors, GEN_ANY);
	for (unsigned int i = 0; i < r->n_ranges; i++)
		model_set(&v->m, r->range[i].sector, r->range[i].num_sectors, GEN_ANY);
}

static void done(struct verify *v, struct request *r, uint32_t len)
{
	uint8_t status = request_status(&v->f, r);

	for (unsigned int i = 0; i < v->n_pending; i++)
		if (v->pending[i] == r)
			v->pending[i] = v->pending[--v->n_pending];
	r->busy = false;
	v->requests++;
	v->bytes += (uint64_t)r->sectors * SECTOR;
	v->kind[r->type < 16 ? r->type : 15]++;
	if (len < 1 || len > r->in_bytes)
		verify_bad(v, r, "%u bytes written, at most %u could be", len, r->in_bytes);
	if (v->f.log && !request_is_logged(&v->f, r))
		verify_bad(v, r, "its pages are not marked in the log");
	if (status == VIRTIO_BLK_S_OK)
		succeeded(v, r, len);
	else
		failed(v, r, status);
	r->sum = request_sum(&v->f, r);
	r->has_sum = true;
}

/* => false: the ring's answers are wrong, there is no going on */
static bool harvest(struct verify *v)
{
	char why[128];

	for (unsigned int i = 0; i < v->f.queues; i++) {
		struct fqueue *q = &v->f.queue[i];
		uint64_t calls;

		if (v->waiting[i] && read(q->call, &calls, sizeof(calls)) != sizeof(calls))
			continue;
		v->waiting[i] = false;
		do {
			void *token;
			uint32_t len;
			int rc;

			while ((rc = fqueue_get(q, &token, &len, why, sizeof(why))) > 0)
				done(v, token, len);
			if (rc < 0) {
				verify_bad(v, NULL, "queue %u: %s", i, why);
				return false;
			}
		} while (fqueue_arm(q));
		v->waiting[i] = true;
	}
	return true;
}

static bool check_stalled(struct verify *v, uint64_t now)
{
	for (unsigned int i = 0; i < v->n_pending; i++) {
		struct request *r = v->pending[i];
		struct fqueue *q = &v->f.queue[r->queue];

		if (now - r->began_ns < v->o->stall_s * S)
			continue;
		verify_bad(v, r, "never answered: %u s; %s", v->o->stall_s,
			   q->used->idx != q->last_used ? "the ring has answers, nobody called"
							: "nothing is in the used ring");
		return false;
	}
	return true;
}

/* ---- the connection ---- */

static int reconnect(struct verify *v)
{
	uint64_t end = front_now_ns() + v->f.opt.wait_s * S;
	uint64_t sectors = v->f.config.capacity;
	int rc;

	if (!v->o->reconnect)
		return front_fail(&v->f, -ECONNRESET, "the connection was closed");
	do {
		front_disconnect(&v->f);
		rc = front_connect(&v->f);
		if (rc == 0)
			rc = front_start(&v->f);
	} while (rc == -ECONNRESET && front_now_ns() < end && !mode_ended);
	if (rc == 0 && sectors > 0 && v->f.config.capacity != sectors)
		rc = front_fail(&v->f, -EPROTO, "it is another disk");
	v->reconnects++;
	return rc;
}

/* Stop with requests in flight, as for a guest that is paused; or reset, with none. */
static int restart(struct verify *v, bool reset)
{
	struct front *f = &v->f;
	int rc = front_stop(f);

	v->restarts++;
	if (rc == 0 && !harvest(v))
		return front_fail(f, -EPROTO, "the ring is broken");
	if (rc == 0 && reset && v->n_pending == 0) {
		for (unsigned int i = 0; i < f->queues; i++)
			fqueue_init(&f->queue[i], f->opt.num, f->queue[i].desc,
				    i * fqueue_bytes(f->opt.num));
		if (f->inflight_fd >= 0)
			close(f->inflight_fd);
		f->inflight_fd = -1;
	}
	return rc < 0 ? rc : front_start(f);
}

static int look_at_backend(struct verify *v)
{
	int rc = front_backend_request(&v->f);

	if (rc >= 0)
		rc = front_read_config(&v->f);
	if (rc == 0)
		printf("front config sectors=%" PRIu64 "\n", (uint64_t)v->f.config.capacity);
	return rc;
}

/* Each second. */
static int tick(struct verify *v, uint64_t now)
{
	unsigned int second = (unsigned int)((now - v->began_ns) / S);
	const struct mode_options *o = v->o;
	int rc = 0;

	v->told_ns += S;
	printf("front at requests=%" PRIu64 " bytes=%" PRIu64 " bad=%" PRIu64 "\n", v->requests,
	       v->bytes, v->bad);
	if (v->phase != MIX)
		return 0;
	if (o->stop_every && second % o->stop_every == 0)
		rc = restart(v, false);
	if (rc == 0 && v->f.features & BIT(VIRTIO_BLK_F_CONFIG_WCE) &&
	    random_to(&v->rng, 4) == 0)
		rc = front_set_wce(&v->f, random_to(&v->rng, 2));
	return rc;
}

/* Until somebody calls, or a while has passed. => 0, or -errno of the connection */
static int wait_for_call(struct verify *v)
{
	struct pollfd fds[FRONT_QUEUES_MAX + 2];
	unsigned int n = v->f.queues;
	char byte;

	for (unsigned int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = v->f.queue[i].call, .events = POLLIN };
	fds[n] = (struct pollfd){ .fd = v->f.sock, .events = POLLIN };
	fds[n + 1] = (struct pollfd){ .fd = v->f.backend, .events = POLLIN };
	if (poll(fds, n + 2, 100) <= 0)
		return 0;
	if (fds[n].revents && recv(v->f.sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 &&
	    errno != EAGAIN && errno != EINTR)
		return front_fail(&v->f, -ECONNRESET, "the connection was closed");
	return fds[n + 1].revents & POLLIN ? look_at_backend(v) : 0;
}

/* ---- the loop ---- */

static void advance(struct verify *v, uint64_t now)
{
	bool over = mode_ended ||
		    (v->o->seconds > 0 && now - v->began_ns >= v->o->seconds * (double)S);

	if (v->phase == FILL && v->at == v->m.sectors && v->n_pending == 0) {
		v->phase = MIX;
	} else if (v->phase == MIX && over && v->n_pending == 0) {
		v->phase = CHECK;
		v->at = 0;
	} else if (v->phase == CHECK && v->at == v->m.sectors && v->n_pending == 0) {
		v->phase = DONE;
	}
}

/* Fewer and fewer are in flight before a reset, and at the end of the time. */
static bool is_draining(const struct verify *v, uint64_t now)
{
	unsigned int every = v->o->reset_every;

	if (v->phase != MIX)
		return false;
	return mode_ended ||
	       (v->o->seconds > 0 && now - v->began_ns >= v->o->seconds * (double)S) ||
	       (every && (now - v->began_ns) / S >= every * (v->restarts + 1));
}

static int step(struct verify *v)
{
	uint64_t now = front_now_ns();
	int rc = 0;

	v->f.why[0] = 0; /* of what was told already */
	if (!harvest(v) || !check_stalled(v, now))
		return -EPROTO;
	if (now - v->told_ns >= S)
		rc = tick(v, now);
	advance(v, now);
	if (rc == 0 && is_draining(v, now)) {
		if (v->n_pending == 0 && v->phase == MIX && v->o->reset_every)
			rc = restart(v, true);
	} else {
		while (verify_next(v))
			;
	}
	for (unsigned int i = 0; i < v->f.queues; i++)
		fqueue_kick(&v->f.queue[i]);
	if (rc == 0 && v->n_pending > 0)
		rc = wait_for_call(v);
	if (rc == -ECONNRESET)
		rc = reconnect(v);
	return rc;
}

static int prepare(struct verify *v)
{
	const struct mode_options *o = v->o;
	uint64_t bytes = request_bytes(DATA_MAX), size, end, gpa;
	int rc = front_init(&v->f, &o->front);

	if (rc == 0)
		rc = front_connect(&v->f);
	if (rc == 0)
		rc = front_start(&v->f);
	if (rc == -ECONNRESET && o->reconnect)
		rc = reconnect(v);
	if (rc < 0)
		return rc;
	size = v->f.config.capacity * SECTOR;
	end = o->region ? o->first + o->region : size < 64 * MIB ? size : 64 * MIB;
	if (o->first % FRONT_PAGE || end % FRONT_PAGE || end > size || o->first + MIB > end)
		return front_fail(&v->f, -EINVAL, "no such region in an image of %" PRIu64,
				  size);
	v->request = calloc(o->front.ram / bytes, sizeof(struct request *));
	if (!v->request || !model_init(&v->m, o->first / SECTOR, (end - o->first) / SECTOR))
		return front_fail(&v->f, -ENOMEM, "out of memory");
	gpa = v->f.ring_end;
	/* The first two regions are one piece of guest memory. */
	for (unsigned int i = v->f.table.n == 1 ? 0 : 1; i < v->f.table.n; i++) {
		const struct vhost_region *g = &v->f.table.region[i];

		for (; gpa + bytes <= g->gpa + g->size; gpa += bytes) {
			struct request *r = calloc(1, sizeof(*r));

			if (!r)
				return front_fail(&v->f, -ENOMEM, "out of memory");
			r->gpa = gpa;
			r->data_max = DATA_MAX;
			v->request[v->n_requests++] = r;
		}
		if (i + 1 < v->f.table.n)
			gpa = v->f.table.region[i + 1].gpa;
	}
	if (v->n_requests <= o->depth || o->depth == 0 || o->depth > DEPTH_MAX)
		return front_fail(&v->f, -EINVAL, "a depth of %u with RAM for %u requests",
				  o->depth, v->n_requests);
	return 0;
}

static void finish(struct verify *v)
{
	int rc;

	for (unsigned int i = 0; i < v->n_requests; i++) {
		struct request *r = v->request[i];

		if (r->has_sum && request_sum(&v->f, r) != r->sum)
			verify_bad(v, r, "its buffer has changed since it was done");
		free(r);
	}
	if (v->o->serial && (!v->has_id || strcmp(v->o->serial, v->id)))
		verify_bad(v, NULL, "the serial is '%s', not '%s'", v->id, v->o->serial);
	rc = front_stop(&v->f);
	if (rc == -ECONNRESET && v->o->reconnect)
		v->reconnects++; /* there is nothing left to go on with */
	else if (rc < 0)
		verify_bad(v, NULL, "%s", v->f.why);
	for (unsigned int i = 0; v->f.log && v->phase == DONE && i < v->f.queues; i++)
		if (v->f.queue[i].last_used && !front_log_test(&v->f, v->f.queue[i].used_gpa))
			verify_bad(v, NULL, "used ring %u is not marked in the log", i);
}

int mode_verify(const struct mode_options *o)
{
	struct verify *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return 1;
	v->o = o;
	v->rng = o->seed;
	rc = prepare(v);
	if (rc == 0)
		printf("front connected queues=%u features=%#" PRIx64 " proto=%#" PRIx64
		       " sectors=%" PRIu64 "\n",
		       v->f.queues, v->f.features, v->f.proto, (uint64_t)v->f.config.capacity);
	v->began_ns = v->told_ns = front_now_ns();
	v->phase = v->f.features & BIT(VIRTIO_BLK_F_RO) ? MIX : FILL;
	while (rc == 0 && v->phase != DONE)
		rc = step(v);
	if (rc == 0)
		finish(v);
	else if (v->f.why[0])
		verify_bad(v, NULL, "%s", v->f.why);
	printf("front done requests=%" PRIu64 " bytes=%" PRIu64 " reads=%" PRIu64
	       " writes=%" PRIu64 " flushes=%" PRIu64 " ids=%" PRIu64 " discards=%" PRIu64
	       " zeroes=%" PRIu64 " errors=%" PRIu64 " reconnects=%" PRIu64 " restarts=%" PRIu64
	       ", bad %" PRIu64 "\n",
	       v->requests, v->bytes, v->kind[VIRTIO_BLK_T_IN], v->kind[VIRTIO_BLK_T_OUT],
	       v->kind[VIRTIO_BLK_T_FLUSH], v->kind[VIRTIO_BLK_T_GET_ID],
	       v->kind[VIRTIO_BLK_T_DISCARD], v->kind[VIRTIO_BLK_T_WRITE_ZEROES], v->errors,
	       v->reconnects, v->restarts, v->bad);
	return v->bad ? 1 : 0;
}
