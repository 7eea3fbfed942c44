/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks: what one is made of, and those of an earlier pager. */

#include "vmm/host_disk.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/image_fence.h"
#include "base/ipc.h"
#include "base/log.h"
#include "vmm/blk.h"
#include "vmm/disk_state.h"
#include "vmm/image_swap.h"

#define SEG_MAX	    126u       /* QEMU's, of a ring of 128 */
#define DISCARD_MAX (1u << 21) /* sectors: 1 GiB */
#define ZEROES_MAX  (1u << 21)
#define WRITTEN_MAX (1u << 15) /* of zeroes that have to be written: 16 MiB */

static void set_geometry(struct host_disk *hd)
{
	const struct image_info *info = &hd->d.image->info;
	bool write = !info->read_only;

	hd->d.geometry = (struct vhost_disk){
		.sectors = image_bytes(hd->d.image) >> SECTOR_SHIFT,
		.blk_size = info->block_size,
		.seg_max = SEG_MAX,
		.discard_max = write && info->can_discard ? DISCARD_MAX : 0,
		.discard_align = info->block_size >> SECTOR_SHIFT,
		.zeroes_max = !write	       ? 0
			      : info->can_zero ? ZEROES_MAX
					       : WRITTEN_MAX,
		.ranges_max = 1,
		.num_queues = (uint16_t)hd->set.queues,
		.zeroes_unmap = info->can_discard,
		.read_only = info->read_only,
		.wce = !image_cache_is_through(info->cache),
	};
}

/* The image, in a descriptor that is taken. */
static int open_file(struct host_disk *hd, int fd, struct err *e)
{
	int ret = image_fence_take(fd, hd->set.fence);

	if (ret < 0) {
		close(fd);
		return err_set(e, ret, "cannot lock %s: %s", hd->set.image, strerror(-ret));
	}
	hd->d.image = image_file_open(fd, hd->set.image, (enum image_cache)hd->set.cache,
				      hd->set.read_only, e);
	if (!hd->d.image)
		return e->code;
	hd->d.image_fd = fd;
	return 0;
}

/* The drum learns of its device number, if it has one. */
int host_disk_make_mapped(struct host_disk *hd, struct err *e)
{
	int ret = 0;

	hd->d.number = hd->set.number;
	if (hd->d.number > 0)
		ret = image_swap_on(hd->host->drum, &hd->d, e);
	if (ret < 0)
		hd->d.number = 0;
	return ret;
}

/* The image is there: the rest. */
int host_disk_make_whole(struct host_disk *hd, bool again, struct err *e)
{
	struct disk *d = &hd->d;

	memcpy(d->name, hd->set.name, sizeof(d->name));
	memcpy(d->serial, hd->set.serial, sizeof(d->serial));
	d->map = hd->set.map;
	d->fence = hd->set.fence;
	d->fenced = d->image_fd < 0 || image_fence_is_clear(d->image_fd, d->fence);
	set_geometry(hd);
	d->state = disk_state_open(hd->host->opt.dir_fd, d->name, e);
	if (!d->state)
		return e->code;
	d->blk = blk_create(d);
	if (!d->blk)
		return err_set(e, -ENOMEM, "disk %s: out of memory", d->name);
	/* before anything is asked of the image, for pages that live there or by a front end */
	host_cache_disk_begin(hd, again);
	return host_disk_make_mapped(hd, e);
}

static int read_kept(struct host_disk *hd)
{
	struct disk *d = &hd->d;

	for (;;) {
		struct keep_msg m;
		int fds[IPC_FDS_MAX], nfds;
		ssize_t n = ipc_recv(d->keep, &m, sizeof(m), fds, &nfds);

		if (n < (ssize_t)offsetof(struct keep_msg, reply))
			return -EPROTO;
		if (m.type == KEEP_END) {
			d->replied = m.number;
			return 0;
		}
		if (m.type != KEEP_FD || m.role >= DISK_ROLES || nfds != 1)
			return -EPROTO;
		if (m.role == KEEP_SERVER)
			hd->server = fds[0];
		else
			d->fd[m.role] = fds[0];
	}
}

/* The keeper's answer. => 0, or -errno and e; descriptors are taken */
int host_disk_take_opened(struct host_disk *hd, const struct proto_msg *m, const int *fds,
			  int nfds, struct err *e)
{
	int ret = 0;

	hd->d.keep = fds[0];
	hd->listener = fds[1];
	hd->set.dev = m->u.disk.dev;
	hd->set.ino = m->u.disk.ino;
	hd->anew = m->u.disk.anew;
	snprintf(hd->set.socket, sizeof(hd->set.socket), "%s", m->u.disk.socket);
	if (nfds != (host_disk_is_nbd(hd->set.image) ? 2 : 3) || read_kept(hd) < 0)
		ret = err_set(e, -EPROTO, "the keeper's answer makes no sense");
	if (ret == 0 && nfds == 3)
		return open_file(hd, fds[2], e);
	if (nfds == 3)
		close(fds[2]);
	return ret;
}

