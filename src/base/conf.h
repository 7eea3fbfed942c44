/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file, drum.conf(5): sections and keys, as in
 *
 *	[drumd]
 *	run-dir = /run/drum
 *	state-dir = /var/lib/drum
 *	log-level = info
 *	leave = no
 *	group = drum
 *	monitor-group = drum-monitor
 *
 *	[swap]
 *	device = /var/lib/drum/swap 10
 *	device = /dev/vg0/swap 5 mirror=/dev/vg1/swap discard max-inflight=32 max-bandwidth=200M
 *	device = ram:512M 20
 *
 *	[disk]
 *	device = web1 /var/lib/images/web1.img cache=writeback queues=4 swapcache=meta
 *
 *	[dump]
 *	device = /dev/vg0/dump
 *
 *	[paging]
 *	cluster = 64K
 *	depth = 8
 *
 *	[host]
 *	budget = 48G
 *	stall-target = 0.1
 *
 *	[swapcache]
 *	data-enable = on
 *	accrate = 200K
 *
 *	[metrics]
 *	listen = 127.0.0.1:9469
 *
 * A file is taken as a whole or not at all, and what cannot be taken is told
 * with file and line, the key, and what is allowed there.
 */
#ifndef DRUM_BASE_CONF_H
#define DRUM_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/conf_disk.h"
#include "base/conf_host.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics_addr.h"
#include "base/proto.h"
#include "base/swapcache_knobs.h"

#define CONF_PRIORITY_MAX 32767 /* as swapon(8) */
#define CONF_DUMP_MAX	  1023	/* characters of the dump device's path */

/* The ranges of [paging]; the smallest are 1 but for the cluster's. */
#define CONF_CLUSTER_MIN      4096u
#define CONF_CLUSTER_MAX      (1u << 20)
#define CONF_DEPTH_MAX	      32
#define CONF_TOTAL_WRITES_MAX 1024
#define CONF_READS_MAX	      24
#define CONF_SWBLOCKS_MIN     1024
#define CONF_SAMPLE_MAX	      512
#define CONF_SAMPLE_OFF	      UINT32_MAX
#define CONF_GIVE_UP_MAX      86400 /* seconds; and of stall-after */

struct conf_swap {
	char *path;   /* absolute, ram:SIZE or nbd:URI */
	int priority; /* 0 (the default) to CONF_PRIORITY_MAX, higher is used first */
	char *mirror; /* the other half, or NULL */
	bool discard, no_checksums;
	uint32_t max_inflight;	/* 0: no limit */
	uint64_t max_bandwidth; /* bytes a second; 0: no limit */
	bool has_endurance;
	uint64_t endurance; /* bytes a day; 0: no budget */
};

/* As of the pager's limits; 0: not given, its own default holds. */
struct conf_paging {
	uint32_t cluster, depth, total_writes, reads, swblocks, give_up, stall_after, sample;
};

/* A line of the file, as it was taken. */
struct conf_entry {
	const char *section, *key;
	char *value;
};

struct conf {
	char *run_dir;	 /* absolute */
	char *state_dir; /* absolute: what outlives a reboot */
	enum log_level log_level;
	struct proto_group group, monitor_group; /* of qmp.sock, monitor.sock; or no name */
	bool leave; /* at the end, leave guests attached and waiting */
	struct conf_swap *swap;
	size_t swaps; /* in the order of the file */
	struct conf_disk *disk;
	size_t disks; /* likewise */
	char *dump;   /* the dump device, absolute, or NULL */
	struct conf_paging paging;
	struct conf_host host;
	uint32_t swapcache_given; /* bit k: knob k is in the file */
	uint64_t swapcache[SWAPCACHE_KNOBS];
	char metrics[METRICS_ADDR_MAX + 1]; /* where they are served; "": nowhere */
	struct conf_entry *entry;	    /* what the file says that was read last */
	size_t entries;
};

#define CONF_ERRORS_MAX 20

/* What is wrong with a file: of each line the first error. */
struct conf_errors {
	unsigned n;
	bool more; /* there are others */
	struct err err[CONF_ERRORS_MAX];
};

/*
 * Fill c with what holds where the file says nothing.  c is to be given back
 * with conf_free, also when this failed.
 * => 0, or -ENOMEM with e filled
 */
int must_check conf_defaults(struct conf *c, struct err *e);

/*
 * Have one disk more, which becomes c's.
 * => 0; -EEXIST and e: its name or socket is another's; or -ENOMEM and e.  d is freed then
 */
int must_check conf_add_disk(struct conf *c, struct conf_disk *d, struct err *e);

/*
 * Lay the file at path over c.
 * => 0; -EINVAL for what is in the file, -errno for the file itself: c is as
 *    before and e is filled
 */
int must_check conf_read(struct conf *c, const char *path, struct err *e);
/* The same, with all that is wrong. => the code of the first */
int must_check conf_read_all(struct conf *c, const char *path, struct conf_errors *errors);

void conf_free(struct conf *c); /* all zero is fine */

#endif
