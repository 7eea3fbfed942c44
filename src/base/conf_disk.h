/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk in the configuration file: NAME IMAGE [options], separated by blanks. */
#ifndef DRUM_BASE_CONF_DISK_H
#define DRUM_BASE_CONF_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/image_open.h"
#include "base/swapcache_knobs.h"

/* All that is there is valid, as base/disk_params.h has it. */
struct conf_disk {
	char *name;
	char *image;  /* absolute or nbd:URI */
	char *socket; /* absolute; NULL: in the run directory */
	char *serial; /* NULL: name */
	char *guest;  /* NULL: name */
	enum image_cache cache;
	bool read_only, no_map;
	uint32_t queues; /* 0: not given */
	enum swapcache_mode swapcache;
};

/*
 * => 0; -EINVAL: not what is allowed, and e says what, or says nothing (its code is 0)
 *    where all of it is something else; -ENOMEM.  d is to be freed on 0 only
 */
int must_check conf_disk_parse(struct conf_disk *d, const char *value, struct err *e);

/* => 0, or -ENOMEM and nothing to be freed */
int must_check conf_disk_copy(struct conf_disk *to, const struct conf_disk *d);

void conf_disk_free(struct conf_disk *d);

#endif
