/* SPDX-License-Identifier: BSD-2-Clause */
/* What vhost_dev.c and vhost_offer.c have in common, and nobody else needs. */
#ifndef DRUM_VMM_VHOST_DEV_PRIV_H
#define DRUM_VMM_VHOST_DEV_PRIV_H

#include "vmm/vhost_dev.h"

#define BIT(n) (UINT64_C(1) << (n))

/* The configuration space, with zeros behind it. */
void vhost_dev_config(const struct vhost_dev *d, const struct vhost_disk *disk,
		      uint8_t out[VHOST_CONFIG_MAX]);

/* => 0, or -EPROTO and e: regions that overlap, wrap, or are not whole pages */
int must_check vhost_dev_check_table(const struct vhost_table *t, struct err *e);

/* Can there be size bytes at offset of a file, to be mapped?  => 0, or -EPROTO and e */
int must_check vhost_dev_check_area(uint64_t size, uint64_t offset, const char *what,
				    struct err *e);

/* The numbers of rings and entries.  => 0, or -EPROTO and e */
int must_check vhost_dev_check_inflight(const struct vhost_inflight_area *a,
					const struct vhost_disk *disk, struct err *e);

#endif
