/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that stands for a VMM in measurements: guest RAM in a shared memfd,
 * and threads that touch it and time each touch.
 *
 * Theory of operation
 *
 * RAM is made as QEMU's memory-backend-memfd makes it, and every page is filled
 * with 64-bit words that follow from its index and generation.  The generation
 * of each page is kept in a table of our own, so every page that is touched can
 * be checked as a whole: a lost, torn, stale, swapped-over or zero page is
 * counted as bad.  No page is ever all-zero.
 *
 * A touch is one access of 8 bytes at a random place of the page, between two
 * readings of the clock, and nothing else is in between; the check of the page
 * and its new contents come after the second reading.  A read is a load.  A
 * write is an exchange, so that it faults as a write and still lets us see what
 * was there.  A touch that takes longer than fault_ns counts as a fault: a page
 * that is mapped costs some 0.1 us, the cheapest fault that leaves the kernel
 * some 5 us.  From the outside there is no better test that holds alike for the
 * kernel's swap and for userfaultfd (ru_majflt does not count the latter).
 *
 * In an experiment each thread owns a slice of the pages, so contents and
 * generations need no lock.  Experiments follow one another, started by lines
 * on stdin and answered by one line of JSON each on stdout; the main thread
 * stays in poll(2) meanwhile, so that "stop" ends an experiment early.  End of
 * file on stdin ends the process, also in the middle of an experiment and with
 * threads in faults that nobody serves: whoever started us cannot leave us
 * behind.
 *
 * What is not guest RAM (tables, histograms, the program) is locked, so that a
 * memory cgroup takes its budget from guest RAM alone.
 *
 * The same program measures the floor of all this: random reads of 4 KiB with
 * O_DIRECT from the swap file (--floor).  That is another process on purpose: a
 * VMM that holds files open with O_DIRECT may be refused by the pager.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE	    4096u
#define WORDS	    (PAGE / sizeof(uint64_t))
#define THREADS_MAX 16
#define WORD_STEP   UINT64_C(0x9e3779b97f4a7c15)
#define NS	    UINT64_C(1000000000)

/* 128 buckets a power of two: a percentile is right within 0.8 %. */
#define SUB_BITS 7
#define SUB	 (1u << SUB_BITS)
#define BUCKETS	 (40u * SUB)

struct hist {
	uint64_t count, sum, max; /* ns */
	uint64_t max_at;	  /* when max was taken, ns after the start */
	uint64_t max_page;
	uint64_t bucket[BUCKETS];
};

enum order { ORDER_RANDOM, ORDER_SEQUENTIAL, ORDER_STRIDED };
static const char *const order_name[] = { "random", "sequential", "strided" };
_Static_assert(sizeof(order_name) / sizeof(*order_name) == ORDER_STRIDED + 1,
	       "a name for each order");

struct experiment {
	char name[48];
	enum order order;
	bool write;
	uint32_t threads;
	uint64_t stride;   /* pages */
	uint64_t touches;  /* of all threads together; 0: until time is up */
	uint64_t duration; /* ns, after warm; 0: until touches are done */
	uint64_t warm;	   /* ns at the start that are not measured */
	uint64_t seed;
};

struct toucher {
	pthread_t thread;
	uint64_t first, pages; /* the slice */
	uint64_t touches;      /* most to do */
	uint64_t rng;
	uint64_t begin, end; /* measured time, ns */
	uint64_t bad;
	struct hist hist;
};

static struct {
	int memfd;
	uint8_t *ram;
	uint64_t pages;
	uint32_t *generation; /* of each page; written by the owner of its slice */
	uint64_t fault_ns;
	bool survive; /* SIGBUS: the page is told, and not touched further */

	struct experiment exp; /* constant while one runs */
	uint64_t start;	       /* ns */
	bool active;	       /* from its start to its answer; main thread only */
	uint32_t running;      /* threads that have not ended; atomic */
	bool stop;	       /* atomic */
	int done;	       /* eventfd: the last thread has ended */
	struct toucher *toucher;
} vm;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "vmm_toucher: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += WORD_STEP;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Uniform in [0, n), n below 2^32; the bias of the multiplication is nothing here. */
static uint64_t random_below(uint64_t *rng, uint64_t n)
{
	*rng += WORD_STEP;
	return ((mix(*rng) >> 32) * n) >> 32;
}

