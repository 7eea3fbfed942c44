/* SPDX-License-Identifier: BSD-2-Clause */
/* What drum.conf says of the host's memory: kept for whoever decides about that. */
#include <string.h>

#include "base/conf_host.h"
#include "base/log.h"
#include "vmm/host_priv.h"

_Static_assert(HOST_CONF_BUDGET == 1u << CONF_HOST_BUDGET &&
		       HOST_CONF_TAX == 1u << CONF_HOST_TAX &&
		       HOST_CONF_STALL_TARGET == 1u << CONF_HOST_STALL_TARGET &&
		       HOST_CONF_LIBVIRT_URI == 1u << CONF_HOST_LIBVIRT_URI,
	       "the bits are the same");
_Static_assert(sizeof(((struct host_conf *)0)->libvirt_uri) > HOST_URI_MAX, "it has room");

void host_conf_from(struct host *h, const struct proto_msg *m, struct err *e)
{
	struct host_conf *c = &h->conf;

	*c = (struct host_conf){ .given = m->u.host.given,
				 .budget = m->u.host.budget,
				 .tax = m->u.host.tax,
				 .stall_target = m->u.host.stall_target,
				 .reading = m->u.host.conf };
	memcpy(c->libvirt_uri, m->u.host.libvirt_uri, sizeof(m->u.host.libvirt_uri));
	h->conf_known = true;
	if (h->on_conf)
		h->on_conf(h->on_conf_arg, c, e);
}

void host_on_conf(struct host *h, host_conf_fn fn, void *arg)
{
	struct err e = { 0 };

	h->on_conf = fn;
	h->on_conf_arg = arg;
	if (fn && h->conf_known)
		fn(arg, &h->conf, &e);
	if (e.code)
		log_err("configuration: %s", e.text);
}
