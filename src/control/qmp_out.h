/* SPDX-License-Identifier: BSD-2-Clause */
/* What is to be sent on a socket that does not take all of it at once. */
#ifndef DRUM_CONTROL_QMP_OUT_H
#define DRUM_CONTROL_QMP_OUT_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct qmp_out {   /* all zero: empty */
	char *buf; /* start .. end is not sent yet */
	size_t start, end, room;
};

size_t qmp_out_queued(const struct qmp_out *o);
/* One line more, CRLF behind it.  => 0 or -ENOMEM */
int must_check qmp_out_add(struct qmp_out *o, const char *text, size_t n);
/* Send what goes.  => bytes that went, or -errno: the connection is broken */
ssize_t must_check qmp_out_flush(struct qmp_out *o, int fd);
void qmp_out_free(struct qmp_out *o);

#endif
