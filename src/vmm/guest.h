/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One guest, inside the vmm layer.
 *
 * Everything here belongs to the guest's worker, a thread that waits in one
 * io_uring and does all that changes pages.  Other threads talk to it with
 * commands and read its counters.  What of it does what:
 *
 *	worker.c	the thread: start, events, commands, end
 *	ram.c		regions, own mapping, addresses, what the memfd holds
 *	fault.c		faults and REMOVE events
 *	stall.c		faults that wait for long, and for how much of the time
 *	pagein.c	reads from swap
 *	hold.c		pages that our own I/O is done on
 *	blk*.c		disks of the guest that are served
 *	kept.c		clean copies of pages that have come in
 *	blockmap*.c	pages that are copies of blocks of the guest's disks
 *	cachescan.c	what of these the swapcache is given
 *	hands.c		the front hand, zaps, the sample, pages that are pinned
 *	pageout.c	the back hand, clusters, writes to swap
 *	move.c		pages whose block must move to another
 *	dump.c		dumps of its RAM
 *	job.c		guest out, guest in, detach
 *	map.c		a picture of its RAM
 *	replay.c	the working set of a guest that is out
 *	recover.c	what an earlier pager has left
 *	late.c		blocks that a write may still reach
 */
#ifndef DRUM_VMM_GUEST_H
#define DRUM_VMM_GUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hist.h"
#include "base/proto.h"
#include "base/ring.h"
#include "swap/drum.h"
#include "swap/object.h"
#include "vmm/beside.h"
#include "vmm/blockmap.h"
#include "vmm/cachescan.h"
#include "vmm/dump.h"
#include "vmm/hold.h"
#include "vmm/host.h"
#include "vmm/kept.h"
#include "vmm/map.h"
#include "vmm/pages.h"
#include "vmm/pincheck.h"
#include "vmm/readahead.h"
#include "vmm/replay.h"
#include "vmm/sample.h"
#include "vmm/stall.h"
#include "vmm/stallshare.h"
#include "vmm/windows.h"

#define PAGE_SIZE  4096u
#define PAGE_SHIFT 12

#define PAGEINS_MAX  32u /* reads of swap in flight */
#define PAGEIN_PAGES 16u /* pages that one of them moves */
#define PAGEOUTS_MAX 32u /* writes in flight */
#define MOVES_MAX    8u	 /* page-ins that moves may use */
#define DUMPS_MAX    4u	 /* and that a dump may */

#define PAGING_READS_MAX                                                                       \
	24u /* page-ins that are not for a fault; others are kept for those                    \
	     */
#define PARKED_MAX 256u

#define SAMPLE_MAX (PROTO_RANGES_MAX * SAMPLE_PAGES) /* pages a second: one zap */

#define LIMIT_MIN_PAGES 256u /* 1 MiB: less cannot even hold a read and its read-ahead */

/* A memfd and its place in the page index space; starts at whole windows. */
struct region {
	int fd;
	ino_t ino;	/* of fd */
	uint64_t first; /* page index */
	uint64_t pages;
};

struct mapper_range {
	uint64_t start, len; /* there, bytes */
	uint64_t page;	     /* index of its first page */
};

/* A process that maps the RAM. */
struct mapper {
	struct ring_op poll;
	struct guest *guest;
	bool used, readable;
	uint32_t id;
	pid_t pid;
	int uffd;
	uint32_t nranges;
	struct mapper_range range[PROTO_RANGES_MAX];
};

/* A fault that could not be served yet. */
struct parked {
	uint64_t addr;
	uint64_t since; /* ns */
	uint8_t mapper;
	uint8_t why; /* enum stall_why */
	bool write;  /* it is about to change the page */
	pid_t tid;   /* who waits, or 0 */
};

