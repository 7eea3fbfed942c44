/* SPDX-License-Identifier: BSD-2-Clause */
/* What a front end sets, in the order that QEMU has and in others. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vmm/vhost_dev.h"

#define BIT(n) (UINT64_C(1) << (n))
#define PROTO  BIT(VHOST_F_PROTOCOL_FEATURES)
#define LOG    BIT(VHOST_F_LOG_ALL)
#define BASIC  (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_BLK_F_FLUSH))
#define WCE    BIT(VIRTIO_BLK_F_CONFIG_WCE)

static struct vhost_disk disk = { .sectors = 0x123456789a,
				  .blk_size = 4096,
				  .seg_max = 126,
				  .discard_max = 1000,
				  .discard_align = 8,
				  .zeroes_max = 2000,
				  .ranges_max = 16,
				  .num_queues = 4,
				  .zeroes_unmap = true,
				  .wce = true };
static struct vhost_dev d;
static struct vhost_msg m, reply;
static struct vhost_todo todo;
static struct err e;
static int fds[9];

/* Apply m, which has n descriptors; a second time changes nothing. */
static int apply(unsigned int n)
{
	struct vhost_dev before = d, once;
	int rc;

	for (unsigned int i = 0; i < 9; i++)
		fds[i] = 40 + (int)i;
	cr_assert_eq(vhost_msg_check(&m, n, &e), 0, "%s", e.text);
	rc = vhost_dev_apply(&d, &disk, &m, fds, n, &reply, &todo, &e);
	if (rc < 0) {
		cr_assert_eq(memcmp(&d, &before, sizeof(d)), 0, "refused, and changed");
		return rc;
	}
	once = d;
	cr_assert_eq(vhost_dev_check(&d, &disk, &e), 0, "%s", e.text);
	cr_assert_eq(vhost_dev_apply(&d, &disk, &m, fds, n, &reply, &todo, &e), 0, "%s",
		     e.text);
	cr_assert_eq(memcmp(&d, &once, sizeof(d)), 0, "%s twice",
		     vhost_msg_name(m.header.request));
	return 0;
}

static void header(uint32_t request, uint32_t size)
{
	memset(&m, 0, sizeof(m));
	m.header = (struct vhost_header){ request, VHOST_VERSION, size };
}

static int u64(uint32_t request, uint64_t value, unsigned int n)
{
	header(request, 8);
	m.payload.u64 = value;
	return apply(n);
}

static int state(uint32_t request, uint32_t index, uint32_t num)
{
	header(request, 8);
	m.payload.state = (struct vhost_ring_state){ index, num };
	return apply(0);
}

static int addr(uint32_t index, uint64_t desc, uint32_t flags, uint64_t log)
{
	header(VHOST_SET_VRING_ADDR, 40);
	m.payload.addr = (struct vhost_ring_addr){ .index = index,
						   .flags = flags,
						   .desc = desc,
						   .avail = desc + 0x1000,
						   .used = desc + 0x2000,
						   .log = log };
	return apply(0);
}

static int table(uint32_t n)
{
	header(VHOST_SET_MEM_TABLE, 8 + n * 32);
	m.payload.table.n = n;
	for (uint32_t i = 0; i < n; i++)
		m.payload.table.region[i] =
			(struct vhost_region){ .gpa = i * 0x100000,
					       .size = 0x100000,
					       .uva = 0x7f0000000000 + i * 0x200000,
					       .offset = i * 0x100000 };
	return apply(n);
}

static int log_base(uint64_t size, uint64_t offset)
{
	header(VHOST_SET_LOG_BASE, 16);
	m.payload.log = (struct vhost_log_area){ size, offset };
	return apply(1);
}

