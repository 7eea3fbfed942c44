/* SPDX-License-Identifier: BSD-2-Clause */
/* The section [host] of the configuration file: what the arbiter goes by. */
#ifndef DRUM_BASE_CONF_HOST_H
#define DRUM_BASE_CONF_HOST_H

#include <stdint.h>

#include "base/err.h"
#include "base/host_params.h"

enum conf_host_key {
	CONF_HOST_BUDGET,
	CONF_HOST_TAX,
	CONF_HOST_STALL_TARGET,
	CONF_HOST_LIBVIRT_URI,
};

struct conf_host {
	uint32_t given;	       /* bit k: key k, enum conf_host_key, is in the file */
	uint64_t budget;       /* bytes; 0: none */
	uint32_t tax;	       /* percent */
	uint32_t stall_target; /* millionths */
	char libvirt_uri[HOST_URI_MAX + 1];
};

/* One line of it. => 0, or -EINVAL: the value is not allowed */
int must_check conf_host_set(struct conf_host *h, enum conf_host_key key, const char *value);

#endif
