/* SPDX-License-Identifier: BSD-2-Clause */

#include "base/meminfo.h"

#include <stdio.h>

/* What must be left when all of it has come. */
#define SPARE_BYTES (UINT64_C(64) << 20)

bool meminfo_fits(uint64_t bytes, uint64_t *have)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	if (have)
		*have = (uint64_t)kib * 1024;
	return bytes == 0 || bytes + SPARE_BYTES <= (uint64_t)kib * 1024;
}
