/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager's guests and swap, as the control layer sees them.
 *
 * Everything here is called on the control thread, and so is every done
 * callback, exactly once for each call and never before the call returned.
 * Names are 1 to GUEST_NAME_MAX characters of [A-Za-z0-9_.-].
 */
#ifndef DRUM_VMM_HOST_H
#define DRUM_VMM_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/swapcache_knobs.h"
#include "base/version.h"

#define GUEST_NAME_MAX 63
#define SWAP_PATH_MAX  1023

struct host;
struct loop;

/* e->code is 0 on success; e is valid during the call only. */
typedef void (*host_done_fn)(void *ctx, const struct err *e);

/* What a fault waits for. */
enum host_stall {
	HOST_STALL_READ,      /* swap */
	HOST_STALL_LIMIT,     /* page-out, for the guest is at its limit or grant */
	HOST_STALL_NO_PAGEIN, /* page-ins, which are all busy */
	HOST_STALL_CHANGING,  /* its address space is changing */
	HOST_STALL_NO_MEMORY, /* memory of its cgroup, or of the host */
	HOST_STALL_FAILING,   /* a read that has failed and is tried again */
	HOST_STALL_SERVED,    /* the pager's own work */
	HOST_STALLS
};

struct guest_stats { /* sizes in bytes, times in nanoseconds */
	char name[GUEST_NAME_MAX + 1];
	char state[16]; /* "attaching", "running", "detaching", "quarantined", "waiting", "gone"
			 */
	char why[ERR_TEXT_MAX]; /* of "quarantined" and "waiting"; else "" */
	pid_t pid;
	uint32_t mappers;  /* processes that map the RAM, pid among them */
	uint64_t size;	   /* all guest RAM */
	uint64_t resident; /* in the memfd: active + inactive + writing */
	uint64_t active, inactive, writing, reading;
	uint64_t pinned;  /* of resident: in use by a device or by I/O, not to be taken */
	uint64_t swapped; /* on a swap device only */
	uint64_t kept;	  /* of swap: clean copies of what is resident */
	uint64_t zero;	  /* holes: never touched, discarded, or all-zero and dropped */
	uint64_t hot; /* of what is not zero: touched within the last minute, as far as known */
	uint64_t idle_10s, idle_1m, idle_5m, idle_30m; /* likewise: not touched for so long */
	uint64_t limit;	     /* most that may be resident; size when there is none */
	uint64_t grant;	     /* what the arbiter allows, if less; else limit */
	uint64_t over_limit; /* resident above limit that could not be taken (swap full, ...) */
	uint64_t faults;     /* served: all of the next five */
	uint64_t faults_hole, faults_inactive, faults_swapped, faults_writing, faults_reading;
	uint64_t refaults;    /* of faults_swapped: evicted less than a minute before */
	uint64_t refaults_1s; /* of these: less than a second */
	uint64_t fault_p50, fault_p99, fault_max;
	uint64_t pages_in, pages_out; /* pages read from and written to swap */
	uint64_t pages_clean;	      /* pages that left without a write, for a copy was kept */
	uint64_t pages_zero;	      /* pages found all-zero at page-out and dropped */
	uint64_t pages_discarded;     /* pages that the guest gave back (REMOVE) */
	uint64_t pages_replayed;      /* brought in as parts of its working set */
	uint64_t recorded;	      /* bytes of its working set, as of the last `guest out` */
	uint64_t pages_moved;	      /* moved from one swap device to another, or mended */
	uint64_t poisoned;   /* pages that could not be read and were poisoned, times */
	uint64_t pin_checks; /* pages that were looked at, whether they are pinned */
	uint64_t pin_check;  /* what all of that took */
	uint64_t zaps;	     /* ptrace stops */
	uint64_t zap_p50, zap_max;
	uint64_t read_errors, write_errors;
	uint64_t dump_done; /* bytes of its RAM, of a dump that is under way */
	/* pages evicted, by why: over its limit, over its grant, cold, guest out */
	uint64_t evicted_limit, evicted_grant, evicted_cold, evicted_out;
	uint32_t vcpus; /* whose threads are known; 0: none */
	/* time since it was attached in which some, and all, of its vCPUs waited for a fault;
	 * of any thread when no vCPU is known, and full is 0 then */
	uint64_t stall_some, stall_full;
	uint64_t stall_for[HOST_STALLS]; /* of stall_some: what the oldest of them waited for */
	bool busy;			 /* a job is under way: out, in, dump, detach */
};