static void connect_to(uint64_t features)
{
	vhost_dev_init(&d, &disk);
	cr_assert_eq(u64(VHOST_SET_PROTOCOL_FEATURES, vhost_dev_proto(), 0), 0);
	header(VHOST_SET_OWNER, 0);
	cr_assert_eq(apply(0), 0);
	cr_assert_eq(u64(VHOST_SET_FEATURES, features, 0), 0);
}

/* As QEMU starts a device, up to but for enabling. */
static void set_up(uint32_t ring)
{
	cr_assert_eq(table(3), 0);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, ring, 128), 0);
	cr_assert_eq(state(VHOST_SET_VRING_BASE, ring, 7), 0);
	cr_assert_eq(addr(ring, 0x7f0000001000, 0, 0), 0);
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, ring, 1), 0);
}

static bool has_fd(unsigned int role, int fd)
{
	for (unsigned int i = 0; i < todo.nfds; i++)
		if (todo.fd[i].role == role && todo.fd[i].fd == fd)
			return true;
	return false;
}

static uint64_t asked(uint32_t request)
{
	header(request, 0);
	cr_assert_eq(apply(0), 0);
	cr_assert(todo.answer);
	cr_assert_eq(reply.header.request, request);
	cr_assert_eq(reply.header.flags, 5);
	cr_assert_eq(reply.header.size, 8);
	return reply.payload.u64;
}

Test(vhost_dev, what_is_offered)
{
	uint64_t f = BIT(32) | BIT(28) | BIT(29) | BIT(26) | BIT(30) | BIT(2) | BIT(6) |
		     BIT(9) | BIT(11);

	vhost_dev_init(&d, &disk);
	cr_assert_eq(asked(VHOST_GET_FEATURES), f | BIT(12) | BIT(13) | BIT(14));
	cr_assert_eq(asked(VHOST_GET_PROTOCOL_FEATURES), 0x122b);
	cr_assert_eq(asked(VHOST_GET_QUEUE_NUM), 4);
	disk.read_only = true;
	disk.num_queues = 1;
	cr_assert_eq(asked(VHOST_GET_FEATURES), f | BIT(5));
	disk.read_only = false;
	disk.discard_max = 0;
	cr_assert_eq(asked(VHOST_GET_FEATURES), f | BIT(14));
	disk.zeroes_max = 0;
	cr_assert_eq(asked(VHOST_GET_FEATURES), f);
}

Test(vhost_dev, what_was_not_offered)
{
	vhost_dev_init(&d, &disk);
	for (unsigned int i = 0; i < 64; i++) {
		cr_assert_eq(u64(VHOST_SET_FEATURES, BIT(i), 0) == 0,
			     (vhost_dev_features(&disk) >> i & 1) == 1, "%u", i);
		cr_assert_eq(u64(VHOST_SET_PROTOCOL_FEATURES, BIT(i), 0) == 0,
			     (0x122b >> (i & 31) & 1) == 1 && i < 32, "%u", i);
	}
}

Test(vhost_dev, starts_as_qemu_does_it)
{
	connect_to(BASIC | PROTO);
	set_up(1);
	cr_assert_not(vhost_dev_runs(&d, 1));
	cr_assert_eq(state(VHOST_SET_VRING_ENABLE, 1, 1), 0);
	cr_assert(vhost_dev_runs(&d, 1));
	cr_assert_not(vhost_dev_runs(&d, 0));
	cr_assert_eq(d.ring[1].base, 7);
	cr_assert_eq(d.ring[1].num, 128);
	cr_assert_eq(state(VHOST_SET_VRING_ENABLE, 1, 0), 0);
	cr_assert_not(vhost_dev_runs(&d, 1));
}

Test(vhost_dev, enabled_first_and_for_rings_that_are_not_there)
{
	connect_to(BASIC | PROTO);
	for (uint32_t i = 0; i < 4; i++)
		cr_assert_eq(state(VHOST_SET_VRING_ENABLE, i, 1), 0);
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, 2, 1), 0); /* not set up either */
	cr_assert_not(vhost_dev_runs(&d, 2));
	set_up(0);
	cr_assert(vhost_dev_runs(&d, 0));
	cr_assert_not(vhost_dev_runs(&d, 2));
}

