/* SPDX-License-Identifier: BSD-2-Clause */
/* The metrics of this pager, served over HTTP.  Control thread only. */
#ifndef DRUM_CONTROL_METRICS_SERVE_H
#define DRUM_CONTROL_METRICS_SERVE_H

#include "balloon/manager.h"
#include "base/err.h"
#include "base/loop.h"
#include "control/metrics.h"
#include "control/qmp_server.h"
#include "vmm/host.h"

struct metrics_server;

/*
 * Serve clients of listen_fd, a listening stream socket that does not block and stays the
 * caller's.  => 0 and *out, or -errno and e
 */
int must_check metrics_start(struct loop *loop, int listen_fd, struct host *host,
			     struct manager *manager, const struct qmp_server *qmp,
			     struct metrics_server **out, struct err *e);
void metrics_stop(struct metrics_server *s); /* NULL is fine */

/* All that there is to tell now; qmp may be NULL. => as metrics_text */
int must_check metrics_collect(struct host *host, struct manager *manager,
			       const struct qmp_server *qmp, enum metrics_format format,
			       char **text, size_t *len);

#endif
