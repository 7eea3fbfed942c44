/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "request.h"

#define HEADER	   0x40u
#define STATUS	   0x83u
#define RANGES	   0x108u
#define GUARD	   8u
#define GUARD_BYTE 0xa5
#define DATA	   (UINT64_C(1) * FRONT_PAGE * (1 + TABLE_PAGES))

enum form { WHOLE, PAGES, PIECES };

uint64_t request_bytes(uint32_t data_max)
{
	return DATA + data_max + SLACK;
}

static uint64_t data_bytes(const struct request *r)
{
	return (uint64_t)r->sectors * SECTOR;
}

static void add(struct request *r, uint64_t gpa, uint64_t len, bool in)
{
	r->seg[r->n_out + r->n_in] = (struct fseg){ gpa, (uint32_t)len };
	if (in) {
		r->n_in++;
		r->in_bytes += (uint32_t)len;
	} else {
		r->n_out++;
	}
}

static bool device_writes(const struct request *r)
{
	return r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID;
}

static void begin(struct front *f, struct request *r, bool two_pieces)
{
	struct virtio_blk_outhdr h = { .type = r->type, .sector = r->sector };

	r->n_out = r->n_in = r->first = r->n_data = 0;
	r->in_bytes = 0;
	r->guarded = false;
	front_put(f, r->gpa + HEADER, &h, sizeof(h));
	if (two_pieces) {
		add(r, r->gpa + HEADER, 5, false);
		add(r, r->gpa + HEADER + 5, sizeof(h) - 5, false);
	} else {
		add(r, r->gpa + HEADER, sizeof(h), false);
	}
	if (r->n_ranges) {
		front_put(f, r->gpa + RANGES, r->range, r->n_ranges * sizeof(r->range[0]));
		add(r, r->gpa + RANGES, r->n_ranges * sizeof(r->range[0]), false);
	}
	r->first = r->n_out;
}

/* The status is a byte of its own, or the last one of the last buffer. */
static void end(struct front *f, struct request *r, bool in_data)
{
	struct fseg *last = &r->seg[r->n_out + r->n_in - 1];

	r->n_data = (uint16_t)(r->n_out + r->n_in - r->first);
	if (in_data && r->n_in) {
		r->status_gpa = last->gpa + last->len;
		last->len++;
		r->in_bytes++;
	} else {
		r->status_gpa = r->gpa + STATUS;
		add(r, r->status_gpa, 1, true);
	}
	front_set(f, r->status_gpa, 0xff, 1);
}

void request_plain(struct front *f, struct request *r)
{
	begin(f, r, false);
	if (r->type == VIRTIO_BLK_T_GET_ID)
		add(r, r->gpa + DATA, VIRTIO_BLK_ID_BYTES, true);
	else if (data_bytes(r))
		add(r, r->gpa + DATA, data_bytes(r), device_writes(r));
	end(f, r, false);
}

/* Pages, each a piece, in any order among a few more pages than are needed. */
static void by_pages(struct request *r, uint64_t *rng)
{
	uint32_t n = (uint32_t)(data_bytes(r) / FRONT_PAGE), room = n + SLACK / FRONT_PAGE / 2;
	uint16_t page[FRONT_NUM_MAX];

	for (uint32_t i = 0; i < room; i++)
		page[i] = (uint16_t)i;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = i + random_to(rng, room - i);
		uint16_t at = page[k];

		page[k] = page[i];
		page[i] = at;
		add(r, r->gpa + DATA + (uint64_t)at * FRONT_PAGE, FRONT_PAGE, device_writes(r));
	}
}

/* Pieces of any length, with gaps between them. */
static void by_pieces(struct request *r, unsigned int n, uint64_t *rng)
{
	uint64_t left = data_bytes(r), at = r->gpa + DATA;

	for (unsigned int i = n; i > 0; i--) {
		uint64_t len =
			i == 1 ? left : 1 + random_to(rng, (uint32_t)(2 * (left - i + 1) / i));

		if (len > left - (i - 1))
			len = left - (i - 1);
		at += 2 * GUARD + 1 + random_to(rng, SLACK / 2 / n);
		add(r, at, len, device_writes(r));
		at += len;
		left -= len;
	}
	r->guarded = true;
}

void request_random(struct front *f, struct request *r, unsigned int seg_max, uint64_t *rng)
{
	enum form form = (enum form)random_to(rng, 3);
	uint64_t bytes = data_bytes(r);
	unsigned int most = seg_max < 128 ? seg_max : 128;

	begin(f, r, random_to(rng, 8) == 0);
	if (form == PAGES && (bytes % FRONT_PAGE || bytes / FRONT_PAGE > seg_max))
		form = PIECES;
	if (r->type == VIRTIO_BLK_T_GET_ID)
		add(r, r->gpa + DATA, VIRTIO_BLK_ID_BYTES, true);
	else if (bytes == 0)
		;
	else if (form == WHOLE)
		add(r, r->gpa + DATA, bytes, device_writes(r));
	else if (form == PAGES)
		by_pages(r, rng);
	else
		by_pieces(r, 1 + random_to(rng, most < bytes ? most : (unsigned int)bytes),
			  rng);
	/* behind a page may be another one */
	end(f, r, form != PAGES && random_to(rng, 8) == 0);
}