/* On the image's own thread; what is sent stays when we die. */
static int keep_server(void *arg, int fd)
{
	const struct host_disk *hd = arg;
	struct keep_msg m = { .type = KEEP_FD, .role = KEEP_SERVER };

	return ipc_send(hd->d.keep, &m, offsetof(struct keep_msg, reply), &fd, 1);
}

struct image *host_disk_open_server(struct host_disk *hd, const struct image_info *known,
				    struct err *e)
{
	const struct diskset_entry *s = &hd->set;
	struct image_past past = { .keep = keep_server, .arg = hd, .fd = hd->server };

	past.note = image_note_open(hd->host->opt.dir_fd, s->name, e);
	if (!past.note)
		return NULL;
	hd->server = -1;
	return image_nbd_open(s->image, (enum image_cache)s->cache, s->read_only, known, &past,
			      e);
}

void host_disk_unlink(const struct host_disk *hd)
{
	int dir_fd = hd->host->opt.dir_fd;

	disk_state_remove(dir_fd, hd->set.name);
	image_note_remove(dir_fd, hd->set.name);
}

void host_disk_ask_keeper(const struct host_disk *hd, bool again, struct proto_msg *m)
{
	*m = (struct proto_msg){ .type = MSG_DISK_OPEN, .id = again };
	m->seq = hd->request ? hd->request->seq : 0;
	snprintf(m->u.disk.name, sizeof(m->u.disk.name), "%s", hd->set.name);
	snprintf(m->u.disk.image, sizeof(m->u.disk.image), "%s", hd->set.image);
	snprintf(m->u.disk.socket, sizeof(m->u.disk.socket), "%s", hd->set.socket);
	m->u.disk.cache = (int32_t)hd->set.cache;
	m->u.disk.read_only = (int32_t)hd->set.read_only;
	m->u.disk.dev = hd->set.dev;
	m->u.disk.ino = hd->set.ino;
}

/* --- at start --------------------------------------------------------------------------- */

static int open_known(struct host_disk *hd, struct err *e)
{
	const struct diskset_entry *s = &hd->set;
	const struct image_info known = {
		.bytes = s->bytes,
		.block_size = s->block_size,
		.read_only = s->read_only,
		.can_discard = s->can_discard,
		.can_zero = s->can_zero,
		.cache = (enum image_cache)s->cache,
	};

	hd->d.image = host_disk_open_server(hd, &known, e);
	return hd->d.image ? 0 : e->code;
}

/* It stays with the keeper as it is, but nobody here does anything with it. */
static void set_missing(struct host_disk *hd, const struct err *why)
{
	struct disk *d = &hd->d;

	log_err("disk %s is missing: %s", hd->set.name, why->text);
	for (unsigned int i = 0; i < DISK_ROLES; i++) {
		if (d->fd[i] >= 0)
			close(d->fd[i]);
		d->fd[i] = -1;
	}
	if (hd->server >= 0)
		close(hd->server);
	hd->server = -1;
	blk_destroy(d->blk);
	disk_state_close(d->state);
	image_close(d->image);
	host_cache_disk_end(hd);
	d->number = 0;
	d->blk = NULL;
	d->state = NULL;
	d->image = NULL;
}

/* Nothing else is under way yet, so the answer is the next message.
 * => -EPIPE and e: the keeper is gone; else 0 */
static int reopen(struct host_disk *hd, struct err *e)
{
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds, ret;
	struct err why = { 0 };

	host_disk_ask_keeper(hd, true, &m);
	ret = host_ask_keeper(hd->host, &m);
	if (ret < 0 ||
	    ipc_recv(hd->host->opt.keeper, &m, sizeof(m), fds, &nfds) != (ssize_t)sizeof(m) ||
	    m.type != MSG_DISK_OPENED)
		return err_set(e, -EPIPE, "the keeper does not answer");
	if (m.err.code == 0 && nfds < 2)
		err_set(&m.err, -EPROTO, "the keeper's answer makes no sense");
	why = m.err;
	if (why.code == 0)
		ret = host_disk_take_opened(hd, &m, fds, nfds, &why);
	if (why.code == 0 && host_disk_is_nbd(hd->set.image))
		ret = open_known(hd, &why);
	if (why.code == 0)
		ret = host_disk_make_whole(hd, true, &why);
	if (why.code)
		set_missing(hd, &why);
	else
		host_front_begin(hd);
	return 0;
}

int host_disk_init(struct host *h, struct err *e)
{
	struct diskset_entry *set = calloc(DISKS_MAX, sizeof(*set));
	int n = set ? diskset_read(h->opt.dir_fd, set, DISKS_MAX) : -ENOMEM, ret = 0;

	if (n < 0)
		err_set(e, n, "cannot read " DISKSET_FILE " in the run directory: %s",
			strerror(-n));
	for (int i = 0; i < n && ret == 0; i++) {
		struct host_disk *hd = host_disk_new(h);

		hd->set = set[i];
		ret = reopen(hd, e);
	}
	free(set);
	return n < 0 ? n : ret;
}
