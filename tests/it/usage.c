/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that stands for a VMM, and knows what of its memory it uses.
 *
 *	usage MIB PATTERN PERCENT TOUCHES
 *
 * touches pages of a shared memfd, TOUCHES a second (0: as many as it can), by one of
 * these patterns, and checks what it reads:
 *
 *	block	random pages of the first PERCENT of its memory
 *	scatter	random pages out of PERCENT of all, which lie anywhere
 *	phases	as block; the block moves by its size every 10 s
 *	zipf	page by zipf's law, exponent 0.99, the pages in random order
 *
 * Each line that it reads is answered by what it knows: the pages touched within the
 * last 10 and 60 s, touches and slow ones (above 5 us) since the last line, wrong words.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096u
#define NS	UINT64_C(1000000000)
#define SLOW_NS 5000u
#define PACE	64u /* touches between two looks at the pace */

static struct {
	uint8_t *ram;
	uint64_t pages, hot;
	uint32_t *last;	 /* ms + 1 since the start, of each page; atomic */
	uint32_t *order; /* the pages, shuffled */
	uint64_t rate, rng, start;
	double zetan, eta, alpha;
	enum { BLOCK, SCATTER, PHASES, ZIPF } pattern;
	uint64_t touches, slow, bad; /* atomic */
} u;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(void)
{
	u.rng ^= u.rng << 13;
	u.rng ^= u.rng >> 7;
	u.rng ^= u.rng << 17;
	return u.rng >> 11;
}

/* After Gray et al., SIGMOD'94: rank r has a share of 1 / r^0.99. */
static void zipf_begin(void)
{
	const double theta = 0.99;
	double zeta2 = 1 + pow(0.5, theta);

	for (uint64_t i = 1; i <= u.pages; i++)
		u.zetan += 1 / pow((double)i, theta);
	u.alpha = 1 / (1 - theta);
	u.eta = (1 - pow(2.0 / (double)u.pages, 1 - theta)) / (1 - zeta2 / u.zetan);
}

static uint64_t zipf_rank(void)
{
	double x = (double)next_random() / (double)(UINT64_C(1) << 53), z = x * u.zetan;
	uint64_t rank;

	if (z < 1)
		return 0;
	if (z < 1 + pow(0.5, 0.99))
		return 1;
	rank = (uint64_t)((double)u.pages * pow(u.eta * x - u.eta + 1, u.alpha));
	return rank < u.pages ? rank : u.pages - 1;
}

static uint64_t next_page(uint64_t now)
{
	switch (u.pattern) {
	case BLOCK:
		return next_random() % u.hot;
	case SCATTER:
		return u.order[next_random() % u.hot];
	case PHASES:
		return ((now - u.start) / (10 * NS) * u.hot + next_random() % u.hot) % u.pages;
	case ZIPF:
		return u.order[zipf_rank()];
	}
	abort();
}

static void touch(uint64_t page)
{
	volatile uint64_t *w = (volatile uint64_t *)(void *)(u.ram + page * PAGE);
	uint64_t begin = now_ns(), seen = w[1], end;

	w[0]++;
	end = now_ns();
	if (seen != ~page)
		__atomic_fetch_add(&u.bad, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&u.slow, end - begin > SLOW_NS, __ATOMIC_RELAXED);
	__atomic_fetch_add(&u.touches, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&u.last[page], (uint32_t)((end - u.start) / 1000000) + 1,
			 __ATOMIC_RELAXED);
}

static void *toucher(void *arg)
{
	uint64_t due = u.start;

	(void)arg;
	for (;;) {
		uint64_t now = now_ns();

		for (unsigned int i = 0; i < PACE; i++)
			touch(next_page(now));
		if (u.rate == 0)
			continue;
		due += PACE * NS / u.rate;
		if (due > now)
			usleep((useconds_t)((due - now) / 1000));
		else
			due = now;
	}
	return NULL;
}

static void answer(void)
{
	uint32_t now = (uint32_t)((now_ns() - u.start) / 1000000) + 1;
	uint64_t hot10 = 0, hot60 = 0;

	for (uint64_t i = 0; i < u.pages; i++) {
		uint32_t last = __atomic_load_n(&u.last[i], __ATOMIC_RELAXED);

		hot10 += last && now - last < 10000;
		hot60 += last && now - last < 60000;
	}
	printf("{\"hot-10s\":%llu,\"hot-1m\":%llu,\"touches\":%llu,\"slow\":%llu,\"bad\":%llu}"
	       "\n",
	       (unsigned long long)hot10 * PAGE, (unsigned long long)hot60 * PAGE,
	       (unsigned long long)__atomic_exchange_n(&u.touches, 0, __ATOMIC_RELAXED),
	       (unsigned long long)__atomic_exchange_n(&u.slow, 0, __ATOMIC_RELAXED),
	       (unsigned long long)__atomic_load_n(&u.bad, __ATOMIC_RELAXED));
	fflush(stdout);
}

static void begin(const char *pattern)
{
	static const char *const names[] = { "block", "scatter", "phases", "zipf" };
	int fd = memfd_create("usage", 0);

	for (int i = 0; i < 4; i++)
		if (strcmp(pattern, names[i]) == 0)
			u.pattern = i;
	if (fd < 0 || ftruncate(fd, (off_t)(u.pages * PAGE)) < 0)
		exit(1);
	u.ram = mmap(NULL, u.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	u.last = calloc(u.pages, sizeof(*u.last));
	u.order = calloc(u.pages, sizeof(*u.order));
	if (u.ram == MAP_FAILED || !u.last || !u.order)
		exit(1);
	u.rng = 88172645463325252u;
	for (uint64_t i = 0; i < u.pages; i++) {
		uint64_t other = next_random() % (i + 1);

		u.order[i] = u.order[other];
		u.order[other] = (uint32_t)i;
		/* no two pages are the same, nor compress to nothing */
		for (unsigned int k = 0; k < PAGE / 8; k++)
			((uint64_t *)(void *)(u.ram + i * PAGE))[k] = next_random();
		((uint64_t *)(void *)(u.ram + i * PAGE))[1] = ~i;
	}
	if (u.pattern == ZIPF)
		zipf_begin();
}

int main(int argc, char **argv)
{
	char line[64];
	pthread_t thread;

	if (argc != 5)
		return 2;
	u.pages = strtoull(argv[1], NULL, 10) << 8;
	u.hot = u.pages * strtoull(argv[3], NULL, 10) / 100;
	u.rate = strtoull(argv[4], NULL, 10);
	if (u.pages == 0 || u.hot == 0)
		return 2;
	begin(argv[2]);
	u.start = now_ns();
	if (pthread_create(&thread, NULL, toucher, NULL) != 0)
		return 1;
	puts("{\"event\":\"ready\"}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		answer();
	return 0;
}