/* The pieces of data one after the other; the status that one may end with is left out. */
static bool next_piece(const struct request *r, unsigned int *i, uint64_t *done,
		       struct fseg *piece)
{
	if (*i == r->n_data || *done == data_bytes(r))
		return false;
	*piece = r->seg[r->first + (*i)++];
	if (piece->len > data_bytes(r) - *done)
		piece->len = (uint32_t)(data_bytes(r) - *done);
	*done += piece->len;
	return true;
}

void request_put(struct front *f, struct request *r, const void *data)
{
	uint64_t done = 0;
	struct fseg p;

	for (unsigned int i = 0; next_piece(r, &i, &done, &p);)
		front_put(f, p.gpa, (const uint8_t *)data + done - p.len, p.len);
}

void request_get(struct front *f, const struct request *r, void *data)
{
	uint64_t done = 0;
	struct fseg p;

	for (unsigned int i = 0; next_piece(r, &i, &done, &p);)
		front_get(f, p.gpa, (uint8_t *)data + done - p.len, p.len);
}

void request_spoil(struct front *f, struct request *r)
{
	uint64_t done = 0;
	struct fseg p;

	for (unsigned int i = 0; next_piece(r, &i, &done, &p);) {
		front_set(f, p.gpa, 0xee, p.len);
		if (!r->guarded)
			continue;
		front_set(f, p.gpa - GUARD, GUARD_BYTE, GUARD);
		/* the status may be there */
		front_set(f, p.gpa + p.len + 1, GUARD_BYTE, GUARD);
	}
}

bool request_guards_hold(struct front *f, const struct request *r)
{
	uint8_t want[GUARD], found[GUARD];
	uint64_t done = 0;
	struct fseg p;

	memset(want, GUARD_BYTE, GUARD);
	for (unsigned int i = 0; r->guarded && next_piece(r, &i, &done, &p);) {
		front_get(f, p.gpa - GUARD, found, GUARD);
		if (memcmp(want, found, GUARD))
			return false;
		front_get(f, p.gpa + p.len + 1, found, GUARD);
		if (memcmp(want, found, GUARD))
			return false;
	}
	return true;
}

uint8_t request_status(struct front *f, const struct request *r)
{
	return *(const volatile uint8_t *)front_at(f, r->status_gpa, 1, NULL);
}

static uint64_t sum_of(const uint8_t *at, uint64_t len, uint64_t sum)
{
	uint64_t word;

	for (; len >= 8; at += 8, len -= 8) {
		memcpy(&word, at, 8);
		sum = (sum << 5 | sum >> 59) + word;
	}
	for (; len; at++, len--)
		sum = (sum << 5 | sum >> 59) + *at;
	return sum;
}

uint64_t request_sum(struct front *f, const struct request *r)
{
	uint64_t done = 0, sum = 1, run;
	struct fseg p;

	for (unsigned int i = 0; next_piece(r, &i, &done, &p);)
		for (; p.len; p.gpa += run, p.len -= (uint32_t)run) {
			const uint8_t *at = front_at(f, p.gpa, p.len, &run);

			sum = sum_of(at, run, sum);
		}
	return sum;
}

void request_id(struct front *f, const struct request *r, char id[VIRTIO_BLK_ID_BYTES + 1])
{
	front_get(f, r->gpa + DATA, id, VIRTIO_BLK_ID_BYTES);
	id[VIRTIO_BLK_ID_BYTES] = 0;
}

/* => NULL: it lies across the border of two regions */
static struct vring_desc *table_of(struct front *f, const struct request *r)
{
	uint64_t bytes = UINT64_C(1) * TABLE_PAGES * FRONT_PAGE, run;
	struct vring_desc *table = front_at(f, r->gpa + FRONT_PAGE, bytes, &run);

	return run < bytes ? NULL : table;
}

bool request_fits(struct front *f, const struct request *r, bool indirect)
{
	return fqueue_has_room(&f->queue[r->queue], (unsigned int)r->n_out + r->n_in,
			       indirect && table_of(f, r));
}

void request_submit(struct front *f, struct request *r, bool indirect)
{
	r->busy = true;
	r->began_ns = front_now_ns();
	fqueue_add(&f->queue[r->queue], r->seg, r->n_out, r->n_in, r,
		   indirect ? table_of(f, r) : NULL, r->gpa + FRONT_PAGE);
}

void request_log_clear(struct front *f, const struct request *r)
{
	for (unsigned int i = r->n_out; i < (unsigned int)r->n_out + r->n_in; i++)
		for (uint64_t at = r->seg[i].gpa / FRONT_PAGE;
		     at <= (r->seg[i].gpa + r->seg[i].len - 1) / FRONT_PAGE; at++)
			front_log_clear(f, at * FRONT_PAGE);
}

bool request_is_logged(struct front *f, const struct request *r)
{
	for (unsigned int i = r->n_out; i < (unsigned int)r->n_out + r->n_in; i++)
		for (uint64_t at = r->seg[i].gpa / FRONT_PAGE;
		     at <= (r->seg[i].gpa + r->seg[i].len - 1) / FRONT_PAGE; at++)
			if (!front_log_test(f, at * FRONT_PAGE))
				return false;
	return true;
}
