/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper's main thread: starts the pager, starts it again when it dies,
 * answers what it asks for, and stops it in order.
 */
#ifndef DRUM_KEEPER_KEEPER_H
#define DRUM_KEEPER_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/proto.h"

struct keeper_options {
	const char *run_dir;			 /* absolute */
	const char *state_dir;			 /* likewise; NULL: nothing outlives a reboot */
	struct proto_group group, monitor_group; /* whose members may use the sockets */
	bool to_syslog;
	bool leave;		      /* on a stop guests stay attached and wait */
	const struct conf_swap *swap; /* to be switched on at start */
	size_t nswap;
	const struct conf_disk *disk; /* to be served from the start */
	size_t ndisks;
	const char *dump;		  /* the dump device, or NULL */
	const struct conf_paging *paging; /* for each pager */
	uint32_t swapcache_given;	  /* bit k: knob k, enum swapcache_knob */
	const uint64_t *swapcache;	  /* [SWAPCACHE_KNOBS], or NULL: none is given */
	const struct conf_host *host;	  /* for the arbiter, or NULL: nothing is given */
	int ready_fd;			  /* closed when requests are served; -1: none */
};

/*
 * Run until a stop was asked for by SIGTERM or SIGINT, and carried out.
 * Leaves with every guest detached, or left as options say.
 * => 0, or -errno and e: it could not start
 */
int must_check keeper_run(const struct keeper_options *options, struct err *e);

#endif
