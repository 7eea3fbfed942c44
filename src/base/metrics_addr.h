/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where metrics are served: PATH of a Unix socket, or HOST:PORT where HOST is a loopback
 * address, 127.x.y.z or [::1].  No other network: nobody there is asked who he is.
 */
#ifndef DRUM_BASE_METRICS_ADDR_H
#define DRUM_BASE_METRICS_ADDR_H

#include <sys/socket.h>

#include "base/err.h"

#define METRICS_ADDR_MAX 107 /* characters */
#define METRICS_ADDR_ALLOWED                                                                   \
	"an absolute path of at most 107 characters, or a loopback address and a port as "     \
	"127.0.0.1:9469 or [::1]:9469"

/* => 0, or -EINVAL: it is none */
int must_check metrics_addr_parse(const char *text, struct sockaddr_storage *addr,
				  socklen_t *len);

#endif
