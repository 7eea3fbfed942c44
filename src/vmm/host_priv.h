/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct host, shared by host.c (guests, the keeper, stopping), host_swap.c
 * (swap devices on, and changed), host_off.c (off), host_show.c (figures and
 * events), host_watch.c (workers), host_dump.c (the dump device), host_disk*.c (disks),
 * host_front.c (who is connected to them), host_cache.c (the swapcache), host_promise.c (swap
 * that is promised), host_grant.c (the arbiter) and host_figures.c (figures of guests).
 * The control thread's, except what says otherwise.
 */
#ifndef DRUM_VMM_HOST_PRIV_H
#define DRUM_VMM_HOST_PRIV_H

#include <pthread.h>

#include "base/proto.h"
#include "swap/drum.h"
#include "vmm/guest.h"
#include "vmm/host.h"
#include "vmm/host_cache.h"
#include "vmm/swapset.h"

/* Something that a caller waits for. */
struct request {
	struct request *next;
	uint32_t seq;
	struct guest *guest; /* attach: once the worker was started */
	host_done_fn done;
	void *ctx;
};

/* One of the two halves of a mirror; others have one. */
struct swap_part {
	char *path;
	uint64_t dev, ino;
	uint64_t bytes;
	bool keeper; /* the keeper holds it open */
	bool there;  /* false: could not be opened again at start */
};

/* A swap device that is on, or was and cannot be opened. */
struct host_swap {
	bool used;
	bool missing;	    /* the drum does not have it */
	unsigned int flags; /* SWAPSET_* */
	int priority;
	uint32_t max_inflight;
	uint64_t max_bandwidth;
	unsigned int nparts;
	struct swap_part part[2];

	/* a half that was replaced, until its last I/O has ended */
	struct swap_device *retired;

	/* being switched off */
	struct request *off;
	uint64_t off_used;  /* blocks in use when that last went down */
	uint64_t off_since; /* ns, when it did */
};

struct host_dump {
	char *path; /* NULL: none is set */
	uint64_t dev, ino;
	int fd;
	struct request *opening; /* of host_dump_set; or NULL */
	bool busy;		 /* a dump is under way */
	uint64_t hold_until;	 /* ns: writes of a dead pager may be on their way */
	host_done_fn done;	 /* of that */
	void *ctx;
	struct dump_order order;
	struct dump_stats last, before; /* what concerns a dump, of the last two */
};

enum report_type {
	REPORT_COMPLETED,
	REPORT_SERVING,
	REPORT_ENDED,
	REPORT_REFUSED,
	REPORT_EVENT,
	REPORT_CONTESTED,
	REPORT_CONNECTED,
	REPORT_DISK
};

struct report {
	struct report *next;
	enum report_type type;
	struct guest *guest;
	struct command *cmd;
	drum_addr addr;						      /* CONTESTED */
	void (*disk)(struct host *h, void *ctx, const struct err *e); /* DISK */
	host_done_fn done;					      /* REFUSED */
	void *ctx;
	struct err err;
	/* EVENT; texts are the report's own */
	const char *event;
	const char *key[HOST_EVENT_FIELDS];
	char text[3][SWAP_PATH_MAX + 1]; /* of key 0 to 2, if not "" */
	uint64_t number[HOST_EVENT_FIELDS];
};

/* Reports that are had from the start, for workers: most of them may be events. */
#define REPORTS	      64
#define REPORTS_EVENT 48

struct swap_plan;
struct host_disk;

struct host {
	struct host_options opt;
	struct host_swap swap[DRUM_DEVICES_MAX + 1]; /* by device number; 0 unused */
	struct swap_plan *plans;		     /* devices that are being opened */
	struct swap_listener listener;
	struct discarder *discarder;
	struct loop_watch *tender;
	bool zone_full;	       /* that there are no swblocks was told */
	uint64_t zone_refused; /* when it was looked at last */
	struct loop_watch *off_timer;
	struct paging paging; /* [a] */
	struct host_cache cache;
	struct host_dump dump;
	struct host_disk *disks; /* in the order of addition */
	struct promise *promises;
	struct loop_watch *disk_timer;
	host_event_fn event;
	void *event_arg;
	host_guest_fn guest_fn;
	void *guest_arg;
	bool conf_known; /* the keeper has sent conf */
	struct host_conf conf;
	host_conf_fn on_conf;
	void *on_conf_arg;
	struct config_request *config_requests;
	struct loop_watch *keeper_watch; /* from host_serve on */
	struct unsent *unsent;

	unsigned int adopting; /* adopted guests that have not reported yet */
	bool adopted_all, unknown, closed;
	bool restart_told;
	unsigned int adopted; /* guests that were handed over; some may wait */
	unsigned int waiting; /* adopted guests that cannot be served */
	struct drum *drum;
	struct guest_ops ops;
	struct guest *guests; /* in the order of attachment */
	struct request *requests;
	uint32_t seq;
	uint64_t paused; /* ns that guests have waited for us, once they do not any more */
	uint64_t since;

	bool stopping, stopped, leave, forgotten;
	unsigned int stop_left; /* guests that have not answered */
	struct err stop_err;

	int report_fd;
	pthread_mutex_t report_lock;		/* leaf */
	struct report *reports, **reports_tail; /* [report_lock] */
	struct report *free_reports;		/* [report_lock] of report[] */
	unsigned int nfree_reports;		/* [report_lock] */
	uint64_t events_lost;			/* [report_lock] not told yet */
	uint64_t events_dropped;		/* [a] all */
	struct report report[REPORTS];
};

/* host.c */

/* From any thread; the report is the control thread's from then on. */
void host_post_report(struct host *h, struct report *r);
/* => NULL: an event, and there are too many that the control thread has not told yet;
 *    it is counted.  Never for other types. */
