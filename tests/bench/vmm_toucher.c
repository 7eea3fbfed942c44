/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that stands for a VMM in measurements: guest RAM in a shared memfd,
 * and threads that touch it and time each touch.
 *
 * Theory of operation
 *
 * RAM is made as QEMU's memory-backend-memfd makes it, and every page is filled
 * with words that follow from its index and generation (pattern.h).  The generation
 * of each page is kept in a table of our own, so every page that is touched can
 * be checked as a whole, and what is wrong is counted as bad.
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
 * When a page was touched last is kept too, so that "touched" can tell what the working
 * set really was.  "every" asks for the touches in each slice of time, which shows how
 * fast speed comes back after something has changed.
 *
 * What is not guest RAM (tables, histograms, the program) is locked, so that a
 * memory cgroup takes its budget from guest RAM alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"

#define THREADS_MAX 16
#define SLICES_MAX  4096u

enum order { ORDER_RANDOM, ORDER_SEQUENTIAL, ORDER_STRIDED, ORDER_REVERSE, ORDER_ZIPF };
static const char *const order_name[] = { "random", "sequential", "strided", "reverse",
					  "zipf" };
_Static_assert(sizeof(order_name) / sizeof(*order_name) == ORDER_ZIPF + 1,
	       "a name for each order");

struct experiment {
	char name[48];
	enum order order;
	uint32_t writes; /* percent of the touches */
	uint32_t threads;
	uint64_t first, pages; /* the part of RAM that is touched */
	uint64_t stride;       /* pages */
	double theta;	       /* of zipf */
	uint64_t every;	       /* ns of a slice; 0: none are told */
	uint64_t touches;      /* of all threads together; 0: until time is up */
	uint64_t duration;     /* ns, after warm; 0: until touches are done */
	uint64_t warm;	       /* ns at the start that are not measured */
	uint64_t seed;
};

struct toucher {
	pthread_t thread;
	uint64_t first, pages; /* the slice */
	uint64_t touches;      /* most to do */
	uint64_t rng;
	uint64_t begin, end; /* measured time, ns */
	uint64_t bad;
	struct zipf zipf;
	struct hist hist;
	uint32_t slice[SLICES_MAX]; /* touches that ended in it */
};

static struct {
	int memfd;
	uint8_t *ram;
	uint64_t pages;
	enum content content;
	uint64_t born;	      /* ns */
	uint32_t *generation; /* of each page; written by the owner of its slice */
	uint32_t *touched;    /* ms since born, when all had been stamped, and one */
	uint64_t fault_ns;
	bool survive; /* SIGBUS: the page is told, and not touched further */

	struct experiment exp; /* constant while one runs */
	uint64_t start;	       /* ns */
	bool active;	       /* from its start to its answer; main thread only */
	uint32_t running;      /* threads that have not ended; atomic */
	bool stop;	       /* atomic */
	int done;	       /* eventfd: the last thread has ended */
	struct rusage used;    /* at the start */
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

/* ---- pages ---- */

static uint64_t *page_words(uint64_t index)
{
	return (uint64_t *)(void *)(vm.ram + index * PAGE);
}

static void page_stamp(uint64_t index, uint32_t generation)
{
	pattern_fill(vm.content, page_words(index), page_seed(index, generation));
}

static void report_bad(uint64_t index, uint32_t generation)
{
	const uint64_t *w = page_words(index);

	fprintf(stderr,
		"vmm_toucher: bad page %" PRIu64 " of generation %" PRIu32
		" is wrong; word 0 is %016" PRIx64 "\n",
		index, generation, w[0]);
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
	bool good;

	begin = now_ns();
	if (write)
		seen = __atomic_exchange_n(w, 0, __ATOMIC_RELAXED);
	else
		seen = __atomic_load_n(w, __ATOMIC_RELAXED);
	*end = now_ns();

	__atomic_store_n(&vm.touched[index], (uint32_t)((*end - vm.born) / 1000000) + 1,
			 __ATOMIC_RELAXED);
	good = pattern_is_good(vm.content, page_words(index), page_seed(index, generation),
			       word, seen);
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
	uint64_t columns, rows, rank;

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
	case ORDER_REVERSE:
		return t->first + t->pages - 1 - nth % t->pages;
	case ORDER_ZIPF:
		rank = zipf_rank(&t->zipf, &t->rng);
		return t->first + zipf_scatter(&t->zipf, rank);
	}
	abort();
}

static bool next_is_write(struct toucher *t, const struct experiment *e)
{
	if (e->writes == 0 || e->writes == 100)
		return e->writes == 100;
	return random_below(&t->rng, 100) < e->writes;
}

static void count_slice(struct toucher *t, const struct experiment *e, uint64_t at)
{
	uint64_t slice = at / e->every;

	if (slice < SLICES_MAX)
		t->slice[slice]++;
}

static void signal_done(void)
{
	const uint64_t one = 1;

	if (write(vm.done, &one, sizeof(one)) != sizeof(one))
		fail("cannot signal the end of an experiment: %s", strerror(errno));
}

