/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/metrics_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

_Static_assert(METRICS_ADDR_MAX == sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
	       "the longest path of a socket");

/* => 1 to 65535, or 0: it is no port */
static uint16_t port(const char *text)
{
	unsigned long n = 0;

	if (strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
		return 0;
	n = strtoul(text, NULL, 10);
	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

int metrics_addr_parse(const char *text, struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
	struct sockaddr_un *un = (struct sockaddr_un *)addr;
	const char *colon = strrchr(text, ':');
	char host[16];

	*addr = (struct sockaddr_storage){ 0 };
	if (strlen(text) > METRICS_ADDR_MAX)
		return -EINVAL;
	if (text[0] == '/' && text[1]) {
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, text);
		*len = sizeof(*un);
		return 0;
	}
	if (!colon || (size_t)(colon - text) >= sizeof(host) || port(colon + 1) == 0)
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	if (!strcmp(host, "[::1]")) {
		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_loopback;
		in6->sin6_port = htons(port(colon + 1));
		*len = sizeof(*in6);
		return 0;
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons(port(colon + 1));
	*len = sizeof(*in4);
	if (inet_pton(AF_INET, host, &in4->sin_addr) != 1 ||
	    ntohl(in4->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return -EINVAL;
	return 0;
}