struct pagein {
	struct swap_io io;
	struct guest *guest;
	bool busy, filled;   /* filled: read, and being put in place */
	enum drum_move move; /* DRUM_STAY: it is a page-in, nothing else */
	bool writing;	     /* filled, and being written to `to` */
	bool dump;	     /* for a dump: its pages stay on swap */
	bool held;	     /* a hold waits for it */
	bool lost;	     /* its block has two owners: it is not read */
	uint8_t why;	     /* enum stall_why: filled, and not put in place */
	uint8_t map;	     /* 1 + mapper that gets it mapped untouched, or 0 */
	uint64_t marker;     /* but not this page */
	uint64_t begun;	     /* ns */
	bool alone;	     /* no write was in flight then */
	drum_addr to;
	uint64_t page; /* first; pages page .. page+n-1 are reading */
	uint32_t n;
	uint32_t placed, discarded;	/* bit k: page + k */
	uint32_t dirty;			/* who waits is about to write */
	uint16_t waiters[PAGEIN_PAGES]; /* bit m: mapper m waits for page + k */
	uint64_t since[PAGEIN_PAGES];	/* ns, of the first that waits */
	drum_addr addr;
	uint32_t tries;
	uint64_t retry_at; /* ns; 0: no retry is due */
	uint64_t failing;  /* ns, since when; 0: it has not failed */
	uint8_t *buf;	   /* PAGEIN_PAGES pages */
};

/* Why pages are evicted. */
enum evict_why { EVICT_LIMIT, EVICT_GRANT, EVICT_COLD, EVICT_OUT, EVICT_WHYS };

struct pageout {
	struct swap_io io;
	struct guest *guest;
	bool busy;
	uint32_t n;
	uint32_t single; /* page by page after an error: this one; else n */
	drum_addr addr;
	bool plain; /* pages that another device has refused */
	enum evict_why why;
	uint32_t failures;		   /* in a row */
	uint64_t page[SWAP_IO_BLOCKS_MAX]; /* page[k] goes to addr + k */
};

/* For all guests; set by the control thread. */
struct paging {		       /* [a] each */
	uint32_t cluster;      /* pages that one write moves */
	uint32_t depth;	       /* writes in flight for each guest */
	uint32_t total_writes; /* and for all */
	uint32_t reads;	       /* reads ahead of need in flight for each guest */
	uint64_t give_up;      /* ns: a page that cannot be read for so long is poisoned */
	uint64_t stall_after;  /* ns: a fault that waits for so long is told */
	uint32_t sample;       /* pages looked at each second whether they are used; 0: off */
	uint32_t writes;       /* in flight now */
	uint64_t kept;	       /* blocks that hold clean copies, of all guests */
	struct swblock_zone zone;
	struct swapcached *swapcached; /* [I] NULL: there is none */
	struct pincheck *pincheck;     /* [I] NULL: there is none, and no VMM that needs it */
};

enum guest_event {
	GUEST_EVENT_POISONED, /* a page cannot be read, who touches it gets SIGBUS */
};

struct span {
	uint64_t page, n;
};

/* The zap that the keeper is doing, at most one. */
struct zap {
	bool busy;
	uint32_t seq;
	uint64_t since; /* ns */
	uint32_t nspans;
	struct span span[PROTO_RANGES_MAX];
	uint32_t nunits; /* of the sample, when it is for that; else 0 */
	uint32_t unit[PROTO_RANGES_MAX];
};

/* What the front hand gathers for the next zap, over many steps. */
struct sweep {
	bool going;
	bool out;	 /* for `guest out` */
	bool cold;	 /* for what is taken besides: hot windows stay passed over */
	bool first;	 /* time round; the next ones say nothing of what is there */
	uint64_t passed; /* pages, in this round */
	uint64_t turns;	 /* least that a window was passed over further; or UINT64_MAX */
	uint64_t taken;	 /* pages, cold ones counted less */
	uint32_t nspans;
	struct span span[PROTO_RANGES_MAX];
};

/* Pages to be taken that the limit does not ask for. */
struct take {
	uint64_t left;	     /* 0: none */
	uint64_t from, upto; /* ns: not before, and not any more */
	bool no_more;	     /* the front hand finds no more that is cold */
};

/* Blocks that hold nothing and that a write may still reach: late.c. */
struct late {
	uint64_t until[OBJECT_LATES]; /* ns; 0: not in use */
	uint64_t next;		      /* ns, the first of them; 0: none */
	unsigned int last;	      /* noted last */
};