Test(vhost_dev, without_protocol_features_rings_are_enabled)
{
	connect_to(BASIC);
	set_up(0);
	cr_assert(vhost_dev_runs(&d, 0));
}

Test(vhost_dev, needs_all_parts)
{
	connect_to(BASIC);
	set_up(0);
	d.ring[0].num = 0;
	cr_assert_not(vhost_dev_runs(&d, 0));
	d.ring[0].num = 128;
	d.ring[0].has_addr = 0;
	cr_assert_not(vhost_dev_runs(&d, 0));
	d.ring[0].has_addr = 1;
	cr_assert(vhost_dev_runs(&d, 0));
	d.table.n = 0;
	cr_assert_not(vhost_dev_runs(&d, 0));
}

Test(vhost_dev, stops_when_all_is_answered)
{
	connect_to(BASIC);
	set_up(0);
	cr_assert_eq(state(VHOST_GET_VRING_BASE, 0, 0), 0);
	cr_assert_eq(todo.stop, 0);
	cr_assert_not(todo.answer);
	cr_assert(d.ring[0].started); /* so that it is found so, after a death */
	vhost_dev_stopped(&d, &m, 0xfff0, &reply, &todo);
	cr_assert_not(vhost_dev_runs(&d, 0));
	cr_assert(todo.answer);
	cr_assert_eq(reply.header.request, VHOST_GET_VRING_BASE);
	cr_assert_eq(reply.header.size, 8);
	cr_assert_eq(reply.payload.state.index, 0);
	cr_assert_eq(reply.payload.state.num, 0xfff0);
	cr_assert(has_fd(VHOST_FD_KICK + 0, -1));
	cr_assert_not(d.ring[0].has_kick);
	/* again: it stands already */
	cr_assert_eq(state(VHOST_GET_VRING_BASE, 0, 0), 0);
	cr_assert_eq(todo.stop, -1);
	cr_assert(todo.answer);
	cr_assert_eq(reply.payload.state.num, 0xfff0);
	/* and starts again */
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 64), 0);
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, 0, 1), 0);
	cr_assert(vhost_dev_runs(&d, 0));
	cr_assert_eq(d.ring[0].base, 0xfff0);
}

Test(vhost_dev, a_running_ring_stays_as_it_is)
{
	connect_to(BASIC);
	set_up(0);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 128), 0);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 64), -EPROTO);
	cr_assert_eq(state(VHOST_SET_VRING_BASE, 0, 7), 0);
	cr_assert_eq(state(VHOST_SET_VRING_BASE, 0, 8), -EPROTO);
	cr_assert_eq(addr(0, 0x7f0000001000, VHOST_RING_LOG, 0x5000), 0);
	cr_assert_eq(todo.ring, 0);
	cr_assert_eq(d.ring[0].addr.flags, VHOST_RING_LOG);
	cr_assert_eq(addr(0, 0x7f0000002000, 0, 0), -EPROTO);
	cr_assert_eq(u64(VHOST_SET_FEATURES, BASIC | LOG, 0), 0);
	cr_assert_eq(u64(VHOST_SET_FEATURES, BASIC | WCE, 0), -EPROTO);
	/* another eventfd is fine */
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, 0, 1), 0);
	cr_assert_eq(u64(VHOST_SET_VRING_CALL, 0, 1), 0);
	cr_assert_eq(todo.ring, 0);
}

