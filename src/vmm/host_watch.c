/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A worker comes round some ten times a second at least, and notes when.  Once a
 * second the control thread looks whether that has changed; it counts its own
 * seconds, so that a stop of the whole process is no worker's fault.  A worker
 * for which it has not for paging.stall_after is stuck, in a system call or in
 * a loop, and so are all faults of its guest.  It cannot tell; this can, with
 * what the worker has noted last, and with the name of the kernel's function
 * in which it waits.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "vmm/host_priv.h"

/* => "" if it is running, or that cannot be told */
static void kernel_function(int tid, char *buf, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	buf[0] = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	if (strcmp(buf, "0") == 0)
		buf[0] = 0;
}

static void tell_stuck(struct host *h, const struct guest *g)
{
	const struct stalls *s = &g->stalls;
	drum_addr addr = __atomic_load_n(&s->oldest_addr, __ATOMIC_RELAXED);
	int step = __atomic_load_n(&s->step, __ATOMIC_RELAXED);
	char where[64], why[200];
	struct guest_stall told = { .page = __atomic_load_n(&s->oldest_page, __ATOMIC_RELAXED),
				    .seconds = s->seen_ticks,
				    .why = why };

	kernel_function(__atomic_load_n(&s->tid, __ATOMIC_RELAXED), where, sizeof(where));
	snprintf(why, sizeof(why), "its worker is stuck in %s%s%s%s",
		 stall_step_name((enum worker_step)step), where[0] ? " (in the kernel: " : "",
		 where, where[0] ? ")" : "");
	if (addr != DRUM_NONE)
		told.path = drum_path(h->drum, addr);
	host_tell_stall(h, g, &told);
}

static void look_at(struct host *h, struct guest *g, uint64_t after)
{
	struct stalls *s = &g->stalls;
	uint64_t beat = __atomic_load_n(&s->beat, __ATOMIC_RELAXED);

	if (beat != s->seen_beat) {
		struct guest_stall over = { .over = true,
					    .page = UINT64_MAX,
					    .seconds = s->seen_ticks };

		if (s->stuck_told)
			host_tell_stall(h, g, &over);
		s->stuck_told = false;
		s->seen_beat = beat;
		s->seen_ticks = 0;
		return;
	}
	if (++s->seen_ticks * NSEC_PER_SEC < after || s->stuck_told)
		return;
	s->stuck_told = true;
	tell_stuck(h, g);
}

static void watch(void *arg)
{
	struct host *h = arg;
	uint64_t after = __atomic_load_n(&h->paging.stall_after, __ATOMIC_RELAXED);

	for (struct guest *g = h->guests; g; g = g->next)
		look_at(h, g, after);
	host_cache_look(h);
}

bool host_watch_init(struct host *h)
{
	return loop_every(h->opt.loop, 1000, watch, h) != NULL;
}
