/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kinds of monitors share: monitor_qmp.c, monitor_virt.c. */
#ifndef DRUM_BALLOON_MONITOR_PRIV_H
#define DRUM_BALLOON_MONITOR_PRIV_H

#include "balloon/monitor.h"
#include "balloon/qmp_client.h"

struct virt_api;

struct monitor_kind {
	void (*destroy)(struct monitor *m);
	void (*poll)(struct monitor *m, uint32_t seconds);
	void (*set_ram)(struct monitor *m, uint64_t bytes);
};

struct monitor { /* each kind's own struct begins with it */
	const struct monitor_kind *kind;
	struct monitor_ops ops;
	enum monitor_state state;
	char why[ERR_TEXT_MAX]; /* of LOST; of UP, what was refused last, or "" */
	struct monitor_figures figures;
	pid_t vcpu[MONITOR_VCPUS_MAX];
	size_t vcpus;
};

/* As monitor_qmp and monitor_virt, with what tests inject; NULL: the default. */
struct monitor *must_check monitor_qmp_with(struct loop *l, const char *socket,
					    const char *balloon, const struct monitor_ops *ops,
					    const struct qmp_client_conf *conf);

struct monitor_virt_conf {
	uint32_t timeout_ms; /* after which a call counts as hanging */
	uint32_t backoff_ms, backoff_max_ms, tick_ms;
	uint64_t (*now)(void);
};
extern const struct monitor_virt_conf monitor_virt_default_conf;

struct monitor *must_check monitor_virt_with(struct loop *l, const char *uri,
					     const char *domain, const struct monitor_ops *ops,
					     const struct virt_api *api,
					     const struct monitor_virt_conf *conf,
					     struct err *e);

/* A thread of libvirt's was started; it may be there for as long as the process. */
extern bool monitor_virt_used;

/* => nothing of m may be used afterwards: it may have been destroyed */
void monitor_changed(struct monitor *m);
void monitor_say(struct monitor *m, const char *what, const char *why); /* into m->why */

/*
 * When a driver told its statistics, on our clock.  told: seconds of the wall clock, as the VMM
 * says; before: the same, of the last look (0: none), at: what this returned then.  Without an
 * earlier look, as old as the wall clock says; after that it is new when it changes, so that a
 * wall clock that is set does no harm.  => ns; 0: never
 */
uint64_t monitor_told_at(uint64_t told, uint64_t before, uint64_t at, uint64_t now);

#endif
