/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * There is a list of threads that wait, each for one page: a thread cannot wait for two.
 * Whenever it changes, and in each turn of the worker, the time since the last change is
 * added to the sums by what the list says: to "some" if anybody is in it, to "full" if as
 * many as there are vCPUs, and to what the oldest of them waits for.  Times that seem to go
 * back count for nothing, so no sum can exceed the time that has passed.
 *
 * A fault that is served in the turn in which it is read comes and goes with the times of
 * its reading and its serving, while others that were read with it still wait.
 *
 * Nothing here has to be told of every end.  Whoever faults anew does not wait for what he
 * waited for before, and some times a millisecond a look at the pages finds those who have
 * been woken in another way; so an end that is lost costs at most STALLSHARE_LOOK_NS.
 * That is also how a vCPU whose thread a signal took out of its wait is forgotten, once its
 * page is there.
 *
 * Who counts: the vCPUs' threads.  A thread that is not one of them counts if it is none
 * of the VMM's: under KVM a fault of a vCPU may be taken by a thread of the kernel (async
 * page faults), and the guest goes on with something else, or its vCPU halts.  It stands for
 * one vCPU.  So does a fault whose thread is not told, as by a userfaultfd of an earlier
 * daemon; those of one page count as one.  While no vCPU is known all threads count, for
 * "some" only.
 *
 * Should there be more who wait than the list holds, the others do not count.
 */

#include "vmm/stallshare.h"

#include <stdlib.h>
#include <string.h>

static int by_tid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

struct stallshare_vcpus *stallshare_vcpus(const pid_t *tid, size_t n)
{
	struct stallshare_vcpus *v;

	if (n > STALLSHARE_VCPUS)
		n = STALLSHARE_VCPUS;
	v = malloc(sizeof(*v) + n * sizeof(v->tid[0]));
	if (!v)
		return NULL;
	v->n = 0;
	if (n == 0)
		return v;
	memcpy(v->tid, tid, n * sizeof(v->tid[0]));
	qsort(v->tid, n, sizeof(v->tid[0]), by_tid);
	for (size_t i = 0; i < n; i++)
		if (v->n == 0 || v->tid[i] != v->tid[v->n - 1])
			v->tid[v->n++] = v->tid[i];
	return v;
}

static bool known(const struct stallshare *s)
{
	return s->vcpus && s->vcpus->n > 0;
}

static bool is_vcpu(const struct stallshare *s, pid_t tid)
{
	return bsearch(&tid, s->vcpus->tid, s->vcpus->n, sizeof(tid), by_tid) != NULL;
}

/* A thread of the VMM?  What was learnt holds for a while: a number may be given anew. */
static bool is_own(struct stallshare *s, pid_t tid, uint64_t now)
{
	unsigned int k = (unsigned int)tid % STALLSHARE_SEEN;

	if (!s->own)
		return false;
	if (s->seen[k].tid != tid || now >= s->seen[k].until) {
		s->seen[k].tid = tid;
		s->seen[k].own = s->own(s->own_arg, tid);
		s->seen[k].until = now + STALLSHARE_SEEN_NS;
	}
	return s->seen[k].own;
}

static bool counts(struct stallshare *s, pid_t tid, uint64_t now)
{
	return tid == 0 || !known(s) || is_vcpu(s, tid) || !is_own(s, tid, now);
}

static void add(uint64_t *sum, uint64_t ns)
{
	__atomic_store_n(sum, *sum + ns, __ATOMIC_RELAXED);
}

/* Count the time up to now. */
static void pass(struct stallshare *s, uint64_t now)
{
	uint64_t ns;

	if (now <= s->upto)
		return;
	ns = now - s->upto;
	s->upto = now;
	if (s->n == 0)
		return;
	add(&s->some, ns);
	add(&s->by[s->w[s->oldest].why], ns);
	if (known(s) && s->n >= s->vcpus->n)
		add(&s->full, ns);
}

static uint32_t find(const struct stallshare *s, pid_t tid, uint64_t page)
{
	uint32_t i = 0;

	while (i < s->n && (s->tid[i] != tid || (tid == 0 && s->w[i].page != page)))
		i++;
	return i;
}

static void find_oldest(struct stallshare *s)
{
	s->oldest = 0;
	for (uint32_t i = 1; i < s->n; i++)
		if (s->w[i].since < s->w[s->oldest].since)
			s->oldest = i;
}

/* What passed is counted. */
static void drop(struct stallshare *s, uint32_t i)
{
	uint32_t last = --s->n;

	s->tid[i] = s->tid[last];
	s->w[i] = s->w[last];
	if (s->oldest == i)
		find_oldest(s);
	else if (s->oldest == last)
		s->oldest = i;
}

void stallshare_set_vcpus(struct stallshare *s, const struct stallshare_vcpus *vcpus,
			  uint64_t now)
{
	pass(s, now);
	s->vcpus = vcpus;
	__atomic_store_n(&s->nvcpus, vcpus ? (uint32_t)vcpus->n : 0, __ATOMIC_RELAXED);
	for (uint32_t i = s->n; i-- > 0;)
		if (!counts(s, s->tid[i], now))
			drop(s, i);
}

void stallshare_begin(struct stallshare *s, pid_t tid, uint64_t page, uint64_t now)
{
	uint32_t i;

	if (!counts(s, tid, now))
		return;
	i = find(s, tid, page);
	if (i < s->n && s->w[i].page == page)
		return; /* a signal has interrupted its wait */
	if (i == STALLSHARE_WAITERS)
		return;
	pass(s, now);
	if (i < s->n)
		drop(s, i);
	i = s->n++;
	s->tid[i] = tid;
	s->w[i] = (struct stallshare_waiter){ page, now, HOST_STALL_SERVED };
	if (i == 0 || now < s->w[s->oldest].since)
		s->oldest = i;
}

void stallshare_why(struct stallshare *s, pid_t tid, uint64_t page, enum host_stall why)
{
	uint32_t i = find(s, tid, page);

	if (i < s->n && s->w[i].page == page)
		s->w[i].why = why;
}

void stallshare_end(struct stallshare *s, pid_t tid, uint64_t page, uint64_t now)
{
	uint32_t i = find(s, tid, page);

	if (i == s->n || s->w[i].page != page)
		return;
	pass(s, now);
	drop(s, i);
}

void stallshare_end_page(struct stallshare *s, uint64_t page, uint64_t now)
{
	pass(s, now);
	for (uint32_t i = s->n; i-- > 0;)
		if (s->w[i].page == page)
			drop(s, i);
}

void stallshare_step(struct stallshare *s, stallshare_look_fn look, void *arg, uint64_t now)
{
	pass(s, now);
	if (s->n == 0 || now < s->look_at)
		return;
	s->look_at = now + STALLSHARE_LOOK_NS;
	for (uint32_t i = s->n; i-- > 0;) {
		enum host_stall why = look(arg, s->w[i].page, s->tid[i]);

		if (why == HOST_STALLS)
			drop(s, i);
		else
			s->w[i].why = why;
	}
}
