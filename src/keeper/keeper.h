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

/* What a keeper needs of its configuration it has in conf: read when it starts, and again on
 * SIGHUP and by QMP's config-reload; see reload.c. */
struct keeper_options {
	struct conf *conf; /* the caller's to free; another after it was read again */
	bool to_syslog;
	int ready_fd; /* closed when requests are served; -1: none */
	/* Read the configuration again: options, and the file.
	 * => 0 and conf, to be freed; -errno and errors */
	int (*read_conf)(struct conf *conf, struct conf_errors *errors);
	const char *file; /* that it was read from; "": none */
};

/*
 * Run until a stop was asked for by SIGTERM or SIGINT, and carried out.
 * Leaves with every guest detached, or left as options say.
 * => 0, or -errno and e: it could not start
 */
int must_check keeper_run(const struct keeper_options *options, struct err *e);

#endif
