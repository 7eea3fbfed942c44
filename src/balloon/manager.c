/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A guest is known here from its admission or its attachment on, whichever comes first, until
 * it has ended, was detached, or was released.  What people have said of it, its terms and
 * where its monitor is, stands in the roster, a file of the run directory that is replaced
 * at each change; so another pager goes on with it.  Everything else is seen anew.
 *
 * An entry that was attached waits for the host to say that the guest is served again.  When
 * the host has adopted all that there were and does not know it, it has ended meanwhile.
 */
#include "balloon/manager_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/meminfo.h"

/* --- guests ------------------------------------------------------------------- */

struct managed *managed_find(struct manager *m, const char *name)
{
	struct managed *g = m->guests;

	while (g && strcmp(g->r.name, name) != 0)
		g = g->next;
	return g;
}

struct managed *managed_add(struct manager *m, const char *name)
{
	struct managed *g = calloc(1, sizeof(*g)), **end = &m->guests;

	if (!g)
		return NULL;
	g->manager = m;
	g->granted = UINT64_MAX;
	snprintf(g->r.name, sizeof(g->r.name), "%s", name);
	while (*end)
		end = &(*end)->next;
	*end = g;
	m->nguests++;
	return g;
}

static void unpromise(struct managed *g)
{
	struct err e;

	if (g->r.promised > 0 && host_promise(g->manager->host, g->r.name, 0, &e) < 0)
		log_err("guest %s: its promise of swap cannot be taken back: %s", g->r.name,
			e.text);
	g->r.promised = 0;
}

void managed_drop(struct managed *g)
{
	struct manager *m = g->manager;
	struct managed **at = &m->guests;

	unpromise(g);
	if (g->r.admitted) {
		struct host_event event = { .name = "GUEST_RELEASED",
					    .field = {
						    { .key = "guest", .text = g->r.name } } };

		host_tell(m->host, &event);
	}
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	m->nguests--;
	if (!g->monitor || !g->r.ballooned || monitor_state(g->monitor) != MONITOR_UP) {
		monitor_destroy(g->monitor);
		free(g);
		return;
	}
	/* Nobody else would give its memory back to it. */
	monitor_set_ram(g->monitor, g->view.size);
	g->parting = true;
	g->parting_until = clock_ns() + PARTING_NS;
	g->next = m->parting;
	m->parting = g;
}

void manager_part(struct manager *m, uint64_t now)
{
	struct managed **at = &m->parting, *g;

	while ((g = *at)) {
		struct monitor_figures f;

		monitor_figures(g->monitor, &f);
		if (now < g->parting_until && monitor_state(g->monitor) == MONITOR_UP &&
		    f.actual < g->view.size) {
			monitor_poll(g->monitor, STATS_SECONDS);
			at = &g->next;
			continue;
		}
		*at = g->next;
		monitor_destroy(g->monitor);
		free(g);
	}
}

/* Has somebody, by now or in a moment, still to be given its memory back? */
static bool owes(const struct manager *m)
{
	const struct managed *g = m->guests;

	while (g && !(g->r.ballooned && g->monitor))
		g = g->next;
	return g || m->parting;
}

bool manager_ends(struct manager *m, uint64_t now)
{
	if (!m->end_by)
		return false;
	if (!owes(m) || now >= m->end_by)
		loop_stop(m->loop);
	return true;
}

void manager_give_back(struct manager *m)
{
	if (!owes(m))
		return;
	m->end_by = clock_ns() + END_NS;
	(void)loop_run(m->loop);
}

uint64_t managed_memory(const struct managed *g)
{
	return g->serving && g->stats.size ? g->stats.size : g->r.terms.memory;
}

uint64_t managed_shares(const struct managed *g)
{
	uint64_t mib = managed_memory(g) >> 20;

	if (g->r.terms.shares)
		return g->r.terms.shares;
	return (mib ? mib : 1) * SHARES_PER_MIB;
}

uint64_t manager_reserved(const struct manager *m, const struct managed *but)
{
	uint64_t sum = 0;

	for (const struct managed *g = m->guests; g; g = g->next)
		if (g != but)
			sum += g->r.terms.reservation;
	return sum;
}

void manager_admission(struct manager *m, const struct managed *but, struct admission_host *out)
{
	uint64_t promised;

	*out = (struct admission_host){ .budget = m->conf.budget,
					.total = m->total,
					.reserved = manager_reserved(m, but),
					.low = m->conf.budget && m->h.level == ARBITER_LOW };
	host_promised(m->host, &promised, &out->swap);
	if (but)
		out->swap += but->r.promised;
}