enum command_type {
	CMD_LIMIT,
	CMD_OUT,
	CMD_IN,
	CMD_DUMP,
	CMD_MAP,
	CMD_DETACH,
	CMD_LEAVE,
	CMD_CANCEL,	 /* of: the ctx of the command to end early */
	CMD_DISK,	 /* disk: its front end is this guest's VMM; serve it */
	CMD_DISK_RESIZE, /* disk: its image has grown */
	CMD_CONTESTED	 /* value: another guest has this drum address too */
};

/* From the control thread to a worker, and back when it is done. */
struct command {
	struct command *next;
	struct guest *guest;
	enum command_type type;
	uint64_t value;
	struct dump_order *order; /* CMD_DUMP */
	struct map_order *map;	  /* CMD_MAP */
	struct disk *disk;	  /* CMD_DISK, CMD_DISK_RESIZE */
	const void *of;		  /* CMD_CANCEL */
	struct err err;
	host_done_fn done;
	void *ctx;
};

/*
 * What the control thread wants and no one waits for: the latest of it, so that it never
 * piles up, and needs no memory.
 */
struct guest_wish {
	bool granted;	      /* grant and take are new */
	uint64_t grant, take; /* pages */
	bool set_vcpus;	      /* vcpus is new */
	struct stallshare_vcpus *vcpus;
	struct stallshare_vcpus *old; /* to be freed by the control thread */
};

/* What the worker needs from above; called on the worker's thread. */
struct guest_ops {
	/* cmd is done, err filled in; it belongs to the callee */
	void (*completed)(void *arg, struct command *cmd);
	/* the guest serves faults (e->code 0) or never will; once */
	void (*serving)(void *arg, struct guest *g, const struct err *e);
	/* the thread is about to end: guest_free it */
	void (*ended)(void *arg, struct guest *g);
	void (*event)(void *arg, struct guest *g, enum guest_event event, uint64_t page,
		      drum_addr a);
	/* it is no longer managed, or cannot be served: g->why tells */
	void (*quarantined)(void *arg, struct guest *g);
	/* recovery: somebody else has the block, and should look */
	void (*contested)(void *arg, struct guest *g, drum_addr a);
	/* the connection of a disk is over, and all that was in flight: it is the control
	 * thread's again; e says why, code 0: the peer has closed it */
	void (*disk_over)(void *arg, struct guest *g, struct disk *d, const struct err *e);
	/* a fault waits for long, or that is over; s is valid during the call only */
	void (*stalled)(void *arg, struct guest *g, const struct guest_stall *s);
	void *arg;
};

enum guest_state {
	GUEST_STARTING,
	GUEST_RUNNING,
	GUEST_DETACHING,
	GUEST_QUARANTINED, /* it is paged in and let go */
	GUEST_WAITING,	   /* adopted, and its state cannot be established */
	GUEST_GONE
};

/* What has become of a guest whose worker ends, if it is not left. */
enum guest_end {
	GUEST_END_GONE,	       /* its VMM has ended */
	GUEST_END_DETACHED,    /* that was asked for */
	GUEST_END_QUARANTINED, /* it was quarantined, and is paged in and let go now */
};

enum job { JOB_NONE, JOB_OUT, JOB_IN, JOB_DUMP, JOB_DETACH, JOB_LEAVE, JOB_BURY };

struct guest_counters {		      /* [a] written by the worker */
	uint64_t faults[PAGE_STATES]; /* by the state that the page was in */
	uint64_t pages_in, pages_out, pages_zero, pages_discarded;
	uint64_t read_errors, write_errors;
	uint64_t pages_clean; /* left without a write */
	uint64_t pages_moved, poisoned;
	uint64_t pages_replayed; /* of pages_in, and reads that fail: of the working set */
	uint64_t zaps;
	uint64_t refaults, refaults_1s; /* swapped, within a minute and a second of eviction */
	uint64_t pin_checks, pin_check_ns; /* pages looked at, and what that took */
	uint64_t evicted[EVICT_WHYS];	   /* pages: of pages_out and pages_clean */
};

