/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct manager, shared by manager.c (guests come and go, the roster), manager_set.c (what
 * people ask for), manager_round.c (look, decide, do), manager_pressure.c (the
 * host's), manager_show.c (figures) and manager_explain.c (sentences).  The control thread's.
 */
#ifndef DRUM_BALLOON_MANAGER_PRIV_H
#define DRUM_BALLOON_MANAGER_PRIV_H

#include "balloon/balloon.h"
#include "balloon/manager.h"
#include "balloon/monitor.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/pressure.h"

#define TICK_MS	      250u
#define ROUND_NS      NSEC_PER_SEC	  /* between rounds, if nobody is pressed */
#define RECENT_NS     (60 * NSEC_PER_SEC) /* "the last minute" of explain: one to two */
#define END_NS	      (2 * NSEC_PER_SEC)  /* that a stop waits for balloons */
#define STATS_SECONDS 2u		  /* how often guests' drivers tell */
#define GUESS_NS      (20 * NSEC_PER_SEC) /* since a guest is served, until samples say enough */
#define MINUTE_NS     (90 * NSEC_PER_SEC) /* and those of a minute */
#define PARTING_NS    (10 * NSEC_PER_SEC) /* for a balloon to give back what it has */
#define PANIC_NS      (60 * NSEC_PER_SEC) /* between two panics of a guest that are heeded */

/* Counters of a guest at some time. */
struct past {
	uint64_t at; /* ns; 0: never */
	uint64_t limit, grant, cold, out;
	uint64_t stall_some, stall_for[HOST_STALLS];
};

/* A guest that is admitted, attached, or both. */
struct managed {
	struct managed *next; /* in the order of admission and attachment */
	struct manager *manager;
	struct roster_entry r;
	bool attaching;		 /* manager_attach has not answered yet */
	bool serving;		 /* the host has said so */
	uint64_t since;		 /* ns, when */
	struct monitor *monitor; /* NULL: none is given, or it is not served yet */
	bool parting;		 /* it is among those of manager.parting */
	uint64_t parting_until;	 /* ns */
	uint64_t panicked_at;	 /* ns; 0: never */
	enum monitor_state monitor_told;
	struct balloon balloon;
	enum balloon_state balloon_told;
	struct balloon_view view; /* of the last round */
	uint64_t want;		  /* RAM that its balloon should leave it, likewise */
	uint32_t vcpus;		  /* that were told to the host */
	pid_t vcpu[MONITOR_VCPUS_MAX];
	struct psi some, full;
	struct guest_stats stats; /* of the last round */
	struct arbiter_guest a;	  /* likewise */
	uint64_t granted;	  /* as told to the host last; UINT64_MAX: nothing was */
	uint64_t told_target;	  /* in the last event */
	enum arbiter_why told_why;
	struct past past[2]; /* the last whole minute began, and the one before */
};

/* How long tasks of the host wait for memory. */
enum host_pressure { HOST_PRESSURE_LOW, HOST_PRESSURE_MODERATE, HOST_PRESSURE_CRITICAL };

struct manager {
	struct loop *loop;
	struct host *host;
	int dir_fd;
	struct loop_watch *tick;
	struct arbiter_conf conf;
	char libvirt_uri[MANAGER_URI_MAX + 1]; /* "": libvirt's default */
	struct arbiter_host h;
	enum arbiter_level level_told;
	struct pressure pressure; /* of the last round */
	enum host_pressure pressure_level;
	void (*read_pressure)(struct pressure *out); /* the host's, or a test's */
	bool pressed; /* in the last round somebody was at its grant */
	uint64_t rounds, round_ns, total;
	struct managed *guests;
	/* what is no guest any more, but has a balloon that gives back what we have taken */
	struct managed *parting;
	uint64_t end_by; /* ns: of manager_give_back */
	size_t nguests;
	/* of a round: as many as there is room for */
	struct guest_stats *stats;
	struct arbiter_guest *in;
	size_t room;
};

/* manager.c */

struct managed *managed_find(struct manager *m, const char *name);
/* => NULL: no memory */
struct managed *managed_add(struct manager *m, const char *name);
/* It is neither admitted nor attached any more: its promise is void. */
void managed_drop(struct managed *g);
/* Write the roster. => 0, or -errno and e */
int must_check manager_save(struct manager *m, struct err *e);
/* The same, where nobody waits: a failure is logged. */
void manager_save_or_tell(struct manager *m);
/* Have the monitor that the roster says, if the guest is served. => 0, or -errno and e */
int must_check managed_watch(struct managed *g, struct err *e);
uint64_t managed_shares(const struct managed *g);
/* RAM of the guest, as far as known. */
uint64_t managed_memory(const struct managed *g);
/* Of all, but for `but` (or NULL). */
uint64_t manager_reserved(const struct manager *m, const struct managed *but);
void manager_admission(struct manager *m, const struct managed *but,
		       struct admission_host *out);
void manager_tell_admitted(const struct managed *g);

/* Is it giving back, before it ends?  Then the loop is stopped when that has been done. */
bool manager_ends(struct manager *m, uint64_t now);
/* Look after those that part. */
void manager_part(struct manager *m, uint64_t now);

/* manager_round.c */

void manager_round(struct manager *m, uint64_t now);
void manager_on_tick(void *manager);

/* manager_pressure.c */

const char *manager_pressure_name(enum host_pressure level);
enum host_pressure manager_pressure_level(enum host_pressure was, const struct pressure *p);
/* Look, and tell if that is another level. */
void manager_pressure(struct manager *m);

/* manager_show.c, manager_explain.c */

void managed_figures(const struct managed *g, struct manager_guest *out);
void managed_explain(const struct managed *g,
		     void (*fn)(void *arg, const char *topic, const char *text), void *arg);

#endif
