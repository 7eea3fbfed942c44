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

#define GUEST_NAME_MAX 63
#define SWAP_PATH_MAX  1023

struct host;
struct loop;

/* e->code is 0 on success; e is valid during the call only. */
typedef void (*host_done_fn)(void *ctx, const struct err *e);

struct guest_stats { /* sizes in bytes, times in nanoseconds */
	char name[GUEST_NAME_MAX + 1];
	char state[16]; /* "attaching", "running", "detaching", "gone", "quarantined" */
	pid_t pid;
	uint32_t mappers;  /* processes that map the RAM, pid among them */
	uint64_t size;	   /* all guest RAM */
	uint64_t resident; /* in the memfd: active + inactive + writing */
	uint64_t active, inactive, writing, reading;
	uint64_t swapped;    /* on a swap device only */
	uint64_t zero;	     /* holes: never touched, discarded, or all-zero and dropped */
	uint64_t limit;	     /* most that may be resident; size when there is none */
	uint64_t over_limit; /* resident above limit that could not be taken (swap full, ...) */
	uint64_t faults;     /* served: all of the next five */
	uint64_t faults_hole, faults_inactive, faults_swapped, faults_writing, faults_reading;
	uint64_t fault_p50, fault_p99, fault_max;
	uint64_t pages_in, pages_out; /* pages read from and written to swap */
	uint64_t pages_zero;	      /* pages found all-zero at page-out and dropped */
	uint64_t pages_discarded;     /* pages that the guest gave back (REMOVE) */
	uint64_t zaps;		      /* ptrace stops */
	uint64_t zap_p50, zap_max;
	uint64_t read_errors, write_errors;
};

struct swap_stats { /* sizes in bytes */
	char path[SWAP_PATH_MAX + 1];
	char type[12]; /* "file", "block" */
	int priority;
	uint64_t size, used, bad, inflight;
	uint64_t reads, writes; /* I/O requests done */
	uint64_t read_bytes, write_bytes;
	uint64_t read_errors, write_errors;
};

struct host_stats { /* sums over guests and devices */
	uint32_t guests, swap_devices;
	uint64_t size, resident, swapped, zero;
	uint64_t swap_size, swap_used;
	uint64_t faults, pages_in, pages_out, pages_zero, pages_discarded;
	uint64_t read_errors, write_errors;
	uint64_t uptime;
};

/* What the pager's main hands over; descriptors stay the caller's. */
struct host_options {
	struct loop *loop;
	int keeper;   /* main channel */
	int dev_uffd; /* of /dev/userfaultfd, or -1 */
	int dir_fd;   /* the run directory */
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
void host_swap_on(struct host *h, const char *path, int priority, host_done_fn done, void *ctx);

/* Guests in the order of attachment. => how many there are; fills at most max */
size_t host_guest_stats(struct host *h, struct guest_stats *out, size_t max);
/* => 0 or -ENOENT */
int must_check host_guest_stats_one(struct host *h, const char *name, struct guest_stats *out);
size_t host_swap_stats(struct host *h, struct swap_stats *out, size_t max);
void host_totals(struct host *h, struct host_stats *out);

#endif