/* ---- histogram ---- */

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift, b;

	if (ns < SUB)
		return (uint32_t)ns;
	shift = 63u - (uint32_t)__builtin_clzll(ns) - SUB_BITS;
	b = (shift + 1) * SUB + (uint32_t)(ns >> shift) - SUB;
	return b < BUCKETS ? b : BUCKETS - 1;
}

static uint64_t bucket_low(uint32_t b)
{
	uint32_t shift;

	if (b < SUB)
		return b;
	shift = b / SUB - 1;
	return (uint64_t)(SUB + b % SUB) << shift;
}

static void hist_add(struct hist *h, uint64_t ns, uint64_t at, uint64_t page)
{
	h->count++;
	h->sum += ns;
	h->bucket[bucket_of(ns)]++;
	if (ns > h->max) {
		h->max = ns;
		h->max_at = at;
		h->max_page = page;
	}
}

static void hist_merge(struct hist *h, const struct hist *from)
{
	h->count += from->count;
	h->sum += from->sum;
	if (from->max > h->max) {
		h->max = from->max;
		h->max_at = from->max_at;
		h->max_page = from->max_page;
	}
	for (uint32_t b = 0; b < BUCKETS; b++)
		h->bucket[b] += from->bucket[b];
}

/* Samples in buckets that begin above the threshold. */
static uint64_t hist_above(const struct hist *h, uint64_t threshold)
{
	uint64_t n = 0;

	for (uint32_t b = bucket_of(threshold) + 1; b < BUCKETS; b++)
		n += h->bucket[b];
	return n;
}

/* Middle of the bucket that holds fraction p of the samples above threshold. */
static uint64_t hist_percentile_above(const struct hist *h, uint64_t threshold, double p)
{
	uint64_t total = hist_above(h, threshold), n = 0;
	uint64_t want = (uint64_t)(p * (double)total);

	if (total == 0)
		return 0;
	for (uint32_t b = bucket_of(threshold) + 1; b < BUCKETS; b++) {
		n += h->bucket[b];
		if (n > want || n == total) {
			uint64_t mid = (bucket_low(b) + bucket_low(b + 1)) / 2;

			return mid < h->max ? mid : h->max;
		}
	}
	return h->max;
}

/* The fields of a histogram, with the whole of it as [[low edge in ns, count], ...]. */
static void print_hist(const struct hist *h, uint64_t threshold)
{
	const char *comma = "";

	printf("\"faults\":%" PRIu64 ",\"fault-ns\":%" PRIu64, hist_above(h, threshold),
	       threshold);
	printf(",\"p50-us\":%.3f,\"p99-us\":%.3f,\"p999-us\":%.3f",
	       (double)hist_percentile_above(h, threshold, 0.5) / 1e3,
	       (double)hist_percentile_above(h, threshold, 0.99) / 1e3,
	       (double)hist_percentile_above(h, threshold, 0.999) / 1e3);
	printf(",\"max-us\":%.3f,\"max-at-s\":%.3f,\"max-page\":%" PRIu64 ",\"mean-us\":%.3f",
	       (double)h->max / 1e3, (double)h->max_at / 1e9, h->max_page,
	       h->count ? (double)h->sum / (double)h->count / 1e3 : 0.0);
	printf(",\"histogram\":[");
	for (uint32_t b = 0; b < BUCKETS; b++) {
		if (h->bucket[b] == 0)
			continue;
		printf("%s[%" PRIu64 ",%" PRIu64 "]", comma, bucket_low(b), h->bucket[b]);
		comma = ",";
	}
	printf("]");
}

/* ---- pages ---- */

static uint64_t *page_words(uint64_t index)
{
	return (uint64_t *)(void *)(vm.ram + index * PAGE);
}

static uint64_t page_seed(uint64_t index, uint32_t generation)
{
	/* Odd, so that no word of the page needs a special case to differ from zero. */
	return mix(index << 32 | generation) | 1;
}

