/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the arbiter wants of guests, and hears of them.
 *
 * A grant is a wish that the worker grants when it comes round; the latest counts, so a
 * worker that does not come round has one, however many were sent.  It begins when the guest
 * is served, and is not kept: the next pager's arbiter has its own.
 */
#include <errno.h>

#include "vmm/host_priv.h"

int host_guest_grant(struct host *h, const char *name, uint64_t grant, uint64_t take)
{
	struct guest *g = host_find_guest(h, name);

	if (!g)
		return -ENOENT;
	guest_grant(g, grant == UINT64_MAX ? UINT64_MAX : grant >> PAGE_SHIFT,
		    take >> PAGE_SHIFT);
	return 0;
}

int host_guest_set_vcpus(struct host *h, const char *name, const pid_t *tid, size_t n)
{
	struct guest *g = host_find_guest(h, name);
	struct stallshare_vcpus *v = g ? stallshare_vcpus(tid, n) : NULL;

	if (!g)
		return -ENOENT;
	if (!v)
		return -ENOMEM;
	guest_set_vcpus(g, v);
	return 0;
}

void host_on_guest(struct host *h, host_guest_fn fn, void *arg)
{
	h->guest_fn = fn;
	h->guest_arg = arg;
}

static void tell_attached(struct host *h, const struct guest *g)
{
	const struct host_event event = {
		.name = "GUEST_ATTACHED",
		.field = { { .key = "guest", .text = g->name },
			   { .key = "pid", .number = (uint64_t)g->pid },
			   { .key = "size", .number = g->npages << PAGE_SHIFT } }
	};

	host_tell(h, &event);
}

void host_tell_serving(struct host *h, struct guest *g)
{
	g->told_serving = true;
	if (!g->adopted)
		tell_attached(h, g);
	if (h->guest_fn)
		h->guest_fn(h->guest_arg, g->name, HOST_GUEST_SERVING);
}

void host_tell_ended(struct host *h, const char *name, enum guest_end how)
{
	static const char *const reasons[] = { [GUEST_END_GONE] = "ended",
					       [GUEST_END_DETACHED] = "detached",
					       [GUEST_END_QUARANTINED] = "quarantined" };
	const struct host_event event = { .name = "GUEST_DETACHED",
					  .field = {
						  { .key = "guest", .text = name },
						  { .key = "reason", .text = reasons[how] } } };

	host_tell(h, &event);
	if (h->guest_fn)
		h->guest_fn(h->guest_arg, name, HOST_GUEST_ENDED);
}

void host_tell(struct host *h, const struct host_event *event)
{
	if (h->event)
		h->event(h->event_arg, event);
}
