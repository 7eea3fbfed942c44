/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets of QMP: qmp.sock, and monitor.sock for reading.  The keeper listens, so that
 * nobody is refused while there is no pager; the pager accepts.
 */
#ifndef DRUM_KEEPER_SOCKETS_H
#define DRUM_KEEPER_SOCKETS_H

#include "base/err.h"
#include "base/proto.h"

struct sockets {
	int qmp, monitor;
};

/*
 * Listen in this directory, or go on with what another drumd has handed over.  Groups as of the
 * configuration; one without a name is none.
 * => 0 or -errno and e
 */
int must_check sockets_open(struct sockets *s, const char *run_dir,
			    const struct proto_group *group,
			    const struct proto_group *monitor_group, struct err *e);
/* Nobody will listen there any more. */
void sockets_remove(int dir_fd);

#endif
