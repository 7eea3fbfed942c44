/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/conf_swapcache.h"

#include <errno.h>
#include <stdio.h>

_Static_assert(SWAPCACHE_KNOBS <= 32, "bits of given");

/* Those that can be set. => -EINVAL */
static int no_knob(const char *name, struct err *e)
{
	char list[320] = "";
	size_t used = 0;

	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS && used < sizeof(list); k++)
		if (!swapcache_knob[k].read_only)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", swapcache_knob[k].name);
	return err_set(e, -EINVAL, "no key '%s' in [swapcache]; there are %s", name, list);
}

int conf_swapcache_set(uint64_t knob[SWAPCACHE_KNOBS], uint32_t *given, const char *name,
		       const char *value, struct err *e)
{
	enum swapcache_knob k = swapcache_knob_find(name);
	int ret;

	if (k == SWAPCACHE_KNOBS)
		return no_knob(name, e);
	if (*given & UINT32_C(1) << k)
		return err_set(e, -EINVAL, "%s is given twice", swapcache_knob[k].name);
	ret = swapcache_knob_parse(k, value, &knob[k], e);
	if (ret == 0)
		*given |= UINT32_C(1) << k;
	return ret;
}
