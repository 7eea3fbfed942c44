/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drumd as a vhost-user back-end program, by the conventions that QEMU's documentation
 * has for these: docs/interop/vhost-user.rst, "Backend program conventions".
 */
#ifndef DRUM_KEEPER_BACKEND_H
#define DRUM_KEEPER_BACKEND_H

#include <stdbool.h>
#include <stdio.h>

#include "base/conf.h"
#include "base/err.h"

/* The options of that name; NULL: not given. */
struct backend_options {
	const char *socket_path, *blk_file;
	bool read_only;
};

static inline bool backend_wanted(const struct backend_options *o)
{
	return o->socket_path || o->blk_file || o->read_only;
}

/* VHostUserBackendCapabilities, of QEMU's docs/interop/vhost-user.json. */
void backend_print_capabilities(FILE *f);

/*
 * The disk that the options mean, one more of the configuration's.  It is called as its
 * socket is, without .sock.
 * => 0, or -EINVAL, -EEXIST, -ENOMEM and e
 */
int must_check backend_add_disk(struct conf *c, const struct backend_options *o, struct err *e);

#endif
