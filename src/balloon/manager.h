/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager: admits guests, watches them and their balloons, asks the arbiter once a second,
 * and does what it says.  Control thread only.  Sizes in bytes, shares of time in millionths.
 *
 * => of all: 0, or -EINVAL, -ENOENT no such guest, -EEXIST, -EBUSY, -ENOSPC it does not fit,
 *    -EAGAIN memory is low, -ENOMEM, -errno, with e
 */
#ifndef DRUM_BALLOON_MANAGER_H
#define DRUM_BALLOON_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "balloon/admission.h"
#include "balloon/arbiter.h"
#include "balloon/psi.h"
#include "balloon/roster.h"
#include "base/err.h"
#include "vmm/host.h"

struct manager;
struct loop;

#define MANAGER_URI_MAX 255

/* => 0, or -errno and e.  The host serves already, or will soon. */
int must_check manager_create(struct loop *l, struct host *h, int dir_fd, struct manager **out,
			      struct err *e);
void manager_destroy(struct manager *m);
/* All guests are let go: run the loop until their balloons have been let go too, 2 s at most.
 */
void manager_give_back(struct manager *m);
/* Nothing is to be known of it by the next one. */
void manager_forget(struct manager *m);

/* What to set: of guest_terms and roster_entry, of arbiter_conf. */
#define GUEST_SET_LIMIT	      (1u << 0)
#define GUEST_SET_RESERVATION (1u << 1)
#define GUEST_SET_SHARES      (1u << 2)
#define GUEST_SET_QMP	      (1u << 3)
#define GUEST_SET_BALLOON     (1u << 4)
#define GUEST_SET_DOMAIN      (1u << 5)

struct guest_settings {
	unsigned int what; /* GUEST_SET_* that are given */
	uint64_t limit, reservation, shares;
	const char *qmp, *balloon, *domain; /* "": none any more */
};

/* Promise a guest that is not there yet what it needs. memory: all its RAM. */
int must_check manager_admit(struct manager *m, const char *name, uint64_t memory,
			     const struct guest_settings *s, struct err *e);

struct manager_admission { /* what manager_admit would decide, and by which figures; bytes */
	bool admitted;
	struct err refusal; /* if it would not be */
	uint64_t memory, reservation;
	uint64_t headroom;	/* most that it could reserve */
	uint64_t promised_swap; /* swap that it would be promised, if it were admitted */
	uint64_t free_swap;	/* that could be promised */
};
/* The same, but nothing is promised, kept or told. */
void manager_admit_dry(struct manager *m, const char *name, uint64_t memory,
		       const struct guest_settings *s, struct manager_admission *out);
/* It does not come after all. => -EBUSY: it is attached */
int must_check manager_release(struct manager *m, const char *name, struct err *e);
/* As host_guest_attach, with settings; those of an admission hold where none is given. */
void manager_attach(struct manager *m, pid_t pid, const char *name,
		    const struct guest_settings *s, host_done_fn done, void *ctx);
void manager_set(struct manager *m, const char *name, const struct guest_settings *s,
		 host_done_fn done, void *ctx);

#define HOST_SET_BUDGET	      (1u << 0)
#define HOST_SET_TAX	      (1u << 1)
#define HOST_SET_STALL_TARGET (1u << 2)
int must_check manager_host_set(struct manager *m, unsigned int what,
				const struct arbiter_conf *conf, struct err *e);

struct manager_guest { /* what is known of a guest beside struct guest_stats */
	char name[GUEST_NAME_MAX + 1];
	bool admitted, attached;
	struct guest_terms terms; /* shares: as they hold */
	uint64_t promised;	  /* bytes of swap */
	uint64_t target, grant, price, next;
	enum arbiter_why why;
	uint64_t active, cold; /* smoothed working set; not touched for 5 minutes */
	uint32_t some[PSI_WINDOWS], full[PSI_WINDOWS];
	bool full_known;  /* which threads are vCPUs */
	char monitor[16]; /* "none", "connecting", "up", "lost" */
	char monitor_why[ERR_TEXT_MAX];
	char qmp[SOCKET_PATH_MAX + 1], domain[GUEST_NAME_MAX + 1];
	char balloon[16]; /* state: "absent", "idle", .. */
	char balloon_why[96];
	uint64_t balloon_size; /* that it has taken */
	bool guest_tells;      /* the next are known */
	uint64_t guest_free, guest_available;
	bool reports_free, deflate_on_oom;
};
/* In the order of admission and attachment. => how many there are; fills at most max */
size_t manager_guests(struct manager *m, struct manager_guest *out, size_t max);
int must_check manager_guest(struct manager *m, const char *name, struct manager_guest *out);

struct manager_stats {
	struct arbiter_conf conf;
	char level[8]; /* "high", "soft", "hard", "low", or "off" */
	uint64_t used, free, price;
	uint64_t total, available; /* RAM of the host */
	uint64_t reserved;	   /* sum of reservations */
	uint64_t admitted;	   /* RAM of all guests that are admitted or attached */
	uint64_t promised;	   /* swap */
	uint64_t swap_free;	   /* that could still be promised */
	uint64_t headroom;	   /* most that a guest could reserve now */
	uint32_t overcommit;	   /* admitted / budget, thousandths; 0: no budget */
	uint64_t rounds, round_ns; /* decided so far; what the last one took */
	/* shares of the last ten seconds, in millionths: how long the host's tasks waited for
	 * memory, if the kernel tells; and how long the guest that waited most waited for
	 * faults: some of its vCPUs, and all */
	bool pressure_known;
	uint32_t pressure_some, pressure_full;
	uint32_t stall_some, stall_full;
};
void manager_stats(struct manager *m, struct manager_stats *out);

/*
 * Why the guest has what it has, in sentences: fn is called with each, in order.  topic is one
 * of "has", "price", "evicted", "stalls", "balloon".  => -ENOENT
 */
int must_check manager_explain(struct manager *m, const char *name,
			       void (*fn)(void *arg, const char *topic, const char *text),
			       void *arg, struct err *e);

#endif
