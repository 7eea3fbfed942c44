/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host does for the swapcache: it starts the daemon, keeps its knobs and the files of
 * what is cached in the run directory, and gives each disk its part.  The control thread's.
 */
#ifndef DRUM_VMM_HOST_CACHE_H
#define DRUM_VMM_HOST_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/proto.h"
#include "swap/swapcache.h"

struct host;
struct host_disk;
struct disk_stats;
struct cache_file;

struct host_cache {
	struct swapcache *policy; /* the file `swapcache`, or own */
	struct swapcache own;
	struct cache_file *files; /* all that are open and not retired */
	const char *state_told;	  /* its name, of the last look; NULL: there was none */
};

/* Start the daemon, when swap devices are there and no disk is yet.  What fails is told, and
 * there is no cache. */
void host_cache_init(struct host *h);
/* All disks that there were are there: what is of none of them is dropped. */
void host_cache_sweep(struct host *h);
/* Every guest has claimed its blocks, and nothing was allocated yet. */
void host_cache_claim(struct host *h);
/* Of the configuration file. */
void host_cache_configure(struct host *h, const struct proto_msg *m, struct err *e);

/* Tell SWAPCACHE_STATE if the state is another one than when this was called last: once a
 * second, and when somebody has changed it. */
void host_cache_look(struct host *h);

/* A stop begins; or was not carried out. */
void host_cache_quiesce(struct host *h);
void host_cache_resume(struct host *h);
void host_cache_forget(struct host *h); /* at a stop */

/*
 * The image is there, and nothing was asked of it: let it have a cache.  again: it is of an
 * earlier pager.  Without one it is served all the same.
 */
void host_cache_disk_begin(struct host_disk *hd, bool again);
/* It goes, or is missing; its image is closed.  Nothing of it is cached any more, and the file
 * goes when nothing is on its way there. */
void host_cache_disk_end(struct host_disk *hd);
/* Its image is another one, or has another size. */
void host_cache_disk_drop(const struct host_disk *hd);
void host_cache_disk_set_mode(const struct host_disk *hd);
void host_cache_disk_stats(const struct host_disk *hd, struct disk_stats *out);

/* Bytes a day; 0: no budget. => 0, or -EOPNOTSUPP and e: there is no daemon */
int must_check host_cache_set_budget(struct host *h, unsigned int number, uint64_t per_day,
				     struct err *e);

#endif
