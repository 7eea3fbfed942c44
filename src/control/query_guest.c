/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Two know of guests: the host, which pages them, and the manager, which decides what they
 * may have.  A guest is in both lists; one that is admitted and has not come yet is in the
 * manager's only, and is shown with RAM that nobody has touched.  One that is being attached,
 * or goes, may be in one only for a moment: it has no terms then, or is not shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/query.h"
#include "control/query_add.h"

/* What vCPUs waited for, by enum host_stall. */
static const char *const stalls[HOST_STALLS] = {
	[HOST_STALL_READ] = "stall-read-us",
	[HOST_STALL_LIMIT] = "stall-limit-us",
	[HOST_STALL_NO_PAGEIN] = "stall-no-pagein-us",
	[HOST_STALL_CHANGING] = "stall-changing-us",
	[HOST_STALL_NO_MEMORY] = "stall-no-memory-us",
	[HOST_STALL_FAILING] = "stall-failing-us",
	[HOST_STALL_SERVED] = "stall-served-us",
};

static void add_figures(struct json_object *o, const struct guest_stats *g)
{
	add_text(o, "name", g->name);
	add_int(o, "pid", g->pid);
	add_text(o, "state", g->state);
	add_text(o, "reason", g->why);
	add_uint(o, "mappers", g->mappers);
	add_uint(o, "size", g->size);
	add_uint(o, "resident", g->resident);
	add_uint(o, "active", g->active);
	add_uint(o, "inactive", g->inactive);
	add_uint(o, "pinned", g->pinned);
	add_uint(o, "writing", g->writing);
	add_uint(o, "reading", g->reading);
	add_uint(o, "swapped", g->swapped);
	add_uint(o, "kept", g->kept);
	add_uint(o, "zero", g->zero);
	add_uint(o, "working-set", g->hot);
	add_uint(o, "idle-10s", g->idle_10s);
	add_uint(o, "idle-1m", g->idle_1m);
	add_uint(o, "idle-5m", g->idle_5m);
	add_uint(o, "idle-30m", g->idle_30m);
	add_uint(o, "limit", g->limit);
	add_uint(o, "grant", g->grant);
	add_uint(o, "over-limit", g->over_limit);
	add_uint(o, "faults", g->faults);
	add_uint(o, "faults-hole", g->faults_hole);
	add_uint(o, "faults-inactive", g->faults_inactive);
	add_uint(o, "faults-swapped", g->faults_swapped);
	add_uint(o, "faults-writing", g->faults_writing);
	add_uint(o, "faults-reading", g->faults_reading);
	add_uint(o, "refaults", g->refaults);
	add_uint(o, "refaults-1s", g->refaults_1s);
	add_us(o, "fault-p50-us", g->fault_p50);
	add_us(o, "fault-p99-us", g->fault_p99);
	add_us(o, "fault-max-us", g->fault_max);
	add_uint(o, "pages-in", g->pages_in);
	add_uint(o, "pages-out", g->pages_out);
	add_uint(o, "pages-clean", g->pages_clean);
	add_uint(o, "pages-zero", g->pages_zero);
	add_uint(o, "pages-discarded", g->pages_discarded);
	add_uint(o, "pages-moved", g->pages_moved);
	add_uint(o, "pages-replayed", g->pages_replayed);
	add_uint(o, "recorded", g->recorded);
	add_uint(o, "poisoned", g->poisoned);
	add_uint(o, "pin-checks", g->pin_checks);
	add_us(o, "pin-check-us", g->pin_check);
	add_uint(o, "zaps", g->zaps);
	add_us(o, "zap-p50-us", g->zap_p50);
	add_us(o, "zap-max-us", g->zap_max);
	add_uint(o, "read-errors", g->read_errors);
	add_uint(o, "write-errors", g->write_errors);
	add_uint(o, "dump-done", g->dump_done);
	add_uint(o, "evicted-limit", g->evicted_limit);
	add_uint(o, "evicted-grant", g->evicted_grant);
	add_uint(o, "evicted-cold", g->evicted_cold);
	add_uint(o, "evicted-out", g->evicted_out);
	add_uint(o, "vcpus", g->vcpus);
	add_us(o, "stall-some-us", g->stall_some);
	add_us(o, "stall-full-us", g->stall_full);
	for (int i = 0; i < HOST_STALLS; i++)
		add_us(o, stalls[i], g->stall_for[i]);
	add_bool(o, "busy", g->busy);
}

