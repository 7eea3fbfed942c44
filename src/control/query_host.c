/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/query.h"
#include "control/registry.h"

struct json_object *query_host(const struct manager_stats *m)
{
	struct json_object *o = json_object_new_object();

	figures_add(o, host_figures, m);
	if (m->conf.budget)
		figures_add(o, host_overcommit_figures, m);
	if (m->pressure_known)
		figures_add(o, host_pressure_figures, m);
	return o;
}

struct json_object *query_totals(const struct host_stats *t, const struct manager_stats *m)
{
	struct json_object *o = json_object_new_object();

	figures_add(o, totals_figures, t);
	json_object_object_add(o, "host", query_host(m));
	return o;
}