void manager_tell_admitted(const struct managed *g)
{
	struct host_event event = {
		.name = "GUEST_ADMITTED",
		.field = { { .key = "guest", .text = g->r.name },
			   { .key = "memory", .number = g->r.terms.memory },
			   { .key = "reservation", .number = g->r.terms.reservation },
			   { .key = "promised-swap", .number = g->r.promised } }
	};

	host_tell(g->manager->host, &event);
}

/* --- monitors ------------------------------------------------------------------ */

/* It matters for how a guest is treated, so people should know when and why. */
static void monitor_changed(void *arg)
{
	struct managed *g = arg;
	enum monitor_state state = monitor_state(g->monitor);

	if (state == g->monitor_told || g->parting)
		return;
	if (state == MONITOR_LOST)
		log_warn("guest %s: its monitor is lost, it is paged instead of ballooned: %s",
			 g->r.name, monitor_why(g->monitor));
	else if (state == MONITOR_UP)
		log_info("guest %s: its monitor answers", g->r.name);
	if (state != MONITOR_CONNECTING)
		g->monitor_told = state;
}

static void dumped(void *ctx, const struct err *e)
{
	(void)ctx;
	if (e->code)
		log_err("the dump of a guest that has panicked: %s", e->text);
	else
		log_info("the guest that has panicked was dumped%s%s", e->text[0] ? ": " : "",
			 e->text);
}

static void panicked(void *arg)
{
	struct managed *g = arg;
	struct dump_stats dump;
	uint64_t now = clock_ns();

	/* a guest can say so as often as it likes */
	if (g->parting || (g->panicked_at && now - g->panicked_at < PANIC_NS))
		return;
	g->panicked_at = now;
	host_dump_stats(g->manager->host, &dump);
	log_warn("guest %s: its kernel has panicked%s", g->r.name,
		 dump.path[0] ? ", it is dumped" : "");
	if (dump.path[0])
		host_guest_dump(g->manager->host, g->r.name, dumped, NULL);
}

int managed_watch(struct managed *g, struct err *e)
{
	struct manager *m = g->manager;
	struct monitor_ops ops = { .changed = monitor_changed, .panicked = panicked, .arg = g };
	struct monitor *old = g->monitor;

	g->monitor = NULL;
	monitor_destroy(old);
	g->balloon = (struct balloon){ 0 };
	g->view = (struct balloon_view){ 0 };
	g->monitor_told = MONITOR_CONNECTING;
	if (!g->serving)
		return 0;
	if (g->r.qmp[0]) {
		g->monitor = monitor_qmp(m->loop, g->r.qmp,
					 g->r.balloon[0] ? g->r.balloon : NULL, &ops);
		if (!g->monitor)
			return err_set(e, -errno, "guest %s: cannot watch its monitor: %s",
				       g->r.name, strerror(errno));
	} else if (g->r.domain[0]) {
		g->monitor = monitor_virt(m->loop, m->libvirt_uri[0] ? m->libvirt_uri : NULL,
					  g->r.domain, &ops, e);
		if (!g->monitor)
			return e->code;
	}
	return 0;
}

/* --- the roster ------------------------------------------------------------------ */

int manager_save(struct manager *m, struct err *e)
{
	struct roster_entry *set = calloc(m->nguests + 1, sizeof(*set));
	size_t n = 0;
	int ret;

	if (!set)
		return err_set(e, -ENOMEM, "out of memory");
	for (const struct managed *g = m->guests; g; g = g->next)
		if (!g->attaching || g->r.admitted)
			set[n++] = g->r;
	ret = roster_save(m->dir_fd, &m->conf, set, n);
	free(set);
	if (ret < 0)
		return err_set(e, ret,
			       "the file " ROSTER_FILE " in the run directory cannot be "
			       "written: %s",
			       strerror(-ret));
	return 0;
}

void manager_save_or_tell(struct manager *m)
{
	struct err e;

	if (manager_save(m, &e) < 0)
		log_err("%s", e.text);
}

static int read_roster(struct manager *m, struct err *e)
{
	struct roster_entry *set = NULL;
	int n = roster_read(m->dir_fd, &m->conf, &set), ret = 0;

	if (n < 0)
		return err_set(e, n,
			       "the file " ROSTER_FILE
			       " in the run directory cannot be read (%s): "
			       "remove it, and set budget and guests' terms anew",
			       strerror(-n));
	for (int i = 0; i < n && ret == 0; i++) {
		struct managed *g = managed_add(m, set[i].name);
		struct err told;

		if (!g) {
			ret = err_set(e, -ENOMEM, "out of memory");
			break;
		}
		g->r = set[i];
		if (g->r.promised &&
		    host_promise_again(m->host, g->r.name, g->r.promised, &told) < 0)
			log_err("guest %s: swap was promised to it and is not there any more: "
				"%s",
				g->r.name, told.text);
	}
	free(set);
	return ret;
}