struct guest {
	char name[GUEST_NAME_MAX + 1]; /* [I] */
	pid_t pid;		       /* [I] */
	bool adopted;		       /* [I] attached by an earlier pager */
	const struct guest_ops *ops;   /* [I] */
	struct drum *drum;	       /* [I] */
	struct drum_share *share;      /* [I] its swap; NULL: nothing can be promised */
	struct paging *paging;	       /* [I] of all guests */
	int dev_uffd, dir_fd;	       /* [I] the host's */
	void *slot;		       /* the host's */
	struct guest *next;	       /* the host's list */
	bool waits, reported;	       /* the host's: counted as waiting; serves, or not */
	bool told_serving;	       /* the host's: and the arbiter has heard of it */
	bool left; /* the worker has ended, the guest has not: it is the next pager's */
	enum guest_end end; /* the worker's, until it has ended: if it is not left */

	pthread_t thread;
	struct ring *ring;
	enum guest_state state; /* [a] */
	bool ended;
	char why[ERR_TEXT_MAX]; /* [I] once QUARANTINED or WAITING */

	struct region region[PROTO_MEMFDS_MAX];
	unsigned int nregions;
	uint64_t npages;	  /* [I] once running */
	uint64_t probe, probe_at; /* ram_registered: page, and ns of the next time */
	struct span bare;	  /* a zap of the VMM's that is to be looked at again */
	uint64_t bare_at;	  /* ns, when; 0: none is */
	uint8_t *map;		  /* own mapping of page 0 .. npages-1, guarded */
	int guard_fd;
	int swap_fd; /* the object's file */
	struct pages pages;
	int pin_slot; /* of the pin check; -1: none */
	struct object *object;
	struct kept kept;
	struct blockmap blockmap;
	struct cachescan cachescan;

	struct mapper mapper[PROTO_MAPPERS_MAX];
	int chan;
	struct ring_op chan_poll;
	bool chan_readable;

	struct parked parked[PARKED_MAX];
	unsigned int nparked;
	bool parked_lost; /* some were dropped: wake all later */
	bool again;	  /* something got -EAGAIN: come back soon */
	struct pagein pagein[PAGEINS_MAX];
	uint8_t *pagein_buf;
	struct readahead readahead;
	struct holds holds;
	struct blk *blks; /* disks that it has */

	uint64_t max;	    /* [a] pages: the admin's limit */
	uint64_t grant;	    /* pages: the arbiter's; UINT64_MAX: none */
	uint64_t limit;	    /* [a] pages: the lesser, by which page-out goes */
	bool limit_unsaved; /* the keeper's channel was full */
	struct take take;
	bool ever_taken;	  /* something was to be */
	enum evict_why evict_why; /* of what the back hand takes just now */
	uint64_t ceiling;	  /* pages; from here on faults wait for page-out */
	uint64_t front, back;	  /* the hands: page indices */
	struct windows windows;
	struct sweep sweep;
	struct zap zap;
	struct sample sample;
	uint64_t sample_at, look_at; /* ns: next zap for it, next look for what has ended */
	struct pageout pageout[PAGEOUTS_MAX];
	struct beside beside;
	bool swap_full;	     /* the last allocation found nothing */
	bool swap_rests;     /* because writes have failed; it is tried again */
	bool refused_all;    /* no device has taken what the last cluster held */
	bool no_victim;	     /* the last sweep found nothing to zap */
	uint64_t vain;	     /* pages that the front hand has passed since one was taken */
	bool more;	     /* page-out has more to do at once */
	uint64_t idle_until; /* ns: page-out need not try before */

	uint64_t move_next; /* page from which on the search for pages to move goes on */
	uint64_t move_at;   /* ns: it need not before */
	bool move_found;    /* in this pass */
	uint64_t no_room;   /* [a] moves that found no room, since nothing was moved */
	uint64_t no_read;   /* [a] moves whose page could not be read, likewise */

	uint64_t found;	     /* [a] pages on swap, of an adopted guest */
	bool any_lost;	     /* some word has SWB_LOST */
	bool recovered;	     /* every block of an adopted guest is claimed */
	uint64_t held_until; /* ns, of reserved|held words; 0: there are none */
	struct late late;

