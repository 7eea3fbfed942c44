/* SPDX-License-Identifier: BSD-2-Clause */

#include "base/pressure.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ONE 1000000u

/* => false: it is not there, or no percentage */
static bool average(const char *text, const char *line, uint32_t *out)
{
	const char *at = strstr(text, line);
	unsigned int whole, hundredths;

	if (!at || sscanf(at + strlen(line), " avg10=%3u.%2u", &whole, &hundredths) != 2)
		return false;
	*out = whole * 10000 + hundredths * 100;
	if (*out > ONE)
		*out = ONE;
	return true;
}

void pressure_parse(const char *text, struct pressure *out)
{
	*out = (struct pressure){ 0 };
	out->there = average(text, "some", &out->some) && average(text, "full", &out->full);
	if (!out->there)
		*out = (struct pressure){ 0 };
}

void pressure_memory(struct pressure *out)
{
	char text[256] = "";
	int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);

	/* with psi=0 it opens and cannot be read */
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	pressure_parse(text, out);
}
