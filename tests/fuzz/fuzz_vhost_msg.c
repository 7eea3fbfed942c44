/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a front end may send.  The input is a disk (a byte of flags), and messages: how many
 * descriptors come with it (a byte), a header, a payload.  Checked, beside what the sanitizers
 * see: a message that is refused changes nothing, one that is applied twice changes what it
 * changed, an answer has the flags and a length that it may have, no descriptor is lost or
 * named twice, and the state is one that another process would take.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vmm/vhost_dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vhost_disk disk_of(uint8_t flags)
{
	return (struct vhost_disk){ .sectors = 4096,
				    .blk_size = 512,
				    .seg_max = 126,
				    .discard_max = flags & 1 ? 128 : 0,
				    .discard_align = 1,
				    .zeroes_max = flags & 2 ? 128 : 0,
				    .ranges_max = 1,
				    .num_queues = flags & 4 ? VHOST_QUEUES_MAX : 2,
				    .read_only = flags & 8,
				    .wce = flags & 16 };
}

/* => bytes taken, 0 at the end */
static size_t read_msg(const uint8_t *data, size_t size, struct vhost_msg *m,
		       unsigned int *nfds)
{
	struct err e;

	if (size < 1 + sizeof(m->header))
		return 0;
	*nfds = data[0] % (VHOST_REGIONS_MAX + 2);
	memset(m, 0, sizeof(*m));
	memcpy(&m->header, data + 1, sizeof(m->header));
	if (vhost_msg_check_header(&m->header, &e) < 0)
		return 1 + sizeof(m->header);
	if (size < 1 + sizeof(m->header) + m->header.size)
		return 0;
	memcpy(&m->payload, data + 1 + sizeof(m->header), m->header.size);
	return 1 + sizeof(m->header) + m->header.size;
}

static void check_reply(const struct vhost_msg *m, const struct vhost_msg *reply,
			const struct vhost_todo *todo)
{
	if (vhost_msg_is_answered(m->header.request))
		assert(todo->answer || todo->stop >= 0);
	if (!todo->answer)
		return;
	assert(reply->header.request == m->header.request);
	assert(reply->header.flags == (VHOST_VERSION | VHOST_REPLY));
	assert(reply->header.size >= 8 && reply->header.size <= VHOST_PAYLOAD_MAX);
	if (m->header.request == VHOST_GET_CONFIG)
		assert(reply->header.size == VHOST_CONFIG_BYTES + m->payload.config.size);
}

/* Descriptors that came are 100, 101, ..: each is to be kept once. */
static void check_fds(const struct vhost_todo *todo, unsigned int nfds)
{
	unsigned int came = 0;

	for (unsigned int i = 0; i < todo->nfds; i++) {
		assert(todo->fd[i].role < VHOST_FD_ROLES);
		for (unsigned int k = 0; k < i; k++)
			assert(todo->fd[k].role != todo->fd[i].role);
		if (todo->fd[i].fd < 0)
			continue;
		assert(todo->fd[i].fd == 100 + (int)came);
		came++;
	}
	assert(came == nfds);
}

static bool one(struct vhost_dev *d, const struct vhost_disk *disk, const struct vhost_msg *m,
		unsigned int nfds)
{
	static const int fd[] = { 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 };
	struct vhost_dev before = *d, once;
	struct vhost_msg reply;
	struct vhost_todo todo;
	struct err e;

	if (vhost_msg_check(m, nfds, &e) < 0)
		return false;
	if (vhost_dev_apply(d, disk, m, fd, nfds, &reply, &todo, &e) < 0) {
		assert(memcmp(d, &before, sizeof(before)) == 0);
		return false;
	}
	check_reply(m, &reply, &todo);
	check_fds(&todo, nfds);
	once = *d;
	assert(vhost_dev_check(d, disk, &e) == 0);
	assert(vhost_dev_apply(d, disk, m, fd, nfds, &reply, &todo, &e) == 0);
	assert(memcmp(d, &once, sizeof(once)) == 0);
	if (todo.stop >= 0) {
		vhost_dev_stopped(d, m, 7, &reply, &todo);
		check_reply(m, &reply, &todo);
		check_fds(&todo, 0);
		assert(!vhost_dev_runs(d, m->payload.state.index));
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vhost_disk disk;
	struct vhost_dev d;
	struct vhost_msg m;
	unsigned int nfds;
	size_t n;

	if (size < 1)
		return -1;
	disk = disk_of(data[0]);
	vhost_dev_init(&d, &disk);
	data++;
	size--;
	/* on after a message that is refused, for there may be something behind it */
	while ((n = read_msg(data, size, &m, &nfds)) > 0) {
		one(&d, &disk, &m, nfds);
		data += n;
		size -= n;
	}
	for (unsigned int i = 0; i < disk.num_queues; i++)
		if (vhost_dev_runs(&d, i))
			assert(d.table.n > 0 && d.ring[i].num > 0 && d.ring[i].has_addr);
	return 0;
}
