/* SPDX-License-Identifier: BSD-2-Clause */

#include "base/meminfo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What must be left when all of it has come. */
#define SPARE_BYTES (UINT64_C(64) << 20)

/* Workers ask too, so nothing is allocated. */
bool meminfo_fits(uint64_t bytes, uint64_t *have)
{
	static const char key[] = "MemAvailable:";
	unsigned long long kib = 0;
	char text[512] = ""; /* it is the third line */
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	const char *at = NULL;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		at = strstr(text, key);
	if (at)
		kib = strtoull(at + sizeof(key) - 1, NULL, 10);
	if (fd >= 0)
		close(fd);
	if (have)
		*have = (uint64_t)kib * 1024;
	return bytes == 0 || bytes + SPARE_BYTES <= (uint64_t)kib * 1024;
}
