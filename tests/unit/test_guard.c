/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that vanishes: pages of a file behind its end, which raise SIGBUS. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/guard.h"

#define LIMIT .timeout = 30
#define PAGE  4096

struct look {
	const volatile char *at;
	int seen, done;
};

static void look(void *arg)
{
	struct look *l = arg;

	l->seen = *l->at;
	l->done++;
}

/* A page that is there, and one that is not. */
static char *make(void)
{
	int fd = memfd_create("gone", MFD_CLOEXEC);
	char *p;

	cr_assert_eq(ftruncate(fd, 2 * PAGE), 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	p[0] = 42;
	cr_assert_eq(ftruncate(fd, PAGE), 0);
	close(fd);
	return p;
}

Test(guard, there_and_gone, LIMIT)
{
	char *p = make();

	for (int i = 1; i <= 3; i++) { /* again and again: nothing stays blocked */
		struct look there = { .at = p }, gone = { .at = p + PAGE };

		cr_assert_eq(guard_run(look, &there), 0);
		cr_assert_eq(there.seen, 42);
		cr_assert_eq(guard_run(look, &gone), -EFAULT);
		cr_assert_eq(gone.done, 0, "left in the middle");
	}
	munmap(p, 2 * PAGE);
}

static void *look_often(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		struct look there = { .at = arg }, gone = { .at = (char *)arg + PAGE };

		cr_assert_eq(guard_run(look, &gone), -EFAULT);
		cr_assert_eq(guard_run(look, &there), 0);
		cr_assert_eq(there.done, 1);
	}
	return NULL;
}

/* Each thread finds its own way out. */
Test(guard, several_threads, LIMIT)
{
	char *p = make();
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, look_often, p), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	munmap(p, 2 * PAGE);
}

/* Outside of it, the same is an error of ours, and loud. */
Test(guard, outside_it_is_fatal, LIMIT, .signal = SIGBUS)
{
	char *p = make();
	struct look there = { .at = p }, gone = { .at = p + PAGE };

	cr_assert_eq(guard_run(look, &there), 0);
	cr_assert_eq(guard_run(look, &gone), -EFAULT);
	look(&gone);
}