static void page_stamp(uint64_t index, uint32_t generation)
{
	uint64_t *w = page_words(index), v = page_seed(index, generation);

	for (size_t i = 0; i < WORDS; i++, v += WORD_STEP)
		w[i] = v;
}

/* Is the page what it must be, not looking at word skip (WORDS: look at all)? */
static bool page_is_good(uint64_t index, uint32_t generation, size_t skip)
{
	const uint64_t *w = page_words(index);
	uint64_t v = page_seed(index, generation), wrong = 0;

	for (size_t i = 0; i < WORDS; i++, v += WORD_STEP)
		wrong |= (w[i] ^ v) & (i == skip ? 0 : UINT64_MAX);
	return wrong == 0;
}

static void report_bad(uint64_t index, uint32_t generation)
{
	const uint64_t *w = page_words(index);

	fprintf(stderr,
		"vmm_toucher: bad page %" PRIu64 " of generation %" PRIu32
		": word 0 is %016" PRIx64 ", should be %016" PRIx64 "\n",
		index, generation, w[0], page_seed(index, generation));
}

/* ---- touching ---- */

static __thread sigjmp_buf after_sigbus;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(after_sigbus, 1);
}

/* Touch a page, check it, and for a write stamp it anew.  => ns that the touch took */
static uint64_t touch(struct toucher *t, uint64_t index, bool write, uint64_t *end)
{
	size_t word = random_below(&t->rng, WORDS);
	uint64_t *w = page_words(index) + word, seen, begin;
	uint32_t generation = vm.generation[index];
	uint64_t expected = page_seed(index, generation) + word * WORD_STEP;
	bool good;

	begin = now_ns();
	if (write)
		seen = __atomic_exchange_n(w, 0, __ATOMIC_RELAXED);
	else
		seen = __atomic_load_n(w, __ATOMIC_RELAXED);
	*end = now_ns();

	good = seen == expected && page_is_good(index, generation, write ? word : WORDS);
	if (!good && t->bad++ == 0)
		report_bad(index, generation);
	if (write) {
		vm.generation[index] = ++generation;
		page_stamp(index, generation);
	} else if (!good) {
		page_stamp(index, generation); /* count each damage once */
	}
	return *end - begin;
}

/* A page that cannot be had is told: a VMM would tell its guest of a memory error. */
static uint64_t touch_and_survive(struct toucher *t, uint64_t index, bool write, uint64_t *end)
{
	if (sigsetjmp(after_sigbus, 1)) {
		printf("{\"event\":\"poisoned\",\"page\":%" PRIu64 "}\n", index);
		fflush(stdout);
		*end = now_ns();
		return 0;
	}
	return touch(t, index, write, end);
}

static uint64_t next_page(struct toucher *t, const struct experiment *e, uint64_t nth)
{
	uint64_t columns, rows;

	switch (e->order) {
	case ORDER_RANDOM:
		return t->first + random_below(&t->rng, t->pages);
	case ORDER_SEQUENTIAL:
		return t->first + nth % t->pages;
	case ORDER_STRIDED:
		/* Column after column of a table with rows of stride pages. */
		columns = e->stride < t->pages ? e->stride : t->pages;
		rows = t->pages / columns;
		nth %= rows * columns;
		return t->first + nth % rows * columns + nth / rows;
	}
	abort();
}

static void *toucher_main(void *arg)
{
	struct toucher *t = arg;
	const struct experiment *e = &vm.exp;
	uint64_t end = vm.start, ns, page;
	uint64_t measure = vm.start + e->warm;
	uint64_t deadline = e->duration ? measure + e->duration : UINT64_MAX;
	const uint64_t one = 1;

	t->begin = 0;
	for (uint64_t nth = 0; t->hist.count < t->touches; nth++) {
		page = next_page(t, e, nth);
		if (vm.survive)
			ns = touch_and_survive(t, page, e->write, &end);
		else
			ns = touch(t, page, e->write, &end);
		/* A touch that began in the warm-up belongs to the warm-up. */
		if (end - ns >= measure) {
			if (t->begin == 0)
				t->begin = end - ns;
			hist_add(&t->hist, ns, end - vm.start, page);
		}
		if (end >= deadline || __atomic_load_n(&vm.stop, __ATOMIC_RELAXED))
			break;
	}
	t->end = end;
	if (__atomic_sub_fetch(&vm.running, 1, __ATOMIC_ACQ_REL) == 0 &&
	    write(vm.done, &one, sizeof(one)) != sizeof(one))
		fail("cannot signal the end of an experiment: %s", strerror(errno));
	return NULL;
}

