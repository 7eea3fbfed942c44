/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages that are wrong in themselves, and descriptors and memory that are. */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"

#define V    VHOST_VERSION
#define GIB  (UINT64_C(1) << 30)
#define FULL (~UINT64_C(0))

/* ---- headers ---- */

#define MESSAGE(name, request, flags, size)                                                    \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		static const uint8_t zeros[VHOST_PAYLOAD_MAX];                                 \
		hostile_dial(h);                                                               \
		hostile_say(h, request, flags, zeros, size, NULL, 0);                          \
	}

MESSAGE(size_huge, VHOST_SET_FEATURES, V, 0xffffffff)
MESSAGE(size_negative, VHOST_SET_MEM_TABLE, V, 0x80000000)
MESSAGE(size_short, VHOST_SET_VRING_NUM, V, 4)
MESSAGE(size_long, VHOST_GET_FEATURES, V, 8)
MESSAGE(size_zero, VHOST_SET_VRING_ADDR, V, 0)
MESSAGE(request_zero, 0, V, 0)
MESSAGE(request_unknown, 200, V, 8)
MESSAGE(request_max, 0xffffffff, V | VHOST_NEED_REPLY, 0)
MESSAGE(version_none, VHOST_GET_FEATURES, 0, 0)
MESSAGE(version_three, VHOST_GET_FEATURES, 3, 0)
MESSAGE(flag_reply, VHOST_GET_FEATURES, V | VHOST_REPLY, 0)

/* ---- closed in the middle ---- */

static void half(struct hostile *h, size_t bytes)
{
	struct vhost_header m = { .request = VHOST_SET_MEM_TABLE, .flags = V, .size = 40 };

	hostile_dial(h);
	if (send(h->f.sock, &m, bytes, MSG_NOSIGNAL) < 0)
		return;
	usleep(100000);
	front_disconnect(&h->f);
	h->closed_by_us = true;
}

static void close_at_once(struct hostile *h)
{
	hostile_dial(h);
	front_disconnect(&h->f);
	h->closed_by_us = true;
}

static void close_in_header(struct hostile *h)
{
	half(h, 7);
}

static void close_in_payload(struct hostile *h)
{
	half(h, sizeof(struct vhost_header));
}

static void half_and_silence(struct hostile *h)
{
	struct vhost_header m = { .request = VHOST_SET_FEATURES, .flags = V, .size = 8 };

	hostile_dial(h);
	if (send(h->f.sock, &m, sizeof(m), MSG_NOSIGNAL) < 0)
		return;
}

static void close_before_answer(struct hostile *h)
{
	hostile_dial(h);
	for (unsigned int i = 0; i < 200; i++)
		hostile_say(h, VHOST_GET_FEATURES, V, NULL, 0, NULL, 0);
	front_disconnect(&h->f);
	h->closed_by_us = true;
}

static void nobody_reads_answers(struct hostile *h)
{
	hostile_dial(h);
	for (unsigned int i = 0; i < 100000; i++) {
		struct vhost_header m = { .request = VHOST_GET_FEATURES, .flags = V };

		if (send(h->f.sock, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	}
	usleep(300000);
	front_disconnect(&h->f);
	h->closed_by_us = true;
}

/* ---- descriptors ---- */

static void fds_none(struct hostile *h)
{
	hostile_with_fds(h, VHOST_SET_MEM_TABLE, &h->f.table, 40, -1, 0);
}

static void fds_less(struct hostile *h)
{
	struct vhost_table t = h->f.table;

	t.n = 2;
	t.region[1] = t.region[0];
	t.region[1].gpa += GIB;
	t.region[1].uva += GIB;
	hostile_with_fds(h, VHOST_SET_MEM_TABLE, &t, 72, h->f.memfd, 1);
}

static void fds_more(struct hostile *h)
{
	hostile_with_fds(h, VHOST_SET_MEM_TABLE, &h->f.table, 40, h->f.memfd, 8);
}

static void fds_many(struct hostile *h)
{
	hostile_with_fds(h, VHOST_SET_OWNER, NULL, 0, h->f.memfd, 60);
}

static void fds_where_none_belong(struct hostile *h)
{
	hostile_with_fds(h, VHOST_GET_FEATURES, NULL, 0, h->f.memfd, 1);
}

static void kick_none(struct hostile *h)
{
	uint64_t index = 0;

	hostile_with_fds(h, VHOST_SET_VRING_KICK, &index, sizeof(index), -1, 0);
}

static void kick_is_memory(struct hostile *h)
{
	uint64_t index = 0;

	hostile_with_fds(h, VHOST_SET_VRING_KICK, &index, sizeof(index), h->f.memfd, 1);
}

/* It is never empty, so who polls it never sleeps; who reads it gets zeros. */
static void kick_never_empty(struct hostile *h)
{
	uint64_t index = 0;
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	hostile_up(h);
	hostile_say(h, VHOST_SET_VRING_KICK, V | VHOST_NEED_REPLY, &index, sizeof(index), &fd,
		    1);
}

static void call_is_full(struct hostile *h)
{
	uint64_t index = 0;
	char bytes[65536] = "";
	int pair[2];

	hostile_up(h);
	if (pipe2(pair, O_CLOEXEC) || write(pair[1], bytes, sizeof(bytes)) < 0)
		return;
	hostile_say(h, VHOST_SET_VRING_CALL, V | VHOST_NEED_REPLY, &index, sizeof(index),
		    &pair[1], 1);
}

static void backend_channel_is_a_pipe(struct hostile *h)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC))
		return;
	hostile_with_fds(h, VHOST_SET_BACKEND_REQ_FD, NULL, 0, pair[0], 1);
}

