/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of the time vCPUs wait: known waits, on a clock of the test's, give exact sums;
 * against a naive reference too.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/stallshare.h"

#define START 1000u
#define NONE  ((enum host_stall)HOST_STALLS)

static struct stallshare s;
static struct stallshare_vcpus *vcpus;
static unsigned int asked;

/* Threads 100 .. 199 are the VMM's. */
static bool own(void *arg, pid_t tid)
{
	cr_assert_eq(arg, &asked);
	asked++;
	return tid >= 100 && tid < 200;
}

/* What page p waits for. */
static enum host_stall what[64];

static enum host_stall look(void *arg, uint64_t page, pid_t tid)
{
	(void)tid;
	cr_assert_eq(arg, what);
	return what[page];
}

static void know(size_t n, const pid_t *tid)
{
	struct stallshare_vcpus *old = vcpus;

	vcpus = stallshare_vcpus(tid, n);
	cr_assert_not_null(vcpus);
	stallshare_set_vcpus(&s, vcpus, s.upto);
	free(old);
}

static void set_up(void)
{
	memset(&s, 0, sizeof(s));
	s.own = own;
	s.own_arg = &asked;
	s.upto = START;
	asked = 0;
	for (unsigned int i = 0; i < 64; i++)
		what[i] = HOST_STALL_READ;
	know(2, (const pid_t[]){ 102, 101 });
}

static void tear_down(void)
{
	free(vcpus);
	vcpus = NULL;
}

static void pass_to(uint64_t now)
{
	stallshare_step(&s, look, what, now);
}

static void is(uint64_t some, uint64_t full)
{
	uint64_t sum = 0;

	cr_assert_eq(s.some, some, "some is %llu", (unsigned long long)s.some);
	cr_assert_eq(s.full, full, "full is %llu", (unsigned long long)s.full);
	for (int i = 0; i < HOST_STALLS; i++)
		sum += s.by[i];
	cr_assert_eq(sum, some, "by reason it is %llu", (unsigned long long)sum);
}

TestSuite(stallshare, .init = set_up, .fini = tear_down, .timeout = 30);

Test(stallshare, nobody_waits)
{
	pass_to(START + 1000000000);
	is(0, 0);
}

Test(stallshare, waits_that_overlap)
{
	stallshare_begin(&s, 101, 1, 2000);
	stallshare_begin(&s, 102, 2, 2500); /* full from here */
	stallshare_end(&s, 101, 1, 3000);   /* to here */
	is(1000, 500);
	stallshare_end(&s, 102, 2, 3200);
	is(1200, 500);
	pass_to(9000);
	stallshare_begin(&s, 102, 3, 9000);
	stallshare_begin(&s, 101, 3, 9100); /* the same page */
	stallshare_end_page(&s, 3, 9400);
	is(1600, 800);
	pass_to(20000);
	is(1600, 800);
}

/* Several are read at once, and served one by one within the turn. */
Test(stallshare, served_in_the_turn_in_which_they_are_read)
{
	stallshare_begin(&s, 101, 1, 5000);
	stallshare_begin(&s, 102, 2, 5000);
	stallshare_end(&s, 101, 1, 5030);
	stallshare_end(&s, 102, 2, 5050);
	is(50, 30);
	cr_assert_eq(s.by[HOST_STALL_SERVED], 50);
}

Test(stallshare, what_the_oldest_waits_for)
{
	stallshare_begin(&s, 101, 1, 2000);
	stallshare_why(&s, 101, 1, HOST_STALL_LIMIT);
	stallshare_begin(&s, 102, 2, 2100);
	stallshare_why(&s, 102, 2, HOST_STALL_READ);
	stallshare_end(&s, 101, 1, 2400); /* now the other one is the oldest */
	stallshare_end(&s, 102, 2, 2700);
	cr_assert_eq(s.by[HOST_STALL_LIMIT], 400);
	cr_assert_eq(s.by[HOST_STALL_READ], 300);
	is(700, 300);
}

