/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nanoseconds of each blist operation on 1 TiB of swap, by how full it is and
 * how it is fragmented, as a Markdown table.
 *
 *	bench_blist [--blocks N] [--ops N] [--seed N]
 *
 * Each operation is timed alone, the cost of reading the clock is taken off.
 * "lowest" is blist_alloc; "near" is blist_alloc_near with a hint anywhere in
 * a window of 1 GiB that moves on now and then; "free" frees a random run in
 * that window.  "near far" and "free far" are the same with all of the device
 * for a window: each operation then waits for memory, which the line on
 * one random read below the table says the price of.
 *
 * Wanted are medians below 100 ns for 1 and for 16 blocks; the last column says
 * of lowest, near and free which are above.  The clock's own cost and step are
 * in the first line: no figure is finer than the step.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "swap/blist.h"

#define DEFAULT_BLOCKS (UINT64_C(1) << 28)
#define DEFAULT_OPS    200000
#define WANTED_NS      100
#define WANTED_BLOCKS  16
#define WINDOW_BLOCKS  (UINT64_C(1) << 18)
#define WINDOW_OPS     8192 /* until it moves */

struct samples {
	uint32_t *ns;
	size_t count;
};

static uint64_t rng_state;
static uint64_t clock_cost; /* ns */
static uint64_t clock_step; /* ns, the least that it ever advanced by */