/* ---- memory ---- */

static void table(struct hostile *h, const struct vhost_table *t, int fd)
{
	uint32_t n = t->n < VHOST_REGIONS_MAX ? t->n : VHOST_REGIONS_MAX;
	int fds[VHOST_REGIONS_MAX];

	for (unsigned int i = 0; i < n; i++)
		fds[i] = fd;
	hostile_connect(h);
	hostile_say(h, VHOST_SET_MEM_TABLE, V | VHOST_NEED_REPLY, t, 8 + 32 * n, fds, n);
}

#define TABLE(name, change)                                                                    \
	static void name(struct hostile *h)                                                    \
	{                                                                                      \
		struct vhost_table t = h->f.table;                                             \
		struct vhost_region *r = t.region;                                             \
		change;                                                                        \
		(void)r;                                                                       \
		table(h, &t, h->f.memfd);                                                      \
	}

TABLE(region_wraps, r->gpa = FULL - 4095)
TABLE(region_wraps_uva, r->uva = FULL - 4095)
TABLE(region_wraps_file, r->offset = FULL - 4095)
TABLE(region_negative_offset, r->offset = UINT64_C(1) << 63)
TABLE(region_empty, r->size = 0)
TABLE(region_everything, r->size = FULL & ~UINT64_C(4095))
TABLE(region_unaligned, r->size = 12345; r->offset = 17)
TABLE(region_beyond_file, r->size = 64 * GIB)
TABLE(regions_overlap, t.n = 2; r[1] = r[0]; r[1].gpa += 4096)
TABLE(regions_too_many, t.n = 9)
TABLE(regions_without_number, t.n = 0xffffffff)
TABLE(regions_none, t.n = 0)

static void memory_is(struct hostile *h, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	table(h, &h->f.table, fd);
}

static void memory_is_null(struct hostile *h)
{
	memory_is(h, "/dev/null", O_RDWR);
}

static void memory_is_zero(struct hostile *h)
{
	memory_is(h, "/dev/zero", O_RDWR);
}

static void memory_is_a_directory(struct hostile *h)
{
	memory_is(h, "/", O_RDONLY);
}

static void memory_is_read_only(struct hostile *h)
{
	memory_is(h, "/proc/self/exe", O_RDONLY);
}

static void memory_is_a_socket(struct hostile *h)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return;
	table(h, &h->f.table, pair[0]);
}

#define C(name)                                                                                \
	{                                                                                      \
#name, name                                                                    \
	}

const struct hostile_case hostile_messages[] = {
	C(size_huge),
	C(size_negative),
	C(size_short),
	C(size_long),
	C(size_zero),
	C(request_zero),
	C(request_unknown),
	C(request_max),
	C(version_none),
	C(version_three),
	C(flag_reply),
	C(close_at_once),
	C(close_in_header),
	C(close_in_payload),
	C(half_and_silence),
	C(close_before_answer),
	C(nobody_reads_answers),
	C(fds_none),
	C(fds_less),
	C(fds_more),
	C(fds_many),
	C(fds_where_none_belong),
	C(kick_none),
	C(kick_is_memory),
	C(kick_never_empty),
	C(call_is_full),
	C(backend_channel_is_a_pipe),
	C(region_wraps),
	C(region_wraps_uva),
	C(region_wraps_file),
	C(region_negative_offset),
	C(region_empty),
	C(region_everything),
	C(region_unaligned),
	C(region_beyond_file),
	C(regions_overlap),
	C(regions_too_many),
	C(regions_without_number),
	C(regions_none),
	C(memory_is_null),
	C(memory_is_zero),
	C(memory_is_a_directory),
	C(memory_is_read_only),
	C(memory_is_a_socket),
	{ NULL, NULL },
};
