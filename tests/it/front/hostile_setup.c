/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings, features and regions that are set up wrongly, or at the wrong time. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"

#define V    VHOST_VERSION
#define GIB  (UINT64_C(1) << 30)
#define FULL (~UINT64_C(0))

/* ---- rings ---- */

static void state(struct hostile *h, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_ring_state s = { index, num };

	hostile_up(h);
	hostile_say(h, request, V | VHOST_NEED_REPLY, &s, sizeof(s), NULL, 0);
}

#define STATE(name, request, index, num)                                                       \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		state(h, request, index, num);                                                 \
	}

STATE(ring_num_zero, VHOST_SET_VRING_NUM, 0, 0)
STATE(ring_num_odd, VHOST_SET_VRING_NUM, 0, 3)
STATE(ring_num_huge, VHOST_SET_VRING_NUM, 0, 0x80000000)
STATE(ring_num_runs, VHOST_SET_VRING_NUM, 0, 1024)
STATE(ring_base_huge, VHOST_SET_VRING_BASE, 0, 0xfffff)
STATE(ring_base_ahead, VHOST_SET_VRING_BASE, 0, 30000)
STATE(ring_index, VHOST_SET_VRING_NUM, 255, 64)
STATE(ring_index_huge, VHOST_SET_VRING_ENABLE, 0xffffffff, 1)
STATE(ring_base_of_none, VHOST_GET_VRING_BASE, 0x7fffffff, 0)
STATE(ring_enable_two, VHOST_SET_VRING_ENABLE, 0, 2)

static void address(struct hostile *h, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct vhost_ring_addr a = { .desc = desc, .avail = avail, .used = used };
	struct vhost_ring_state s = { 0, 0 };

	hostile_up(h);
	hostile_say(h, VHOST_GET_VRING_BASE, V, &s, sizeof(s), NULL, 0);
	if (front_answer(&h->f, VHOST_GET_VRING_BASE, &s, sizeof(s), NULL) < 0)
		return;
	hostile_say(h, VHOST_SET_VRING_ADDR, V, &a, sizeof(a), NULL, 0);
	if (h->f.proto & VHOST_PROTO_REPLY_ACK) {
		uint64_t kick = 0;

		hostile_say(h, VHOST_SET_VRING_KICK, V | VHOST_NEED_REPLY, &kick, sizeof(kick),
			    &h->f.queue[0].kick, 1);
	}
}

#define RAM(h) ((uintptr_t)(h)->f.ram)

static void ring_nowhere(struct hostile *h)
{
	address(h, 0, 0, 0);
}

static void ring_behind_memory(struct hostile *h)
{
	uint64_t end = RAM(h) + h->f.opt.ram;

	address(h, end - 16, end - 6, end - 8);
}

static void ring_wraps(struct hostile *h)
{
	address(h, FULL - 15, FULL - 3, FULL - 7);
}

static void ring_unaligned(struct hostile *h)
{
	address(h, RAM(h) + 1, RAM(h) + 8193, RAM(h) + 16385);
}

static void ring_in_one_place(struct hostile *h)
{
	address(h, RAM(h), RAM(h), RAM(h));
}

static void start_without_memory(struct hostile *h)
{
	struct vhost_ring_state s = { 0, 64 };
	uint64_t index = 0;

	hostile_connect(h);
	hostile_say(h, VHOST_SET_VRING_NUM, V, &s, sizeof(s), NULL, 0);
	hostile_say(h, VHOST_SET_VRING_KICK, V, &index, sizeof(index), &h->f.queue[0].kick, 1);
	s.num = 1;
	hostile_say(h, VHOST_SET_VRING_ENABLE, V, &s, sizeof(s), NULL, 0);
	if (write(h->f.queue[0].kick, &(uint64_t){ 1 }, 8) < 0)
		return;
}

static void start_in_wrong_order(struct hostile *h)
{
	struct vhost_ring_state s = { 0, 1 };
	uint64_t all = h->f.features;

	hostile_dial(h);
	hostile_say(h, VHOST_SET_VRING_ENABLE, V, &s, sizeof(s), NULL, 0);
	hostile_say(h, VHOST_GET_VRING_BASE, V, &s, sizeof(s), NULL, 0);
	hostile_say(h, VHOST_SET_FEATURES, V, &all, sizeof(all), NULL, 0);
	hostile_say(h, VHOST_RESET_OWNER, V, NULL, 0, NULL, 0);
}

/* ---- features, configuration, in-flight region, log ---- */

static void features_all(struct hostile *h)
{
	uint64_t all = FULL;

	hostile_dial(h);
	hostile_say(h, VHOST_SET_FEATURES, V, &all, sizeof(all), NULL, 0);
}

static void proto_all(struct hostile *h)
{
	uint64_t all = FULL;

	hostile_dial(h);
	hostile_say(h, VHOST_SET_PROTOCOL_FEATURES, V, &all, sizeof(all), NULL, 0);
}

static void features_of_a_running_ring(struct hostile *h)
{
	uint64_t none = 0;

	hostile_up(h);
	hostile_say(h, VHOST_SET_FEATURES, V | VHOST_NEED_REPLY, &none, sizeof(none), NULL, 0);
}

static void config(struct hostile *h, uint32_t request, uint32_t offset, uint32_t size,
		   uint32_t bytes)
{
	struct vhost_config c = { .offset = offset, .size = size };

	memset(c.bytes, 0xff, sizeof(c.bytes));
	hostile_connect(h);
	hostile_say(h, request, V | VHOST_NEED_REPLY, &c, bytes, NULL, 0);
}

