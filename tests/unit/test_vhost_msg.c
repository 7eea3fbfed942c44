/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of vhost-user as bytes: what may come, and how an answer begins. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/vhost_msg.h"

static struct err e;

static struct vhost_msg msg(uint32_t request, uint32_t size)
{
	struct vhost_msg m;

	memset(&m, 0, sizeof(m));
	m.header = (struct vhost_header){ request, VHOST_VERSION, size };
	return m;
}

/* min, max: bytes of payload; fd_*: descriptors; both with a payload of zeros */
static const struct row {
	uint32_t request, min, max;
	unsigned int fd_min, fd_max;
	const char *name;
} rows[] = {
	{ 1, 0, 0, 0, 0, "GET_FEATURES" },
	{ 2, 8, 8, 0, 0, "SET_FEATURES" },
	{ 3, 0, 0, 0, 0, "SET_OWNER" },
	{ 4, 0, 0, 0, 0, "RESET_OWNER" },
	{ 5, 8, 264, 0, 0, "SET_MEM_TABLE" },
	{ 6, 16, 16, 1, 1, "SET_LOG_BASE" },
	{ 7, 0, 8, 1, 1, "SET_LOG_FD" },
	{ 8, 8, 8, 0, 0, "SET_VRING_NUM" },
	{ 9, 40, 40, 0, 0, "SET_VRING_ADDR" },
	{ 10, 8, 8, 0, 0, "SET_VRING_BASE" },
	{ 11, 8, 8, 0, 0, "GET_VRING_BASE" },
	{ 12, 8, 8, 1, 1, "SET_VRING_KICK" },
	{ 13, 8, 8, 1, 1, "SET_VRING_CALL" },
	{ 14, 8, 8, 1, 1, "SET_VRING_ERR" },
	{ 15, 0, 0, 0, 0, "GET_PROTOCOL_FEATURES" },
	{ 16, 8, 8, 0, 0, "SET_PROTOCOL_FEATURES" },
	{ 17, 0, 0, 0, 0, "GET_QUEUE_NUM" },
	{ 18, 8, 8, 0, 0, "SET_VRING_ENABLE" },
	{ 21, 0, 8, 1, 1, "SET_BACKEND_REQ_FD" },
	{ 24, 12, 12, 0, 0, "GET_CONFIG" },
	{ 25, 12, 12, 0, 0, "SET_CONFIG" },
	{ 31, 20, 24, 0, 0, "GET_INFLIGHT_FD" },
	{ 32, 20, 24, 1, 1, "SET_INFLIGHT_FD" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

Test(vhost_msg, each_request_has_its_size_and_descriptors)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		for (uint32_t size = 0; size <= 400; size++) {
			struct vhost_msg m = msg(r->request, size);

			for (unsigned int n = 0; n <= 9; n++)
				cr_assert_eq(vhost_msg_check(&m, n, &e) == 0,
					     size >= r->min && size <= r->max &&
						     n >= r->fd_min && n <= r->fd_max,
					     "%s, %u bytes, %u descriptors", r->name, size, n);
		}
		cr_assert_str_eq(vhost_msg_name(r->request), r->name);
	}
}

Test(vhost_msg, what_is_not_known_is_refused)
{
	size_t known = 0;

	for (uint32_t request = 0; request < 300; request++) {
		struct vhost_header h = { request, VHOST_VERSION, 8 };
		bool listed = false;

		for (size_t i = 0; i < ROWS; i++)
			listed = listed || rows[i].request == request;
		known += listed;
		if (listed)
			continue;
		cr_assert_eq(vhost_msg_check_header(&h, &e), -EPROTO, "%u", request);
		cr_assert_str_eq(vhost_msg_name(request), "?");
		cr_assert_not(vhost_msg_is_answered(request));
	}
	cr_assert_eq(known, ROWS);
	cr_assert_str_eq(vhost_msg_name(UINT32_MAX), "?");
}

Test(vhost_msg, flags)
{
	/* version 1, not a reply; need-reply and bits that nobody has given a meaning are fine
	 */
	for (uint32_t flags = 0; flags < 64; flags++) {
		struct vhost_header h = { VHOST_GET_FEATURES, flags, 0 };

		cr_assert_eq(vhost_msg_check_header(&h, &e) == 0, (flags & 7) == 1, "%#x",
			     flags);
	}
}

Test(vhost_msg, a_size_that_would_wrap)
{
	struct vhost_header h = { VHOST_SET_MEM_TABLE, VHOST_VERSION, UINT32_MAX };

	cr_assert_eq(vhost_msg_check_header(&h, &e), -EPROTO);
	h.size = 0x10000 + 8; /* is 8 in 16 bits */
	cr_assert_eq(vhost_msg_check_header(&h, &e), -EPROTO);
}

