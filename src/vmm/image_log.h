/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an NBD server has acknowledged and not yet flushed: kept here, to be written
 * again should the server have forgotten it.  A ring of bytes; no locks, no I/O.
 */
#ifndef DRUM_VMM_IMAGE_LOG_H
#define DRUM_VMM_IMAGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct image_log {
	char *memory; /* or NULL: it is always empty */
	uint64_t size;
	uint64_t tail, head; /* bytes since the beginning; tail <= head <= tail + size */
};

struct image_record {
	uint64_t off;
	uint32_t len;
	bool zeroes, unmap; /* zeroes: there is no data */
};

/* => 0 or -ENOMEM */
int must_check image_log_init(struct image_log *log, size_t size);
void image_log_fini(struct image_log *log);

/* => false: no room */
bool must_check image_log_add(struct image_log *log, const struct image_record *rec,
			      const void *data);

/* The record at *at, and its data to data (room for len); *at goes on to the next.
 * => false: *at is the end */
bool must_check image_log_get(const struct image_log *log, uint64_t *at,
			      struct image_record *rec, void *data);

/* Forget what was added before head was `mark`. */
void image_log_trim(struct image_log *log, uint64_t mark);

#endif
