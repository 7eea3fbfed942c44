/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/conf_host.h"

#include <errno.h>
#include <string.h>

#include "base/size.h"

static int set_uri(struct conf_host *h, const char *value)
{
	size_t n = strlen(value);

	if (n < 1 || n > HOST_URI_MAX)
		return -EINVAL;
	memcpy(h->libvirt_uri, value, n + 1);
	return 0;
}

int conf_host_set(struct conf_host *h, enum conf_host_key key, const char *value)
{
	int ret = -EINVAL;

	switch (key) {
	case CONF_HOST_BUDGET:
		ret = size_or_none_parse(value, &h->budget);
		break;
	case CONF_HOST_TAX:
		ret = host_tax_parse(value, &h->tax);
		break;
	case CONF_HOST_STALL_TARGET:
		ret = percent_parse(value, &h->stall_target);
		break;
	case CONF_HOST_LIBVIRT_URI:
		ret = set_uri(h, value);
		break;
	}
	if (ret < 0)
		return -EINVAL;
	h->given |= UINT32_C(1) << key;
	return 0;
}
