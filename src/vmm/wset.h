/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The working set of a guest that is out: which pages are to come back first.
 *
 * A bit for each page of RAM, in a file of the run directory that outlives the process; the
 * order is that of the pages.  After REAP (ASPLOS'21), which records what a function touches
 * and reads that at once the next time; here all that is written last lies together on swap,
 * so the order of the pages is that of the device too.
 *
 * It is a hint, and nothing but that.  The file is written as memory is and never synced: a
 * torn one, or one of an earlier `guest out`, names pages that would better not be read, or
 * lacks some.  Whoever reads a page because of it looks at its state first.
 *
 * No allocation but in wset_create and wset_open.  One thread: the worker of the guest.
 */
#ifndef DRUM_VMM_WSET_H
#define DRUM_VMM_WSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WSET_BITS 64u /* pages that are recorded at once */

/* What is to be done with it; kept in the file. */
enum wset_use {
	WSET_NEW,    /* nothing was ever recorded */
	WSET_IDLE,   /* nothing: it is being recorded, or was used */
	WSET_ARMED,  /* a `guest out` has ended, and the guest has not come back */
	WSET_REPLAY, /* it has, and the pages are being read */
};

struct wset_head {
	char magic[8];
	uint64_t pages; /* of RAM */
	uint64_t use;	/* enum wset_use */
	uint64_t since; /* ns of the monotonic clock: the guest has rested since then */
	uint64_t unused[4];
};

struct wset {
	struct wset_head *head; /* NULL: there is none, and nothing is recorded */
	uint64_t *word;
	uint64_t pages;
	size_t bytes;	/* of the file */
	uint64_t count; /* pages that are recorded */
};

/* Make the file anew, for so many pages, all of it in memory.  w is closed, or all zeros.
 * => 0 or -errno, and it stays closed */
int must_check wset_create(struct wset *w, int dir_fd, const char *file, uint64_t pages);
/*
 * The one that is there.  w is all zeros.
 * => 0; -ENOENT: there is none; -EINVAL and e: it is no such file, or for another size; other
 * errors with e
 */
int must_check wset_open(struct wset *w, int dir_fd, const char *file, uint64_t pages,
			 struct err *e);
void wset_close(struct wset *w); /* the file keeps what it holds; also one that is closed */

static inline bool wset_is_open(const struct wset *w)
{
	return w->head != NULL;
}

/* Of one that is closed: nothing is recorded. */
enum wset_use wset_use(const struct wset *w);
uint64_t wset_since(const struct wset *w);
void wset_set_use(struct wset *w, enum wset_use use, uint64_t since);

/* Record the WSET_BITS pages from `page`, a multiple of that, on: bit k is page + k.  What was
 * recorded of them before is returned by wset_get. */
void wset_put(struct wset *w, uint64_t page, uint64_t bits);
uint64_t wset_get(const struct wset *w, uint64_t page);
void wset_add(struct wset *w, uint64_t page);
bool wset_has(const struct wset *w, uint64_t page);

/* => the first recorded page from `page` on, or `to` */
uint64_t wset_next(const struct wset *w, uint64_t page, uint64_t to);
/* => how many pages from `page` on are recorded, `most` at most */
uint32_t wset_run(const struct wset *w, uint64_t page, uint32_t most);

#endif
