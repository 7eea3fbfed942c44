/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a read costs that the swapcache serves, of a read of the swap device.
 *
 *	bench_swapcache IMAGE SWAP SECONDS REPETITIONS SEED
 *
 * There is no guest and no front end, but all that is behind them: an image, its cache, the
 * daemon, the drum, and a swap device that is a file with O_DIRECT and has checksums.  IMAGE is
 * written anew, and cached as a whole on SWAP, which has room for that and whose blocks are
 * written.  Then random blocks are read, one at a time, each the content of one of the image's,
 * in turn for a moment in each of four ways, SECONDS in all of each:
 *
 *	pread	the swap file, by pread: the device's own time, without any other to do
 *	ring	the swap file, by the pager's ring: what it costs who does not wait
 *	drum	the block of swap, by drum_submit: queue, counters, checksum
 *	cache	the image, by image_submit: lookup, the same, and the copy to who has asked
 *
 * All are in one process, on one thread and ring, and read the same blocks of swap, so that
 * what lies between two of them is Drum's.  Each read is checked, when it was timed.
 *
 * For each repetition a line of JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ring.h"
#include "pattern.h"
#include "swap/sums.h"
#include "swap/swapcached.h"
#include "vmm/image_swapcache.h"

#define SLICE_NS   (20 * UINT64_C(1000000))
#define FILL_NS	   (120 * NS)
#define FILL_BYTES ((uint64_t)CACHEOBJ_RUN * PAGE)

_Static_assert(PAGE == SWAP_BLOCK, "a page of the pattern is a block");

static struct ring *ring;
static struct drum *drum;
static struct swapcache policy;
static struct swapcached *sd;
static struct cacheobj *obj;
static struct image *image;
static int swap_fd;
static uint64_t blocks;	 /* of the image */
static drum_addr *where; /* [blocks] they are on swap */
static uint8_t *buf;	 /* FILL_BYTES */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "bench_swapcache: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* --- what is measured ---------------------------------------------------------------- */

static void open_image(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct err e = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail("cannot open %s: %s", path, strerror(errno));
	blocks = (uint64_t)st.st_size / PAGE;
	for (uint64_t at = 0; at < blocks; at++) {
		pattern_fill(CONTENT_RANDOM, (uint64_t *)(void *)buf, page_seed(at, 0));
		if (pwrite(fd, buf, PAGE, (off_t)(at * PAGE)) != (ssize_t)PAGE)
			fail("cannot write %s: %s", path, strerror(errno));
	}
	/* nothing of it is to be on its way when reads are timed */
	if (blocks == 0 || fsync(fd) < 0)
		fail("%s is empty, or cannot be written", path);
	image = image_file_open(fd, path, IMAGE_CACHE_WRITEBACK, false, &e);
	if (!image)
		fail("%s", e.text);
}

static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		fail("no memfd: %s", strerror(errno));
	return fd;
}

static void open_swap(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	struct swap_device *dev;
	struct err e = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail("cannot open %s with O_DIRECT: %s", path, strerror(errno));
	swap_fd = fd;
	dev = device_file_create("file", path, fd, st.st_dev, st.st_ino, (uint64_t)st.st_size,
				 0);
	if (!dev)
		fail("%s: %s", path, strerror(errno));
	dev->sums = sums_open(memory_file("sums"), dev->blocks, &e);
	drum = drum_create();
	if (!dev->sums || !drum || drum_add(drum, dev, 0, 0) != 1)
		fail("no swap: %s", e.text);
}

static void set(enum swapcache_knob k, uint64_t value)
{
	struct err e = { 0 };

	if (swapcache_set(&policy, k, value, &e) < 0)
		fail("%s", e.text);
}

static void start_cache(void)
{
	struct swapcached_options o = { .drum = drum, .policy = &policy, .state_dir = -1 };
	struct err e = { 0 };

	swapcache_init(&policy);
	set(SWAPCACHE_DATA_ENABLE, 1);
	set(SWAPCACHE_READ_ENABLE, 1);
	set(SWAPCACHE_FILL_ENABLE, 1);
	set(SWAPCACHE_MAXSWAPPCT, 95);
	obj = cacheobj_open(memory_file("words"), "image", blocks, drum, &e);
	if (!obj)
		fail("%s", e.text);
	cacheobj_claim(obj);
	sd = swapcached_start(&o, &e);
	if (!sd)
		fail("%s", e.text);
	if (swapcached_add(sd, obj, NULL, NULL) < 0 ||
	    image_swapcache_on(image, obj, sd, &policy, SWAPCACHE_AUTO) < 0)
		fail("no cache");
}

