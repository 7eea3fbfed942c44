/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may be said of the host's memory and of a guest's share in it, wherever it is said: in
 * QMP, in drum.conf and on command lines.
 */
#ifndef DRUM_BASE_HOST_PARAMS_H
#define DRUM_BASE_HOST_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define PERCENT_ONE 10000u /* a percent, in millionths */

#define HOST_TAX_MAX	  99  /* percent */
#define HOST_URI_MAX	  150 /* characters, as a line of drum.conf has no more than 197 */
#define GUEST_SHARES_MAX  1000000000u
#define GUEST_PLACE_MAX	  63  /* bytes of a balloon's id, and of a domain's name */
#define GUEST_MONITOR_MAX 107 /* bytes that a path in a struct sockaddr_un may have */

/* To come after "must be". */
#define HOST_BUDGET_ALLOWED	  "a size, as 48G, or none"
#define HOST_TAX_ALLOWED	  "a whole number of percent from 0 to 99"
#define HOST_STALL_TARGET_ALLOWED "percent from 0 to 100 with at most four decimals, as 0.1"
#define HOST_URI_ALLOWED	  "a URI of libvirt's, as qemu:///system, of 1 to 150 characters"
#define GUEST_MONITOR_ALLOWED	  "an absolute path of at most 107 bytes"
#define GUEST_PLACE_ALLOWED	  "at most 63 bytes without control characters"

/*
 * "75", "0.1", "0.1%", as millionths: 750000, 1000.
 * => 0, or -EINVAL: no percentage from 0 to 100, or more than four decimals
 */
int must_check percent_parse(const char *text, uint32_t *millionths);

/* => 0 and *percent, or -EINVAL: not HOST_TAX_ALLOWED */
int must_check host_tax_parse(const char *text, uint32_t *percent);

/* "" is fine, where it means that there is none any more */
bool guest_monitor_is_valid(const char *path);
bool guest_place_is_valid(const char *name);

#endif