static void *toucher_main(void *arg)
{
	struct toucher *t = arg;
	const struct experiment *e = &vm.exp;
	uint64_t end = vm.start, ns, page;
	uint64_t measure = vm.start + e->warm;
	uint64_t deadline = e->duration ? measure + e->duration : UINT64_MAX;
	bool write;

	t->begin = 0;
	for (uint64_t nth = 0; t->hist.count < t->touches; nth++) {
		page = next_page(t, e, nth);
		write = next_is_write(t, e);
		if (vm.survive)
			ns = touch_and_survive(t, page, write, &end);
		else
			ns = touch(t, page, write, &end);
		if (e->every)
			count_slice(t, e, end - vm.start);
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
	if (__atomic_sub_fetch(&vm.running, 1, __ATOMIC_ACQ_REL) == 0)
		signal_done();
	return NULL;
}

static void experiment_start(void)
{
	const struct experiment *e = &vm.exp;
	int error;

	__atomic_store_n(&vm.stop, false, __ATOMIC_RELAXED);
	vm.active = true;
	vm.running = e->threads;
	for (uint32_t i = 0; i < e->threads; i++) {
		struct toucher *t = &vm.toucher[i];
		uint64_t first = e->pages * i / e->threads;

		memset(t, 0, sizeof(*t));
		t->first = e->first + first;
		t->pages = e->pages * (i + 1) / e->threads - first;
		if (e->order == ORDER_ZIPF)
			zipf_init(&t->zipf, t->pages, e->theta);
		t->touches = UINT64_MAX;
		if (e->touches)
			t->touches = (e->touches + e->threads - 1) / e->threads;
		t->rng = mix(e->seed * THREADS_MAX + i);
	}
	(void)getrusage(RUSAGE_SELF, &vm.used);
	vm.start = now_ns();
	for (uint32_t i = 0; i < e->threads; i++) {
		error = pthread_create(&vm.toucher[i].thread, NULL, toucher_main,
				       &vm.toucher[i]);
		if (error)
			fail("cannot start a thread: %s", strerror(error));
	}
}

static double seconds_since(const struct timeval *then, const struct timeval *now)
{
	return (double)(now->tv_sec - then->tv_sec) +
	       (double)(now->tv_usec - then->tv_usec) / 1e6;
}

static void print_cpu(void)
{
	struct rusage now;

	(void)getrusage(RUSAGE_SELF, &now);
	printf(",\"user-s\":%.6f,\"system-s\":%.6f",
	       seconds_since(&vm.used.ru_utime, &now.ru_utime),
	       seconds_since(&vm.used.ru_stime, &now.ru_stime));
}

/* Touches of all threads in each slice, up to the last whole one. */
static void print_slices(const struct experiment *e, uint64_t end)
{
	uint64_t slices = (end - vm.start) / e->every;

	printf(",\"slice-ms\":%.3f,\"slices\":[", (double)e->every / 1e6);
	for (uint64_t i = 0; i < slices && i < SLICES_MAX; i++) {
		uint64_t n = 0;

		for (uint32_t k = 0; k < e->threads; k++)
			n += vm.toucher[k].slice[i];
		printf("%s%" PRIu64, i ? "," : "", n);
	}
	printf("]");
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
	       e->name, e->writes ? "write" : "read", order_name[e->order]);
	printf(",\"threads\":%" PRIu32 ",\"seconds\":%.6f,\"touches\":%" PRIu64, e->threads,
	       seconds, all.count);
	printf(",\"touches-per-s\":%.1f,\"bad\":%" PRIu64 ",\"writes\":%" PRIu32
	       ",\"content\":\"%s\"",
	       seconds > 0 ? (double)all.count / seconds : 0.0, bad, e->writes,
	       content_name[vm.content]);
	print_cpu();
	if (e->every)
		print_slices(e, end);
	/* Of all touches, those that are no fault too. */
	printf(",\"op-p50-us\":%.3f,\"op-p99-us\":%.3f,",
	       (double)hist_percentile_above(&all, 0, 0.5) / 1e3,
	       (double)hist_percentile_above(&all, 0, 0.99) / 1e3);
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
	for (int i = 0; i <= ORDER_ZIPF; i++) {
		if (strcmp(text, order_name[i]) == 0) {
			*order = (enum order)i;
			return true;
		}
	}
	return false;
}

static bool parse_name(struct experiment *e, const char *value)
{
	if (strlen(value) >= sizeof(e->name) || strpbrk(value, "\"\\"))
		return false;
	strcpy(e->name, value);
	return true;
}

static bool parse_small(const char *value, uint64_t most, uint32_t *number)
{
	uint64_t n;

	if (!parse_count(value, &n) || n > most)
		return false;
	*number = (uint32_t)n;
	return true;
}

static bool parse_op(struct experiment *e, const char *value)
{
	e->writes = strcmp(value, "write") == 0 ? 100 : 0;
	return e->writes || strcmp(value, "read") == 0;
}

