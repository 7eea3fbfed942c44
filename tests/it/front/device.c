/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user-blk device as QEMU brings it up, and its RAM.
 *
 * Scattered RAM is three regions of one file.  The first two are neighbours for the guest and
 * apart in the file, so that a buffer across their border is in two pieces; the third is
 * above 4 GiB, as a PC has it:
 *
 *	guest	0 .. a       a .. half    4 GiB .. 4 GiB + half
 *	file	0 .. a       a + half ..  a .. a + half
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "front.h"

#define HIGH (UINT64_C(4) << 30)
/* of configuration space, as QEMU asks for: what follows is of features that we lack */
#define CONFIG_BYTES ((uint32_t)offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 1)

static void add_region(struct front *f, uint64_t gpa, uint64_t size, uint64_t offset)
{
	f->table.region[f->table.n++] = (struct vhost_region){
		.gpa = gpa, .size = size, .uva = (uintptr_t)f->ram + offset, .offset = offset
	};
}

static int make_ram(struct front *f)
{
	uint64_t size = f->opt.ram, half = size / 2,
		 a = (half / 2 + FRONT_PAGE) & ~UINT64_C(4095);

	f->memfd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);
	if (f->memfd < 0 || ftruncate(f->memfd, (off_t)size))
		return front_fail(f, -errno, "memfd: %s", strerror(errno));
	f->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f->memfd,
		      0);
	if (f->ram == MAP_FAILED)
		return front_fail(f, -errno, "mmap: %s", strerror(errno));
	if (!f->opt.scattered) {
		add_region(f, 0, size, 0);
		return 0;
	}
	add_region(f, 0, a, 0);
	add_region(f, a, half - a, a + half);
	add_region(f, HIGH, half, a);
	return 0;
}

static int make_log(struct front *f)
{
	const struct vhost_region *r = &f->table.region[f->table.n - 1];

	f->log_bytes = ((r->gpa + r->size) / FRONT_PAGE / 8 + FRONT_PAGE) & ~UINT64_C(4095);
	f->log_fd = memfd_create("vhost-log", MFD_CLOEXEC);
	if (f->log_fd < 0 || ftruncate(f->log_fd, (off_t)f->log_bytes))
		return front_fail(f, -errno, "memfd: %s", strerror(errno));
	f->log = mmap(NULL, f->log_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->log_fd, 0);
	return f->log == MAP_FAILED ? front_fail(f, -errno, "mmap: %s", strerror(errno)) : 0;
}

int front_init(struct front *f, const struct front_options *opt)
{
	uint64_t step;
	int rc;

	memset(f, 0, sizeof(*f));
	f->opt = *opt;
	f->memfd = f->sock = f->backend = f->inflight_fd = f->log_fd = -1;
	if (!f->opt.wait_s)
		f->opt.wait_s = 60;
	if (!f->opt.num)
		f->opt.num = 256;
	if (f->opt.num > FRONT_NUM_MAX || (f->opt.num & (f->opt.num - 1)) ||
	    opt->queues > FRONT_QUEUES_MAX || opt->ram % FRONT_PAGE || opt->ram < 8u << 20)
		return front_fail(f, -EINVAL, "no such RAM, queues or ring size");
	rc = make_ram(f);
	if (rc == 0 && opt->log)
		rc = make_log(f);
	if (rc < 0)
		return rc;
	step = fqueue_bytes(f->opt.num);
	for (unsigned int i = 0; i < FRONT_QUEUES_MAX; i++) {
		struct fqueue *q = &f->queue[i];

		q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->kick < 0 || q->call < 0)
			return front_fail(f, -errno, "eventfd: %s", strerror(errno));
		fqueue_init(q, f->opt.num, f->ram + i * step, i * step);
	}
	f->ring_end = FRONT_QUEUES_MAX * step;
	return 0;
}

void front_free(struct front *f)
{
	front_disconnect(f);
	for (unsigned int i = 0; i < FRONT_QUEUES_MAX; i++) {
		close(f->queue[i].kick);
		close(f->queue[i].call);
	}
	if (f->inflight_fd >= 0)
		close(f->inflight_fd);
	if (f->log_fd >= 0)
		close(f->log_fd);
	if (f->log)
		munmap(f->log, f->log_bytes);
	munmap(f->ram, f->opt.ram);
	close(f->memfd);
}