/* What a picture of a guest's RAM counts of each cell: its pages by their state, of which
 * there is one for each page; and those that are pinned, or have a clean copy on swap. */
enum guest_map_kind {
	GUEST_MAP_ACTIVE,
	GUEST_MAP_INACTIVE,
	GUEST_MAP_SWAPPED,
	GUEST_MAP_ZERO,
	GUEST_MAP_READING,
	GUEST_MAP_WRITING,
	GUEST_MAP_PINNED,
	GUEST_MAP_KEPT,
	GUEST_MAP_KINDS
};

/* Not touched for 10 s, a minute, 5, 30 minutes, and before that: for less. */
#define GUEST_MAP_AGES 5

struct guest_map_cell { /* pages */
	uint32_t kind[GUEST_MAP_KINDS];
	uint32_t age[GUEST_MAP_AGES]; /* those whose age is known, which are few */
};

#define GUEST_MAP_CELLS	    1024u /* if nothing is said */
#define GUEST_MAP_CELLS_MAX 4096u

/*
 * While the guest goes on it is no picture of one moment, but each page was so at some moment
 * between question and answer.
 */
struct guest_map {
	uint64_t size;	    /* bytes of RAM; memfds begin at multiples of 2 MiB */
	uint64_t cell_size; /* bytes, whole pages; of the last one there may be less */
	uint32_t n;
	const struct guest_map_cell *cell; /* [n] */
};

/* The age of half of the pages of the cell that have one, or more: the class, or -1: of none
 * is it known. */
int guest_map_idle(const struct guest_map_cell *cell);

/* How long faults have waited, in nanoseconds, since the guest was attached or the pager
 * started.  Of those that have waited for one page to be read only the first is counted. */
#define LATENCY_FIRST	10u /* 2^10 ns */
#define LATENCY_BUCKETS 26u
struct latency_stats {
	uint64_t count, sum, max;
	uint64_t p50, p90, p99, p999;
	/* [i]: of count, how many were below 2^(LATENCY_FIRST + i) ns; of the last: all */
	uint64_t below[LATENCY_BUCKETS];
};

/* What a guest has of one swap device, in bytes. */
struct guest_swap {
	char path[SWAP_PATH_MAX + 1]; /* as in struct swap_stats */
	uint64_t used;
};

/* One half of a mirror. */
struct swap_half_stats {
	char path[SWAP_PATH_MAX + 1];
	char state[12];	  /* "whole", "mending", "lost", "missing" */
	uint64_t lacking; /* bytes in use that it does not hold */
};

struct swap_stats { /* sizes in bytes */
	char path[SWAP_PATH_MAX + 1];
	char type[12];	/* "file", "block", "ram", "nbd", "mirror" */
	char state[12]; /* "on", "removing", "offline" */
	int priority;
	uint64_t size, used, bad;
	uint32_t inflight;	/* I/O requests that it works on */
	uint64_t reads, writes; /* I/O requests done */
	uint64_t read_bytes, write_bytes;
	uint64_t read_errors, write_errors;
	uint64_t checksum_errors; /* among read_errors: it returned other data than was written
				   */
	uint64_t waited;	  /* I/Os that waited for a limit */
	uint32_t max_inflight;	  /* 0: no limit */
	uint64_t max_bandwidth;	  /* bytes a second; 0: no limit */
	bool checksums, discard;
	uint64_t discarded;	 /* bytes */
	uint64_t to_move, moved; /* "removing": bytes in use when it began, and gone since */
	uint64_t ram_limit, ram_used, ram_pages,
		ram_refused; /* "ram" only; the last two in pages */
	uint32_t halves;     /* 2 for "mirror", else 0 */
	struct swap_half_stats half[2];
};

