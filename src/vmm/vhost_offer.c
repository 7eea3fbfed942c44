/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vhost-user-blk device offers, and whether what a front end says of it can be.
 * Stateless: of vhost_dev.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vmm/inflight.h"
#include "vmm/vhost_dev_priv.h"
#include "vmm/vhost_mem.h"
#include "vmm/virtqueue.h"

uint64_t vhost_dev_features(const struct vhost_disk *disk)
{
	uint64_t f = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
		     BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VHOST_F_LOG_ALL) |
		     BIT(VHOST_F_PROTOCOL_FEATURES) | BIT(VIRTIO_BLK_F_SEG_MAX) |
		     BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
		     BIT(VIRTIO_BLK_F_CONFIG_WCE);

	if (disk->num_queues > 1)
		f |= BIT(VIRTIO_BLK_F_MQ);
	if (disk->read_only)
		return f | BIT(VIRTIO_BLK_F_RO);
	if (disk->discard_max > 0)
		f |= BIT(VIRTIO_BLK_F_DISCARD);
	if (disk->zeroes_max > 0)
		f |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	return f;
}

uint64_t vhost_dev_proto(void)
{
	return VHOST_PROTO_MQ | VHOST_PROTO_LOG_SHMFD | VHOST_PROTO_REPLY_ACK |
	       VHOST_PROTO_BACKEND_REQ | VHOST_PROTO_CONFIG | VHOST_PROTO_INFLIGHT_SHMFD;
}

void vhost_dev_config(const struct vhost_dev *d, const struct vhost_disk *disk,
		      uint8_t out[VHOST_CONFIG_MAX])
{
	struct virtio_blk_config c = {
		.capacity = disk->sectors,
		.seg_max = disk->seg_max,
		.blk_size = disk->blk_size,
		.wce = d->wce,
		.num_queues = disk->num_queues,
		.max_discard_sectors = disk->discard_max,
		.max_discard_seg = disk->discard_max ? disk->ranges_max : 0,
		.discard_sector_alignment = disk->discard_align,
		.max_write_zeroes_sectors = disk->zeroes_max,
		.max_write_zeroes_seg = disk->zeroes_max ? disk->ranges_max : 0,
		.write_zeroes_may_unmap = disk->zeroes_unmap,
	};

	static_assert(sizeof(c) <= VHOST_CONFIG_MAX, "fits");
	memset(out, 0, VHOST_CONFIG_MAX);
	memcpy(out, &c, sizeof(c));
}

int vhost_dev_check_table(const struct vhost_table *t, struct err *e)
{
	struct vhost_mem check = { 0 };

	if (t->n > VHOST_REGIONS_MAX)
		return err_set(e, -EPROTO, "a memory table of %u regions", t->n);
	for (unsigned int i = 0; i < t->n; i++) {
		const struct vhost_region *r = &t->region[i];
		int rc = vhost_mem_add(&check, r, NULL, 0, e);

		if (rc < 0)
			return rc;
		if (r->offset % VHOST_PAGE || r->offset > INT64_MAX ||
		    r->size > INT64_MAX - r->offset)
			return err_set(e, -EPROTO, "memory of %#lx bytes at %#lx of its file",
				       r->size, r->offset);
	}
	return 0;
}

int vhost_dev_check_area(uint64_t size, uint64_t offset, const char *what, struct err *e)
{
	if (size == 0 || offset % VHOST_PAGE || offset > INT64_MAX || size > INT64_MAX - offset)
		return err_set(e, -EPROTO, "%s of %lu bytes at %lu of its file", what, size,
			       offset);
	return 0;
}

int vhost_dev_check_inflight(const struct vhost_inflight_area *a, const struct vhost_disk *disk,
			     struct err *e)
{
	if (a->num_queues == 0 || a->num_queues > disk->num_queues || a->queue_size == 0 ||
	    a->queue_size > VQ_NUM_MAX)
		return err_set(e, -EPROTO, "an in-flight region for %u rings of %u, of %u",
			       a->num_queues, a->queue_size, disk->num_queues);
	return 0;
}

int vhost_dev_check(const struct vhost_dev *d, const struct vhost_disk *disk, struct err *e)
{
	bool wrong = (d->features & ~vhost_dev_features(disk)) ||
		     (d->proto & ~vhost_dev_proto()) || vhost_dev_check_table(&d->table, e) < 0;

	if (d->has_log)
		wrong = wrong ||
			vhost_dev_check_area(d->log.size, d->log.offset, "a log", e) < 0;
	if (d->has_inflight)
		wrong = wrong || vhost_dev_check_inflight(&d->inflight, disk, e) < 0 ||
			d->inflight.size <
				inflight_bytes(d->inflight.num_queues, d->inflight.queue_size);
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++) {
		uint32_t num = d->ring[i].num;

		wrong = wrong || num > VQ_NUM_MAX || (num & (num - 1)) ||
			(i >= disk->num_queues && (num || d->ring[i].started));
	}
	return wrong ? err_set(e, -EINVAL, "this is not the state of such a disk's front end")
		     : 0;
}