Test(vhost_dev, rings_that_cannot_be)
{
	connect_to(BASIC);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 0), -EPROTO);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 3), -EPROTO);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 2048), -EPROTO);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, 0, 1024), 0);
	cr_assert_eq(state(VHOST_SET_VRING_BASE, 0, 65536), -EPROTO);
	cr_assert_eq(addr(0, 8, 0, 0), -EPROTO);
	for (uint32_t ring = 4; ring < 400; ring += ring < 8 ? 1 : 60) {
		cr_assert_eq(state(VHOST_SET_VRING_NUM, ring, 8), -EPROTO);
		cr_assert_eq(state(VHOST_SET_VRING_BASE, ring, 8), -EPROTO);
		cr_assert_eq(state(VHOST_GET_VRING_BASE, ring, 8), -EPROTO);
		cr_assert_eq(state(VHOST_SET_VRING_ENABLE, ring, 1), -EPROTO);
		cr_assert_eq(addr(ring, 0, 0, 0), -EPROTO);
	}
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, 4, 1), -EPROTO);
	cr_assert_eq(u64(VHOST_SET_VRING_CALL, 0xff, 1), -EPROTO);
	cr_assert_eq(state(VHOST_SET_VRING_NUM, UINT32_MAX, 8), -EPROTO);
}

Test(vhost_dev, descriptors_have_roles)
{
	connect_to(BASIC);
	cr_assert_eq(u64(VHOST_SET_VRING_CALL, 3, 1), 0);
	cr_assert(has_fd(VHOST_FD_CALL + 3, 40));
	cr_assert(d.ring[3].has_call);
	cr_assert_eq(u64(VHOST_SET_VRING_CALL, 3 | VHOST_RING_NO_FD, 0), 0);
	cr_assert(has_fd(VHOST_FD_CALL + 3, -1));
	cr_assert_not(d.ring[3].has_call);
	cr_assert_eq(u64(VHOST_SET_VRING_ERR, 2, 1), 0);
	cr_assert(has_fd(VHOST_FD_ERR + 2, 40));
	cr_assert(d.ring[2].has_err);
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, 1 | VHOST_RING_NO_FD, 0), 0);
	cr_assert(has_fd(VHOST_FD_KICK + 1, -1));
	cr_assert(d.ring[1].started);
	cr_assert_not(d.ring[1].has_kick);
	header(VHOST_SET_BACKEND_REQ_FD, 0);
	cr_assert_eq(apply(1), 0);
	cr_assert(has_fd(VHOST_FD_BACKEND_REQ, 40));
	cr_assert(d.has_backend_req);
	header(VHOST_SET_LOG_FD, 0);
	cr_assert_eq(apply(1), 0);
	cr_assert(has_fd(VHOST_FD_LOG_EVENT, 40));
	cr_assert_eq(table(2), 0);
	cr_assert(todo.memory);
	cr_assert(has_fd(VHOST_FD_MEM, 40));
	cr_assert(has_fd(VHOST_FD_MEM + 1, 41));
	for (unsigned int i = 2; i < 8; i++)
		cr_assert(has_fd(VHOST_FD_MEM + i, -1));
}

Test(vhost_dev, memory_that_cannot_be)
{
	connect_to(BASIC);
	cr_assert_eq(table(8), 0);
	cr_assert_eq(table(1), 0);
	cr_assert_eq(d.table.n, 1);
	cr_assert_eq(d.table.region[1].size, 0);
#define try(field, value)                                                                      \
	do {                                                                                   \
		cr_assert_eq(table(2), 0);                                                     \
		m.payload.table.region[1].field = value;                                       \
		cr_assert_eq(apply(2), -EPROTO);                                               \
	} while (0)
	try(size, 0);
	try(size, 0x100001);
	try(gpa, 0xff000);
	try(uva, 0x7f0000000000);
	try(uva, 0x7f0000200010);
	try(offset, 0x1010);
	try(offset, (UINT64_C(1) << 63) - 0x1000);
	try(offset, UINT64_MAX - 0xfff);
#undef try
}