struct report *host_new_report(struct host *h, enum report_type type);
struct request *host_new_request(struct host *h, host_done_fn done, void *ctx);
void host_end_request(struct host *h, struct request *r, const struct err *e);
struct request *host_find_request(struct host *h, uint32_t seq);
int must_check host_ask_keeper(struct host *h, const struct proto_msg *m);
/* => NULL: there is none */
struct guest *host_find_guest(struct host *h, const char *name);
/* Can a guest, or a disk, have that name? */
bool host_name_ok(const char *name);
/* Have the guest's worker do it; `like` says what, its type and arguments. */
void host_command(struct host *h, const char *name, const struct command *like,
		  host_done_fn done, void *ctx);

/* host_swap.c */

/* The drum, and what the run directory says was on. */
int must_check host_swap_init(struct host *h, struct err *e);
/* Answers of the keeper; fd is taken. */
void host_swap_opened(struct host *h, const struct proto_msg *m, int fd);
/* An NBD server has answered, or has not; ctx is what REPORT_CONNECTED had. */
void host_swap_connected(struct host *h, void *ctx);
/* Of the configuration file. */
void host_swap_add(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx);
/* Every guest has claimed its blocks. */
void host_swap_claimed(struct host *h);
/* Nothing of it is needed after a stop, unless somebody waits for a device. */
void host_swap_forget(struct host *h);
/* => the number of the device that path names, or 0 */
unsigned int host_swap_find(const struct host *h, const char *path);
/* Refuse: path names none. */
void host_swap_unknown(struct host *h, const char *path, host_done_fn done, void *ctx);
/* Write the run directory's list of devices anew. */
void host_swap_save(struct host *h);
/* => false: the half that was replaced still has I/O in flight */
bool host_swap_close_retired(struct host_swap *s);
/* The drum has no device of this number any more. */
void host_swap_gone(struct host *h, unsigned int number);

/* host_off.c */

/* Could `blocks`, in use on the device, go elsewhere?  A guess, so that what cannot be is not
 * begun. */
bool host_off_fits(struct host *h, unsigned int number, uint64_t blocks);

/* host_set.c */

void host_swap_looked(struct host *h, const struct proto_msg *m);
void host_set_paging_from(struct host *h, const struct proto_msg *m, struct err *e);
/* Let free blocks of this device be discarded from now on. */
void host_swap_cannot_discard(const struct swap_device *dev, struct err *e);
int must_check host_swap_discard(struct host *h, unsigned int number, struct err *e);

/* host_conf.c */

/* Of the configuration file: what the arbiter goes by. */
void host_conf_from(struct host *h, const struct proto_msg *m, struct err *e);

/* host_config.c */

/* A message about the configuration, or of what it wants. */
void host_config_from(struct host *h, struct proto_msg *m);

/* host_show.c: events, from any thread; arg is the host */

void host_tell_device(void *arg, struct swap_device *dev, enum swap_event event, int err,
		      const char *text);
void host_tell_swblocks(struct host *h, bool full);
void host_tell_level(void *arg, enum drum_level level);
void host_tell_page(struct host *h, const struct guest *g, enum guest_event event,
		    uint64_t page, drum_addr a);
/* It is quarantined, or waits; g->why tells. */
void host_tell_guest(struct host *h, const struct guest *g);
void host_tell_stall(struct host *h, const struct guest *g, const struct guest_stall *s);
/* All that there were have been taken over; if this pager takes the place of another.  Control
 * thread only. */
void host_tell_restarted(struct host *h);

/* host_grant.c: to host_on_guest's function */

void host_tell_serving(struct host *h, struct guest *g);
void host_tell_ended(struct host *h, const char *name, enum guest_end how);

/* host_promise.c */

/* A worker of that guest begins, is served, has ended; left: the guest has not, and what is
 * promised to it stays so. begin => NULL: no memory */
struct drum_share *must_check host_share_begin(struct host *h, const char *name);
void host_share_served(struct host *h, const char *name);
void host_share_end(struct host *h, const char *name, bool left);
/* Have the drum leave the device, unless a promise would be broken. => 0, or -ENOSPC and e */
int must_check host_promise_off(struct host *h, unsigned int number, struct err *e);

/* host_watch.c */

/* Watch the workers from now on. => false: errno tells */
bool must_check host_watch_init(struct host *h);

/* host_dump.c */

/* What the run directory says was set. => 0, or -EPIPE and e: the keeper is gone */
int must_check host_dump_init(struct host *h, struct err *e);
void host_dump_opened(struct host *h, const struct proto_msg *m, int fd);
/* Of the configuration file. */
void host_dump_add(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx);
void host_dump_forget(struct host *h); /* at a stop */

/* host_disk.c, host_disk_open.c */

/* What the run directory says there was. => 0, or -errno and e */
int must_check host_disk_init(struct host *h, struct err *e);
/* The keeper's answer; descriptors are taken. */
void host_disk_opened(struct host *h, const struct proto_msg *m, const int *fds, int nfds);
/* Of the configuration file. */
void host_disk_add_from(struct host *h, const struct proto_msg *m, host_done_fn done,
			void *ctx);
void host_disk_forget(struct host *h); /* at a stop */

/* host_front.c */

/* Guests have come, gone, or changed: who waits for that? */
void host_front_look(struct host *h);
void host_front_guest_ended(struct host *h, const struct guest *g);
/* Of guest_ops: any thread. */
void host_front_over(void *arg, struct guest *g, struct disk *d, const struct err *e);
/* Has this guest a disk here, or (NULL) any? => -EBUSY and e; 0 */
int must_check host_front_check(const struct host *h, const struct guest *g, struct err *e);

#endif
