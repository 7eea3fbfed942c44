/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A share of the drum (drum_promise.c) stands here by the name of its guest: from the first
 * promise or the start of the guest's worker on, whichever is first, until the guest has ended
 * or, if it never came, the promise is taken back.  A worker has its share from its start to
 * its end, promised to or not, so that what it has is known whenever something is promised:
 * also a guest of an earlier pager, whose blocks are claimed for its share.
 *
 * After a restart there are no promises until they are made again, and before all guests have
 * claimed their blocks nobody knows what is free.  So nothing is checked while the drum is
 * closed, nor by host_promise_again: what was promised stays so.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/host_priv.h"

struct promise {
	struct promise *next;
	char name[GUEST_NAME_MAX + 1];
	bool guest;  /* there is one: its worker has the share */
	bool served; /* it was served */
	struct drum_share share;
};

static struct promise *find(struct host *h, const char *name)
{
	struct promise *p = h->promises;

	while (p && strcmp(p->name, name) != 0)
		p = p->next;
	return p;
}

static struct promise *find_or_make(struct host *h, const char *name)
{
	struct promise *p = find(h, name);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	snprintf(p->name, sizeof(p->name), "%s", name);
	drum_share_begin(h->drum, &p->share);
	p->next = h->promises;
	h->promises = p;
	return p;
}

/* Nobody needs it any more: neither a worker, nor is something promised. */
static void drop_unused(struct host *h, struct promise *p)
{
	struct promise **at = &h->promises;

	if (p->guest || p->share.promised > 0)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	drum_share_end(h->drum, &p->share);
	free(p);
}

struct drum_share *host_share_begin(struct host *h, const char *name)
{
	struct promise *p = find_or_make(h, name);

	if (!p)
		return NULL;
	p->guest = true;
	p->served = false;
	return &p->share;
}

void host_share_served(struct host *h, const char *name)
{
	struct promise *p = find(h, name);

	if (p)
		p->served = true;
}

void host_share_end(struct host *h, const char *name, bool left)
{
	struct promise *p = find(h, name);
	uint64_t most;

	if (!p)
		return;
	p->guest = false;
	/* one that could not be attached may be tried again */
	if (p->served && !left && drum_promise(h->drum, &p->share, 0, true, &most) < 0)
		return; /* cannot be: that is less */
	drop_unused(h, p);
}

static uint64_t mib(uint64_t blocks)
{
	return blocks >> (20 - SWAP_BLOCK_SHIFT);
}

static int promise(struct host *h, const char *name, uint64_t bytes, bool again, struct err *e)
{
	uint64_t blocks = (bytes >> SWAP_BLOCK_SHIFT) + (bytes % SWAP_BLOCK != 0), most = 0;
	struct promise *p = blocks > 0 ? find_or_make(h, name) : find(h, name);
	int ret;

	if (!p)
		return blocks == 0 ? 0 : err_set(e, -ENOMEM, "out of memory");
	ret = drum_promise(h->drum, &p->share, blocks, again || h->closed, &most);
	if (ret < 0)
		err_set(e, ret,
			"guest %s: %llu MiB of swap cannot be promised, only %llu MiB: %llu "
			"MiB "
			"of all swap are neither in use nor promised to other guests; switch "
			"more on (drumctl swap on PATH), or release a guest",
			name, (unsigned long long)mib(blocks), (unsigned long long)mib(most),
			(unsigned long long)mib(most - p->share.promised));
	drop_unused(h, p);
	return ret;
}

int host_promise(struct host *h, const char *name, uint64_t bytes, struct err *e)
{
	return promise(h, name, bytes, false, e);
}

int host_promise_again(struct host *h, const char *name, uint64_t bytes, struct err *e)
{
	return promise(h, name, bytes, true, e);
}

void host_promised(struct host *h, uint64_t *promised, uint64_t *free)
{
	struct drum_promises p;

	drum_promised(h->drum, &p);
	*promised = p.promised << SWAP_BLOCK_SHIFT;
	/* what earlier guests have is not known yet */
	*free = h->closed ? 0 : p.free << SWAP_BLOCK_SHIFT;
}

int host_promise_off(struct host *h, unsigned int number, struct err *e)
{
	uint64_t out, had;

	if (drum_try_off(h->drum, number, &out, &had) == 0)
		return 0;
	return err_set(
		e, -ENOSPC,
		"%s stays on: without it guests could still ask for %llu MiB of swap that "
		"are promised to them, and %llu MiB are free on other devices; switch "
		"another one on first (drumctl swap on PATH), or release a guest",
		h->swap[number].part[0].path, (unsigned long long)mib(out),
		(unsigned long long)mib(had));
}