Test(stallshare, the_reason_of_another_page_is_not_its)
{
	stallshare_begin(&s, 101, 1, 2000);
	stallshare_why(&s, 101, 7, HOST_STALL_LIMIT);
	stallshare_end(&s, 101, 7, 2500);
	stallshare_end(&s, 101, 1, 3000);
	cr_assert_eq(s.by[HOST_STALL_SERVED], 1000);
	is(1000, 0);
}

/* What ends unseen costs one look at most. */
Test(stallshare, ends_that_are_lost)
{
	stallshare_begin(&s, 101, 1, 2000);
	pass_to(2000);
	what[1] = NONE;
	pass_to(2000 + STALLSHARE_LOOK_NS / 2); /* too early for a look */
	cr_assert_eq(s.n, 1);
	pass_to(2000 + STALLSHARE_LOOK_NS);
	cr_assert_eq(s.n, 0);
	pass_to(2000 + 100 * STALLSHARE_LOOK_NS);
	is(STALLSHARE_LOOK_NS, 0);
}

/* Who faults anew does not wait for what it waited for before. */
Test(stallshare, a_thread_waits_once)
{
	stallshare_begin(&s, 101, 1, 2000);
	stallshare_begin(&s, 101, 2, 2600);
	cr_assert_eq(s.n, 1);
	stallshare_end_page(&s, 1, 2700);
	cr_assert_eq(s.n, 1);
	stallshare_end(&s, 101, 2, 3000);
	is(1000, 0);
}

/* A signal interrupts its wait, and it faults again in the same page. */
Test(stallshare, the_same_again_is_as_old_as_it_was)
{
	stallshare_begin(&s, 101, 1, 2000);
	stallshare_why(&s, 101, 1, HOST_STALL_READ);
	stallshare_begin(&s, 102, 2, 2100);
	stallshare_why(&s, 102, 2, HOST_STALL_LIMIT);
	stallshare_begin(&s, 101, 1, 2500);
	pass_to(3000);
	cr_assert_eq(s.by[HOST_STALL_READ], 1000);
	cr_assert_eq(s.n, 2);
}

Test(stallshare, other_threads_of_the_vmm_do_not_count)
{
	stallshare_begin(&s, 150, 1, 2000);
	cr_assert_eq(s.n, 0);
	stallshare_begin(&s, 150, 2, 3000);
	cr_assert_eq(asked, 1, "it is remembered");
	stallshare_begin(&s, 150, 2, 3000 + STALLSHARE_SEEN_NS);
	cr_assert_eq(asked, 2, "not for ever: numbers are given anew");
	stallshare_begin(&s, 101, 2, 3000 + STALLSHARE_SEEN_NS);
	cr_assert_eq(asked, 2, "of a vCPU nobody is asked");
	pass_to(4000 + STALLSHARE_SEEN_NS);
	is(1000, 0);
}

/* The kernel's threads fault for vCPUs (async page faults). */
Test(stallshare, threads_of_the_kernel_stand_for_a_vcpu)
{
	stallshare_begin(&s, 9000, 1, 2000);
	stallshare_begin(&s, 101, 2, 2500);
	stallshare_end(&s, 9000, 1, 2700);
	stallshare_end(&s, 101, 2, 3000);
	is(1000, 200);
}

/* A userfaultfd of an earlier daemon does not tell who faults. */
Test(stallshare, unknown_threads)
{
	stallshare_begin(&s, 0, 1, 2000);
	stallshare_begin(&s, 0, 1, 2200); /* perhaps the same */
	pass_to(2400);
	is(400, 0);
	stallshare_begin(&s, 0, 2, 2400);
	stallshare_end_page(&s, 1, 2600);
	stallshare_end(&s, 0, 2, 3000);
	is(1000, 200);
	cr_assert_eq(s.n, 0);
}

Test(stallshare, no_vcpu_is_known)
{
	know(0, NULL);
	cr_assert_eq(s.nvcpus, 0);
	stallshare_begin(&s, 150, 1, 2000);
	stallshare_begin(&s, 9000, 2, 2500);
	stallshare_end(&s, 150, 1, 2700);
	stallshare_end(&s, 9000, 2, 3000);
	is(1000, 0);
	cr_assert_eq(asked, 0);
}

