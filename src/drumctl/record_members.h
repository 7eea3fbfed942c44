/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a record keeps of the daemon's answers: one table, which the recorder
 * picks from answers by, and the report finds columns by.
 *
 * A record is JSON Lines.  Each line is one object, and its first member says
 * what it is:
 *
 *	{"drum-record":1,"version":V,"host":NAME,"t":MS,"delay":SECONDS}
 *				a recorder begins; always the first line
 *	{"t":MS,"host":{..},"guests":[..],"swap":[..],"disks":[..],"swapcache":{..}}
 *				a sample, taken at MS, milliseconds since 1970
 *	{"event":NAME,"data":{..},"timestamp":{..}}
 *				an event, as QMP has it
 *	{"gap":WHY,"t":MS}	drumd is lost; the next sample tells when it was back
 *
 * Of a sample's figures those that are 0 and texts that are empty are left
 * out.  A reader skips what it does not know, and lines that are no JSON.
 */
#ifndef DRUM_DRUMCTL_RECORD_MEMBERS_H
#define DRUM_DRUMCTL_RECORD_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#define RECORD_FORMAT 1
#define RECORD_MAGIC  "drum-record"
#define RECORD_P99    "interval-p99-us"

enum record_group {
	RECORD_HOST,
	RECORD_GUEST,
	RECORD_SWAP,
	RECORD_DISK,
	RECORD_CACHE,
	RECORD_GROUPS,
};

enum member_type {
	MEMBER_TEXT,
	MEMBER_GAUGE,
	MEMBER_COUNTER, /* begins at 0 with each pager */
};

struct record_member {
	const char *name; /* as in the answer */
	enum member_type type;
};

struct record_group_def {
	const char *key;   /* in a sample */
	const char *query; /* the command that answers it */
	bool many;	   /* an array of objects, of which the first member is the name */
	const struct record_member *member;
	size_t members;
};

/* Columns: the members, by group. */
enum {
	HOST_LEVEL,
	HOST_BUDGET,
	HOST_USED,
	HOST_FREE,
	HOST_TOTAL,
	HOST_AVAILABLE,
	HOST_ADMITTED,
	HOST_RESERVED,
	HOST_HEADROOM,
	HOST_PRICE,
	HOST_MEMBERS,
};
enum {
	GUEST_NAME,
	GUEST_STATE,
	GUEST_SIZE,
	GUEST_RESIDENT,
	GUEST_SWAPPED,
	GUEST_ZERO,
	GUEST_WORKING_SET,
	GUEST_IDLE_5M,
	GUEST_TARGET,
	GUEST_BALLOON,
	GUEST_FAULTS,
	GUEST_REFAULTS,
	GUEST_P50,
	GUEST_P99,
	GUEST_INTERVAL_P99, /* of the faults since the last sample; the recorder's */
	GUEST_PAGES_IN,
	GUEST_PAGES_OUT,
	GUEST_POISONED,
	GUEST_VCPUS,
	GUEST_STALL_SOME,
	GUEST_STALL_FULL,
	GUEST_MEMBERS,
};
enum {
	SWAP_PATH,
	SWAP_TYPE,
	SWAP_STATE,
	SWAP_SIZE,
	SWAP_USED,
	SWAP_READS,
	SWAP_WRITES,
	SWAP_READ_BYTES,
	SWAP_WRITE_BYTES,
	SWAP_READ_ERRORS,
	SWAP_WRITE_ERRORS,
	SWAP_CHECKSUM_ERRORS,
	SWAP_MEMBERS,
};
enum {
	DISK_NAME,
	DISK_GUEST,
	DISK_STATE,
	DISK_SIZE,
	DISK_READS,
	DISK_WRITES,
	DISK_READ_BYTES,
	DISK_WRITE_BYTES,
	DISK_ERRORS,
	DISK_MEMBERS,
};
enum {
	CACHE_STATE,
	CACHE_USED,
	CACHE_CACHED,
	CACHE_READ_BYTES,
	CACHE_HIT_BYTES,
	CACHE_PUT,
	CACHE_CLEANED,
	CACHE_INVALIDATED,
	CACHE_MEMBERS,
};

extern const struct record_group_def record_groups[RECORD_GROUPS];

#endif
