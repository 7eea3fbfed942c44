/* SPDX-License-Identifier: BSD-2-Clause */

#include "base/point.h"

#ifdef DRUM_POINTS

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define POINTS_MAX 32

struct point {
	char name[POINT_NAME_MAX + 1]; /* "": free */
	int err;
	uint64_t skip, every, times;
	uint64_t hits, failed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct point points[POINTS_MAX]; /* [lock] */
static int any;				/* [a] is one set? */

static struct point *find(const char *name)
{
	for (int i = 0; i < POINTS_MAX; i++)
		if (strcmp(points[i].name, name) == 0)
			return &points[i];
	return NULL;
}

int point_hit(const char *name)
{
	struct point *p;
	int err = 0;

	if (!__atomic_load_n(&any, __ATOMIC_RELAXED))
		return 0;
	pthread_mutex_lock(&lock);
	p = find(name);
	if (p && p->err && p->hits++ >= p->skip && (p->hits - p->skip) % p->every == 0 &&
	    (p->times == 0 || p->failed < p->times)) {
		p->failed++;
		err = p->err;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void point_set(const char *name, int err, uint64_t skip, uint64_t every, uint64_t times)
{
	struct point *p;

	assert(strlen(name) <= POINT_NAME_MAX && every > 0);
	pthread_mutex_lock(&lock);
	p = find(name);
	if (!p && err)
		p = find("");
	assert(p || !err);
	if (p)
		*p = (struct point){ .err = err, .skip = skip, .every = every, .times = times };
	if (err) {
		strcpy(p->name, name);
		__atomic_store_n(&any, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
}

uint64_t point_failed(const char *name)
{
	struct point *p;
	uint64_t n;

	pthread_mutex_lock(&lock);
	p = find(name);
	n = p ? p->failed : 0;
	pthread_mutex_unlock(&lock);
	return n;
}

void point_clear_all(void)
{
	pthread_mutex_lock(&lock);
	memset(points, 0, sizeof(points));
	__atomic_store_n(&any, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
}

#else

/* nothing is left of it */
typedef int point_is_off;

#endif