Test(stallshare, vcpus_come_to_be_known)
{
	know(0, NULL);
	stallshare_begin(&s, 150, 1, 2000);
	stallshare_begin(&s, 101, 2, 2000);
	pass_to(3000);
	know(1, (const pid_t[]){ 101 });
	cr_assert_eq(s.nvcpus, 1);
	cr_assert_eq(s.n, 1, "the other one is no vCPU");
	pass_to(4000);
	is(2000, 1000);
	know(4, (const pid_t[]){ 104, 101, 102, 101 });
	cr_assert_eq(s.nvcpus, 3, "each once");
	pass_to(5000);
	is(3000, 1000);
}

Test(stallshare, time_that_goes_back)
{
	stallshare_begin(&s, 101, 1, 5000);
	stallshare_begin(&s, 102, 2, 4000); /* read before */
	pass_to(4500);
	is(0, 0);
	stallshare_end(&s, 102, 2, 6000);
	stallshare_end(&s, 101, 1, 5500);
	is(1000, 1000);
}

Test(stallshare, more_than_the_list_holds)
{
	know(0, NULL);
	for (pid_t tid = 1; tid <= 2 * (pid_t)STALLSHARE_WAITERS; tid++)
		stallshare_begin(&s, tid, 1, 2000);
	cr_assert_eq(s.n, STALLSHARE_WAITERS);
	stallshare_end(&s, 2 * (pid_t)STALLSHARE_WAITERS, 1, 2500);
	stallshare_end_page(&s, 1, 3000);
	is(1000, 0);
	cr_assert_eq(s.n, 0);
}

/* --- against a reference ---------------------------------------------------------------- */

#define VCPUS 4u
#define STEPS 20000u

struct ref { /* of each vCPU */
	bool waits;
	uint64_t page, since;
	enum host_stall why;
};

static void count(const struct ref *r, uint64_t ns, uint64_t *some, uint64_t *full,
		  uint64_t *by)
{
	const struct ref *oldest = NULL;
	unsigned int n = 0;

	for (unsigned int v = 0; v < VCPUS; v++) {
		n += r[v].waits;
		if (r[v].waits && (!oldest || r[v].since < oldest->since))
			oldest = &r[v];
	}
	*some += n > 0 ? ns : 0;
	*full += n == VCPUS ? ns : 0;
	if (oldest)
		by[oldest->why] += ns;
}

Test(stallshare, as_the_reference_has_it)
{
	uint64_t now = START, some = 0, full = 0, by[HOST_STALLS] = { 0 };
	struct ref r[VCPUS] = { 0 };

	srand(1);
	know(VCPUS, (const pid_t[]){ 101, 102, 103, 104 });
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int v = (unsigned int)rand() % VCPUS, what_now = (unsigned int)rand();
		pid_t tid = 101 + (pid_t)v;
		uint64_t ns = 1 + (uint64_t)(rand() % 1000); /* no two are as old */

		now += ns;
		count(r, ns, &some, &full, by);
		if (!r[v].waits) {
			r[v] = (struct ref){ true, (uint64_t)rand() % 8, now,
					     HOST_STALL_SERVED };
			stallshare_begin(&s, tid, r[v].page, now);
		} else if (what_now % 3 == 0) {
			/* the sums are up to now */
			stallshare_end(&s, 999, 0, now);
			pass_to(now);
			for (unsigned int k = 0; k < VCPUS; k++)
				if (r[k].waits && s.look_at == now + STALLSHARE_LOOK_NS)
					r[k].why = HOST_STALL_READ;
			r[v].why = (enum host_stall)(what_now / 3 % HOST_STALLS);
			stallshare_why(&s, tid, r[v].page, r[v].why);
		} else if (what_now % 3 == 1) {
			uint64_t page = r[v].page;

			stallshare_end_page(&s, page, now);
			for (unsigned int k = 0; k < VCPUS; k++)
				r[k].waits &= r[k].page != page;
		} else {
			stallshare_end(&s, tid, r[v].page, now);
			r[v].waits = false;
		}
	}
	stallshare_end_page(&s, UINT64_MAX, now);
	is(some, full);
	for (int i = 0; i < HOST_STALLS; i++)
		cr_assert_eq(s.by[i], by[i], "reason %d", i);
	cr_assert(full > 0 && full < some && some < now - START);
}