/* splitmix64 */
static uint64_t rng(void)
{
	uint64_t z = rng_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void sample_add(struct samples *s, uint64_t ns)
{
	ns = ns > clock_cost ? ns - clock_cost : 0;
	s->ns[s->count++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(const struct samples *s, unsigned percent)
{
	return s->count ? s->ns[(s->count - 1) * percent / 100] : 0;
}

static void *must_alloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		fprintf(stderr, "bench_blist: no memory for %zu samples\n", n);
		exit(1);
	}
	return p;
}

static void clock_calibrate(size_t ops)
{
	struct samples s = { must_alloc(ops, sizeof(*s.ns)), 0 };

	for (size_t i = 0; i < ops; i++) {
		uint64_t t = now_ns();

		sample_add(&s, now_ns() - t);
	}
	qsort(s.ns, s.count, sizeof(*s.ns), compare_u32);
	clock_cost = percentile(&s, 50);
	/* differences of 1 come from rounding to nanoseconds */
	clock_step = UINT64_MAX;
	for (size_t i = 1; i < s.count; i++) {
		if (s.ns[i] > s.ns[i - 1] + 1)
			clock_step = s.ns[i] - s.ns[i - 1] < clock_step ? s.ns[i] - s.ns[i - 1]
									: clock_step;
	}
	free(s.ns);
}

enum pattern {
	EMPTY,
	PAGES,	 /* each block by itself, at random: the worst there is */
	CLUSTERS /* runs of 1 to 1024, as clusters of a pager leave them */
};

static const struct fill {
	const char *name;
	enum pattern pattern;
	unsigned percent; /* allocated */
} fills[] = {
	{ "empty", EMPTY, 0 },
	{ "half full, by page", PAGES, 50 },
	{ "half full, by cluster", CLUSTERS, 50 },
	{ "95 % full, by page", PAGES, 95 },
	{ "95 % full, by cluster", CLUSTERS, 95 },
};

static uint64_t pattern_length(enum pattern p)
{
	return p == PAGES ? 1 : 1 + rng() % (UINT64_C(1) << rng() % 11);
}

static struct blist *make(uint64_t blocks, const struct fill *fill)
{
	struct blist *bl = blist_create(blocks);
	uint64_t at = 0;

	if (!bl) {
		perror("bench_blist: cannot create the blist");
		exit(1);
	}
	if (fill->pattern == EMPTY) {
		if (!blist_free(bl, 0, blocks))
			abort();
		return bl;
	}
	while (at < blocks) {
		uint64_t n = pattern_length(fill->pattern);

		if (n > blocks - at)
			n = blocks - at;
		if (rng() % 100 >= fill->percent && !blist_free(bl, at, n))
			abort();
		at += n;
	}
	return bl;
}

static void print_cell(struct samples *s)
{
	qsort(s->ns, s->count, sizeof(*s->ns), compare_u32);
	if (s->count)
		printf(" %" PRIu32 " | %" PRIu32 " |", percentile(s, 50), percentile(s, 99));
	else
		printf(" - | - |");
}

/* The three kinds of operation, timed. */
struct times {
	struct samples lowest, nearby, freed;
};

/* => false: it overlaps another that is free already */
static bool timed_free(struct blist *bl, uint64_t at, uint64_t n, struct samples *s)
{
	uint64_t t = now_ns();
	bool ok = blist_free(bl, at, n);

	t = now_ns() - t;
	if (ok)
		sample_add(s, t);
	return ok;
}

static uint64_t timed_alloc(struct blist *bl, uint64_t n, uint64_t hint, bool lowest,
			    struct samples *s)
{
	uint64_t t = now_ns(), at;

	at = lowest ? blist_alloc(bl, n) : blist_alloc_near(bl, n, hint);
	t = now_ns() - t;
	if (at == BLIST_NONE)
		abort();
	sample_add(s, t);
	return at;
}

/* Up to count runs of n blocks in a window, all of them allocated. */
static size_t find_victims(const struct blist *bl, uint64_t n, uint64_t base, uint64_t window,
			   uint64_t *victim, size_t count)
{
	size_t found = 0;

	for (size_t tries = 0; found < count && tries < 50 * count; tries++) {
		victim[found] = base + rng() % (window - n + 1);
		found += blist_is_allocated(bl, victim[found], n);
	}
	return found;
}

/*
 * In turn free a run and allocate one, so that the fill stays.  Where runs of
 * n are hardly ever allocated, free what was allocated just before.
 */
static void run_window(struct blist *bl, uint64_t n, uint64_t base, uint64_t window, size_t ops,
		       struct times *times)
{
	uint64_t *victim = must_alloc(ops, sizeof(*victim));
	/* chosen beforehand: looking for them just before would warm the caches */
	size_t found = find_victims(bl, n, base, window, victim, ops);
	bool own = found < ops / 2;

	if (!own)
		ops = found;
	for (size_t i = 0; i < ops; i++) {
		uint64_t hint = base + rng() % window, at;
		bool lowest = i & 1;

		if (!own && !timed_free(bl, victim[i], n, &times->freed))
			continue;
		at = timed_alloc(bl, n, hint, lowest, lowest ? &times->lowest : &times->nearby);
		if (own && !timed_free(bl, at, n, &times->freed))
			abort();
	}
	free(victim);
}

/* => the samples are sorted */
static void print_wanted(const struct times *t, uint64_t n)
{
	const struct {
		const char *name;
		const struct samples *s;
	} what[] = { { "lowest", &t->lowest }, { "near", &t->nearby }, { "free", &t->freed } };
	bool all = true;

	if (n > WANTED_BLOCKS || t->freed.count == 0) {
		printf(" - |");
		return;
	}
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		if (percentile(what[i].s, 50) < WANTED_NS)
			continue;
		printf("%s %s", all ? " above:" : ",", what[i].name);
		all = false;
	}
	printf(all ? " yes |" : " |");
}

static void times_init(struct times *t, size_t ops)
{
	t->lowest = (struct samples){ must_alloc(ops, sizeof(uint32_t)), 0 };
	t->nearby = (struct samples){ must_alloc(ops, sizeof(uint32_t)), 0 };
	t->freed = (struct samples){ must_alloc(ops, sizeof(uint32_t)), 0 };
}

static void times_free(struct times *t)
{
	free(t->lowest.ns);
	free(t->nearby.ns);
	free(t->freed.ns);
}