	enum job job;
	bool busy;		  /* [a] it has one */
	struct command *job_cmd;  /* NULL: nobody waits */
	struct command *end_cmds; /* answered when the thread ends */
	uint64_t job_left;	  /* pages that the front hand must still pass */
	uint64_t job_pinned;	  /* ns, since when all that is left is pinned; 0: it is not */
	uint64_t job_next;	  /* where `guest in` goes on */
	bool job_told;		  /* that a quarantine waits for memory */
	uint64_t job_todo;	  /* pages still to be moved when that last went down */
	uint64_t job_since;	  /* ns, when it did */
	struct err job_err;

	struct command *maps; /* pictures that are wanted, the first under way */

	struct replay replay;
	uint64_t recorded; /* [a] pages of its working set, when it was last out */

	struct dump *dump;  /* of JOB_DUMP, and until its writes have ended; or NULL */
	uint64_t dump_done; /* [a] bytes */

	int wake_fd; /* [I] eventfd */
	struct ring_op wake_poll;
	pthread_mutex_t cmd_lock;	      /* leaf */
	struct command *cmd_head, **cmd_tail; /* [cmd_lock] */
	struct guest_wish wish;		      /* [cmd_lock] */

	struct stalls stalls;
	struct stallshare stalled;
	struct guest_counters count;
	struct hist fault_hist, zap_hist;
};

static inline void counter_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

/* worker.c */

/*
 * Start a worker; chan is its guest channel, the guest's from now on.
 * limit in bytes, 0: none.
 * => NULL: errno tells, no callback is called
 */
struct guest *must_check guest_start(const char *name, pid_t pid, int chan, bool adopted,
				     uint64_t limit, struct drum *drum,
				     struct drum_share *share, struct paging *paging,
				     int dev_uffd, int dir_fd, const struct guest_ops *ops);
void guest_free(struct guest *g);		       /* after ops.ended */
void guest_post(struct guest *g, struct command *cmd); /* any thread */
/* So many pages may be resident from now on, as far as the limit allows (UINT64_MAX), and
 * `take` besides are to be paged out; 0: what is left of an earlier one goes on. */
void guest_grant(struct guest *g, uint64_t grant, uint64_t take); /* any thread */
/* The worker: do what was wished for since. */
void guest_grant_wish(struct guest *g);
/* v is the guest's from now on. */
void guest_set_vcpus(struct guest *g, struct stallshare_vcpus *v);    /* control thread */
void guest_get_stats(const struct guest *g, struct guest_stats *out); /* any thread */
/* To the keeper. => 0, -EAGAIN: the channel is full, or -EPIPE; never waits */
int must_check guest_send(struct guest *g, struct proto_msg *m);

/* ram.c */

int must_check ram_add_memfd(struct guest *g, int fd, uint64_t bytes, struct err *e);
/* Map the regions, guarded, and learn what is in the memfds. */
int must_check ram_begin(struct guest *g, struct err *e);
int must_check ram_scan(struct guest *g, struct err *e);
void ram_end(struct guest *g);
struct region *ram_region(struct guest *g, uint64_t page);
/* Does the VMM still have its RAM registered, where it is looked at this time? */
bool ram_registered(struct guest *g);
/* Is the page in the memfd? */
bool ram_present(struct guest *g, uint64_t page);
/* Where from page on, below end, the memfd goes on as it begins there: with pages
 * that are in it, or with holes. */
uint64_t ram_extent(struct guest *g, uint64_t page, uint64_t end, bool *data);
/* Take pages out of the memfd. => 0 or -errno; none of them crosses a region */
int must_check ram_punch(struct guest *g, uint64_t page, uint64_t n);
/* Have pages of the memfd where there are holes; they are zero. => 0 or -errno */
int must_check ram_allocate(struct guest *g, uint64_t page, uint64_t n);
/* Put bytes into holes of the memfd, mapped nowhere. => 0 or -errno */
int must_check ram_fill(struct guest *g, uint64_t page, const void *buf, uint64_t n);
/*
 * Which of these pages, in the memfd as far as is known, hold only zeros?
 * Sets bit k of *zero for page[k] that does, of *gone for one that is a hole.
 */