static void experiment_start(void)
{
	const struct experiment *e = &vm.exp;
	int error;

	__atomic_store_n(&vm.stop, false, __ATOMIC_RELAXED);
	vm.active = true;
	vm.running = e->threads;
	vm.start = now_ns();
	for (uint32_t i = 0; i < e->threads; i++) {
		struct toucher *t = &vm.toucher[i];

		memset(t, 0, sizeof(*t));
		t->first = vm.pages * i / e->threads;
		t->pages = vm.pages * (i + 1) / e->threads - t->first;
		t->touches = UINT64_MAX;
		if (e->touches)
			t->touches = (e->touches + e->threads - 1) / e->threads;
		t->rng = mix(e->seed * THREADS_MAX + i);
	}
	for (uint32_t i = 0; i < e->threads; i++) {
		error = pthread_create(&vm.toucher[i].thread, NULL, toucher_main,
				       &vm.toucher[i]);
		if (error)
			fail("cannot start a thread: %s", strerror(error));
	}
}

static void experiment_end(void)
{
	static struct hist all;
	const struct experiment *e = &vm.exp;
	uint64_t begin = UINT64_MAX, end = 0, bad = 0;
	double seconds;

	memset(&all, 0, sizeof(all));
	for (uint32_t i = 0; i < e->threads; i++) {
		struct toucher *t = &vm.toucher[i];

		pthread_join(t->thread, NULL);
		hist_merge(&all, &t->hist);
		bad += t->bad;
		if (t->begin && t->begin < begin)
			begin = t->begin;
		if (t->end > end)
			end = t->end;
	}
	seconds = all.count ? (double)(end - begin) / 1e9 : 0;
	printf("{\"event\":\"experiment\",\"name\":\"%s\",\"op\":\"%s\",\"order\":\"%s\"",
	       e->name, e->write ? "write" : "read", order_name[e->order]);
	printf(",\"threads\":%" PRIu32 ",\"seconds\":%.6f,\"touches\":%" PRIu64, e->threads,
	       seconds, all.count);
	printf(",\"touches-per-s\":%.1f,\"bad\":%" PRIu64 ",",
	       seconds > 0 ? (double)all.count / seconds : 0.0, bad);
	print_hist(&all, vm.fault_ns);
	printf("}\n");
	fflush(stdout);
	vm.active = false;
}

/* ---- commands ---- */

static void __attribute__((format(printf, 1, 2))) refuse(const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *p = text; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
			*p = '?';
	printf("{\"event\":\"error\",\"message\":\"%s\"}\n", text);
	fflush(stdout);
}

static bool parse_count(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool parse_seconds(const char *text, uint64_t *ns)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end != '\0' || !(s >= 0 && s <= 86400))
		return false;
	*ns = (uint64_t)(s * 1e9);
	return true;
}

static bool parse_order(const char *text, enum order *order)
{
	for (int i = 0; i <= ORDER_STRIDED; i++) {
		if (strcmp(text, order_name[i]) == 0) {
			*order = (enum order)i;
			return true;
		}
	}
	return false;
}

static bool parse_field(struct experiment *e, const char *key, const char *value)
{
	uint64_t n;

	if (strcmp(key, "name") == 0) {
		if (strlen(value) >= sizeof(e->name) || strpbrk(value, "\"\\"))
			return false;
		strcpy(e->name, value);
		return true;
	}
	if (strcmp(key, "op") == 0) {
		e->write = strcmp(value, "write") == 0;
		return e->write || strcmp(value, "read") == 0;
	}
	if (strcmp(key, "threads") == 0) {
		if (!parse_count(value, &n) || n < 1 || n > THREADS_MAX || n > vm.pages)
			return false;
		e->threads = (uint32_t)n;
		return true;
	}
	if (strcmp(key, "order") == 0)
		return parse_order(value, &e->order);
	if (strcmp(key, "stride") == 0)
		return parse_count(value, &e->stride) && e->stride > 0;
	if (strcmp(key, "touches") == 0)
		return parse_count(value, &e->touches);
	if (strcmp(key, "seconds") == 0)
		return parse_seconds(value, &e->duration);
	if (strcmp(key, "warm") == 0)
		return parse_seconds(value, &e->warm);
	if (strcmp(key, "seed") == 0)
		return parse_count(value, &e->seed);
	return false;
}

