/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The share of time in which a guest's vCPUs wait for faults, as PSI's "some" and "full":
 * how long any, and all, of them waited, and for what.
 *
 * Pure arithmetic: threads, pages and times in, nanoseconds out.  Owned by one thread; the
 * sums may be read by any.  After psi.c of Linux.
 */
#ifndef DRUM_VMM_STALLSHARE_H
#define DRUM_VMM_STALLSHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vmm/host.h"

#define STALLSHARE_WAITERS 512u /* threads that are known to wait at once */
#define STALLSHARE_VCPUS   STALLSHARE_WAITERS
#define STALLSHARE_SEEN	   64u			/* threads that are no vCPUs, remembered */
#define STALLSHARE_LOOK_NS UINT64_C(1000000)	/* between looks */
#define STALLSHARE_SEEN_NS UINT64_C(1000000000) /* that what was learnt of a thread holds */

/* The vCPUs' threads, in ascending order, each once. */
struct stallshare_vcpus {
	size_t n;
	pid_t tid[];
};

/* => NULL: there is no memory.  n is at most STALLSHARE_VCPUS; to be freed with free(3) */
struct stallshare_vcpus *must_check stallshare_vcpus(const pid_t *tid, size_t n);

/* Is this a thread of the VMM? */
typedef bool (*stallshare_own_fn)(void *arg, pid_t tid);
/* What does who waits for this page, a fault of thread tid, wait for?  HOST_STALLS: nothing. */
typedef enum host_stall (*stallshare_look_fn)(void *arg, uint64_t page, pid_t tid);

struct stallshare_waiter {
	uint64_t page, since;
	enum host_stall why;
};

struct stallshare {
	stallshare_own_fn own; /* NULL: none is */
	void *own_arg;
	const struct stallshare_vcpus *vcpus; /* NULL or n == 0: they are not known */
	uint32_t nvcpus;		      /* [a] how many there are */

	uint32_t n;		       /* <= STALLSHARE_WAITERS */
	uint32_t oldest;	       /* of them, if n > 0 */
	pid_t tid[STALLSHARE_WAITERS]; /* of waiter k; 0: not known */
	struct stallshare_waiter
		w[STALLSHARE_WAITERS]; /* [n], no two alike: tid, or if 0 page */
	uint64_t upto;		       /* ns: the sums go to here */
	uint64_t look_at;	       /* ns: no look before */

	struct { /* by tid modulo STALLSHARE_SEEN */
		pid_t tid;
		bool own;
		uint64_t until;
	} seen[STALLSHARE_SEEN];

	uint64_t some, full;	  /* [a] ns; full <= some <= time that has passed */
	uint64_t by[HOST_STALLS]; /* [a] ns; their sum is some */
};

/* Other vCPUs from now on; who waits goes on to. */
void stallshare_set_vcpus(struct stallshare *s, const struct stallshare_vcpus *vcpus,
			  uint64_t now);

/*
 * The thread has faulted, and waits since `now`.  What it waited for before is over, unless
 * that is the same page.  tid 0: it is not known.
 */
void stallshare_begin(struct stallshare *s, pid_t tid, uint64_t page, uint64_t now);
/* This is why it still waits there, if it does. */
void stallshare_why(struct stallshare *s, pid_t tid, uint64_t page, enum host_stall why);
/* It goes on. */
void stallshare_end(struct stallshare *s, pid_t tid, uint64_t page, uint64_t now);
/* All who wait for the page go on. */
void stallshare_end_page(struct stallshare *s, uint64_t page, uint64_t now);
/* Does anybody wait for it? */
static inline bool stallshare_waits(const struct stallshare *s, uint64_t page)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->w[i].page == page)
			return true;
	return false;
}

/* Bring the sums up to date, and at times look whether who waits still does, and why. */
void stallshare_step(struct stallshare *s, stallshare_look_fn look, void *arg, uint64_t now);

#endif