/* Of page-out and page-in, for all guests; changed while running. */
struct paging_limits {
	uint32_t cluster;      /* bytes that one write to swap moves, 4096 to 1 MiB */
	uint32_t depth;	       /* writes in flight for each guest, 1 to 32 */
	uint32_t total_writes; /* writes in flight for all guests, 1 to 1024 */
	uint32_t reads;	       /* reads ahead of need in flight for each guest, 1 to 24 */
	uint32_t swblocks; /* most swblocks of all guests, of 16 pages each; at least 1024 */
	uint32_t give_up; /* seconds until a page that cannot be read is poisoned, 1 to 86400 */
	uint32_t stall_after; /* seconds that a fault may wait before that is told, likewise */
	uint32_t sample;      /* pages of a guest looked at each second; 0: off, to 512 */
};

/* Something that people may want to know of. */
struct host_event_field {
	const char *key;
	const char *text; /* NULL: it is the number */
	uint64_t number;
	bool percent; /* the number is a share in millionths, to be shown as percent */
};

#define HOST_EVENT_FIELDS 6

struct host_event {
	const char *name;				  /* as "SWAP_LOW" */
	struct host_event_field field[HOST_EVENT_FIELDS]; /* ends with a key that is NULL */
};

/* On the control thread; valid during the call only. */
typedef void (*host_event_fn)(void *arg, const struct host_event *event);

struct host_stats { /* sums over guests and devices */
	uint32_t guests, swap_devices;
	uint64_t size, resident, swapped, zero;
	uint64_t swap_size, swap_used;
	uint64_t faults, pages_in, pages_out, pages_zero, pages_discarded;
	uint64_t read_errors, write_errors;
	uint64_t uptime;
};

/* The daemon itself. */
struct host_daemon {
	int32_t pid;		   /* of the keeper */
	uint32_t replaced;	   /* how often that process has become another drumd */
	char from[VERSION_MAX];	   /* version of the last one before, or "" */
	char failed[ERR_TEXT_MAX]; /* why the last attempt failed, or "" */
	bool busy;		   /* guests are being taken over */
	uint32_t waiting;	   /* guests that could not be */
	uint64_t paused;	 /* ns: how long guests have waited for it; 0: not, or still */
	uint32_t restarts;	 /* pagers of this keeper before this one */
	uint64_t events_dropped; /* since this pager began, as it had too many to tell */
	uint64_t log_lost;	 /* messages of this pager that its log had no room for */
};

/* The dump device, and the last dump that was begun there. */
struct dump_stats {
	char path[SWAP_PATH_MAX + 1];	  /* "": there is none */
	uint64_t size;			  /* bytes */
	char dumping[GUEST_NAME_MAX + 1]; /* the guest that is being dumped, or "" */
	/* of the last one */
	char guest[GUEST_NAME_MAX + 1]; /* "": none */
	uint64_t time;			/* when it began, seconds since 1970 */
	uint64_t bytes, lost;		/* lost: pages that could not be read */
	bool complete;
};

/* What the pager's main hands over; descriptors stay the caller's. */
struct host_options {
	struct loop *loop;
	int keeper;   /* main channel */
	int dev_uffd; /* of /dev/userfaultfd, or -1 */
	int dir_fd;   /* the run directory */
	int state_fd; /* the state directory, or -1 */
	struct host_daemon daemon;
	uint64_t since; /* ns: guests wait since then; 0: they do not */
	int after;	/* enum proto_after: whose place it takes */
};

/*
 * Create, and switch on again the swap devices that the run directory says
 * were on.  => 0, or -errno and e
 */
int must_check host_create(const struct host_options *options, struct host **out,
			   struct err *e);

/*
 * Tell the keeper that requests are served.  From now on its messages are
 * handled on the loop; when it is gone the loop is stopped.
 */
int must_check host_serve(struct host *h, struct err *e);

/* Has the keeper asked to stop, and has all been done for it? */
bool host_stopped(const struct host *h);
/* And is nothing left of guests and devices, for a next one to go on with? */
bool host_forgotten(const struct host *h);

/*
 * => done with 0, or: -EINVAL bad name or path, -EEXIST name taken or process
 *    attached already, -ESRCH no such process, -EPERM, -ENOTSUP RAM that cannot
 *    be paged, -ENOSPC no swap, -ENOENT no such guest, -EBUSY
 */