static void command_run(char *arguments)
{
	struct experiment e = { .name = "", .threads = 1, .stride = 16, .seed = 1 };
	char *save = NULL;

	for (char *field = strtok_r(arguments, " ", &save); field;
	     field = strtok_r(NULL, " ", &save)) {
		char *value = strchr(field, '=');

		if (value)
			*value++ = '\0';
		if (!value || !parse_field(&e, field, value)) {
			refuse("run: %s=%s is not understood", field, value ? value : "");
			return;
		}
	}
	if (!e.touches && !e.duration) {
		refuse("run: give touches= or seconds=, or it would never end");
		return;
	}
	vm.exp = e;
	experiment_start();
}

static void command(char *line)
{
	struct stat st;

	if (strncmp(line, "run ", 4) == 0) {
		if (vm.active)
			refuse("run: another experiment runs; stop it first");
		else
			command_run(line + 4);
	} else if (strcmp(line, "stop") == 0) {
		/* One that has just ended by itself has answered or will: no error. */
		__atomic_store_n(&vm.stop, true, __ATOMIC_RELAXED);
	} else if (strcmp(line, "info") == 0) {
		if (fstat(vm.memfd, &st) < 0)
			fail("cannot stat the memfd: %s", strerror(errno));
		printf("{\"event\":\"info\",\"running\":%s,\"allocated\":%" PRIu64 "}\n",
		       vm.active ? "true" : "false", (uint64_t)st.st_blocks * 512);
		fflush(stdout);
	} else {
		refuse("unknown command: %s (run, stop, info)", line);
	}
}

static void serve(void)
{
	static char buf[1024];
	size_t used = 0;
	uint64_t one;

	for (;;) {
		struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
					{ .fd = vm.done, .events = POLLIN } };

		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			fail("poll: %s", strerror(errno));
		}
		/* The end of one experiment comes before the start of the next. */
		if (fds[1].revents) {
			if (read(vm.done, &one, sizeof(one)) == sizeof(one))
				experiment_end();
			continue;
		}
		if (fds[0].revents) {
			ssize_t n = read(STDIN_FILENO, buf + used, sizeof(buf) - used);
			char *newline;

			if (n < 0 && (errno == EINTR || errno == EAGAIN))
				continue;
			if (n <= 0)
				_exit(0);
			used += (size_t)n;
			while ((newline = memchr(buf, '\n', used))) {
				size_t length = (size_t)(newline - buf) + 1;

				*newline = '\0';
				command(buf);
				memmove(buf, buf + length, used - length);
				used -= length;
			}
			if (used == sizeof(buf))
				fail("a command line is longer than %zu bytes", sizeof(buf));
		}
	}
}

/* ---- set-up ---- */

static void make_ram(uint64_t size)
{
	void *ram;

	vm.pages = size / PAGE;
	vm.generation = calloc(vm.pages, sizeof(*vm.generation));
	vm.toucher = calloc(THREADS_MAX, sizeof(*vm.toucher));
	if (!vm.generation || !vm.toucher)
		fail("no memory for tables");
	memset(vm.generation, 0, vm.pages * sizeof(*vm.generation));
	/* Before guest RAM is mapped, which is what must not be locked. */
	if (mlockall(MCL_CURRENT) < 0)
		fail("mlockall: %s; run as root or raise RLIMIT_MEMLOCK (ulimit -l)",
		     strerror(errno));

	vm.memfd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);
	if (vm.memfd < 0 || ftruncate(vm.memfd, (off_t)size) < 0)
		fail("cannot make a memfd of %" PRIu64 " bytes: %s", size, strerror(errno));
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, vm.memfd, 0);
	if (ram == MAP_FAILED)
		fail("cannot map the memfd: %s", strerror(errno));
	/* What is compared is paging by 4 KiB, whatever shmem_enabled says. */
	(void)madvise(ram, size, MADV_NOHUGEPAGE);
	vm.ram = ram;
	vm.done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm.done < 0)
		fail("eventfd: %s", strerror(errno));
	for (uint64_t i = 0; i < vm.pages; i++)
		page_stamp(i, 0);
}