static void check(const uint8_t *data, uint64_t block, const char *name)
{
	if (!pattern_is_good(CONTENT_RANDOM, (const uint64_t *)(const void *)data,
			     page_seed(block, 0), WORDS, 0))
		fail("%s: block %" PRIu64 " is not what was written", name, block);
}

/* --- the ways ------------------------------------------------------------------------ */

static int result; /* 1: not ended */

static void run_ring(void)
{
	while (result == 1)
		if (ring_run(ring, UINT64_MAX) < 0)
			fail("the ring does not run");
}

static void on_op(struct ring_op *op, int res)
{
	(void)op;
	result = res == (int)PAGE ? 0 : res < 0 ? res : -EIO;
}

static void on_io(struct swap_io *io, int err)
{
	(void)io;
	result = err;
}

static void on_req(struct image_req *req, int err)
{
	(void)req;
	result = err;
}

static void by_pread(uint64_t block)
{
	ssize_t n = pread(swap_fd, buf, PAGE, (off_t)(drum_block_of(where[block]) * PAGE));

	result = n == (ssize_t)PAGE ? 0 : n < 0 ? -errno : -EIO;
}

static void by_ring(uint64_t block)
{
	static struct ring_op op;

	op = (struct ring_op){ .done = on_op };
	ring_read(ring, &op, swap_fd, buf, PAGE, drum_block_of(where[block]) * PAGE);
	run_ring();
}

static void by_drum(uint64_t block)
{
	static struct swap_io io;

	io.done = on_io;
	io.urgent = true;
	io.niov = 1;
	io.iov[0] = (struct iovec){ buf, PAGE };
	drum_submit(drum, ring, &io, where[block]);
	run_ring();
}

static void read_image(uint64_t block, uint64_t n)
{
	static struct image_req req;
	static struct iovec v;

	v = (struct iovec){ buf, n * PAGE };
	req = (struct image_req){ .done = on_req,
				  .op = IMAGE_READ,
				  .off = block * PAGE,
				  .len = n * PAGE,
				  .iov = &v,
				  .niov = 1 };
	result = 1;
	image_submit(image, ring, &req);
	run_ring();
}

static void by_cache(uint64_t block)
{
	read_image(block, 1);
}

static const struct way {
	const char *name;
	void (*read)(uint64_t block);
} ways[] = {
	{ "pread", by_pread }, { "ring", by_ring }, { "drum", by_drum }, { "cache", by_cache }
};

#define WAYS  (sizeof(ways) / sizeof(*ways))
#define CACHE (WAYS - 1)

static struct hist hist[WAYS];

/* --- filling ------------------------------------------------------------------------- */

static bool puts_are_many(void)
{
	struct swapcached_stats s;

	swapcached_get_stats(sd, &s);
	return s.inflight > SWAPCACHED_PUTS / 2;
}

static uint64_t cached(void)
{
	struct cacheobj_counts n;

	cacheobj_get_counts(obj, &n);
	return n.cached;
}

static void fill(void)
{
	uint64_t end = now_ns() + FILL_NS;

	while (cached() < blocks) {
		for (uint64_t at = 0; at < blocks; at += CACHEOBJ_RUN) {
			uint64_t n = blocks - at < CACHEOBJ_RUN ? blocks - at : CACHEOBJ_RUN;

			if (cacheobj_has(obj, at) && cacheobj_has(obj, at + n - 1))
				continue;
			while (puts_are_many())
				usleep(100);
			read_image(at, n);
			if (result)
				fail("cannot read the image: %s", strerror(-result));
		}
		usleep(1000);
		if (now_ns() > end)
			fail("only %" PRIu64 " of %" PRIu64 " blocks are cached: the swap "
			     "file has to be half as large again as the image",
			     cached(), blocks);
	}
	set(SWAPCACHE_FILL_ENABLE, 0);
}

