/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mode bench: how fast a back end is.  Mode show: what it offers.
 *
 * One queue, one thread that sleeps until it is called, as a guest of one CPU.  Each request
 * is a header, one buffer of whole pages and a status; what is done is handed in again with
 * one kick for all that were found done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/hist.h"
#include "modes.h"
#include "request.h"

#define CASE_DEPTH 64u

static const struct bench_case {
	const char *name;
	uint32_t type, bytes;
	unsigned int depth;
	bool random;
} cases[] = {
	{ "read-4k-1", VIRTIO_BLK_T_IN, 4096, 1, true },
	{ "read-4k-32", VIRTIO_BLK_T_IN, 4096, 32, true },
	{ "write-4k-1", VIRTIO_BLK_T_OUT, 4096, 1, true },
	{ "write-4k-32", VIRTIO_BLK_T_OUT, 4096, 32, true },
	{ "read-1m-4", VIRTIO_BLK_T_IN, 1 << 20, 4, false },
	{ "write-1m-4", VIRTIO_BLK_T_OUT, 1 << 20, 4, false },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

struct bench {
	struct front f;
	const struct bench_case *c;
	struct request request[CASE_DEPTH];
	struct hist hist;
	uint64_t rng, at, requests;
};

static void submit(struct bench *b, struct request *r)
{
	uint64_t places = b->f.config.capacity * SECTOR / b->c->bytes;
	uint64_t place = b->c->random ? random_below(&b->rng, places) : b->at++ % places;

	r->sector = place * (b->c->bytes / SECTOR);
	request_plain(&b->f, r);
	request_submit(&b->f, r, false);
}

/* All that is done; until `end` each is followed by another one. */
static int answer(struct bench *b, uint64_t end)
{
	struct fqueue *q = &b->f.queue[0];
	uint64_t now = front_now_ns();
	uint32_t len;
	void *token;
	int rc;

	while ((rc = fqueue_get(q, &token, &len, b->f.why, sizeof(b->f.why))) > 0) {
		struct request *r = token;

		if (request_status(&b->f, r) != VIRTIO_BLK_S_OK)
			return front_fail(&b->f, -EIO, "%s: status %u", b->c->name,
					  request_status(&b->f, r));
		hist_add(&b->hist, now - r->began_ns, 0, 0);
		b->requests++;
		if (now < end)
			submit(b, r);
	}
	if (rc == 0)
		fqueue_kick(q);
	return rc;
}

static int run(struct bench *b, double seconds)
{
	uint64_t began = front_now_ns(), end = began + (uint64_t)(seconds * 1e9), calls;
	struct fqueue *q = &b->f.queue[0];
	int rc = 0;

	b->requests = 0;
	memset(&b->hist, 0, sizeof(b->hist));
	alarm((unsigned int)seconds + 60);
	for (unsigned int i = 0; i < b->c->depth; i++) {
		b->request[i].type = b->c->type;
		b->request[i].sectors = b->c->bytes / SECTOR;
		submit(b, &b->request[i]);
	}
	fqueue_kick(q);
	while (rc == 0 && q->in_flight) {
		if (!fqueue_arm(q) && read(q->call, &calls, sizeof(calls)) != sizeof(calls))
			return front_fail(&b->f, -errno, "read: %s", strerror(errno));
		rc = answer(b, end);
	}
	alarm(0);
	seconds = (double)(front_now_ns() - began) / 1e9;
	if (rc == 0)
		printf("{\"event\":\"result\",\"name\":\"%s\",\"bytes\":%u,\"depth\":%u,"
		       "\"seconds\":%.4f,\"requests\":%" PRIu64 ",\"iops\":%.1f,\"mib-s\":%.2f,"
		       "\"p50-us\":%.2f,\"p99-us\":%.2f,\"max-us\":%.1f}\n",
		       b->c->name, b->c->bytes, b->c->depth, seconds, b->requests,
		       (double)b->requests / seconds,
		       (double)b->requests * b->c->bytes / (1 << 20) / seconds,
		       (double)hist_percentile_above(&b->hist, 0, 0.5) / 1e3,
		       (double)hist_percentile_above(&b->hist, 0, 0.99) / 1e3,
		       (double)b->hist.max / 1e3);
	return rc;
}

/* Data is no pattern that something on its way could make shorter. */
static void fill(struct bench *b)
{
	uint64_t at = b->f.ring_end, word = 1;

	for (unsigned int i = 0; i < CASE_DEPTH; i++) {
		uint64_t bytes = request_bytes(i < 4 ? 1 << 20 : FRONT_PAGE);

		b->request[i].gpa = at;
		at += bytes;
	}
	for (uint64_t *w = (void *)(b->f.ram + b->f.ring_end); (uint8_t *)w < b->f.ram + at;
	     w++)
		*w = mix(word++);
}

static int connected(struct bench *b, const struct mode_options *o)
{
	struct front_options front = o->front;
	int rc;

	front.queues = 1;
	front.scattered = false;
	rc = front_init(&b->f, &front);
	if (rc == 0)
		rc = front_connect(&b->f);
	if (rc == 0)
		rc = front_start(&b->f);
	return rc;
}

static int bench(struct bench *b, const struct mode_options *o)
{
	char line[64];
	int rc = 0;

	b->rng = o->seed;
	fill(b);
	fcntl(b->f.queue[0].call, F_SETFL, 0); /* sleeps in read */
	for (unsigned int i = 0; rc == 0 && i < CASES; i++) {
		b->c = &cases[i];
		if (o->only && strcmp(o->only, b->c->name) != 0)
			continue;
		if (b->f.features & BIT(VIRTIO_BLK_F_RO) && b->c->type == VIRTIO_BLK_T_OUT)
			continue;
		if (o->steps) {
			printf("{\"event\":\"ready\",\"name\":\"%s\"}\n", b->c->name);
			if (!fgets(line, sizeof(line), stdin))
				break;
		}
		rc = run(b, o->seconds > 0 ? o->seconds : 2);
	}
	if (rc == 0)
		rc = front_stop(&b->f);
	return rc;
}

int mode_bench(const struct mode_options *o)
{
	struct bench *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return 1;
	rc = connected(b, o);
	if (rc == 0)
		rc = bench(b, o);
	if (rc < 0)
		printf("{\"event\":\"error\",\"message\":\"%s\"}\n", b->f.why);
	return rc < 0;
}

static int ask_id(struct bench *b, char id[VIRTIO_BLK_ID_BYTES + 1])
{
	struct request *r = &b->request[0];
	struct fqueue *q = &b->f.queue[0];
	uint64_t calls;
	uint32_t len;
	void *token;

	r->gpa = b->f.ring_end;
	r->type = VIRTIO_BLK_T_GET_ID;
	request_plain(&b->f, r);
	request_submit(&b->f, r, false);
	fqueue_kick(q);
	fcntl(q->call, F_SETFL, 0);
	alarm(b->f.opt.wait_s);
	while (!fqueue_arm(q))
		if (read(q->call, &calls, sizeof(calls)) != sizeof(calls))
			return front_fail(&b->f, -errno, "read: %s", strerror(errno));
	alarm(0);
	if (fqueue_get(q, &token, &len, b->f.why, sizeof(b->f.why)) < 0)
		return -EPROTO;
	request_id(&b->f, r, id);
	return request_status(&b->f, r) == VIRTIO_BLK_S_OK
		       ? front_stop(&b->f)
		       : front_fail(&b->f, -EIO, "GET_ID failed");
}

int mode_show(const struct mode_options *o)
{
	struct bench *b = calloc(1, sizeof(*b));
	char id[VIRTIO_BLK_ID_BYTES + 1] = "";
	const struct virtio_blk_config *c;
	int rc;

	if (!b)
		return 1;
	rc = connected(b, o);
	if (rc == 0)
		rc = ask_id(b, id);
	if (rc < 0) {
		printf("{\"event\":\"error\",\"message\":\"%s\"}\n", b->f.why);
		return 1;
	}
	c = &b->f.config;
	printf("{\"event\":\"config\",\"features\":%" PRIu64 ",\"proto\":%" PRIu64
	       ",\"sectors\":%" PRIu64 ",\"serial\":\"%s\",\"seg-max\":%u,\"block-size\":%u,"
	       "\"queues\":%u,\"wce\":%u,\"discard-max\":%u,\"discard-segs\":%u,"
	       "\"zeroes-max\":%u,\"zeroes-segs\":%u}\n",
	       b->f.offered, b->f.proto, (uint64_t)c->capacity, id, c->seg_max, c->blk_size,
	       c->num_queues, c->wce, c->max_discard_sectors, c->max_discard_seg,
	       c->max_write_zeroes_sectors, c->max_write_zeroes_seg);
	return 0;
}