static void run(struct blist *bl, const struct fill *fill, uint64_t n, size_t ops)
{
	uint64_t blocks = blist_blocks(bl);
	uint64_t window = blocks < WINDOW_BLOCKS ? blocks : WINDOW_BLOCKS;
	struct times near_times, far_times;

	times_init(&near_times, ops);
	times_init(&far_times, ops);
	/* without a run there is nothing to be found, whatever the speed */
	if (n <= blist_longest(bl)) {
		for (size_t done = 0; done < ops; done += WINDOW_OPS) {
			size_t some = ops - done < WINDOW_OPS ? ops - done : WINDOW_OPS;

			run_window(bl, n, rng() % (blocks - window + 1), window, some,
				   &near_times);
		}
		run_window(bl, n, 0, blocks, ops, &far_times);
	}
	printf("| %s | %" PRIu64 " |", fill->name, n);
	print_cell(&near_times.lowest);
	print_cell(&near_times.nearby);
	print_cell(&near_times.freed);
	print_cell(&far_times.nearby);
	print_cell(&far_times.freed);
	print_wanted(&near_times, n);
	putchar('\n');
	fflush(stdout);
	times_free(&near_times);
	times_free(&far_times);
}

/* What one random read of that much memory costs: nothing scattered can be faster. */
static uint32_t random_read(uint64_t bytes, size_t ops)
{
	struct samples s = { must_alloc(ops, sizeof(*s.ns)), 0 };
	volatile unsigned char *memory = must_alloc(bytes, 1);
	uint32_t p50;

	for (uint64_t i = 0; i < bytes; i += 64)
		memory[i] = 1;
	for (size_t i = 0; i < ops; i++) {
		uint64_t at = rng() % bytes, t = now_ns();

		(void)memory[at];
		sample_add(&s, now_ns() - t);
	}
	qsort(s.ns, s.count, sizeof(*s.ns), compare_u32);
	p50 = percentile(&s, 50);
	free((void *)memory);
	free(s.ns);
	return p50;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	if (*text == '\0' || *end != '\0' || n == 0) {
		fprintf(stderr, "bench_blist: '%s' is not a number above 0\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static const uint64_t sizes[] = { 1, 16, 256 };
	uint64_t blocks = DEFAULT_BLOCKS, memory = 0;
	size_t ops = DEFAULT_OPS;

	rng_state = 1;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--blocks") == 0) {
			blocks = number(argv[i + 1]);
		} else if (i + 1 < argc && strcmp(argv[i], "--ops") == 0) {
			ops = number(argv[i + 1]);
		} else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			rng_state = number(argv[i + 1]);
		} else {
			fprintf(stderr,
				"usage: bench_blist [--blocks N] [--ops N] [--seed N]\n");
			return 2;
		}
	}
	if (blocks < 1024 || blocks > BLIST_MAX_BLOCKS) {
		fprintf(stderr, "bench_blist: --blocks is 1024 to %" PRIu64 "\n",
			BLIST_MAX_BLOCKS);
		return 2;
	}

	clock_calibrate(ops);
	printf("blist of %" PRIu64 " blocks, ns for each operation, %zu operations a line "
	       "(%" PRIu64 " ns for the clock taken off; it advances by %" PRIu64 " ns)\n\n",
	       blocks, ops, clock_cost, clock_step);
	printf("| fill | n | lowest p50 | p99 | near p50 | p99 | free p50 | p99 "
	       "| near far p50 | p99 | free far p50 | p99 | wanted |\n");
	printf("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n");
	for (size_t f = 0; f < sizeof(fills) / sizeof(fills[0]); f++) {
		struct blist *bl = make(blocks, &fills[f]);

		for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++)
			run(bl, &fills[f], sizes[n], ops);
		memory = blist_memory(bl);
		if (!blist_check(bl)) {
			fprintf(stderr, "bench_blist: the blist is damaged\n");
			return 1;
		}
		blist_destroy(bl);
	}
	printf("\nrandom read of %" PRIu64 " bytes: %" PRIu32 " ns p50\n", blocks / 8,
	       random_read(blocks / 8, ops));
	printf("memory: %.2f bits a block (%" PRIu64 " bytes)\n",
	       (double)memory * 8 / (double)blocks, memory);
	return 0;
}