void *front_at(struct front *f, uint64_t gpa, uint64_t len, uint64_t *run)
{
	for (unsigned int i = 0; i < f->table.n; i++) {
		const struct vhost_region *r = &f->table.region[i];
		uint64_t in = gpa - r->gpa;

		if (gpa < r->gpa || in >= r->size)
			continue;
		if (run)
			*run = len < r->size - in ? len : r->size - in;
		return f->ram + r->offset + in;
	}
	fprintf(stderr, "front: no memory at %#llx\n", (unsigned long long)gpa);
	abort();
}

void front_put(struct front *f, uint64_t gpa, const void *from, uint64_t len)
{
	for (uint64_t run; len; gpa += run, from = (const uint8_t *)from + run, len -= run) {
		void *to = front_at(f, gpa, len, &run);

		memcpy(to, from, run);
	}
}

void front_get(struct front *f, uint64_t gpa, void *to, uint64_t len)
{
	for (uint64_t run; len; gpa += run, to = (uint8_t *)to + run, len -= run) {
		const void *from = front_at(f, gpa, len, &run);

		memcpy(to, from, run);
	}
}

void front_set(struct front *f, uint64_t gpa, int byte, uint64_t len)
{
	for (uint64_t run; len; gpa += run, len -= run) {
		void *to = front_at(f, gpa, len, &run);

		memset(to, byte, run);
	}
}

/* ---- the connection ---- */

static int ask_u64(struct front *f, uint32_t request, uint64_t *value)
{
	int rc = front_ask(f, request, NULL, 0, value, sizeof(*value), NULL);

	if (rc >= 0 && rc != sizeof(*value))
		return front_fail(f, -EPROTO, "%s: %d bytes", vhost_msg_name(request), rc);
	return rc < 0 ? rc : 0;
}

int front_read_config(struct front *f)
{
	struct vhost_config c = { .size = CONFIG_BYTES }, got = { 0 };
	uint32_t bytes = (uint32_t)VHOST_CONFIG_BYTES + CONFIG_BYTES;
	int rc = front_ask(f, VHOST_GET_CONFIG, &c, bytes, &got, sizeof(got), NULL);

	if (rc >= 0 && rc != (int)bytes)
		return front_fail(f, -EPROTO, "GET_CONFIG: %d bytes for %u", rc, bytes);
	if (rc >= 0)
		memcpy(&f->config, got.bytes, CONFIG_BYTES);
	return rc < 0 ? rc : 0;
}

int front_set_wce(struct front *f, bool on)
{
	struct vhost_config c = { .offset = offsetof(struct virtio_blk_config, wce),
				  .size = 1 };

	c.bytes[0] = on;
	return front_tell(f, VHOST_SET_CONFIG, &c, (uint32_t)VHOST_CONFIG_BYTES + 1, NULL, 0);
}

static int give_backend_channel(struct front *f)
{
	struct timeval wait = { .tv_sec = f->opt.wait_s };
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return front_fail(f, -errno, "socketpair: %s", strerror(errno));
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	f->backend = pair[0];
	rc = front_tell(f, VHOST_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	return rc;
}

static uint64_t wanted(const struct front *f)
{
	uint64_t all = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) |
		       BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_BLK_F_FLUSH) |
		       BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES) |
		       BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_MQ) |
		       BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
		       BIT(VIRTIO_BLK_F_RO) | BIT(F_PROTOCOL);

	if (f->opt.no_indirect)
		all &= ~BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (f->opt.no_event_idx)
		all &= ~BIT(VIRTIO_RING_F_EVENT_IDX);
	if (f->opt.log)
		all |= BIT(F_LOG_ALL);
	return all;
}