void host_guest_attach(struct host *h, pid_t pid, const char *name, host_done_fn done,
		       void *ctx);
void host_guest_detach(struct host *h, const char *name, host_done_fn done, void *ctx);
void host_guest_set_limit(struct host *h, const char *name, uint64_t bytes, host_done_fn done,
			  void *ctx);
void host_guest_out(struct host *h, const char *name, host_done_fn done, void *ctx);
void host_guest_in(struct host *h, const char *name, host_done_fn done, void *ctx);

/*
 * End what one of these (or host_guest_dump) has begun whose ctx was `of`: that is done with
 * -ECANCELED, and the guest goes on as it is then; one that was being detached stays attached,
 * unless somebody else has asked for that too.
 * => done with 0; or -ENOENT, -EINVAL it is not under way, or it is too late, -EBUSY stopping
 */
void host_guest_cancel(struct host *h, const char *name, const void *of, host_done_fn done,
		       void *ctx);

/*
 * The arbiter's: from now on at most `grant` bytes of the guest may be resident (UINT64_MAX: as
 * many as its limit allows), and `take` bytes of what is cold are paged out besides, once.
 * Not kept over a restart, and not answered. => 0, -ENOENT, -ENOMEM
 */
int must_check host_guest_grant(struct host *h, const char *name, uint64_t grant,
				uint64_t take);
/* Which threads of its VMM are vCPUs. => 0, -ENOENT, -ENOMEM */
int must_check host_guest_set_vcpus(struct host *h, const char *name, const pid_t *tid,
				    size_t n);

enum host_guest_change { HOST_GUEST_SERVING, HOST_GUEST_ENDED };
/* fn is called when a guest is served (also one of an earlier pager) and when it is no longer
 * there; one at most. */
typedef void (*host_guest_fn)(void *arg, const char *name, enum host_guest_change change);
void host_on_guest(struct host *h, host_guest_fn fn, void *arg);

/*
 * So many bytes of swap are the guest's, be it attached or still to come, less what it has in
 * use there: nobody else is given them.  0: none any more.  A guest that ends, or is detached,
 * loses its promise; one that could not be attached keeps it.
 * => 0, -ENOSPC and e with the figures, -ENOMEM
 */
int must_check host_promise(struct host *h, const char *name, uint64_t bytes, struct err *e);
/* The same, of what was promised before a restart: it is promised, also if it does not fit any
 * more. */
int must_check host_promise_again(struct host *h, const char *name, uint64_t bytes,
				  struct err *e);
/* promised: to all; free: that could be promised besides, 0 until all guests of an earlier
 * pager are known. */
void host_promised(struct host *h, uint64_t *promised, uint64_t *free);

/* Have done called from the loop, with *e: for those who must not call it at once. */
void host_refuse(struct host *h, host_done_fn done, void *ctx, const struct err *e);

/* Tell an event of a higher layer, as host_on_event's function gets it. */
void host_tell(struct host *h, const struct host_event *event);

/* What drum.conf says of the arbiter, HOST_CONF_* bits of what is given; called when the
 * keeper sends it, and at once if it has. */
struct host_conf {
	uint32_t given;
	uint64_t budget; /* bytes */
	uint32_t tax, stall_target;
	char libvirt_uri[256];
	uint64_t reading; /* which reading of the file: the same again after a restart of the
			     pager */
};
#define HOST_CONF_BUDGET       (1u << 0)
#define HOST_CONF_TAX	       (1u << 1)
#define HOST_CONF_STALL_TARGET (1u << 2)
#define HOST_CONF_LIBVIRT_URI  (1u << 3)
/* fn fills e when it refuses what is there. */
typedef void (*host_conf_fn)(void *arg, const struct host_conf *conf, struct err *e);
void host_on_conf(struct host *h, host_conf_fn fn, void *arg);

