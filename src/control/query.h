/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The figures of guests, swap devices and the host as QMP returns them.
 *
 * Member names carry what they are: sizes are bytes, names that end in -us
 * are microseconds, shares of time are percent, the rest are counts.  The names are an
 * interface; the rows of control/registry.h describe them.
 */
#ifndef DRUM_CONTROL_QUERY_H
#define DRUM_CONTROL_QUERY_H

#include <json-c/json.h>

#include "balloon/manager.h"
#include "vmm/host.h"

/* => a new object, to be given back with json_object_put */
struct json_object *query_host(const struct manager_stats *m);
struct json_object *query_totals(const struct host_stats *t, const struct manager_stats *m);
/* m: of that guest, or NULL: nothing is known of it there */
struct json_object *query_guest(const struct guest_stats *g, const struct manager_guest *m);
/* wear: of that device, or NULL */
struct json_object *query_swap_device(const struct swap_stats *d,
				      const struct wear_stats *wear);
struct json_object *query_wear(const struct wear_stats *w);
struct json_object *query_paging(const struct paging_limits *p);
struct json_object *query_daemon(const struct host_daemon *d);

/* It is admitted, and has not come yet. */
void query_fill_admitted(struct guest_stats *g, const struct manager_guest *m);

/* All of them: an array, and of the swapcache an object. => NULL when there is no memory */
struct json_object *query_guests(struct host *host, struct manager *manager);
struct json_object *query_swap_devices(struct host *host);
struct json_object *query_swapcache(struct host *host);

/* An array of this one. => 0 and *out, -ENOENT, -ENOMEM */
int must_check query_one_guest(struct host *host, struct manager *manager, const char *name,
			       struct json_object **out);

#endif
