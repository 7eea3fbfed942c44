/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's RAM, cell by cell: the answer of query-guest-map, and pictures of it. */
#ifndef DRUM_DRUMCTL_GUEST_MAP_H
#define DRUM_DRUMCTL_GUEST_MAP_H

#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "base/err.h"
#include "base/size.h"
#include "drumctl/terminal.h"

#define MAP_CELLS_MAX 4096
#define MAP_PAGE      4096u
#define MAP_AGES      5 /* classes: used within 10 s, not for 10 s, 1 m, 5 m, 30 m */

/* Each page is in one of them. */
enum map_state {
	MAP_ACTIVE,
	MAP_INACTIVE,
	MAP_SWAPPED,
	MAP_ZERO,
	MAP_READING,
	MAP_WRITING,
	MAP_PINNED,
	MAP_STATES
};

struct map_cell {
	enum map_state state; /* that most of its pages are in; MAP_STATES: it has none */
	int age;	      /* class, or -1: not known */
};

struct guest_map {
	char name[64];
	uint64_t size, cell_size;   /* bytes */
	uint64_t total[MAP_STATES]; /* bytes */
	uint64_t kept;		    /* bytes of these that have a clean copy on swap */
	int n;
	struct map_cell cell[MAP_CELLS_MAX];
};

extern const char *const map_state_name[MAP_STATES];
extern const char *const map_age_name[MAP_AGES];

/* => 0, or -EPROTO: that is no map */
int must_check map_parse(struct guest_map *m, struct json_object *answer, struct err *e);

/* Of all of the guest's RAM, in percent. */
double map_share(const struct guest_map *m, enum map_state state);

/* Where a cell begins, exactly: "0", "1G", "1088M" => to */
const char *map_address(char to[SIZE_TEXT_MAX], const struct guest_map *m, int cell);

/* How many cells make a good picture there. */
int map_cells_for(const struct terminal *t);

void map_print(FILE *f, const struct guest_map *m, const struct terminal *t);
void map_svg(FILE *f, const struct guest_map *m);

#endif
