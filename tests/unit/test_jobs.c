/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/jobs.h"

static struct jobs *jobs;
static char told[4096]; /* "a:created;a:running;" */
static const struct err fine, failed = { .code = -EIO, .text = "it broke" };

static void tell(void *arg, const char *id, enum job_status status)
{
	size_t n = strlen(told);

	cr_assert(arg == told);
	snprintf(told + n, sizeof(told) - n, "%s:%s;", id, job_status_name(status));
}

static void setup(void)
{
	jobs = jobs_create(tell, told);
}

static void teardown(void)
{
	jobs_destroy(jobs);
}

TestSuite(jobs, .init = setup, .fini = teardown);

static void expect_told(const char *expected)
{
	cr_expect_str_eq(told, expected);
	told[0] = '\0';
}

static struct job *begin(const char *subject, const char *id)
{
	struct job *j = NULL;
	struct err e;

	cr_assert(jobs_begin(jobs, "guest-out", subject, id, &j, &e) == 0, "%s", e.text);
	return j;
}

Test(jobs, states)
{
	struct job *j = begin("one", "a");
	struct err e;

	expect_told("a:created;a:running;");
	cr_expect(jobs_find(jobs, "a") == j);
	cr_expect(jobs_dismiss(jobs, j, &e) == -EINVAL);
	cr_expect_str_eq(e.text,
			 "Job 'a' in state 'running' cannot accept command verb 'dismiss'");
	cr_expect(jobs_abort(jobs, j, true, &e) == 0);
	cr_expect(jobs_abort(jobs, j, true, &e) == -EINVAL);
	cr_expect_str_eq(e.text,
			 "Job 'a' in state 'aborting' cannot accept command verb 'cancel'");
	cr_expect(jobs_abort(jobs, j, false, &e) == 0);
	cr_expect(jobs_abort(jobs, j, true, &e) == 0);
	jobs_conclude(jobs, j, &failed);
	expect_told("a:aborting;a:running;a:aborting;a:concluded;");
	cr_expect_str_eq(j->err.text, "it broke");
	cr_expect(jobs_abort(jobs, j, true, &e) == -EINVAL);
	cr_expect_str_eq(e.text,
			 "Job 'a' in state 'concluded' cannot accept command verb 'cancel'");
	cr_expect(jobs_dismiss(jobs, j, &e) == 0);
	expect_told("a:null;");
	cr_expect(jobs_find(jobs, "a") == NULL);
}

Test(jobs, without_an_id)
{
	struct job *a = begin("one", NULL), *b = begin("one", NULL), *c = begin("two", NULL);

	cr_expect_str_eq(a->id, "guest-out:one");
	cr_expect_str_eq(b->id, "guest-out:one#2");
	cr_expect_str_eq(c->id, "guest-out:two");
	cr_expect(a->number != b->number && jobs_find_number(jobs, b->number) == b);
	told[0] = '\0';
	jobs_conclude(jobs, a, &fine);
	expect_told("guest-out:one:concluded;guest-out:one:null;");
	cr_expect(jobs_find(jobs, "guest-out:one") == NULL);
	cr_expect(jobs_first(jobs) == b && b->next == c && !c->next);
	jobs_conclude(jobs, c, &fine);
	jobs_conclude(jobs, b, &fine);
	cr_expect(jobs_first(jobs) == NULL);
}

Test(jobs, an_id_is_one_job)
{
	struct job *j = begin("one", "a"), *other;
	struct err e;

	cr_expect(jobs_begin(jobs, "guest-in", "two", "a", &other, &e) == -EEXIST);
	cr_expect_str_eq(e.text, "Job ID 'a' already in use");
	jobs_conclude(jobs, j, &fine);
	cr_expect(jobs_begin(jobs, "guest-in", "two", "a", &other, &e) == -EEXIST);
	cr_expect(jobs_dismiss(jobs, j, &e) == 0);
	jobs_conclude(jobs, begin("two", "a"), &fine);
}

Test(jobs, the_oldest_are_forgotten)
{
	struct job *running = begin("one", "running"), *j;
	char id[16];

	for (unsigned int i = 0; i <= JOBS_KEPT_MAX; i++) {
		snprintf(id, sizeof(id), "j%u", i);
		j = begin("two", id);
		told[0] = '\0';
		jobs_conclude(jobs, j, &fine);
	}
	expect_told("j0:null;j32:concluded;");
	cr_expect(jobs_find(jobs, "j0") == NULL && jobs_find(jobs, "j1"));
	cr_expect(jobs_find(jobs, "running") == running);
	jobs_conclude(jobs, running, &fine);
	cr_expect(jobs_find(jobs, "j1") == NULL && jobs_find(jobs, "running"));
}

Test(jobs, not_without_end)
{
	struct job *all[JOBS_RUNNING_MAX], *j;
	struct err e;

	for (int i = 0; i < JOBS_RUNNING_MAX; i++) {
		all[i] = begin("one", NULL);
		told[0] = '\0';
	}
	cr_expect(jobs_begin(jobs, "guest-out", "one", NULL, &j, &e) == -EBUSY);
	cr_expect_str_eq(e.text, "512 jobs are running, that is the most");
	jobs_conclude(jobs, all[7], &fine);
	all[7] = begin("one", NULL);
	cr_expect_str_eq(all[7]->id, "guest-out:one#8");
	for (int i = 0; i < JOBS_RUNNING_MAX; i++)
		jobs_conclude(jobs, all[i], &fine);
}

/* What runs outlives the table's maker, and tells nobody (the sanitizer looks for leaks). */
Test(jobs, left_alone)
{
	struct job *a = begin("one", "a"), *b = begin("one", NULL);
	struct jobs *t = jobs;

	jobs_hold(t);
	jobs_destroy(t);
	jobs = NULL;
	told[0] = '\0';
	jobs_conclude(t, a, &failed);
	jobs_conclude(t, b, &fine);
	cr_expect(jobs_find(t, "a") == a);
	jobs_let_go(t);
	expect_told("");
}
