/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of mode verify share: verify.c (the loop), verify_pick.c (what to ask). */
#ifndef IT_FRONT_VERIFY_H
#define IT_FRONT_VERIFY_H

#include "modes.h"
#include "request.h"

#define DATA_MAX  (256u << 10)
#define DEPTH_MAX 128u

enum phase { FILL, MIX, CHECK, DONE };

struct verify {
	const struct mode_options *o;
	struct front f;
	struct model m;
	uint64_t rng;
	enum phase phase;
	uint64_t at;		  /* sector that FILL and CHECK have come to, in the region */
	struct request **request; /* all that fit into RAM */
	unsigned int n_requests, next;
	struct request *pending[DEPTH_MAX]; /* in flight */
	unsigned int n_pending;
	unsigned int depth, depth_left; /* at the moment, and for so many requests more */
	bool waiting[FRONT_QUEUES_MAX]; /* to be called */
	uint8_t data[DATA_MAX];
	char id[VIRTIO_BLK_ID_BYTES + 1];
	bool has_id;
	uint64_t requests, bytes, bad, errors, reconnects, restarts;
	uint64_t kind[16]; /* requests by type, as far as it goes */
	uint64_t began_ns, told_ns;
};

void verify_bad(struct verify *v, const struct request *r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Is another request due now? => NULL: not now; else it is in flight already */
struct request *verify_next(struct verify *v);

#endif