static int agree(struct front *f)
{
	uint64_t proto = VHOST_PROTO_MQ | VHOST_PROTO_CONFIG | VHOST_PROTO_REPLY_ACK |
			 VHOST_PROTO_BACKEND_REQ | VHOST_PROTO_LOG_SHMFD;
	uint64_t queues = 1, offered;
	int rc = ask_u64(f, VHOST_GET_FEATURES, &f->offered);

	if (rc == 0 && (f->offered & wanted(f) & BIT(F_PROTOCOL)) == 0)
		return front_fail(f, -EPROTO, "no protocol features");
	if (rc == 0)
		rc = ask_u64(f, VHOST_GET_PROTOCOL_FEATURES, &offered);
	if (rc < 0)
		return rc;
	if (!f->opt.no_inflight)
		proto |= VHOST_PROTO_INFLIGHT_SHMFD;
	proto &= offered;
	if (!(proto & VHOST_PROTO_CONFIG))
		return front_fail(f, -EPROTO, "no CONFIG");
	if (f->opt.log && !(proto & VHOST_PROTO_LOG_SHMFD && f->offered & BIT(F_LOG_ALL)))
		return front_fail(f, -EPROTO, "no log");
	rc = front_tell(f, VHOST_SET_PROTOCOL_FEATURES, &proto, sizeof(proto), NULL, 0);
	f->proto = proto;
	if (rc == 0 && proto & VHOST_PROTO_MQ)
		rc = ask_u64(f, VHOST_GET_QUEUE_NUM, &queues);
	if (rc == 0 && proto & VHOST_PROTO_BACKEND_REQ)
		rc = give_backend_channel(f);
	if (rc == 0)
		rc = front_tell(f, VHOST_SET_OWNER, NULL, 0, NULL, 0);
	if (rc == 0)
		rc = front_read_config(f);
	if (rc < 0)
		return rc;
	f->features = f->offered & wanted(f);
	if (f->config.num_queues < queues && f->features & BIT(VIRTIO_BLK_F_MQ))
		queues = f->config.num_queues;
	if (f->opt.queues > queues)
		return front_fail(f, -EINVAL, "the device has %u queues", (unsigned int)queues);
	f->queues = f->opt.queues		? f->opt.queues
		    : queues < FRONT_QUEUES_MAX ? (unsigned int)queues
						: FRONT_QUEUES_MAX;
	return 0;
}

int front_connect(struct front *f)
{
	int rc = front_dial(f);

	f->proto = 0;
	if (rc == 0)
		rc = agree(f);
	if (rc < 0)
		front_disconnect(f);
	return rc;
}

void front_disconnect(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	if (f->backend >= 0)
		close(f->backend);
	f->sock = f->backend = -1;
	f->started = false;
}

/* ---- start and stop ---- */

/* The region is made by the back end, once, and brought again by us. */
static int give_inflight(struct front *f)
{
	struct vhost_inflight_area a = { .num_queues = (uint16_t)f->queues,
					 .queue_size = (uint16_t)f->opt.num };
	int rc;

	if (!(f->proto & VHOST_PROTO_INFLIGHT_SHMFD))
		return 0;
	if (f->inflight_fd < 0) {
		rc = front_ask(f, VHOST_GET_INFLIGHT_FD, &a, VHOST_INFLIGHT_BYTES, &f->inflight,
			       sizeof(f->inflight), &f->inflight_fd);
		if (rc < 0)
			return rc;
		if (f->inflight_fd < 0 || f->inflight.size == 0)
			return front_fail(f, -EPROTO, "GET_INFLIGHT_FD: no region came");
		f->inflight.num_queues = a.num_queues;
		f->inflight.queue_size = a.queue_size;
	}
	return front_tell(f, VHOST_SET_INFLIGHT_FD, &f->inflight, VHOST_INFLIGHT_BYTES,
			  &f->inflight_fd, 1);
}

static int give_table(struct front *f)
{
	int fds[VHOST_REGIONS_MAX];

	for (unsigned int i = 0; i < f->table.n; i++)
		fds[i] = f->memfd;
	return front_tell(f, VHOST_SET_MEM_TABLE, &f->table,
			  (uint32_t)(offsetof(struct vhost_table, region) +
				     f->table.n * sizeof(f->table.region[0])),
			  fds, f->table.n);
}