static void add_terms(struct json_object *o, const struct manager_guest *m)
{
	static const char *const some[PSI_WINDOWS] = { "some-10s", "some-60s", "some-300s" };
	static const char *const full[PSI_WINDOWS] = { "full-10s", "full-60s", "full-300s" };

	add_bool(o, "admitted", m->admitted);
	add_uint(o, "reservation", m->terms.reservation);
	add_uint(o, "shares", m->terms.shares);
	add_uint(o, "promised-swap", m->promised);
	add_uint(o, "target", m->target);
	add_text(o, "why", arbiter_why_name(m->why));
	add_uint(o, "price", m->price);
	add_uint(o, "price-next", m->next);
	add_uint(o, "uses", m->active);
	add_uint(o, "cold", m->cold);
	for (int w = 0; w < PSI_WINDOWS; w++)
		add_percent(o, some[w], m->some[w]);
	for (int w = 0; w < PSI_WINDOWS && m->full_known; w++)
		add_percent(o, full[w], m->full[w]);
	add_text(o, "monitor", m->monitor);
	add_text(o, "monitor-reason", m->monitor_why);
	add_text(o, "qmp", m->qmp);
	add_text(o, "domain", m->domain);
	add_text(o, "balloon", m->balloon);
	add_text(o, "balloon-reason", m->balloon_why);
	add_uint(o, "balloon-size", m->balloon_size);
	if (m->guest_tells) {
		add_uint(o, "guest-free", m->guest_free);
		add_uint(o, "guest-available", m->guest_available);
	}
	add_bool(o, "reports-free", m->reports_free);
	add_bool(o, "deflate-on-oom", m->deflate_on_oom);
}

/* It is admitted, and has not come yet. */
static void fill_admitted(struct guest_stats *g, const struct manager_guest *m)
{
	uint64_t memory = m->terms.memory;

	*g = (struct guest_stats){ .state = "admitted", .size = memory, .zero = memory };
	memcpy(g->name, m->name, sizeof(g->name));
	g->limit = g->grant = m->terms.limit ? m->terms.limit : memory;
}

struct json_object *query_guest(const struct guest_stats *g, const struct manager_guest *m)
{
	struct json_object *o = json_object_new_object();

	add_figures(o, g);
	if (m)
		add_terms(o, m);
	return o;
}

int query_one_guest(struct host *host, struct manager *manager, const char *name,
		    struct json_object **out)
{
	struct manager_guest *m = calloc(1, sizeof(*m));
	struct guest_stats *g = calloc(1, sizeof(*g));
	int ret = m && g ? 0 : -ENOMEM;
	bool managed = ret == 0 && manager_guest(manager, name, m) == 0;

	if (ret == 0)
		ret = host_guest_stats_one(host, name, g);
	if (ret == -ENOENT && managed && m->admitted) {
		fill_admitted(g, m);
		ret = 0;
	}
	if (ret == 0) {
		*out = json_object_new_array();
		json_object_array_add(*out, query_guest(g, managed ? m : NULL));
	}
	free(g);
	free(m);
	return ret;
}

/* Both lists are in the same order, nearly: look from where the last one was found. */
static const struct manager_guest *terms_of(const struct manager_guest *m, size_t n,
					    const char *name, size_t *from)
{
	for (size_t k = 0; k < n; k++) {
		size_t i = (*from + k) % n;

		if (!strcmp(m[i].name, name)) {
			*from = i + 1;
			return &m[i];
		}
	}
	return NULL;
}

struct json_object *query_guests(struct host *host, struct manager *manager)
{
	size_t n = host_guest_stats(host, NULL, 0), nm = manager_guests(manager, NULL, 0), i;
	struct guest_stats *all = calloc(n + 1, sizeof(*all));
	struct manager_guest *m = calloc(nm + 1, sizeof(*m));
	struct json_object *array = NULL;
	size_t from = 0;

	if (!all || !m)
		goto out;
	/* one thread: there are as many as a moment ago */
	n = host_guest_stats(host, all, n);
	nm = manager_guests(manager, m, nm);
	array = json_object_new_array();
	for (i = 0; i < n; i++)
		json_object_array_add(
			array, query_guest(&all[i], terms_of(m, nm, all[i].name, &from)));
	for (i = 0; i < nm; i++) {
		if (!m[i].admitted || m[i].attached ||
		    host_guest_stats_one(host, m[i].name, &all[n]) == 0)
			continue;
		fill_admitted(&all[n], &m[i]);
		json_object_array_add(array, query_guest(&all[n], &m[i]));
	}
out:
	free(all);
	free(m);
	return array;
}