Test(vhost_dev, a_ring_without_memory_is_told)
{
	connect_to(BASIC | PROTO);
	set_up(0);
	cr_assert_eq(table(0), 0);
	cr_assert_eq(state(VHOST_SET_VRING_ENABLE, 0, 1), -EPROTO);
	cr_assert_not_null(strstr(e.text, "share=on"));
	cr_assert_eq(u64(VHOST_SET_FEATURES, BASIC | PROTO, 0), 0);
	cr_assert_eq(table(1), 0);
	cr_assert_eq(state(VHOST_SET_VRING_ENABLE, 0, 1), 0);
}

Test(vhost_dev, logged_only_where_there_is_a_log)
{
	connect_to(BASIC);
	set_up(0);
	set_up(1);
	cr_assert_not(vhost_dev_logs(&d));
	/* in the middle of a life: first the log, then that it is wanted */
	cr_assert_eq(log_base(4096, 0), 0);
	cr_assert(todo.log && todo.answer);
	cr_assert_eq(reply.header.size, 8);
	cr_assert_eq(reply.payload.u64, 0);
	cr_assert(has_fd(VHOST_FD_LOG, 40));
	cr_assert_eq(u64(VHOST_SET_FEATURES, BASIC | LOG, 0), 0);
	cr_assert(todo.log);
	cr_assert(vhost_dev_logs(&d) && vhost_dev_runs(&d, 0));
	/* the last ring that stops takes it with it */
	cr_assert_eq(state(VHOST_GET_VRING_BASE, 0, 0), 0);
	vhost_dev_stopped(&d, &m, 0, &reply, &todo);
	cr_assert(d.has_log);
	cr_assert_eq(state(VHOST_GET_VRING_BASE, 1, 0), 0);
	vhost_dev_stopped(&d, &m, 0, &reply, &todo);
	cr_assert_not(d.has_log);
	cr_assert(has_fd(VHOST_FD_LOG, -1));
	/* at a start that it is wanted, and then the log */
	cr_assert_eq(u64(VHOST_SET_VRING_KICK, 0, 1), 0);
	cr_assert_not(vhost_dev_runs(&d, 0));
	cr_assert_eq(log_base(4096, 0), 0);
	cr_assert(vhost_dev_runs(&d, 0));
	/* no more */
	cr_assert_eq(u64(VHOST_SET_FEATURES, BASIC, 0), 0);
	cr_assert(vhost_dev_runs(&d, 0));
	cr_assert_not(d.has_log);
	cr_assert_eq(log_base(0, 0), -EPROTO);
	cr_assert_eq(log_base(4096, 4), -EPROTO);
	cr_assert_eq(log_base(UINT64_MAX, 4096), -EPROTO);
}

static int inflight(uint32_t request, uint64_t size, uint16_t queues, uint16_t entries)
{
	header(request, 20);
	m.payload.inflight = (struct vhost_inflight_area){ .size = size,
							   .num_queues = queues,
							   .queue_size = entries };
	return apply(request == VHOST_SET_INFLIGHT_FD);
}

Test(vhost_dev, the_in_flight_region)
{
	connect_to(BASIC);
	cr_assert_eq(inflight(VHOST_GET_INFLIGHT_FD, 0, 4, 128), 0);
	cr_assert(todo.new_inflight && todo.answer);
	cr_assert_eq(reply.header.size, 20);
	cr_assert_eq(reply.payload.inflight.size, 4 * 2112);
	cr_assert_eq(reply.payload.inflight.offset, 0);
	cr_assert_eq(reply.payload.inflight.num_queues, 4);
	cr_assert_eq(reply.payload.inflight.queue_size, 128);
	cr_assert_not(d.has_inflight);
	cr_assert_eq(inflight(VHOST_SET_INFLIGHT_FD, 4 * 2112, 4, 128), 0);
	cr_assert(todo.inflight && d.has_inflight);
	cr_assert(has_fd(VHOST_FD_INFLIGHT, 40));
	cr_assert_eq(inflight(VHOST_SET_INFLIGHT_FD, 4 * 2112 - 1, 4, 128), -EPROTO);
	cr_assert_eq(inflight(VHOST_SET_INFLIGHT_FD, 1 << 20, 5, 128), -EPROTO);
	cr_assert_eq(inflight(VHOST_SET_INFLIGHT_FD, 1 << 20, 0, 128), -EPROTO);
	cr_assert_eq(inflight(VHOST_GET_INFLIGHT_FD, 1 << 20, 4, 0), -EPROTO);
	cr_assert_eq(inflight(VHOST_GET_INFLIGHT_FD, 1 << 20, 4, 1025), -EPROTO);
	set_up(0);
	cr_assert_eq(inflight(VHOST_SET_INFLIGHT_FD, 4 * 2112, 4, 128), -EPROTO);
}