static void config_beyond(struct hostile *h)
{
	config(h, VHOST_GET_CONFIG, 0xfffffff0, 60, VHOST_CONFIG_BYTES + 60);
}

static void config_huge(struct hostile *h)
{
	config(h, VHOST_GET_CONFIG, 0, 0xffffffff, VHOST_CONFIG_BYTES + 4);
}

static void config_short(struct hostile *h)
{
	config(h, VHOST_GET_CONFIG, 0, 60, VHOST_CONFIG_BYTES + 3);
}

static void config_of_capacity(struct hostile *h)
{
	config(h, VHOST_SET_CONFIG, 0, 8, VHOST_CONFIG_BYTES + 8);
}

static void config_beyond_end(struct hostile *h)
{
	config(h, VHOST_SET_CONFIG, 255, 200, VHOST_CONFIG_BYTES + 200);
}

static void area(struct hostile *h, uint32_t request, uint64_t size, uint64_t offset,
		 uint16_t queues, uint16_t num, bool fd)
{
	struct vhost_inflight_area a = {
		.size = size, .offset = offset, .num_queues = queues, .queue_size = num
	};

	hostile_with_fds(h, request, &a, VHOST_INFLIGHT_BYTES, h->f.memfd, fd);
}

static void inflight_of_none(struct hostile *h)
{
	area(h, VHOST_GET_INFLIGHT_FD, 0, 0, 0, 0, false);
}

static void inflight_of_many(struct hostile *h)
{
	area(h, VHOST_GET_INFLIGHT_FD, 0, 0, 65535, 65535, false);
}

static void inflight_beyond_file(struct hostile *h)
{
	area(h, VHOST_SET_INFLIGHT_FD, 8 * GIB, 0, 1, 64, true);
}

static void inflight_too_small(struct hostile *h)
{
	area(h, VHOST_SET_INFLIGHT_FD, 8, 0, 1, 64, true);
}

static void inflight_wraps(struct hostile *h)
{
	area(h, VHOST_SET_INFLIGHT_FD, 65536, FULL - 4095, 1, 64, true);
}

static void inflight_without_file(struct hostile *h)
{
	area(h, VHOST_SET_INFLIGHT_FD, 65536, 0, 1, 64, false);
}

/* A region that says that all is in flight, in a ring where nothing was ever. */
static void inflight_of_lies(struct hostile *h)
{
	int fd = memfd_create("lies", MFD_CLOEXEC);
	uint64_t words[8192];

	hostile_connect(h);
	h->impossible = !(h->f.proto & VHOST_PROTO_INFLIGHT_SHMFD);
	if (h->impossible)
		return;
	for (unsigned int i = 0; i < 8192; i++)
		words[i] = mix64(i) | 1;
	words[0] = 0;
	words[1] = UINT64_C(1) | 64 << 16 | UINT64_C(63) << 32; /* version, entries, last */
	if (write(fd, words, sizeof(words)) < 0)
		return;
	h->f.inflight_fd = fd;
	h->f.inflight = (struct vhost_inflight_area){ .size = sizeof(words),
						      .num_queues = 1,
						      .queue_size = 64 };
	if (front_start(&h->f) < 0)
		return;
}

static void log_area(struct hostile *h, uint64_t size, uint64_t offset, int fd)
{
	struct vhost_log_area a = { .size = size, .offset = offset };

	hostile_with_fds(h, VHOST_SET_LOG_BASE, &a, sizeof(a), fd, fd >= 0);
}

static void log_empty(struct hostile *h)
{
	log_area(h, 0, 0, h->f.memfd);
}

static void log_beyond_file(struct hostile *h)
{
	log_area(h, 1024 * GIB, 0, h->f.memfd);
}

static void log_without_file(struct hostile *h)
{
	log_area(h, 4096, 0, -1);
}

/* One byte, for eight pages, and then LOG_ALL. */
static void log_too_small(struct hostile *h)
{
	uint64_t all;

	hostile_up(h);
	hostile_say(h, VHOST_SET_LOG_BASE, V, &(struct vhost_log_area){ .size = 1 }, 16,
		    &h->f.memfd, 1);
	if (front_answer(&h->f, VHOST_SET_LOG_BASE, &all, sizeof(all), NULL) < 0)
		return;
	all = h->f.features | BIT(F_LOG_ALL);
	hostile_say(h, VHOST_SET_FEATURES, V | VHOST_NEED_REPLY, &all, sizeof(all), NULL, 0);
}

#define C(name)                                                                                \
	{                                                                                      \
#name, name                                                                    \
	}

const struct hostile_case hostile_setup[] = {
	C(ring_num_zero),
	C(ring_num_odd),
	C(ring_num_huge),
	C(ring_num_runs),
	C(ring_base_huge),
	C(ring_base_ahead),
	C(ring_index),
	C(ring_index_huge),
	C(ring_base_of_none),
	C(ring_enable_two),
	C(ring_nowhere),
	C(ring_behind_memory),
	C(ring_wraps),
	C(ring_unaligned),
	C(ring_in_one_place),
	C(start_without_memory),
	C(start_in_wrong_order),
	C(features_all),
	C(proto_all),
	C(features_of_a_running_ring),
	C(config_beyond),
	C(config_huge),
	C(config_short),
	C(config_of_capacity),
	C(config_beyond_end),
	C(inflight_of_none),
	C(inflight_of_many),
	C(inflight_beyond_file),
	C(inflight_too_small),
	C(inflight_wraps),
	C(inflight_without_file),
	C(inflight_of_lies),
	C(log_empty),
	C(log_beyond_file),
	C(log_without_file),
	C(log_too_small),
	{ NULL, NULL },
};