/* --- from the host ----------------------------------------------------------------- */

static void on_guest(void *arg, const char *name, enum host_guest_change change)
{
	struct manager *m = arg;
	struct managed *g = managed_find(m, name);
	struct err e = { 0 };

	if (change == HOST_GUEST_ENDED) {
		if (g && g->r.admitted && !g->r.attached && g->r.promised &&
		    host_promise(m->host, name, g->r.promised, &e) < 0)
			/* with its end its promise has ended, and it is still admitted */
			log_err("guest %s: %s", name, e.text);
		if (!g || !g->r.attached)
			return; /* an attach that failed: who asked for it is told */
		managed_drop(g);
		manager_save_or_tell(m);
		return;
	}
	if (!g)
		g = managed_add(m, name); /* attached before there was a roster */
	if (!g) {
		log_err("guest %s: out of memory, it has no terms", name);
		return;
	}
	g->serving = true;
	g->since = clock_ns();
	if (host_guest_stats_one(m->host, name, &g->stats) < 0)
		g->stats = (struct guest_stats){ 0 };
	if (!g->r.attached && !g->attaching) {
		g->r.attached = true;
		if (!g->r.terms.memory) {
			g->r.terms.memory = g->stats.size;
			g->r.terms.limit = g->stats.limit < g->stats.size ? g->stats.limit : 0;
		}
		manager_save_or_tell(m);
	}
	if (!g->attaching && managed_watch(g, &e) < 0)
		log_warn("%s", e.text);
}

static void on_conf(void *arg, const struct host_conf *conf, struct err *e)
{
	struct manager *m = arg;
	struct arbiter_conf new = { .budget = conf->budget,
				    .tax = conf->tax,
				    .stall_target = conf->stall_target };
	unsigned int what = (conf->given & HOST_CONF_BUDGET ? HOST_SET_BUDGET : 0) |
			    (conf->given & HOST_CONF_TAX ? HOST_SET_TAX : 0) |
			    (conf->given & HOST_CONF_STALL_TARGET ? HOST_SET_STALL_TARGET : 0);

	if (conf->given & HOST_CONF_LIBVIRT_URI)
		snprintf(m->libvirt_uri, sizeof(m->libvirt_uri), "%s", conf->libvirt_uri);
	/* a restart of the pager must not undo what was set by hand since */
	if (conf->reading == m->conf.reading)
		return;
	m->conf.reading = conf->reading;
	(void)!manager_host_set(m, what, &new, e);
}

/* --- begin and end ------------------------------------------------------------------ */

int manager_create(struct loop *l, struct host *h, int dir_fd, struct manager **out,
		   struct err *e)
{
	struct manager *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	m->loop = l;
	m->host = h;
	m->dir_fd = dir_fd;
	m->read_pressure = pressure_memory;
	m->conf.tax = ARBITER_TAX;
	m->conf.stall_target = ARBITER_STALL_TARGET;
	m->total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	ret = read_roster(m, e);
	if (ret == 0) {
		m->tick = loop_every(l, TICK_MS, manager_on_tick, m);
		if (!m->tick)
			ret = err_set(e, -errno, "the arbiter cannot start: %s",
				      strerror(errno));
	}
	if (ret < 0) {
		manager_destroy(m);
		return ret;
	}
	host_on_guest(h, on_guest, m);
	host_on_conf(h, on_conf, m);
	*out = m;
	return 0;
}

void manager_forget(struct manager *m)
{
	if (unlinkat(m->dir_fd, ROSTER_FILE, 0) < 0 && errno != ENOENT)
		log_warn("the file " ROSTER_FILE " in the run directory stays: %s",
			 strerror(errno));
}

void manager_destroy(struct manager *m)
{
	struct managed *g, *next;

	if (!m)
		return;
	host_on_guest(m->host, NULL, NULL);
	host_on_conf(m->host, NULL, NULL);
	if (m->tick)
		loop_remove(m->tick);
	manager_part(m, UINT64_MAX);
	for (g = m->guests; g; g = next) {
		next = g->next;
		monitor_destroy(g->monitor);
		free(g);
	}
	free(m->stats);
	free(m->in);
	free(m);
}
