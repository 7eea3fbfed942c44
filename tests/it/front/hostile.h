/* SPDX-License-Identifier: BSD-2-Clause */
/* Mode hostile: hostile.c runs the cases of hostile_msg.c, _setup.c, _ring.c. */
#ifndef IT_FRONT_HOSTILE_H
#define IT_FRONT_HOSTILE_H

#include "modes.h"
#include "request.h"

struct hostile {
	struct front f;
	int err;	    /* eventfd of SET_VRING_ERR; -1: not given */
	bool closed_by_us;  /* there is nothing left to look at */
	bool impossible;    /* not with what was agreed on, or the kernel lets nobody do it */
	uint64_t status_at; /* of the request that was made available; 0: none was */
	uint16_t used;	    /* used->idx before it was */
	uint64_t rng;
};

struct hostile_case {
	const char *name;
	void (*run)(struct hostile *h);
};

/* Each ends with a name of NULL. */
extern const struct hostile_case hostile_messages[], hostile_setup[], hostile_rings[];

/* Connect, and (up) start the rings.  A back end that does not let us: the process ends. */
void hostile_dial(struct hostile *h);
void hostile_connect(struct hostile *h);
void hostile_up(struct hostile *h);

/* Send a message as it is said; size: of header.size, payload has at most that much. */
void hostile_say(struct hostile *h, uint32_t request, uint32_t flags, const void *payload,
		 uint32_t size, const int *fds, unsigned int nfds);

/* Connect, and send it with n times this descriptor. */
void hostile_with_fds(struct hostile *h, uint32_t request, const void *payload, uint32_t size,
		      int fd, unsigned int n);

#endif
