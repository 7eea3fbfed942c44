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
#include "control/registry.h"

static void add_terms(struct json_object *o, const struct manager_guest *m)
{
	figures_add(o, guest_terms_figures, m);
	add_text(o, "why", arbiter_why_name(m->why));
	if (m->full_known)
		figures_add(o, guest_full_figures, m);
	if (m->guest_tells)
		figures_add(o, guest_own_figures, m);
}

void query_fill_admitted(struct guest_stats *g, const struct manager_guest *m)
{
	uint64_t memory = m->terms.memory;

	*g = (struct guest_stats){ .state = "admitted", .size = memory, .zero = memory };
	memcpy(g->name, m->name, sizeof(g->name));
	g->limit = g->grant = m->terms.limit ? m->terms.limit : memory;
}

struct json_object *query_guest(const struct guest_stats *g, const struct manager_guest *m)
{
	struct json_object *o = json_object_new_object();

	figures_add(o, guest_figures, g);
	if (m)
		add_terms(o, m);
	return o;
}

/* By device, in the order of their numbers. */
static void add_swap(struct json_object *o, struct host *host, const char *name)
{
	struct json_object *array = json_object_new_array();
	size_t n = host_guest_swap(host, name, NULL, 0);
	struct guest_swap *all = calloc(n + 1, sizeof(*all));

	/* its worker may have begun or ceased to use one meanwhile */
	size_t now = all ? host_guest_swap(host, name, all, n) : 0;

	for (size_t i = 0; i < n && i < now; i++) {
		struct json_object *d = json_object_new_object();

		figures_add(d, guest_swap_figures, &all[i]);
		json_object_array_add(array, d);
	}
	json_object_object_add(o, "swap", array);
	free(all);
}

static struct json_object *one_of(struct host *host, const struct guest_stats *g,
				  const struct manager_guest *m)
{
	struct json_object *o = query_guest(g, m);

	add_swap(o, host, g->name);
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
		query_fill_admitted(g, m);
		ret = 0;
	}
	if (ret == 0) {
		*out = json_object_new_array();
		json_object_array_add(*out, one_of(host, g, managed ? m : NULL));
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
			array, one_of(host, &all[i], terms_of(m, nm, all[i].name, &from)));
	for (i = 0; i < nm; i++) {
		if (!m[i].admitted || m[i].attached ||
		    host_guest_stats_one(host, m[i].name, &all[n]) == 0)
			continue;
		query_fill_admitted(&all[n], &m[i]);
		json_object_array_add(array, one_of(host, &all[n], &m[i]));
	}
out:
	free(all);
	free(m);
	return array;
}
