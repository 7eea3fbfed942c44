/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/host_params.h"

#include <errno.h>
#include <string.h>

#define DECIMALS 4 /* PERCENT_ONE is 10 to this power */

_Static_assert(PERCENT_ONE == 10000, "DECIMALS");

int percent_parse(const char *text, uint32_t *millionths)
{
	uint32_t n = 0, unit = PERCENT_ONE;
	int decimals = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++) {
		n = 10 * n + (uint32_t)(*text - '0');
		if (n > 100)
			return -EINVAL;
	}
	n *= PERCENT_ONE;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++) {
			/* a fifth one is nothing only if it is a zero */
			if (++decimals > DECIMALS && *text != '0')
				return -EINVAL;
			unit /= 10;
			n += (uint32_t)(*text - '0') * unit;
		}
		if (decimals == 0)
			return -EINVAL;
	}
	if (*text == '%')
		text++;
	if (*text || n > 100 * PERCENT_ONE)
		return -EINVAL;
	*millionths = n;
	return 0;
}

int host_tax_parse(const char *text, uint32_t *percent)
{
	uint32_t n;

	if (percent_parse(text, &n) < 0 || n % PERCENT_ONE || n > HOST_TAX_MAX * PERCENT_ONE)
		return -EINVAL;
	*percent = n / PERCENT_ONE;
	return 0;
}

bool guest_monitor_is_valid(const char *path)
{
	return !*path || (*path == '/' && strlen(path) <= GUEST_MONITOR_MAX);
}

bool guest_place_is_valid(const char *name)
{
	size_t n = 0;

	for (; name[n]; n++)
		if ((unsigned char)name[n] < ' ' || name[n] == 0x7f)
			return false;
	return n <= GUEST_PLACE_MAX;
}
