/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/record_members.h"

static const struct record_member host[HOST_MEMBERS] = {
	[HOST_LEVEL] = { "level", MEMBER_TEXT },
	[HOST_BUDGET] = { "budget", MEMBER_GAUGE },
	[HOST_USED] = { "used", MEMBER_GAUGE },
	[HOST_FREE] = { "free", MEMBER_GAUGE },
	[HOST_TOTAL] = { "total", MEMBER_GAUGE },
	[HOST_AVAILABLE] = { "available", MEMBER_GAUGE },
	[HOST_ADMITTED] = { "admitted-memory", MEMBER_GAUGE },
	[HOST_RESERVED] = { "reserved", MEMBER_GAUGE },
	[HOST_HEADROOM] = { "headroom", MEMBER_GAUGE },
	[HOST_PRICE] = { "price", MEMBER_GAUGE },
};

static const struct record_member guest[GUEST_MEMBERS] = {
	[GUEST_NAME] = { "name", MEMBER_TEXT },
	[GUEST_STATE] = { "state", MEMBER_TEXT },
	[GUEST_SIZE] = { "size", MEMBER_GAUGE },
	[GUEST_RESIDENT] = { "resident", MEMBER_GAUGE },
	[GUEST_SWAPPED] = { "swapped", MEMBER_GAUGE },
	[GUEST_ZERO] = { "zero", MEMBER_GAUGE },
	[GUEST_WORKING_SET] = { "working-set", MEMBER_GAUGE },
	[GUEST_IDLE_5M] = { "idle-5m", MEMBER_GAUGE },
	[GUEST_TARGET] = { "target", MEMBER_GAUGE },
	[GUEST_BALLOON] = { "balloon-size", MEMBER_GAUGE },
	[GUEST_FAULTS] = { "faults", MEMBER_COUNTER },
	[GUEST_REFAULTS] = { "refaults", MEMBER_COUNTER },
	[GUEST_P50] = { "fault-p50-us", MEMBER_GAUGE },
	[GUEST_P99] = { "fault-p99-us", MEMBER_GAUGE },
	[GUEST_INTERVAL_P99] = { RECORD_P99, MEMBER_GAUGE },
	[GUEST_PAGES_IN] = { "pages-in", MEMBER_COUNTER },
	[GUEST_PAGES_OUT] = { "pages-out", MEMBER_COUNTER },
	[GUEST_POISONED] = { "poisoned", MEMBER_COUNTER },
	[GUEST_VCPUS] = { "vcpus", MEMBER_GAUGE },
	[GUEST_STALL_SOME] = { "stall-some-us", MEMBER_COUNTER },
	[GUEST_STALL_FULL] = { "stall-full-us", MEMBER_COUNTER },
};

static const struct record_member swap[SWAP_MEMBERS] = {
	[SWAP_PATH] = { "path", MEMBER_TEXT },
	[SWAP_TYPE] = { "type", MEMBER_TEXT },
	[SWAP_STATE] = { "state", MEMBER_TEXT },
	[SWAP_SIZE] = { "size", MEMBER_GAUGE },
	[SWAP_USED] = { "used", MEMBER_GAUGE },
	[SWAP_READS] = { "reads", MEMBER_COUNTER },
	[SWAP_WRITES] = { "writes", MEMBER_COUNTER },
	[SWAP_READ_BYTES] = { "read-bytes", MEMBER_COUNTER },
	[SWAP_WRITE_BYTES] = { "write-bytes", MEMBER_COUNTER },
	[SWAP_READ_ERRORS] = { "read-errors", MEMBER_COUNTER },
	[SWAP_WRITE_ERRORS] = { "write-errors", MEMBER_COUNTER },
	[SWAP_CHECKSUM_ERRORS] = { "checksum-errors", MEMBER_COUNTER },
};

static const struct record_member disk[DISK_MEMBERS] = {
	[DISK_NAME] = { "name", MEMBER_TEXT },
	[DISK_GUEST] = { "guest", MEMBER_TEXT },
	[DISK_STATE] = { "state", MEMBER_TEXT },
	[DISK_SIZE] = { "size", MEMBER_GAUGE },
	[DISK_READS] = { "reads", MEMBER_COUNTER },
	[DISK_WRITES] = { "writes", MEMBER_COUNTER },
	[DISK_READ_BYTES] = { "read-bytes", MEMBER_COUNTER },
	[DISK_WRITE_BYTES] = { "write-bytes", MEMBER_COUNTER },
	[DISK_ERRORS] = { "errors", MEMBER_COUNTER },
};

static const struct record_member cache[CACHE_MEMBERS] = {
	[CACHE_STATE] = { "state", MEMBER_TEXT },
	[CACHE_USED] = { "used", MEMBER_GAUGE },
	[CACHE_CACHED] = { "cached", MEMBER_GAUGE },
	[CACHE_READ_BYTES] = { "read-bytes", MEMBER_COUNTER },
	[CACHE_HIT_BYTES] = { "hit-bytes", MEMBER_COUNTER },
	[CACHE_PUT] = { "put", MEMBER_COUNTER },
	[CACHE_CLEANED] = { "cleaned", MEMBER_COUNTER },
	[CACHE_INVALIDATED] = { "invalidated", MEMBER_COUNTER },
};

const struct record_group_def record_groups[RECORD_GROUPS] = {
	[RECORD_HOST] = { "host", "query-host", false, host, HOST_MEMBERS },
	[RECORD_GUEST] = { "guests", "query-guests", true, guest, GUEST_MEMBERS },
	[RECORD_SWAP] = { "swap", "query-swap-devices", true, swap, SWAP_MEMBERS },
	[RECORD_DISK] = { "disks", "query-disks", true, disk, DISK_MEMBERS },
	[RECORD_CACHE] = { "swapcache", "query-swapcache", false, cache, CACHE_MEMBERS },
};
