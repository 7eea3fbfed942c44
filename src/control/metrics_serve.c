/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The same structs that queries are answered from are gathered, and for each table of the
 * registry the objects that have its figures: a guest has those of the manager only if that
 * knows it, a device those of wear only if it is noted there, and so on, as in query*.c.
 */
#include "control/metrics_serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "control/http.h"
#include "control/query.h"

struct metrics_server {
	struct http_server *http;
	struct host *host;
	struct manager *manager;
	const struct qmp_server *qmp;
};

enum set {
	SET_GUEST,
	SET_TERMS,
	SET_FULL,
	SET_OWN,
	SET_SWAP,
	SET_WEAR,
	SET_LEFT,
	SET_RAM,
	SET_DISK,
	SET_DISK_GUEST,
	SET_SWAPCACHE,
	SET_HOST,
	SET_OVERCOMMIT,
	SET_PRESSURE,
	SET_TOTALS,
	SET_DAEMON,
	SETS
};

static const struct metrics_set empty[SETS] = {
	[SET_GUEST] = { .rows = guest_figures, .label = "guest" },
	[SET_TERMS] = { .rows = guest_terms_figures, .label = "guest" },
	[SET_FULL] = { .rows = guest_full_figures, .label = "guest" },
	[SET_OWN] = { .rows = guest_own_figures, .label = "guest" },
	[SET_SWAP] = { .rows = swap_figures, .label = "device" },
	[SET_WEAR] = { .rows = swap_wear_figures, .label = "device" },
	[SET_LEFT] = { .rows = swap_left_figures, .label = "device" },
	[SET_RAM] = { .rows = swap_ram_figures, .label = "device" },
	[SET_DISK] = { .rows = disk_figures, .label = "disk" },
	[SET_DISK_GUEST] = { .rows = disk_guest_figures, .label = "disk" },
	[SET_SWAPCACHE] = { .rows = swapcache_figures },
	[SET_HOST] = { .rows = host_figures },
	[SET_OVERCOMMIT] = { .rows = host_overcommit_figures },
	[SET_PRESSURE] = { .rows = host_pressure_figures },
	[SET_TOTALS] = { .rows = totals_figures },
	[SET_DAEMON] = { .rows = daemon_figures },
};

struct gathered {
	struct guest_stats *guest;
	struct manager_guest *terms;
	struct metrics_latency *latency;
	struct metrics_swap *held; /* swap by guest and device */
	struct swap_stats *swap;
	struct wear_stats *wear;
	struct disk_stats *disk;
	size_t guests, nterms, nlatency, nheld, swaps, nwear, disks;
	struct swapcache_stats swapcache;
	struct manager_stats manager;
	struct host_stats totals;
	struct host_daemon daemon;
	struct metrics_set set[SETS];
	struct metrics_object *object; /* of all sets */
	size_t objects;
};