Test(vhost_msg, a_memory_table_has_its_regions_and_a_descriptor_for_each)
{
	struct vhost_msg m = msg(VHOST_SET_MEM_TABLE, 0);

	for (uint32_t n = 0; n <= 8; n++) {
		m.payload.table.n = n;
		m.header.size = 8 + n * 32;
		cr_assert_eq(vhost_msg_check(&m, n, &e), 0);
		cr_assert_eq(vhost_msg_check(&m, n + 1, &e), -EPROTO);
		if (n > 0)
			cr_assert_eq(vhost_msg_check(&m, n - 1, &e), -EPROTO);
		m.header.size = 264; /* the whole union */
		cr_assert_eq(vhost_msg_check(&m, n, &e), 0);
		m.header.size = 8 + n * 32 - 1;
		cr_assert_eq(vhost_msg_check(&m, n, &e), -EPROTO);
	}
	m.header.size = 264;
	m.payload.table.n = 9;
	cr_assert_eq(vhost_msg_check(&m, 8, &e), -EPROTO);
	cr_assert_not_null(strstr(e.text, "9 regions, 8 fit"), "said: %s", e.text);
	m.payload.table.n = 0x8000001; /* times 32 is 32, in 32 bits */
	cr_assert_eq(vhost_msg_check(&m, 1, &e), -EPROTO);
}

Test(vhost_msg, configuration_space_ends_at_256)
{
	struct vhost_msg m = msg(VHOST_GET_CONFIG, 12 + 57);

	m.payload.config.size = 57; /* what QEMU 7.2 asks */
	cr_assert_eq(vhost_msg_check(&m, 0, &e), 0);
	m.header.size--;
	cr_assert_eq(vhost_msg_check(&m, 0, &e), -EPROTO);
	m.header.size = 12; /* only a question */
	cr_assert_eq(vhost_msg_check(&m, 0, &e), 0);
	m.header.request = VHOST_SET_CONFIG; /* says nothing of the 57 bytes */
	cr_assert_eq(vhost_msg_check(&m, 0, &e), -EPROTO);
	m.payload.config = (struct vhost_config){ .size = 256 };
	m.header.size = 268;
	cr_assert_eq(vhost_msg_check(&m, 0, &e), 0);
	m.payload.config.offset = 1;
	cr_assert_eq(vhost_msg_check(&m, 0, &e), -EPROTO);
	m.payload.config = (struct vhost_config){ .offset = UINT32_MAX, .size = 2 };
	m.header.size = 14;
	cr_assert_eq(vhost_msg_check(&m, 0, &e), -EPROTO);
	m.payload.config = (struct vhost_config){ .offset = 255, .size = 1 };
	m.header.size = 13;
	cr_assert_eq(vhost_msg_check(&m, 0, &e), 0);
}

Test(vhost_msg, bit_8_says_that_there_is_no_descriptor)
{
	for (uint32_t request = VHOST_SET_VRING_KICK; request <= VHOST_SET_VRING_ERR;
	     request++) {
		struct vhost_msg m = msg(request, 8);

		m.payload.u64 = 3;
		cr_assert_eq(vhost_msg_check(&m, 1, &e), 0);
		cr_assert_eq(vhost_msg_check(&m, 0, &e), -EPROTO);
		m.payload.u64 = 3 | VHOST_RING_NO_FD;
		cr_assert_eq(vhost_msg_check(&m, 0, &e), 0);
		cr_assert_eq(vhost_msg_check(&m, 1, &e), -EPROTO);
	}
}

Test(vhost_msg, answers_have_exactly_these_flags)
{
	struct vhost_msg m = msg(VHOST_GET_CONFIG, 69), r;

	m.header.flags |= VHOST_NEED_REPLY | 0x40;
	vhost_msg_reply(&r, &m, 69);
	cr_assert_eq(r.header.request, VHOST_GET_CONFIG);
	cr_assert_eq(r.header.flags, 0x5);
	cr_assert_eq(r.header.size, 69);
	vhost_msg_to_front_end(&r, VHOST_BACKEND_CONFIG_CHANGE);
	cr_assert_eq(r.header.request, 2);
	cr_assert_eq(r.header.flags, 0x1);
	cr_assert_eq(r.header.size, 0);
}

Test(vhost_msg, which_have_an_answer_of_their_own)
{
	static const uint32_t answered[] = { 1, 6, 11, 15, 17, 24, 31 };

	for (size_t i = 0; i < ROWS; i++) {
		bool is = false;

		for (size_t k = 0; k < sizeof(answered) / sizeof(answered[0]); k++)
			is = is || answered[k] == rows[i].request;
		cr_assert_eq(vhost_msg_is_answered(rows[i].request), is, "%s", rows[i].name);
	}
}

Test(vhost_msg, says_which_messages_come_with_descriptors)
{
	struct vhost_msg m = { .header = { VHOST_SET_FEATURES, VHOST_VERSION, 8 } };

	cr_assert(!vhost_msg_has_fds(&m));
	m.header.request = VHOST_SET_INFLIGHT_FD;
	cr_assert(vhost_msg_has_fds(&m));
	m.header.request = VHOST_SET_VRING_CALL;
	cr_assert(vhost_msg_has_fds(&m));
	m.payload.u64 = VHOST_RING_NO_FD;
	cr_assert(!vhost_msg_has_fds(&m));
	m.header.request = VHOST_SET_MEM_TABLE;
	m.payload.table.n = 0;
	cr_assert(!vhost_msg_has_fds(&m));
	m.payload.table.n = 2;
	cr_assert(vhost_msg_has_fds(&m));
	m.header.request = VHOST_REQUESTS;
	cr_assert(!vhost_msg_has_fds(&m));
}