static int config(uint32_t request, uint32_t offset, uint32_t size, uint32_t flags)
{
	header(request, 12 + size);
	m.payload.config =
		(struct vhost_config){ .offset = offset, .size = size, .flags = flags };
	memset(m.payload.config.bytes, 0, sizeof(m.payload.config.bytes));
	return apply(0);
}

Test(vhost_dev, configuration_space)
{
	struct virtio_blk_config c;

	connect_to(BASIC);
	cr_assert_eq(config(VHOST_GET_CONFIG, 0, 57, 0), 0);
	cr_assert(todo.answer);
	cr_assert_eq(reply.header.size, 12 + 57);
	cr_assert_eq(reply.payload.config.size, 57);
	memcpy(&c, reply.payload.config.bytes, sizeof(c));
	cr_assert_eq(c.capacity, 0x123456789a);
	cr_assert_eq(c.seg_max, 126);
	cr_assert_eq(c.blk_size, 4096);
	cr_assert_eq(c.wce, 1);
	cr_assert_eq(c.num_queues, 4);
	cr_assert_eq(c.max_discard_sectors, 1000);
	cr_assert_eq(c.max_discard_seg, 16);
	cr_assert_eq(c.discard_sector_alignment, 8);
	cr_assert_eq(c.max_write_zeroes_sectors, 2000);
	cr_assert_eq(c.max_write_zeroes_seg, 16);
	cr_assert_eq(c.write_zeroes_may_unmap, 1);
	/* a piece; and more than there is */
	cr_assert_eq(config(VHOST_GET_CONFIG, 1, 2, 0), 0);
	cr_assert_eq(reply.header.size, 14);
	cr_assert_eq(reply.payload.config.bytes[0], 0x78);
	cr_assert_eq(reply.payload.config.bytes[1], 0x56);
	memset(&reply, 0xee, sizeof(reply));
	cr_assert_eq(config(VHOST_GET_CONFIG, 0, 256, 0), 0);
	cr_assert_eq(reply.header.size, 268);
	for (size_t i = sizeof(c); i < 256; i++)
		cr_assert_eq(reply.payload.config.bytes[i], 0);
	cr_assert_eq(config(VHOST_GET_CONFIG, 255, 1, 0), 0);
	cr_assert_eq(reply.payload.config.bytes[0], 0);
}

