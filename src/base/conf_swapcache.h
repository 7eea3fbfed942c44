/* SPDX-License-Identifier: BSD-2-Clause */
/* The section [swapcache] of the configuration file: knobs, by their names. */
#ifndef DRUM_BASE_CONF_SWAPCACHE_H
#define DRUM_BASE_CONF_SWAPCACHE_H

#include <stdint.h>

#include "base/err.h"
#include "base/swapcache_knobs.h"

/*
 * One line of it.  Bit k of *given: knob k has been given in this file.
 * => 0; -EINVAL and e: there is no such knob, it cannot be set, it was given, or the value is
 *    not allowed
 */
int must_check conf_swapcache_set(uint64_t knob[SWAPCACHE_KNOBS], uint32_t *given,
				  const char *name, const char *value, struct err *e);

#endif
