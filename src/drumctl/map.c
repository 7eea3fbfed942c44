/* SPDX-License-Identifier: BSD-2-Clause */
/* "drumctl map" and "drumctl hist": figures of a guest as pictures. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "drumctl/ask.h"
#include "drumctl/guest_map.h"
#include "drumctl/latency.h"
#include "drumctl/save.h"
#include "drumctl/verbs.h"

static int show_map(struct json_object *answer, const struct verb_args *args,
		    const struct terminal *t, struct err *e)
{
	struct guest_map *m = malloc(sizeof(*m));
	struct save s;
	int rc;

	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	rc = map_parse(m, answer, e);
	if (rc == 0 && args->svg) {
		rc = save_begin(&s, args->svg, e);
		if (rc == 0) {
			map_svg(s.file, m);
			rc = save_end(&s, e);
		}
	} else if (rc == 0) {
		map_print(stdout, m, t);
	}
	free(m);
	return rc;
}

int map_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object(), *answer;
	struct terminal t;
	int cells, rc;

	terminal_look(&t, STDOUT_FILENO);
	cells = args->svg ? 2048 : map_cells_for(&t);
	add_text(o, "name", args->operand);
	if (args->given & OPT_CELLS)
		cells = (int)args->cells;
	/* what a program reads goes by no terminal */
	if ((args->given & OPT_CELLS) || !(args->given & OPT_JSON))
		json_object_object_add(o, "cells", json_object_new_int(cells));
	rc = client_call(c, "query-guest-map", o, &answer, e);
	if (rc < 0)
		return rc;
	if (args->given & OPT_JSON)
		output_json(answer);
	else
		rc = show_map(answer, args, &t, e);
	json_object_put(answer);
	return rc;
}

static int show_latency(struct json_object *answer, const struct verb_args *args, struct err *e)
{
	struct terminal t;
	struct latency l;
	struct save s;
	int rc = latency_parse(&l, answer, e);

	if (rc < 0)
		return rc;
	if (!args->svg) {
		terminal_look(&t, STDOUT_FILENO);
		latency_print(stdout, &l, &t);
		return 0;
	}
	rc = save_begin(&s, args->svg, e);
	if (rc < 0)
		return rc;
	latency_svg(s.file, &l);
	return save_end(&s, e);
}

int hist_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object(), *answer;
	int rc;

	add_text(o, "name", args->operand);
	rc = client_call(c, "query-guest-latency", o, &answer, e);
	if (rc < 0)
		return rc;
	if (args->given & OPT_JSON)
		output_json(answer);
	else
		rc = show_latency(answer, args, e);
	json_object_put(answer);
	return rc;
}
