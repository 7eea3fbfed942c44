/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server of the metrics: GET /metrics, and nothing else.
 *
 * All of it runs on the thread of the loop and waits for no client.  What clients may cost is
 * bounded: so many at a time (others wait in the socket's backlog), so much memory for a
 * request, so long for all of it; and the text is made once in cache_ms at most.
 */
#ifndef DRUM_CONTROL_HTTP_H
#define DRUM_CONTROL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "control/metrics.h"

#define HTTP_CLIENTS_MAX 64

struct http_limits {
	unsigned int clients; /* at a time, up to HTTP_CLIENTS_MAX */
	unsigned int idle_s;  /* one that does nothing for so long is dropped */
	size_t memory;	      /* bytes of a request, with what is needed to answer it */
	uint32_t life_ms;     /* ... and so is one that is there for so long */
	uint32_t crowd_ms;    /* the same, while there is no room for others who wait */
	uint32_t cache_ms;    /* a text is good for so long; 0: for one answer */
	uint32_t tick_ms;     /* how often time is looked at */
};

extern const struct http_limits http_default_limits;

/* => 0 and *text, which the server frees, or -errno */
typedef int (*http_text_fn)(void *arg, enum metrics_format format, char **text, size_t *len);

struct http_server;

/*
 * Serve clients of listen_fd, a listening stream socket that does not block and stays the
 * caller's.  => 0 and *out, or -errno and e
 */
int must_check http_start(struct loop *loop, int listen_fd, const struct http_limits *limits,
			  http_text_fn fn, void *arg, struct http_server **out, struct err *e);
/* => not from within fn */
void http_stop(struct http_server *s);

size_t http_clients(const struct http_server *s);

#endif
