/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The file of crash points has one `struct order` in it.  Each process maps
 * it when it first comes to a point.  A point whose name it has counts `skip`
 * down, and the one that finds it 0 writes its process id and dies.  With `then`,
 * it leaves that name instead, for who comes after it.
 */

#include "base/point.h"

#ifdef DRUM_POINTS

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

struct order {
	char name[POINT_NAME_MAX + 1]; /* "": none */
	int64_t skip;
	int64_t died; /* process id; 0: nobody yet */
	char then[POINT_NAME_MAX + 1];
};

static struct order *order; /* NULL: nobody wants any */
static pthread_once_t order_once = PTHREAD_ONCE_INIT;

static void map_order(void)
{
	const char *path = getenv("DRUM_POINTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		order = map;
}

void point_crash(const char *name)
{
	pthread_once(&order_once, map_order);
	if (!order || strncmp(order->name, name, sizeof(order->name)) != 0 ||
	    __atomic_fetch_sub(&order->skip, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	if (order->then[0]) {
		order->skip = 0;
		memcpy(order->name, order->then, sizeof(order->name));
		memset(order->then, 0, sizeof(order->then));
	} else {
		__atomic_store_n(&order->died, getpid(), __ATOMIC_RELEASE);
	}
	raise(SIGKILL);
}

#else

/* nothing is left of it */
typedef int point_is_off;

#endif
