/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swap devices, and the dump device, that the keeper holds open for its pagers, and the
 * answers to what a pager asks about them.  They are in the store (store.h) too.  One
 * thread only.
 */
#ifndef DRUM_KEEPER_SWAP_H
#define DRUM_KEEPER_SWAP_H

#include <stddef.h>

#include "base/conf.h"
#include "base/proto.h"

#define SWAPS_MAX 64

struct held_swap {
	struct proto_msg opened; /* as it was answered; bytes as last looked at */
	int fd;
};

struct swaps {
	struct held_swap held[SWAPS_MAX]; /* no two of one identity */
	size_t n;
};

/*
 * MSG_SWAP_OPEN becomes its answer.
 * => a descriptor to send with it, which stays ours; -1 with m->err filled
 */
int swaps_open(struct swaps *s, struct proto_msg *m);

/* MSG_SWAP_LOOK becomes its answer. */
void swaps_look(struct swaps *s, struct proto_msg *m);

/* MSG_SWAP_CLOSE: let go of it.  What is not held does not matter. */
void swaps_close(struct swaps *s, const struct proto_msg *m);

/* The message that switches on what the configuration names.
 * => 0, or -ENAMETOOLONG and e */
int must_check swaps_add(const struct conf_swap *conf, struct proto_msg *m, struct err *e);

#endif