void ram_find_zero(struct guest *g, const uint64_t *page, uint32_t n, uint64_t *zero,
		   uint64_t *gone);
/* Which of these pages are pinned?  They are of one memfd, 64 at most. */
uint64_t ram_pinned(struct guest *g, const uint64_t *page, uint32_t n);

struct mapper *mapper_find(struct guest *g, uint32_t id);
int must_check mapper_add(struct guest *g, const struct proto_msg *m, int uffd, struct err *e);
/* It has mapped the RAM anew; what it had before is not unregistered, since
 * some of it may be the same.  => -EFAULT: it is the VMM, which has no reason to */
int must_check mapper_update(struct guest *g, struct mapper *mp, const struct proto_msg *m,
			     struct err *e);
/* The same while the guest waits: no more is done than to register. */
int must_check mapper_refresh(struct guest *g, struct mapper *mp, const struct proto_msg *m,
			      struct err *e);
void mapper_drop(struct guest *g, struct mapper *mp);
/* => page index of an address there, or UINT64_MAX */
uint64_t mapper_page(const struct mapper *mp, uint64_t addr);
/* => address of a page there, or 0 */
uint64_t mapper_addr(const struct mapper *mp, uint64_t page);
/* Is there no mapping of the page but one?  Then UFFDIO_COPY has woken all. */
bool ram_mapped_once(const struct guest *g, uint64_t page);
/* Wake whoever waits in the pages, in every mapper. */
void ram_wake(struct guest *g, uint64_t page, uint64_t n);
void ram_wake_all(struct guest *g);

/* fault.c */

void fault_events(struct guest *g, struct mapper *mp); /* read and serve what waits */
void fault_retry(struct guest *g);		       /* those that are parked */
/* Map pages that nobody has touched, as far as they are inactive: a fault less for each. */
void fault_map_untouched(struct guest *g, unsigned int m, uint64_t page, uint64_t n);
/* Of a zap that seemed to be none of the guest's giving back: is it? */
void fault_look_again(struct guest *g, uint64_t now);
/* How long the worker may sleep for parked faults' sake: ns. */
uint64_t fault_patience(const struct guest *g, uint64_t now);

/* pagein.c */

int must_check pagein_init(struct guest *g);
void pagein_fini(struct guest *g);
/* The page is swapped and mapper m waits for it, to write to it, or not.
 * => false: no room, park it */
bool pagein_fault(struct guest *g, uint64_t page, unsigned int m, uint64_t since, bool write);
/* The page is being read: wait too. */
void pagein_join(struct guest *g, uint64_t page, unsigned int m, uint64_t since, bool write);
/* Read what a stream asks for, for mapper m, without the first `skip` steps. */
void pagein_ahead(struct guest *g, const struct readahead_ask *ask, uint32_t skip,
		  unsigned int m);
void pagein_discard(struct guest *g, uint64_t page);
/* Read at most n swapped pages from page on. => how many are being read now */
uint32_t pagein_prefetch(struct guest *g, uint64_t page, uint32_t n);
void pagein_retry(struct guest *g, uint64_t now);
/* Begin to move a swapped page, and those after it that lie with it and have to
 * move likewise. => how many, 0: no room for it now */
uint32_t pagein_move(struct guest *g, uint64_t page, enum drum_move move);
/*
 * Of a move: page k of p is at p->to + k now, if `moved` and nobody has touched it
 * meanwhile.  => true: it is, and its old block is free
 */
bool pagein_settle(struct pagein *p, uint32_t k, bool moved);
/* Leave all but the first n pages of p where they are. */
void pagein_trim(struct pagein *p, uint32_t n);
/* Carry on with p, which is filled, as with any page-in: into memory. */
void pagein_place(struct pagein *p);
/* Leave on swap what is not in memory yet and nobody waits for. */
void pagein_leave(struct pagein *p);
/*
 * Begin to read a swapped page and at most max - 1 that follow it for a dump:
 * dump_filled, or dump_unread, and they are swapped again.
 * => how many, 0: no room for it now
 */
uint32_t pagein_dump(struct guest *g, uint64_t page, uint32_t max);
/* Begin to read a swapped page and at most max - 1 that follow it, with the haste of a
 * fault, for a hold: they are inactive then. => how many, 0: no room for it now */