/* This one has an answer of its own, and so none that it was accepted. */
static int give_log(struct front *f)
{
	struct vhost_log_area a = { .size = f->log_bytes };
	struct vhost_header h = { .request = VHOST_SET_LOG_BASE,
				  .flags = VHOST_VERSION,
				  .size = sizeof(a) };
	uint8_t answer[sizeof(a)];
	int rc = front_send(f, &h, &a, &f->log_fd, 1);

	if (rc == 0)
		rc = front_answer(f, VHOST_SET_LOG_BASE, answer, sizeof(answer), NULL);
	return rc < 0 ? rc : 0;
}

static int start_ring(struct front *f, unsigned int i)
{
	struct fqueue *q = &f->queue[i];
	uint64_t index = i, one = 1;
	struct vhost_ring_state num = { i, q->num };
	struct vhost_ring_state base = { i, __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) };
	struct vhost_ring_addr addr = { .index = i,
					.flags = f->opt.log ? VHOST_RING_LOG : 0,
					.desc = (uintptr_t)q->desc,
					.avail = (uintptr_t)q->avail,
					.used = (uintptr_t)q->used,
					.log = q->used_gpa };
	int rc = front_tell(f, VHOST_SET_VRING_NUM, &num, sizeof(num), NULL, 0);

	q->event_idx = f->features & BIT(VIRTIO_RING_F_EVENT_IDX);
	if (rc == 0)
		rc = front_tell(f, VHOST_SET_VRING_BASE, &base, sizeof(base), NULL, 0);
	if (rc == 0)
		rc = front_tell(f, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	/* QEMU's eventfd of a ring that starts says that there may be something */
	if (rc == 0 && write(q->kick, &one, sizeof(one)) != sizeof(one))
		rc = front_fail(f, -errno, "kick: %s", strerror(errno));
	if (rc == 0)
		rc = front_tell(f, VHOST_SET_VRING_KICK, &index, sizeof(index), &q->kick, 1);
	if (rc == 0)
		rc = front_tell(f, VHOST_SET_VRING_CALL, &index, sizeof(index), &q->call, 1);
	return rc;
}

int front_start(struct front *f)
{
	int rc = give_inflight(f);

	if (rc == 0 && f->opt.log)
		rc = give_log(f);
	if (rc == 0)
		rc = front_tell(f, VHOST_SET_FEATURES, &f->features, sizeof(f->features), NULL,
				0);
	if (rc == 0)
		rc = give_table(f);
	for (unsigned int i = 0; rc == 0 && i < f->queues; i++)
		rc = start_ring(f, i);
	for (unsigned int i = 0; rc == 0 && i < f->queues; i++) {
		struct vhost_ring_state on = { i, 1 };

		rc = front_tell(f, VHOST_SET_VRING_ENABLE, &on, sizeof(on), NULL, 0);
	}
	f->started = rc == 0;
	return rc;
}

int front_stop(struct front *f)
{
	f->started = false;
	for (unsigned int i = 0; i < f->queues; i++) {
		struct vhost_ring_state s = { i, 0 }, got = { 0 };
		uint16_t used;
		int rc = front_ask(f, VHOST_GET_VRING_BASE, &s, sizeof(s), &got, sizeof(got),
				   NULL);

		if (rc < 0)
			return rc;
		used = __atomic_load_n(&f->queue[i].used->idx, __ATOMIC_ACQUIRE);
		if (rc != sizeof(got) || got.index != i || got.num != used)
			return front_fail(f, -EPROTO,
					  "GET_VRING_BASE of ring %u: ring %u has taken %u, "
					  "and answered %u",
					  i, got.index, got.num, used);
	}
	return 0;
}

/* ---- the log ---- */

bool front_log_test(struct front *f, uint64_t gpa)
{
	uint64_t page = gpa / FRONT_PAGE;

	return __atomic_load_n(&f->log[page / 64], __ATOMIC_SEQ_CST) >> page % 64 & 1;
}

void front_log_clear(struct front *f, uint64_t gpa)
{
	uint64_t page = gpa / FRONT_PAGE;

	__atomic_fetch_and(&f->log[page / 64], ~BIT(page % 64), __ATOMIC_SEQ_CST);
}