/* What a touch costs when nothing is touched. */
static double clock_cost_ns(void)
{
	uint64_t begin = now_ns(), end = begin;

	for (int i = 0; i < 100000; i++)
		end = now_ns();
	return (double)(end - begin) / 1e5;
}

static void measure_floor(const char *path, uint64_t duration, uint64_t seed)
{
	static struct hist h;
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	uint64_t start, begin, end = 0, blocks, block, rng = mix(seed);
	struct stat st;
	void *buf;

	if (fd < 0)
		fail("cannot open %s with O_DIRECT: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)PAGE)
		fail("%s is empty or cannot be examined", path);
	blocks = (uint64_t)st.st_size / PAGE;
	if (posix_memalign(&buf, PAGE, PAGE))
		fail("no memory");
	for (start = now_ns(); end < start + duration;) {
		block = random_below(&rng, blocks);
		begin = now_ns();
		if (pread(fd, buf, PAGE, (off_t)(block * PAGE)) != (ssize_t)PAGE)
			fail("cannot read block %" PRIu64 " of %s: %s", block, path,
			     strerror(errno));
		end = now_ns();
		hist_add(&h, end - begin, end - start, block);
	}
	printf("{\"event\":\"floor\",\"seconds\":%.6f,\"touches\":%" PRIu64
	       ",\"touches-per-s\":%.1f,",
	       (double)(end - start) / 1e9, h.count,
	       (double)h.count * 1e9 / (double)(end - start));
	print_hist(&h, 0);
	printf("}\n");
	free(buf);
	close(fd);
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: vmm_toucher [--size BYTES] [--fault-ns NS] [--survive]\n"
		"       vmm_toucher --floor FILE [--seconds S] [--seed N]\n"
		"commands on stdin:\n"
		"  run [name=TEXT] [op=read|write] [order=random|sequential|strided]\n"
		"      [stride=PAGES] [threads=N] [touches=N] [seconds=S] [warm=S] [seed=N]\n"
		"  stop    end the experiment that runs, now\n"
		"  info    bytes that the memfd holds (or has swapped by the kernel)\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "fault-ns", required_argument, NULL, 'n' },
		{ "floor", required_argument, NULL, 'f' },
		{ "seconds", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 'r' },
		{ "survive", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t size = UINT64_C(1) << 30, duration = NS, seed = 1;
	const char *floor_path = NULL;
	bool ok = true;
	int c;

	vm.fault_ns = 2000;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			/* Below 2^32 pages: random_below() takes no more. */
			ok &= parse_count(optarg, &size) && size >= PAGE && size % PAGE == 0 &&
			      size / PAGE < UINT32_MAX;
			break;
		case 'n':
			ok &= parse_count(optarg, &vm.fault_ns);
			break;
		case 'f':
			floor_path = optarg;
			break;
		case 't':
			ok &= parse_seconds(optarg, &duration);
			break;
		case 'r':
			ok &= parse_count(optarg, &seed);
			break;
		case 'b':
			vm.survive = true;
			signal(SIGBUS, on_sigbus);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			ok = false;
		}
	}
	if (!ok || optind != argc) {
		usage(stderr);
		return 2;
	}
	if (floor_path) {
		measure_floor(floor_path, duration, seed);
		return 0;
	}
	make_ram(size);
	printf("{\"event\":\"ready\",\"pid\":%d,\"memfd\":%d,\"size\":%" PRIu64
	       ",\"clock-ns\":%.1f}\n",
	       getpid(), vm.memfd, size, clock_cost_ns());
	fflush(stdout);
	serve();
}