uint32_t pagein_hold(struct guest *g, uint64_t page, uint32_t max);
/* The page is reading: with the haste of a fault from now on. */
void pagein_raise(struct guest *g, uint64_t page);
/* The page is reading: has that failed, to be tried again later? */
bool pagein_is_failing(struct guest *g, uint64_t page);
unsigned int pagein_busy(const struct guest *g);
unsigned int pagein_in_flight(const struct guest *g); /* the device has them */

/* hands.c */

#define HANDS_ZAP_MAX 2048u /* active pages that one zap takes, or a window more */

/* Gather windows with about `want` active pages, from the front hand on, and zap them.  No
 * zap is under way.  Bounded: sets g->more if it is to be called again for that. */
void hands_advance(struct guest *g, uint64_t want);
/* Look at some of the pages whether they are used. */
void hands_sample(struct guest *g, uint64_t now);
void hands_zapped(struct guest *g, const struct proto_msg *m);
/* Do these pages lie in a zap that is under way? */
bool hands_in_zap(const struct guest *g, uint64_t page, uint64_t n);
/* Nothing may be taken for unmapped any more: a new process maps the RAM. */
void hands_forget(struct guest *g);
/* Look which of these are pinned, and mark them. => how many are not, in page */
uint32_t hands_mark_pinned(struct guest *g, uint64_t *page, uint32_t n);
/* Look again at pages that were pinned, from `from` on. => where to go on; bounded */
uint64_t hands_look_again(struct guest *g, uint64_t from, uint64_t to);

/* pageout.c */

void pageout_step(struct guest *g, uint64_t now);
/* May a fault that needs a page wait until page-out has made room? */
bool pageout_over_limit(const struct guest *g);
unsigned int pageout_busy(const struct guest *g);
/* A block whose write has ended with err, and that holds no page: free or bad.  If the
 * write may still be carried out (drum_is_late) it is late_hold's. */
void pageout_drop_block(struct guest *g, drum_addr a, int err);
/* Pages that may still become resident under the limit. */
uint64_t pageout_room(const struct guest *g);
/* And for which page-out need take no others. */
uint64_t pageout_spare(const struct guest *g);
/* The admin's limit, the arbiter's grant, or what is to be taken besides, has changed. */
void pageout_set_max(struct guest *g, uint64_t pages);
void pageout_set_grant(struct guest *g, uint64_t pages);
void pageout_take(struct guest *g, uint64_t pages, uint64_t now);

/* move.c */

void move_step(struct guest *g, uint64_t now);
/* The pages of p, whose blocks have to move, have been read. */
void move_filled(struct pagein *p);

/* recover.c */

/* What the swblocks of an adopted guest say, against what is in the memfds. */
int must_check recover(struct guest *g, struct err *e);
/* Another guest has this block too. */
void recover_contested(struct guest *g, drum_addr a);
/* It waits, and its VMM has ended: what was claimed is free. */
void recover_abandon(struct guest *g);

/* late.c */

/* A block of this guest that holds no page, and that a write may still reach: it is
 * free after DRUM_HOLD_NS. */
void late_hold(struct guest *g, drum_addr a);
void late_step(struct guest *g, uint64_t now);
/* Recovery: the same of a block that was being written, if nobody has it. */
void late_claim(struct guest *g, drum_addr a);
/* Recovery: first claim what was late; when all words have been looked at, make late
 * what an earlier pager's moves were writing to. */
void late_recover(struct guest *g);
void late_recover_intents(struct guest *g);
/* The object's file goes away: the drum holds them. */
void late_bury(struct guest *g);

/* job.c */

void job_command(struct guest *g, struct command *cmd);
void job_step(struct guest *g);
void job_quarantine(struct guest *g, const char *why);
/* Say why it is quarantined, or waits: the first reason stays. */
void job_set_why(struct guest *g, const char *why);
/* All mappers have ended. */
void job_gone(struct guest *g);
/* The keeper has taken all traces away. */
void job_end(struct guest *g);
/* The thread ends without that: answer who still waits. */
void job_abandon(struct guest *g);

#endif
