/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket at which metrics are served: opened once, and held over restarts of the pager
 * and of drumd itself, so that who reads them never finds nobody there.
 */
#ifndef DRUM_KEEPER_METRICS_H
#define DRUM_KEEPER_METRICS_H

#include "base/err.h"

/*
 * where: as base/metrics_addr.h has it; "": nowhere.  One that an earlier drumd has left is
 * taken if it is at the same place, else it ends.
 * => a descriptor; -ENOENT: nowhere; -errno and e
 */
int must_check metrics_listen(const char *where, struct err *e);

/* The end: take its name away. */
void metrics_unlisten(const char *where);

#endif