Test(vhost_dev, the_guest_sets_wce)
{
	const uint32_t at = offsetof(struct virtio_blk_config, wce);

	connect_to(BASIC | WCE);
	cr_assert(vhost_dev_caches(&d));
	cr_assert_eq(config(VHOST_SET_CONFIG, at, 1, 0), 0);
	cr_assert_eq(d.wce, 0);
	cr_assert_not(vhost_dev_caches(&d));
	m.payload.config.bytes[0] = 1;
	cr_assert_eq(apply(0), 0);
	cr_assert(vhost_dev_caches(&d));
	/* nothing else, and it is told so */
	m.header.flags |= VHOST_NEED_REPLY;
	cr_assert_eq(apply(0), 0);
	cr_assert(todo.answer);
	cr_assert_eq(reply.payload.u64, 0);
	for (uint32_t i = 0; i < 60; i++) {
		if (i == at)
			continue;
		cr_assert_eq(config(VHOST_SET_CONFIG, i, 1, 0), 0);
		m.header.flags |= VHOST_NEED_REPLY;
		cr_assert_eq(apply(0), 0);
		cr_assert_eq(reply.payload.u64, 1);
		cr_assert_eq(d.wce, 1);
	}
	cr_assert_eq(config(VHOST_SET_CONFIG, 0, 60, 0), 0);
	cr_assert_eq(config(VHOST_SET_CONFIG, at, 1, 2), 0);
	cr_assert_eq(d.wce, 1);
	/* by a migration, with all the rest */
	cr_assert_eq(config(VHOST_SET_CONFIG, 0, 60, 1), 0);
	cr_assert_eq(d.wce, 0);
	/* who has not agreed on it, has what the others say */
	connect_to(BASIC);
	d.wce = 0;
	cr_assert(vhost_dev_caches(&d));
	connect_to(BIT(VIRTIO_F_VERSION_1) | WCE);
	cr_assert_not(vhost_dev_caches(&d));
}

Test(vhost_dev, acknowledges_when_asked)
{
	vhost_dev_init(&d, &disk);
	header(VHOST_SET_OWNER, 0);
	m.header.flags |= VHOST_NEED_REPLY;
	cr_assert_eq(apply(0), 0);
	cr_assert_not(todo.answer); /* not agreed on */
	cr_assert_eq(u64(VHOST_SET_PROTOCOL_FEATURES, VHOST_PROTO_REPLY_ACK, 0), 0);
	cr_assert_not(todo.answer);
	header(VHOST_SET_OWNER, 0);
	m.header.flags |= VHOST_NEED_REPLY;
	memset(&reply, 0xee, sizeof(reply));
	cr_assert_eq(apply(0), 0);
	cr_assert(todo.answer);
	cr_assert_eq(reply.header.request, VHOST_SET_OWNER);
	cr_assert_eq(reply.header.flags, 5);
	cr_assert_eq(reply.header.size, 8);
	cr_assert_eq(reply.payload.u64, 0);
	/* what has an answer has that one */
	header(VHOST_GET_QUEUE_NUM, 0);
	m.header.flags |= VHOST_NEED_REPLY;
	cr_assert_eq(apply(0), 0);
	cr_assert_eq(reply.payload.u64, 4);
}

Test(vhost_dev, reset_owner_disables)
{
	connect_to(BASIC | PROTO);
	set_up(0);
	cr_assert_eq(state(VHOST_SET_VRING_ENABLE, 0, 1), 0);
	header(VHOST_RESET_OWNER, 0);
	cr_assert_eq(apply(0), 0);
	cr_assert_not(vhost_dev_runs(&d, 0));
}

Test(vhost_dev, a_state_from_a_file_is_checked)
{
	struct vhost_dev good;

	connect_to(BASIC | LOG);
	set_up(0);
	cr_assert_eq(log_base(4096, 0), 0);
	cr_assert_eq(inflight(VHOST_GET_INFLIGHT_FD, 0, 4, 128), 0);
	good = d;
#define try(field, value)                                                                      \
	do {                                                                                   \
		d = good;                                                                      \
		d.field = value;                                                               \
		cr_assert_eq(vhost_dev_check(&d, &disk, &e), -EINVAL);                         \
	} while (0)
	try(features, BIT(63));
	try(proto, BIT(8));
	try(table.n, 9);
	try(table.region[0].size, 1);
	try(log.size, 0);
	try(ring[0].num, 3);
	try(ring[0].num, 4096);
	try(ring[4].num, 4);
	try(ring[63].started, 1);
	try(has_inflight, 1);
#undef try
	cr_assert_eq(vhost_dev_check(&good, &disk, &e), 0);
}