static void find_blocks(void)
{
	where = calloc(blocks, sizeof(*where));
	if (!where)
		fail("no memory");
	for (uint64_t at = 0; at < blocks; at++) {
		struct cacheobj_read r;
		uint64_t gap;

		if (cacheobj_read(obj, &r, at, 1, &gap) != 1)
			fail("block %" PRIu64 " is not cached any more", at);
		where[at] = r.addr;
		cacheobj_read_end(obj, &r, 0);
	}
}

/* --- measuring ----------------------------------------------------------------------- */

static void slice(unsigned int way, uint64_t duration, uint64_t *rng)
{
	uint64_t start = now_ns(), end = start;

	while (end < start + duration) {
		uint64_t block = random_below(rng, blocks), begin;

		memset(buf, 0xee, PAGE);
		result = 1;
		begin = now_ns();
		ways[way].read(block);
		end = now_ns();
		if (result)
			fail("%s: block %" PRIu64 ": %s", ways[way].name, block,
			     strerror(-result));
		check(buf, block, ways[way].name);
		hist_add(&hist[way], end - begin, end - start, block);
	}
}

static struct image_swapcache_counts counts(void)
{
	struct image_swapcache_counts n;

	image_swapcache_get_counts(image, &n);
	return n;
}

static double percentile(unsigned int way, double p)
{
	return (double)hist_percentile_above(&hist[way], 0, p);
}

static void print_ratios(void)
{
	for (unsigned int way = 0; way < CACHE; way++)
		printf(",\"p50-of-%s\":%.4f,\"p99-of-%s\":%.4f", ways[way].name,
		       percentile(CACHE, 0.5) / percentile(way, 0.5), ways[way].name,
		       percentile(CACHE, 0.99) / percentile(way, 0.99));
}

/* Each way after each other one, in turn. */
static void measure(uint64_t duration, uint64_t repetition, uint64_t *rng)
{
	uint64_t rounds = (duration + SLICE_NS - 1) / SLICE_NS;
	struct image_swapcache_counts before = counts(), after;

	memset(hist, 0, sizeof(hist));
	for (uint64_t round = 0; round < rounds; round++)
		for (uint64_t i = 0; i < WAYS; i++)
			slice((unsigned int)((i + round) % WAYS), SLICE_NS, rng);
	after = counts();
	if (after.hit_bytes - before.hit_bytes != hist[CACHE].count * PAGE ||
	    after.saved_reads - before.saved_reads != hist[CACHE].count)
		fail("not all reads came from swap");
	printf("{\"event\":\"cached-read\",\"repetition\":%" PRIu64 ",\"blocks\":%" PRIu64,
	       repetition, blocks);
	print_ratios();
	for (unsigned int way = 0; way < WAYS; way++) {
		printf(",\"%s\":{\"reads\":%" PRIu64 ",", ways[way].name, hist[way].count);
		print_hist(&hist[way], 0);
		printf("}");
	}
	printf("}\n");
	fflush(stdout);
}

static void stop(void)
{
	image_close(image);
	if (!swapcached_stop(sd))
		fail("the daemon does not stop");
	cacheobj_unref(obj);
	drum_destroy(drum);
	ring_destroy(ring);
	free(where);
	free(buf);
}

int main(int argc, char **argv)
{
	double seconds = argc == 6 ? atof(argv[3]) : 0;
	uint64_t repetitions = argc == 6 ? strtoull(argv[4], NULL, 10) : 0;
	uint64_t rng;

	if (seconds <= 0 || seconds > 3600 || repetitions == 0) {
		fprintf(stderr, "usage: bench_swapcache IMAGE SWAP SECONDS REPETITIONS SEED\n");
		return 2;
	}
	rng = mix(strtoull(argv[5], NULL, 10));
	buf = aligned_alloc(PAGE, FILL_BYTES);
	ring = ring_create(64);
	if (!buf || !ring)
		fail("no memory, or no io_uring");
	open_image(argv[1]);
	open_swap(argv[2]);
	start_cache();
	fill();
	find_blocks();
	for (uint64_t i = 0; i < repetitions; i++)
		measure((uint64_t)(seconds * 1e9), i, &rng);
	stop();
	return 0;
}
