/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest with a ring, in plain memory: what tests of virtqueues play the driver with. */
#ifndef DRUM_TESTS_FAKE_VRING_H
#define DRUM_TESTS_FAKE_VRING_H

#include "vmm/virtqueue.h"

/* The guest has two regions that adjoin in its own addresses only. */
#define FAKE_GPA   UINT64_C(0x100000)
#define FAKE_UVA   UINT64_C(0x7f1200003000) /* the VMM has the first one there, .. */
#define FAKE_UVA2  UINT64_C(0x7f4400001000) /* .. and the second */
#define FAKE_BYTES (64u * 4096u)	    /* of each */

struct fake_vring {
	uint8_t *ram, *ram2; /* each with guard bytes of ASan around it */
	struct vhost_mem mem;
	struct vhost_log log;
	struct vq_setup setup;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint64_t desc_gpa;
	uint16_t seen; /* entries of the used ring */
};

/* A ring of num entries at the beginning of the first region, with these features. */
void fake_vring_init(struct fake_vring *g, uint32_t num, uint64_t features);
void fake_vring_fini(struct fake_vring *g);

/* Where guest memory is. */
void *fake_vring_at(struct fake_vring *g, uint64_t gpa);
void fake_vring_set(struct fake_vring *g, uint16_t i, uint64_t gpa, uint32_t len,
		    uint16_t flags, uint16_t next);
/* Offer the chain that begins at head. */
void fake_vring_offer(struct fake_vring *g, uint16_t head);
/* => the next used entry, or NULL */
const struct vring_used_elem *fake_vring_take(struct fake_vring *g);

#endif