/* What is told of the configuration. */
enum host_config_kind {
	HOST_CONFIG_ENTRY,   /* a line of the file: section, key, and its value */
	HOST_CONFIG_CHANGED, /* has been changed */
	HOST_CONFIG_RESTART, /* needs a restart */
	HOST_CONFIG_LEFT,    /* stays as it was */
	HOST_CONFIG_FAILED,  /* was to be changed, and could not be */
	HOST_CONFIG_WARNING, /* was changed, and there is something to say */
};

struct host_config_line {
	struct host_config_line *next;
	enum host_config_kind kind;
	char section[16], key[32]; /* of an entry */
	char text[];
};

struct host_config {
	const char *file; /* that was read last, or "" */
	const char *run_dir, *state_dir;
	int log_level; /* enum log_level */
	bool leave;
	const struct host_config_line *lines;
};

/* c is NULL with an error; valid during the call only. */
typedef void (*host_config_fn)(void *ctx, const struct host_config *c, const struct err *e);

/* What the file says, and what is in force of it that nothing else shows. */
void host_config_show(struct host *h, host_config_fn done, void *ctx);
/* Read the file again and do what has changed. => -EINVAL: there is an error in it, -ENOENT,
 * -EBUSY, -errno: nothing was changed */
void host_config_reload(struct host *h, host_config_fn done, void *ctx);

#define DAEMON_SET_LOG_LEVEL (1u << 0)
#define DAEMON_SET_LEAVE     (1u << 1)

/* Until the daemon is started anew, or the file says something else. */
void host_daemon_set(struct host *h, unsigned int what, int log_level, bool leave,
		     host_done_fn done, void *ctx);

/* What to switch on; all is copied. */
struct swap_on {
	const char *path;   /* absolute, or "ram:SIZE", or "nbd:URI" */
	const char *mirror; /* the other half, absolute or "nbd:URI"; or NULL */
	int priority;	    /* higher is used first */
	bool force;	    /* although libblkid finds a signature there */
	bool discard;	    /* tell the device which blocks are free */
	bool no_checksums;
	uint32_t max_inflight;	/* 0: no limit */
	uint64_t max_bandwidth; /* bytes a second; 0: no limit */
	bool has_endurance;	/* of host_swap_on: else what was said before stays */
	uint64_t endurance;	/* bytes a day that the swapcache leaves of it; 0: no budget */
};

/*
 * Of the next, path names a device as it was given to host_swap_on, or a half
 * of a mirror; -ENOENT when there is none.  With e->code 0, e->text may hold a
 * warning for whoever asked.
 */

/* => done with 0, or: -EINVAL, -ENOENT, -EBUSY in use or switched on already,
 *    -ENOSPC too many devices, -EPERM, -ENOTCONN, -errno */
void host_swap_on(struct host *h, const struct swap_on *on, host_done_fn done, void *ctx);
/*
 * Move all that is on it to other devices, or into RAM where guests' limits
 * leave room, and switch it off.
 * => done at the end with 0, or: -ENOMEM it fits nowhere, -ECANCELED, -EIO some
 *    of it cannot be read, -EBUSY under way already; it stays on then
 */
void host_swap_off(struct host *h, const char *path, host_done_fn done, void *ctx);
/* of: the ctx of the one to end, or NULL: whose ever it is */
void host_swap_off_cancel(struct host *h, const char *path, const void *of, host_done_fn done,
			  void *ctx);

#define SWAP_SET_PRIORITY  (1u << 0)
#define SWAP_SET_INFLIGHT  (1u << 1)
#define SWAP_SET_BANDWIDTH (1u << 2)
#define SWAP_SET_DISCARD   (1u << 3)
#define SWAP_SET_ENDURANCE (1u << 4)

/* `what` says which of on's fields to set; moves nothing, applies at once. */
void host_swap_set(struct host *h, const char *path, unsigned int what,
		   const struct swap_on *on, host_done_fn done, void *ctx);
/* Look at its size again and use what was added. => -EINVAL: it has not grown */
void host_swap_resize(struct host *h, const char *path, host_done_fn done, void *ctx);
/* Let `fresh` take the place of the lost half of a mirror, and be filled. */
void host_swap_mirror(struct host *h, const char *path, const char *fresh, bool force,
		      host_done_fn done, void *ctx);