static bool parse_field(struct experiment *e, const char *key, const char *value)
{
	if (strcmp(key, "name") == 0)
		return parse_name(e, value);
	if (strcmp(key, "op") == 0)
		return parse_op(e, value);
	if (strcmp(key, "writes") == 0)
		return parse_small(value, 100, &e->writes);
	if (strcmp(key, "threads") == 0)
		return parse_small(value, THREADS_MAX, &e->threads) && e->threads > 0;
	if (strcmp(key, "order") == 0)
		return parse_order(value, &e->order);
	if (strcmp(key, "stride") == 0)
		return parse_count(value, &e->stride) && e->stride > 0;
	if (strcmp(key, "touches") == 0)
		return parse_count(value, &e->touches);
	if (strcmp(key, "first") == 0)
		return parse_count(value, &e->first);
	if (strcmp(key, "pages") == 0)
		return parse_count(value, &e->pages);
	if (strcmp(key, "seconds") == 0)
		return parse_seconds(value, &e->duration);
	if (strcmp(key, "warm") == 0)
		return parse_seconds(value, &e->warm);
	if (strcmp(key, "every") == 0)
		return parse_seconds(value, &e->every);
	if (strcmp(key, "seed") == 0)
		return parse_count(value, &e->seed);
	return false;
}

static void command_run(char *arguments)
{
	struct experiment e = { .name = "",
				.threads = 1,
				.stride = 16,
				.theta = 0.99,
				.pages = vm.pages,
				.seed = 1 };
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
	if (e.first > vm.pages || e.pages > vm.pages - e.first || e.pages < 2 * e.threads) {
		refuse("run: first= and pages= are not in RAM, or less than two pages a "
		       "thread");
		return;
	}
	vm.exp = e;
	experiment_start();
}

/* How many pages were touched within the last so many seconds. */
static void command_touched(const char *text)
{
	uint64_t within, now = now_ns() - vm.born, n = 0;
	uint32_t since;

	if (!parse_seconds(text, &within)) {
		refuse("touched: how many seconds?");
		return;
	}
	since = now > within ? (uint32_t)((now - within) / 1000000) + 1 : 1;
	for (uint64_t i = 0; i < vm.pages; i++)
		n += __atomic_load_n(&vm.touched[i], __ATOMIC_RELAXED) >= since;
	printf("{\"event\":\"touched\",\"pages\":%" PRIu64 "}\n", n);
	fflush(stdout);
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
	} else if (strncmp(line, "touched ", 8) == 0) {
		command_touched(line + 8);
	} else if (strcmp(line, "info") == 0) {
		if (fstat(vm.memfd, &st) < 0)
			fail("cannot stat the memfd: %s", strerror(errno));
		printf("{\"event\":\"info\",\"running\":%s,\"allocated\":%" PRIu64 "}\n",
		       vm.active ? "true" : "false", (uint64_t)st.st_blocks * 512);
		fflush(stdout);
	} else {
		refuse("unknown command: %s (run, stop, touched, info)", line);
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
	vm.touched = calloc(vm.pages, sizeof(*vm.touched));
	vm.toucher = calloc(THREADS_MAX, sizeof(*vm.toucher));
	if (!vm.generation || !vm.touched || !vm.toucher)
		fail("no memory for tables");
	make_dictionary();
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
	for (uint64_t i = 0; i < vm.pages; i++) {
		page_stamp(i, 0);
		vm.touched[i] = 1;
	}
	vm.born = now_ns();
}

/* What a touch costs when nothing is touched. */
static double clock_cost_ns(void)
{
	uint64_t begin = now_ns(), end = begin;

	for (int i = 0; i < 100000; i++)
		end = now_ns();
	return (double)(end - begin) / 1e5;
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: vmm_toucher [--size BYTES] [--content random|half|text]\n"
		"                   [--fault-ns NS] [--survive]\n"
		"commands on stdin:\n"
		"  run [name=TEXT] [op=read|write] [writes=PERCENT] [stride=PAGES]\n"
		"      [order=random|sequential|strided|reverse|zipf] [threads=N]\n"
		"      [first=PAGE] [pages=N] [touches=N] [seconds=S] [warm=S] [every=S]\n"
		"      [seed=N]\n"
		"  stop       end the experiment that runs, now\n"
		"  touched S  how many pages were touched within the last S seconds\n"
		"  info       bytes that the memfd holds (or has swapped by the kernel)\n");
}

static bool parse_content(const char *text)
{
	for (int i = 0; i <= CONTENT_TEXT; i++) {
		if (strcmp(text, content_name[i]) == 0) {
			vm.content = (enum content)i;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "fault-ns", required_argument, NULL, 'n' },
		{ "content", required_argument, NULL, 'c' },
		{ "survive", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t size = UINT64_C(1) << 30;
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
		case 'c':
			ok &= parse_content(optarg);
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
	make_ram(size);
	printf("{\"event\":\"ready\",\"pid\":%d,\"memfd\":%d,\"size\":%" PRIu64
	       ",\"clock-ns\":%.1f}\n",
	       getpid(), vm.memfd, size, clock_cost_ns());
	fflush(stdout);
	serve();
}
