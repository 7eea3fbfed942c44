/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of a block device, each with a piece of RAM of its own:
 *
 *	page 0		header, status, ranges
 *	TABLE_PAGES	an indirect table
 *	the rest	data: as long as a request may be, and SLACK for gaps between its pieces
 *
 * How a request is cut into descriptors is drawn at random from what drivers may do: a
 * buffer in one piece, pages in any order, pieces of any length at any address, a header in
 * two pieces, the status at the end of the last buffer.
 */
#ifndef IT_FRONT_REQUEST_H
#define IT_FRONT_REQUEST_H

#include "front.h"
#include "model.h"

#define TABLE_PAGES  5u
#define SLACK	     (128u << 10)
#define RANGES_MAX   4u
#define REQUEST_SEGS (FRONT_NUM_MAX + 4)

struct request {
	uint64_t gpa;	   /* of its RAM */
	uint32_t data_max; /* bytes */
	bool busy;
	unsigned int queue;
	uint32_t type;
	uint64_t sector;
	uint32_t sectors; /* of data */
	uint32_t gen;	  /* a write's */
	uint16_t n_ranges;
	struct virtio_blk_discard_write_zeroes range[RANGES_MAX];
	uint64_t status_gpa, began_ns;
	bool guarded; /* there are gaps of GUARD bytes around the pieces of data */
	uint16_t n_out, n_in;
	uint16_t first, n_data; /* seg[first] to [first + n_data - 1] are data */
	struct fseg seg[REQUEST_SEGS];
	uint32_t in_bytes; /* that the device may write */
	uint64_t sum;	   /* of data, when it was done */
	bool has_sum;
};

/* Bytes of RAM of a request with so much data. */
uint64_t request_bytes(uint32_t data_max);

/* The simplest form: a header, one buffer, a status.  type, sector and sectors are set. */
void request_plain(struct front *f, struct request *r);

/* A form by chance, with at most seg_max pieces of data. */
void request_random(struct front *f, struct request *r, unsigned int seg_max, uint64_t *rng);

/* Put data there, or spoil what is there, so that what is not read shows. */
void request_put(struct front *f, struct request *r, const void *data);
void request_spoil(struct front *f, struct request *r);
void request_get(struct front *f, const struct request *r, void *data);

/* Are the gaps between the pieces untouched? */
bool request_guards_hold(struct front *f, const struct request *r);

uint8_t request_status(struct front *f, const struct request *r);
void request_id(struct front *f, const struct request *r, char id[VIRTIO_BLK_ID_BYTES + 1]);

/* Of all data, as it lies in RAM now. */
uint64_t request_sum(struct front *f, const struct request *r);

/* Does it fit into the ring?  indirect: by a table */
bool request_fits(struct front *f, const struct request *r, bool indirect);
void request_submit(struct front *f, struct request *r, bool indirect);

/* Unmark the pages that it may write in the log; are all of them marked? */
void request_log_clear(struct front *f, const struct request *r);
bool request_is_logged(struct front *f, const struct request *r);

#endif