/*
 * Dump to this file or block device, instead of one that was set before.
 * => done with 0, or: -EINVAL, -ENOENT, -EBUSY in use or a dump is under way,
 *    -EROFS, -errno
 */
void host_dump_set(struct host *h, const char *path, bool force, host_done_fn done, void *ctx);
/* => done with 0, or: -ENOENT there is none, -EBUSY a dump is under way */
void host_dump_off(struct host *h, host_done_fn done, void *ctx);
void host_dump_stats(struct host *h, struct dump_stats *out);
/*
 * Write the guest's RAM to the dump device; for those who ask, and for whatever
 * else finds that a guest should be dumped (done is called with what is to be
 * logged then).  The guest goes on.
 * => done at the end with 0, and perhaps a warning, or: -ENOENT no dump device,
 *    or guest, -EBUSY, -ENOSPC it is too small, -ECANCELED, -ESRCH the guest has
 *    ended, -errno of the device
 */
void host_guest_dump(struct host *h, const char *name, host_done_fn done, void *ctx);

/* A disk for a guest; all is copied. */
struct disk_add {
	const char *name;   /* as of a guest */
	const char *image;  /* absolute, or "nbd:URI" */
	const char *socket; /* absolute; NULL: disk-NAME.sock in the run directory */
	const char *serial; /* at most 20 characters; NULL: name, cut off */
	const char *guest;  /* what its VMM is called, if it is not attached yet; NULL: name */
	int cache;	    /* enum image_cache */
	bool read_only;
	bool no_map;	 /* do not note which pages hold which blocks */
	int swapcache;	 /* enum swapcache_mode */
	uint32_t queues; /* 0: 64, of which a front end uses as many as it likes */
};

struct disk_stats { /* sizes in bytes */
	char name[GUEST_NAME_MAX + 1], serial[GUEST_NAME_MAX + 1];
	char image[SWAP_PATH_MAX + 1], socket[SWAP_PATH_MAX + 1];
	char cache[16]; /* as `disk add --cache` has it */
	char state[16]; /* "idle", "attaching", "connected", "recovering", "missing" */
	char guest[GUEST_NAME_MAX + 1]; /* that it is connected to, or "" */
	pid_t pid;			/* of the front end, or 0 */
	bool read_only, map;
	uint64_t size;
	uint32_t block_size, queues, in_flight;
	uint64_t reads, writes, flushes, discards, zeroes; /* requests that ended well */
	uint64_t read_bytes, write_bytes, discard_bytes, zeroes_bytes;
	uint64_t errors, resubmitted, resets;
	/* pages of the guest */
	uint64_t mapped;	 /* known to hold what a block of the image holds */
	uint64_t image_pages;	 /* of these: not in memory, only there */
	uint64_t writes_avoided; /* left without a write to swap, for the image has them */
	uint64_t reads_avoided;	 /* on swap, and overwritten by a read of the disk: not read */
	uint64_t image_reads;	 /* brought in from the image */
	uint64_t brought_in;	 /* likewise, because their block was about to change */
	/* the swapcache */
	char swapcache[8];			    /* "auto", "on", "meta", "off" */
	uint64_t cached;			    /* bytes of the image on swap */
	uint64_t cache_read_bytes, cache_hit_bytes; /* asked, and of these from swap */
};

/*
 * Serve this image on a socket, from now on and over restarts of the pager.
 * => done with 0, or: -EINVAL, -EEXIST name or socket is taken, -EBUSY the image is in use,
 *    -ENOSPC too many disks, -ENOENT, -EACCES, -ENOTCONN, -errno
 */
void host_disk_add(struct host *h, const struct disk_add *add, host_done_fn done, void *ctx);
/* => done with 0, or: -ENOENT, -EBUSY a guest is connected */
void host_disk_remove(struct host *h, const char *name, host_done_fn done, void *ctx);
/* Look how large the image is now, and tell the guest.
 * => done with 0, or: -ENOENT, -EINVAL it has not grown, -ERANGE it has become smaller */
void host_disk_resize(struct host *h, const char *name, host_done_fn done, void *ctx);
/* In the order of addition. => how many there are; fills at most max */
size_t host_disk_stats(struct host *h, struct disk_stats *out, size_t max);

