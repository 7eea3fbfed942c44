/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/guest_map.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *const map_state_name[MAP_STATES] = {
	[MAP_ACTIVE] = "active", [MAP_INACTIVE] = "inactive", [MAP_SWAPPED] = "swapped",
	[MAP_ZERO] = "zero",	 [MAP_READING] = "reading",   [MAP_WRITING] = "writing",
	[MAP_PINNED] = "pinned",
};

const char *const map_age_name[MAP_AGES] = { "<10 s", "10 s", "1 m", "5 m", "30 m" };

static uint64_t member(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_uint64(v) : 0;
}

/* => the array of this name if it has n elements, else NULL */
static struct json_object *array(struct json_object *o, const char *name, int n)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) ||
	    !json_object_is_type(v, json_type_array) ||
	    json_object_array_length(v) != (size_t)n)
		return NULL;
	return v;
}

static uint64_t pages(struct json_object *a, int i)
{
	return json_object_get_uint64(json_object_array_get_idx(a, (size_t)i));
}

static void fill_cell(struct guest_map *m, int i, struct json_object *const lists[MAP_STATES])
{
	struct map_cell *c = &m->cell[i];
	uint64_t most = 0;

	c->state = MAP_STATES;
	for (int s = 0; s < MAP_STATES; s++) {
		uint64_t n = pages(lists[s], i);

		m->total[s] += n * MAP_PAGE;
		if (n <= most)
			continue;
		most = n;
		c->state = (enum map_state)s;
	}
}

int map_parse(struct guest_map *m, struct json_object *answer, struct err *e)
{
	struct json_object *lists[MAP_STATES], *idle, *kept, *name;
	uint64_t n = member(answer, "cells");

	*m = (struct guest_map){
		.size = member(answer, "size"),
		.cell_size = member(answer, "cell-size"),
		.n = n <= MAP_CELLS_MAX ? (int)n : 0,
	};
	if (m->n == 0 || m->cell_size == 0)
		goto wrong;
	if (json_object_object_get_ex(answer, "name", &name))
		snprintf(m->name, sizeof(m->name), "%s", json_object_get_string(name));
	for (int s = 0; s < MAP_STATES; s++) {
		lists[s] = array(answer, map_state_name[s], m->n);
		if (!lists[s])
			goto wrong;
	}
	idle = array(answer, "idle", m->n);
	kept = array(answer, "kept", m->n);
	for (int i = 0; i < m->n; i++) {
		fill_cell(m, i, lists);
		m->cell[i].age = -1;
		if (idle)
			m->cell[i].age =
				json_object_get_int(json_object_array_get_idx(idle, (size_t)i));
		if (m->cell[i].age < -1 || m->cell[i].age >= MAP_AGES)
			m->cell[i].age = -1;
		if (kept)
			m->kept += pages(kept, i) * MAP_PAGE;
	}
	return 0;
wrong:
	return err_set(e, -EPROTO, "drumd answered query-guest-map with something strange");
}

double map_share(const struct guest_map *m, enum map_state state)
{
	return m->size ? 100.0 * (double)m->total[state] / (double)m->size : 0;
}

const char *map_address(char to[SIZE_TEXT_MAX], const struct guest_map *m, int cell)
{
	static const char units[] = "KMG";
	uint64_t n = (uint64_t)cell * m->cell_size / 1024;
	int u = 0;

	while (n && n % 1024 == 0 && u < 2) {
		n /= 1024;
		u++;
	}
	snprintf(to, SIZE_TEXT_MAX, n ? "%" PRIu64 "%c" : "0", n, units[u]);
	return to;
}
