/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A swap device of two halves, each of which holds everything.
 *
 * Writes go to both, reads to one that holds the block; an answer that is an
 * error or has the wrong checksum is replaced by the other half's.  Which half
 * holds a block stands in sums.h's two bits, which outlive the process, so
 * that no restart ever reads a copy that missed a write.
 *
 * A half on which a write failed is lost: nothing more is written there until
 * it is replaced, or says that it is online again.  Then `moving` is set until
 * every block is on both: owners write pages of blocks for which ops->moves says
 * so anew, to other blocks of this device.
 */
#ifndef DRUM_SWAP_DEVICE_MIRROR_H
#define DRUM_SWAP_DEVICE_MIRROR_H

#include <stdint.h>

#include "base/err.h"
#include "swap/device.h"
#include "swap/sums.h"

enum mirror_state {
	MIRROR_MISSING, /* there is no device: not found at a restart */
	MIRROR_GOOD,
	MIRROR_LOST, /* a write failed; still read where no other half holds a block */
	MIRROR_AWAY, /* it says that it is offline */
};

struct mirror_half_stats {
	const char *path; /* NULL: missing; good until the half is replaced */
	enum mirror_state state;
	uint64_t lacking; /* blocks in use that it does not hold */
	uint64_t only;	  /* blocks in use that no other half holds */
};

/*
 * Of two devices without checksums of their own, whose listener the mirror
 * becomes; one of them may be NULL, if it was half of this mirror before and
 * cannot be found now.  It is as large as the smaller half.  path names it.  What `l` hears
 * of a half has that half as its device; l may be NULL.  All but l are the
 * mirror's from now on, also on failure.
 * => NULL and e: -ENOMEM, -EINVAL one device twice
 */
struct swap_device *must_check device_mirror_create(const char *path,
						    struct swap_device *half[2],
						    struct sums *sums,
						    const struct swap_listener *l,
						    struct err *e);

/*
 * fresh takes the place of the missing or lost half.  A device that was this
 * half before is believed to hold what it held; any other is empty.  Control
 * thread; may take a while, nobody waits for it.
 * => 0 or 1, the half that it is (as for device_mirror_half): fresh is the
 *    mirror's; *old, the caller's, is to be closed when none of its I/O is in
 *    flight, and before the mirror; NULL: the half was missing
 * => fresh is still the caller's: -EBUSY no half is lost, -EEXIST fresh is the
 *    other half, -ENOSPC it is too small, -ENODATA some blocks are only on the
 *    lost half, and it is not `force`
 */
int must_check device_mirror_replace(struct swap_device *mirror, struct swap_device *fresh,
				     bool force, struct swap_device **old, struct err *e);

/* k: 0 or 1, as they stand in the file of sums. Control thread. */
void device_mirror_half(struct swap_device *mirror, unsigned int k,
			struct mirror_half_stats *out);

#endif