#define DISK_SET_SWAPCACHE (1u << 0)

/* `what` says which of set's fields to set; applies at once. => -ENOENT */
void host_disk_set(struct host *h, const char *name, unsigned int what,
		   const struct disk_add *set, host_done_fn done, void *ctx);

/* The swapcache daemon, over all disks. Sizes in bytes. */
struct swapcache_stats {
	char state[16];			/* "writing", "cleaning", "off", "stopped" */
	char burst[16];			/* "bursting", "recovering" */
	uint64_t knob[SWAPCACHE_KNOBS]; /* curburst: 0 if it is below */
	uint64_t swap_max;   /* swap that may be used for it, of which maxswappct percent are */
	uint64_t used;	     /* swap that it has */
	uint64_t cached;     /* of images, valid */
	uint64_t read_bytes; /* asked of images that have a cache */
	uint64_t hit_bytes;  /* of these, came from swap */
	uint64_t reads, saved_reads;	    /* requests; that needed nothing of the image */
	uint64_t put, cleaned, invalidated; /* bytes */
	uint64_t read_errors, checksum_errors, write_errors;
	uint64_t passes;
};

/* Of one swap device. Sizes in bytes. */
struct wear_stats {
	char path[SWAP_PATH_MAX + 1];
	uint64_t endurance; /* bytes a day; 0: no budget */
	uint64_t written_1d, written_7d, written_28d;
	uint64_t left;	   /* that may be written now; UINT64_MAX: no budget */
	uint32_t tightest; /* days, 1, 7 or 28; 0: no budget */
};

void host_swapcache_stats(struct host *h, struct swapcache_stats *out);
size_t host_wear_stats(struct host *h, struct wear_stats *out, size_t max);
/* Set knobs: bit k of what: knob k, to value[k]. All or, with an error, none.
 * => 0, or -EINVAL and e */
int must_check host_swapcache_set(struct host *h, uint32_t what,
				  const uint64_t value[SWAPCACHE_KNOBS], struct err *e);

void host_get_paging(struct host *h, struct paging_limits *out);
/* => 0, or -EINVAL and e: out of the ranges above; nothing is changed then */
int must_check host_set_paging(struct host *h, const struct paging_limits *limits,
			       struct err *e);

/* fn is called for each event from now on; one at most, NULL for none. */
void host_on_event(struct host *h, host_event_fn fn, void *arg);

/* Guests in the order of attachment. => how many there are; fills at most max */
size_t host_guest_stats(struct host *h, struct guest_stats *out, size_t max);
/* => 0 or -ENOENT */
int must_check host_guest_stats_one(struct host *h, const char *name, struct guest_stats *out);
/*
 * A picture of its RAM in at most `cells` cells, 1 to GUEST_MAP_CELLS_MAX, of equal size.
 * Those who ask at the same time are served one after the other.
 * => done with a map that is valid during the call only; or with e->code: -ENOENT, -EBUSY it
 *    waits, -ESRCH it has ended meanwhile, -ENOMEM
 */
typedef void (*host_map_fn)(void *ctx, const struct guest_map *map, const struct err *e);
void host_guest_map(struct host *h, const char *name, uint32_t cells, host_map_fn done,
		    void *ctx);
/* => 0 or -ENOENT */
int must_check host_guest_latency(struct host *h, const char *name, struct latency_stats *out);
/*
 * The swap devices that hold something of the guest: pages that are on swap, clean copies, and
 * blocks that are being written, or that a write may still reach.  Not its disks' images.
 * => how many there are, 0 for an unknown guest too; fills at most max
 */
size_t host_guest_swap(struct host *h, const char *name, struct guest_swap *out, size_t max);
size_t host_swap_stats(struct host *h, struct swap_stats *out, size_t max);
void host_totals(struct host *h, struct host_stats *out);

/*
 * Have the keeper, and this process with it, replaced by what is installed now.
 * => done with -errno: why not.  If it succeeds nobody is there to call done
 */
void host_reexec(struct host *h, host_done_fn done, void *ctx);
void host_daemon(struct host *h, struct host_daemon *out);

#endif