/* A set's objects are added one after the other, before those of the next one. */
static void add(struct gathered *g, enum set set, const char *name, const void *from)
{
	struct metrics_object *o = &g->object[g->objects++];

	*o = (struct metrics_object){ name, from };
	if (g->set[set].n++ == 0)
		g->set[set].object = o;
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* One thread: there are as many as a moment ago, but for wear, which is another's. */
static int ask(struct gathered *g, struct host *h, struct manager *m)
{
	size_t guests = host_guest_stats(h, NULL, 0), terms = manager_guests(m, NULL, 0);
	size_t swaps = host_swap_stats(h, NULL, 0), wear = host_wear_stats(h, NULL, 0);
	size_t disks = host_disk_stats(h, NULL, 0);

	g->guest = calloc(guests + terms + 1, sizeof(*g->guest));
	g->terms = calloc(terms + 1, sizeof(*g->terms));
	g->latency = calloc(guests + 1, sizeof(*g->latency));
	g->swap = calloc(swaps + 1, sizeof(*g->swap));
	g->wear = calloc(wear + 1, sizeof(*g->wear));
	g->disk = calloc(disks + 1, sizeof(*g->disk));
	g->object = calloc(guests + terms * 4 + swaps * 2 + wear * 2 + disks * 2 + SETS,
			   sizeof(*g->object));
	if (!g->guest || !g->terms || !g->latency || !g->swap || !g->wear || !g->disk ||
	    !g->object)
		return -ENOMEM;
	g->guests = min(host_guest_stats(h, g->guest, guests), guests);
	g->nterms = min(manager_guests(m, g->terms, terms), terms);
	g->swaps = min(host_swap_stats(h, g->swap, swaps), swaps);
	g->nwear = min(host_wear_stats(h, g->wear, wear), wear);
	g->disks = min(host_disk_stats(h, g->disk, disks), disks);
	host_swapcache_stats(h, &g->swapcache);
	manager_stats(m, &g->manager);
	host_totals(h, &g->totals);
	host_daemon(h, &g->daemon);
	return 0;
}

static bool is_there(const struct gathered *g, const char *name)
{
	for (size_t i = 0; i < g->guests; i++)
		if (!strcmp(g->guest[i].name, name))
			return true;
	return false;
}

/* => 0 or -ENOMEM */
static int add_held(struct gathered *g, struct host *h)
{
	struct guest_swap *of = calloc(g->swaps + 1, sizeof(*of));

	g->held = calloc(g->guests * g->swaps + 1, sizeof(*g->held));
	for (size_t i = 0; i < g->guests && of && g->held; i++) {
		size_t n = min(host_guest_swap(h, g->guest[i].name, of, g->swaps), g->swaps);

		for (size_t k = 0; k < n; k++)
			g->held[g->nheld++] = (struct metrics_swap){ g->guest[i].name, of[k] };
	}
	free(of);
	return of && g->held ? 0 : -ENOMEM;
}

static void add_guests(struct gathered *g, struct host *h)
{
	size_t attached = g->guests;

	for (size_t i = 0; i < attached; i++) {
		struct metrics_latency *l = &g->latency[g->nlatency];

		l->guest = g->guest[i].name;
		if (host_guest_latency(h, l->guest, &l->stats) == 0)
			g->nlatency++;
	}
	/* as query-guests shows them */
	for (size_t i = 0; i < g->nterms; i++)
		if (g->terms[i].admitted && !g->terms[i].attached &&
		    !is_there(g, g->terms[i].name))
			query_fill_admitted(&g->guest[g->guests++], &g->terms[i]);
	for (size_t i = 0; i < g->guests; i++)
		add(g, SET_GUEST, g->guest[i].name, &g->guest[i]);
	/* one that is neither is about to be, or has just gone */
	for (size_t i = 0; i < g->nterms; i++)
		if (is_there(g, g->terms[i].name))
			add(g, SET_TERMS, g->terms[i].name, &g->terms[i]);
	for (size_t i = 0; i < g->nterms; i++)
		if (g->terms[i].full_known && is_there(g, g->terms[i].name))
			add(g, SET_FULL, g->terms[i].name, &g->terms[i]);
	for (size_t i = 0; i < g->nterms; i++)
		if (g->terms[i].guest_tells && is_there(g, g->terms[i].name))
			add(g, SET_OWN, g->terms[i].name, &g->terms[i]);
}

static void add_swap(struct gathered *g)
{
	for (size_t i = 0; i < g->swaps; i++)
		add(g, SET_SWAP, g->swap[i].path, &g->swap[i]);
	for (size_t i = 0; i < g->nwear; i++)
		add(g, SET_WEAR, g->wear[i].path, &g->wear[i]);
	for (size_t i = 0; i < g->nwear; i++)
		if (g->wear[i].left != UINT64_MAX)
			add(g, SET_LEFT, g->wear[i].path, &g->wear[i]);
	for (size_t i = 0; i < g->swaps; i++)
		if (!strcmp(g->swap[i].type, "ram"))
			add(g, SET_RAM, g->swap[i].path, &g->swap[i]);
}

static void add_others(struct gathered *g)
{
	for (size_t i = 0; i < g->disks; i++)
		add(g, SET_DISK, g->disk[i].name, &g->disk[i]);
	for (size_t i = 0; i < g->disks; i++)
		if (g->disk[i].guest[0])
			add(g, SET_DISK_GUEST, g->disk[i].name, &g->disk[i]);
	add(g, SET_SWAPCACHE, NULL, &g->swapcache);
	add(g, SET_HOST, NULL, &g->manager);
	if (g->manager.conf.budget)
		add(g, SET_OVERCOMMIT, NULL, &g->manager);
	if (g->manager.pressure_known)
		add(g, SET_PRESSURE, NULL, &g->manager);
	add(g, SET_TOTALS, NULL, &g->totals);
	add(g, SET_DAEMON, NULL, &g->daemon);
}

int metrics_collect(struct host *host, struct manager *manager, const struct qmp_server *qmp,
		    enum metrics_format format, char **text, size_t *len)
{
	struct metrics_more more = { .version = drum_version };
	struct gathered *g = calloc(1, sizeof(*g));
	int ret = g ? ask(g, host, manager) : -ENOMEM;

	if (ret == 0)
		ret = add_held(g, host);
	if (ret == 0) {
		memcpy(g->set, empty, sizeof(empty));
		add_guests(g, host);
		add_swap(g);
		add_others(g);
		more.qmp_clients = qmp ? qmp_server_clients(qmp) : 0;
		more.latency = g->latency;
		more.nlatency = g->nlatency;
		more.swap = g->held;
		more.nswap = g->nheld;
		ret = metrics_text(g->set, SETS, &more, format, text, len);
	}
	if (g) {
		free(g->guest);
		free(g->terms);
		free(g->latency);
		free(g->held);
		free(g->swap);
		free(g->wear);
		free(g->disk);
		free(g->object);
	}
	free(g);
	return ret;
}

/* http_text_fn */
static int collect(void *arg, enum metrics_format format, char **text, size_t *len)
{
	struct metrics_server *s = arg;

	return metrics_collect(s->host, s->manager, s->qmp, format, text, len);
}

int metrics_start(struct loop *loop, int listen_fd, struct host *host, struct manager *manager,
		  const struct qmp_server *qmp, struct metrics_server **out, struct err *e)
{
	struct metrics_server *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->host = host;
	s->manager = manager;
	s->qmp = qmp;
	ret = http_start(loop, listen_fd, &http_default_limits, collect, s, &s->http, e);
	if (ret < 0)
		free(s);
	else
		*out = s;
	return ret;
}

void metrics_stop(struct metrics_server *s)
{
	if (!s)
		return;
	http_stop(s->http);
	free(s);
}
