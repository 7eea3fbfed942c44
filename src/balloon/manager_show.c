/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/manager_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *monitor_text(const struct managed *g)
{
	static const char *const names[] = {
		[MONITOR_CONNECTING] = "connecting",
		[MONITOR_UP] = "up",
		[MONITOR_LOST] = "lost",
	};

	return g->monitor ? names[monitor_state(g->monitor)] : "none";
}

void managed_figures(const struct managed *g, struct manager_guest *out)
{
	const struct arbiter_guest *a = &g->a;
	bool decided = g->serving && a->why != ARBITER_OFF;

	*out = (struct manager_guest){ .admitted = g->r.admitted,
				       .attached = g->r.attached,
				       .terms = g->r.terms,
				       .promised = g->r.promised,
				       .why = a->why,
				       .active = a->keep.active,
				       .cold = a->cold,
				       .full_known = g->stats.vcpus > 0,
				       .guest_tells = g->view.stats,
				       .guest_free = g->view.free,
				       .guest_available = g->view.available,
				       .reports_free = g->view.reports_free,
				       .deflate_on_oom = g->view.deflate_on_oom };
	snprintf(out->name, sizeof(out->name), "%s", g->r.name);
	snprintf(out->qmp, sizeof(out->qmp), "%s", g->r.qmp);
	snprintf(out->domain, sizeof(out->domain), "%s", g->r.domain);
	out->terms.memory = managed_memory(g);
	out->terms.shares = managed_shares(g);
	if (g->serving)
		out->terms.limit = g->stats.limit;
	out->target = decided ? a->target : g->stats.limit;
	out->grant = decided ? a->grant : g->stats.limit;
	out->price = decided ? a->price : 0;
	out->next = decided ? a->next : 0;
	for (int w = 0; w < PSI_WINDOWS; w++) {
		out->some[w] = psi_share(&g->some, (enum psi_window)w);
		out->full[w] = psi_share(&g->full, (enum psi_window)w);
	}
	snprintf(out->monitor, sizeof(out->monitor), "%s", monitor_text(g));
	snprintf(out->monitor_why, sizeof(out->monitor_why), "%s",
		 g->monitor ? monitor_why(g->monitor) : "");
	snprintf(out->balloon, sizeof(out->balloon), "%s",
		 balloon_state_name(g->balloon.state));
	snprintf(out->balloon_why, sizeof(out->balloon_why), "%s", g->balloon.why);
	if (g->view.there)
		out->balloon_size = g->view.size - g->view.actual;
}

size_t manager_guests(struct manager *m, struct manager_guest *out, size_t max)
{
	size_t n = 0;

	for (const struct managed *g = m->guests; g; g = g->next, n++)
		if (n < max)
			managed_figures(g, &out[n]);
	return n;
}

int manager_guest(struct manager *m, const char *name, struct manager_guest *out)
{
	const struct managed *g = managed_find(m, name);

	if (!g)
		return -ENOENT;
	managed_figures(g, out);
	return 0;
}

static void most(uint32_t *to, uint32_t share)
{
	if (share > *to)
		*to = share;
}

void manager_stats(struct manager *m, struct manager_stats *out)
{
	uint64_t all;

	*out = (struct manager_stats){ .conf = m->conf,
				       .used = m->h.used,
				       .free = m->h.free,
				       .price = m->h.price,
				       .total = m->total,
				       .available = m->h.available,
				       .reserved = manager_reserved(m, NULL),
				       .rounds = m->rounds,
				       .round_ns = m->round_ns,
				       .pressure_known = m->pressure.there,
				       .pressure_some = m->pressure.some,
				       .pressure_full = m->pressure.full };
	snprintf(out->level, sizeof(out->level), "%s",
		 m->conf.budget ? arbiter_level_name(m->h.level) : "off");
	host_promised(m->host, &out->promised, &out->swap_free);
	for (const struct managed *g = m->guests; g; g = g->next) {
		out->admitted += managed_memory(g);
		most(&out->stall_some, psi_share(&g->some, PSI_10S));
		most(&out->stall_full, psi_share(&g->full, PSI_10S));
	}
	all = m->conf.budget ? m->conf.budget : m->total;
	out->headroom = all > out->reserved ? all - out->reserved : 0;
	if (m->conf.budget)
		out->overcommit =
			(uint32_t)((double)out->admitted * 1000 / (double)m->conf.budget);
}
