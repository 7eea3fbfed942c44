/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of vhost-user, as bytes: a header, a payload of at most VHOST_PAYLOAD_MAX bytes,
 * and descriptors beside it (docs/interop/vhost-user.rst of QEMU says what they mean).
 *
 * All numbers are in the byte order of the machine.  Whoever reads a connection reads the
 * header, has it checked, reads `size` bytes more, and has the whole checked: what then
 * arrives at vhost_dev_apply is as long as the request says and has as many descriptors.
 * Pure; any thread.
 */
#ifndef DRUM_VMM_VHOST_MSG_H
#define DRUM_VMM_VHOST_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define VHOST_REGIONS_MAX 8u   /* in a memory table, and so descriptors in a message */
#define VHOST_CONFIG_MAX  256u /* bytes of the device's configuration space */

/* What the front end asks. */
enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_LOG_FD = 7,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_GET_INFLIGHT_FD = 31,
	VHOST_SET_INFLIGHT_FD = 32,
	VHOST_REQUESTS = 33,
};

/* What we ask the front end, on the channel of SET_BACKEND_REQ_FD. */
enum vhost_backend_request {
	VHOST_BACKEND_CONFIG_CHANGE =
		2, /* the configuration space is another: the disk's size */
};

/* Protocol features: bits of GET/SET_PROTOCOL_FEATURES. */
#define VHOST_PROTO_MQ		   (UINT64_C(1) << 0)
#define VHOST_PROTO_LOG_SHMFD	   (UINT64_C(1) << 1)
#define VHOST_PROTO_REPLY_ACK	   (UINT64_C(1) << 3)
#define VHOST_PROTO_BACKEND_REQ	   (UINT64_C(1) << 5)
#define VHOST_PROTO_CONFIG	   (UINT64_C(1) << 9)
#define VHOST_PROTO_INFLIGHT_SHMFD (UINT64_C(1) << 12)

/* Of `flags` in the header. */
#define VHOST_VERSION	   0x1u
#define VHOST_VERSION_MASK 0x3u
#define VHOST_REPLY	   0x4u
#define VHOST_NEED_REPLY   0x8u

/* Of the payload of SET_VRING_KICK, CALL, ERR. */
#define VHOST_RING_INDEX_MASK UINT64_C(0xff)
#define VHOST_RING_NO_FD      UINT64_C(0x100)

/* Of `flags` in struct vhost_ring_addr: writes to the used ring are logged. */
#define VHOST_RING_LOG 0x1u

/* Of `flags` in struct vhost_config. */
#define VHOST_CONFIG_GUEST     0u /* the guest writes a field */
#define VHOST_CONFIG_MIGRATION 1u /* the destination is given all of it */

struct vhost_header {
	uint32_t request, flags;
	uint32_t size; /* bytes of payload that follow */
};

struct vhost_ring_state {
	uint32_t index, num;
};

struct vhost_ring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail; /* addresses in the front end's own memory */
	uint64_t log;		    /* address in the log of the used ring's first byte */
};

struct vhost_region {
	uint64_t gpa;	 /* guest-physical address of its first byte */
	uint64_t size;	 /* bytes */
	uint64_t uva;	 /* the same byte in the front end's own memory */
	uint64_t offset; /* and in the file that came beside the message */
};

struct vhost_table {
	uint32_t n, padding;
	struct vhost_region region[VHOST_REGIONS_MAX];
};

struct vhost_log_area {
	uint64_t size, offset; /* bytes, in the file that came beside it */
};

struct vhost_config {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_CONFIG_MAX];
};

struct vhost_inflight_area {
	uint64_t size, offset; /* bytes, in the file that came beside it */
	uint16_t num_queues, queue_size;
	uint32_t padding; /* sent by QEMU, not by others: see VHOST_INFLIGHT_BYTES */
};

#define VHOST_INFLIGHT_BYTES offsetof(struct vhost_inflight_area, padding)
#define VHOST_CONFIG_BYTES   offsetof(struct vhost_config, bytes)

union vhost_payload {
	uint64_t u64;
	struct vhost_ring_state state;
	struct vhost_ring_addr addr;
	struct vhost_table table;
	struct vhost_log_area log;
	struct vhost_config config;
	struct vhost_inflight_area inflight;
};

#define VHOST_PAYLOAD_MAX (VHOST_CONFIG_BYTES + VHOST_CONFIG_MAX)

/* In memory; on the wire `size` bytes of the payload follow the header at once. */
struct vhost_msg {
	struct vhost_header header;
	union vhost_payload payload;
};

/* "SET_MEM_TABLE"; "?" for what we do not know. */
const char *vhost_msg_name(uint32_t request);

/*
 * Is it a request of the front end, of a size that such a request may have?
 * => 0, or -EPROTO and e: the connection is of no use any more
 */
int must_check vhost_msg_check_header(const struct vhost_header *h, struct err *e);

/*
 * The payload too, of which header.size bytes are there, and the number of descriptors that
 * came beside the message.  Says nothing of values that depend on the device's state.
 * => 0, or -EPROTO and e, as before
 */
int must_check vhost_msg_check(const struct vhost_msg *m, unsigned int nfds, struct err *e);

/* Does this message, which is as long as it says, come with descriptors at all? */
bool vhost_msg_has_fds(const struct vhost_msg *m);

/* Does this request have an answer of its own, whether one was asked for or not? */
bool vhost_msg_is_answered(uint32_t request);

/* Make r the header of the answer to m with `size` bytes of payload. */
void vhost_msg_reply(struct vhost_msg *r, const struct vhost_msg *m, uint32_t size);

/* Make r a request to the front end that wants no answer: it has no payload. */
void vhost_msg_to_front_end(struct vhost_msg *r, enum vhost_backend_request request);

#endif
