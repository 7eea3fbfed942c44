/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * patrol: walks the memory of a guest and finds every wrong byte.
 *
 * Theory of operation
 *
 * Patrol owns `npages` pages.  For each it remembers a generation; the
 * generation, the page's index and a salt of this run say what every byte of
 * the page must be (stamp.h).  A visit checks a page and, often, writes it anew
 * with the next generation.  What a page should hold is thus never learnt from
 * the page itself, and an older state of it is as wrong as noise.
 *
 * Workers, one a CPU, own a slice of the pages each, so no page is touched by
 * two threads and faults of several CPUs are pending at once.  The main thread
 * never touches those pages: it reports once a second, tells how far it is five
 * times as often if that has changed (so that who waits for it need not wait for
 * the report), and takes commands, also while workers wait for memory.  Workers run one job at
 * a time (walk, check all, stamp); the slices change only between jobs.
 *
 * Time is the CPU's counter, calibrated at start: asking the kernel for the
 * time would cost more than the visit under emulation.
 *
 * Commands, one a line, on standard input; each is answered by one line:
 *   pause, resume, pattern NAME, check, state, free MIB, alloc MIB, quit, reboot
 *
 * `work VISITS` is answered when so many more have been made: `PATROL WORKED visits= ms=`.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "random.h"
#include "stamp.h"

#define MIB_PAGES      256u
#define THREADS_MAX    16
#define BAD_LINES_MAX  20
#define HOT_VISITS_PCT 90
#define HOT_SIZE_PCT   10
#define HOT_MOVE_S     4
#define EXIT_REBOOT    3
#define TELL_NS	       UINT64_C(200000000)
#define WORK_NS	       UINT64_C(10000000) /* between looks whether work is done */

enum pattern { SEQUENTIAL, RANDOM, ZIPF, HOTCOLD, PATTERNS, ROTATE = PATTERNS };
static const char *const pattern_names[] = { "sequential", "random", "zipf", "hotcold",
					     "rotate" };

enum job { JOB_WALK, JOB_CHECK, JOB_STAMP };

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t rng;
	size_t first, end;  /* the slice; written by main between jobs */
	size_t cursor;	    /* sequential */
	size_t hot;	    /* first page of the hot set */
	uint64_t hot_until; /* TSC */
	struct zipf zipf;
	/* Written by the worker, read by main. */
	_Atomic uint64_t checked, written, bad, worst;
};

static struct {
	uint64_t *mem;
	uint32_t *gen; /* of each page; 0: not stamped yet */
	size_t npages, pages_max;
	size_t stamp_from; /* JOB_STAMP: pages from here on */
	uint64_t salt;
	unsigned zeros, write_pct, rotate_s;
	unsigned checks; /* of a page in a visit: what it does with what it reads */
	bool half;	 /* some pages repeat their first half */
	enum pattern wanted;
	_Atomic int pattern; /* what is walked now; never ROTATE */
	uint64_t tsc_hz;

	struct worker workers[THREADS_MAX];
	unsigned nworkers;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned seq;	  /* [lock] number of the current job */
	enum job job;	  /* [lock] */
	atomic_bool stop; /* end the walk */
	unsigned busy;	  /* [lock] workers that are not done with it */
	int done_fd;	  /* an eventfd: the last worker is done */

	uint64_t *mail;
	uint32_t *mail_seq; /* what was sent last, for each mail page */
	size_t nmail;
	_Atomic uint64_t mail_ok, mail_bad;
	_Atomic unsigned bad_lines;
} p = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.wake = PTHREAD_COND_INITIALIZER,
	.zeros = 12,
	.write_pct = 50,
	.checks = 1,
	.rotate_s = 5,
	.wanted = ROTATE,
	.stop = true,
};

/* One write a line, so that lines of several threads stay whole. */
static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n, done = 0;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	while (done < n) {
		ssize_t r = write(STDOUT_FILENO, line + done, (size_t)(n - done));

		if (r < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (r > 0)
			done += (int)r;
	}
}

static void __attribute__((noreturn)) fail(const char *what)
{
	say("PATROL FAILED %s: %s", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t tsc_measure_hz(void)
{
	uint64_t ns = now_ns(), tsc = __rdtsc(), took;

	do
		took = now_ns() - ns;
	while (took < 100000000);
	return (uint64_t)((double)(__rdtsc() - tsc) * 1e9 / (double)took);
}

/* ---- pages ---- */

static uint64_t *page_at(size_t index)
{
	return p.mem + index * PAGE_WORDS;
}

static struct stamp stamp_of(size_t index, uint32_t gen)
{
	struct stamp s = stamp_make(STAMP_MAGIC, p.salt, index, gen, p.zeros);

	/* most pages that would not compress do so, to a half */
	if (p.half && (s.seed & 3))
		s.period = PAGE_WORDS / 2;
	return s;
}

static const char *diagnose(const uint64_t *page, size_t index)
{
	size_t i;

	for (i = 0; i < PAGE_WORDS && page[i] == 0; i++)
		;
	if (i == PAGE_WORDS)
		return "zero";
	if (page[0] != STAMP_MAGIC)
		return "garbage";
	if (page[1] != p.salt)
		return "from-another-run";
	if (page[2] != index)
		return "misplaced";
	if (page[3] != p.gen[index])
		return "stale";
	return "torn";
}

static void say_bad(size_t index, const struct stamp *s, const uint64_t *page, unsigned at)
{
	unsigned from = at > PAGE_WORDS - 4 ? PAGE_WORDS - 4 : at;
	uint64_t want[4], got[4];

	if (atomic_fetch_add(&p.bad_lines, 1) >= BAD_LINES_MAX)
		return;
	for (unsigned i = 0; i < 4; i++) {
		want[i] = stamp_word(s, from + i);
		got[i] = page[from + i];
	}
	say("PATROL BAD page=%zu gen=%" PRIu32 " is=%s offset=%u "
	    "want=%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " "
	    "got=%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
	    index, p.gen[index], diagnose(page, index), at * 8, want[0], want[1], want[2],
	    want[3], got[0], got[1], got[2], got[3]);
}

static void page_stamp(struct worker *w, size_t index)
{
	struct stamp s = stamp_of(index, ++p.gen[index]);

	stamp_write(&s, page_at(index), 0);
	w->written++;
}

/* A bad page is stamped anew, so that it counts once. */
static void page_visit(struct worker *w, size_t index, bool rewrite)
{
	struct stamp s = stamp_of(index, p.gen[index]);
	unsigned at = PAGE_WORDS;

	for (unsigned i = 0; i < p.checks && at == PAGE_WORDS; i++)
		at = stamp_check(&s, page_at(index), 0);
	w->checked++;
	if (at < PAGE_WORDS) {
		w->bad++;
		say_bad(index, &s, page_at(index), at);
		rewrite = true;
	}
	if (rewrite)
		page_stamp(w, index);
}

/* ---- patterns ---- */

static size_t next_index(struct worker *w, uint64_t tsc)
{
	size_t n = w->end - w->first, hot_size = n * HOT_SIZE_PCT / 100 + 1;

	switch ((enum pattern)p.pattern) {
	case RANDOM:
		return w->first + rng_below(&w->rng, n);
	case ZIPF:
		return w->first + zipf_next(&w->zipf, &w->rng, n);
	case HOTCOLD:
		if (tsc >= w->hot_until) {
			w->hot = rng_below(&w->rng, n);
			w->hot_until = tsc + HOT_MOVE_S * p.tsc_hz;
		}
		if (rng_below(&w->rng, 100) < HOT_VISITS_PCT)
			return w->first + (w->hot + rng_below(&w->rng, hot_size)) % n;
		return w->first + rng_below(&w->rng, n);
	default:
		if (++w->cursor >= n)
			w->cursor = 0;
		return w->first + w->cursor;
	}
}

/* ---- workers ---- */

static void walk(struct worker *w)
{
	uint64_t before = __rdtsc(), after;

	while (!p.stop) {
		page_visit(w, next_index(w, before), rng_below(&w->rng, 100) < p.write_pct);
		after = __rdtsc();
		if (after - before > w->worst)
			w->worst = after - before;
		before = after;
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	unsigned seen = 0;
	enum job job;

	for (;;) {
		pthread_mutex_lock(&p.lock);
		while (p.seq == seen)
			pthread_cond_wait(&p.wake, &p.lock);
		seen = p.seq;
		job = p.job;
		pthread_mutex_unlock(&p.lock);

		if (job == JOB_WALK && w->end > w->first)
			walk(w);
		for (size_t i = w->first; job != JOB_WALK && i < w->end; i++) {
			if (job == JOB_CHECK)
				page_visit(w, i, false);
			else if (i >= p.stamp_from)
				page_stamp(w, i);
		}

		pthread_mutex_lock(&p.lock);
		if (--p.busy == 0)
			eventfd_write(p.done_fd, 1);
		pthread_mutex_unlock(&p.lock);
	}
	return NULL;
}

/* => a walk goes on until crew_stop; the end of the others is told by done_fd */
static void crew_start(enum job job)
{
	for (unsigned i = 0; i < p.nworkers; i++) {
		p.workers[i].first = p.npages * i / p.nworkers;
		p.workers[i].end = p.npages * (i + 1) / p.nworkers;
	}
	pthread_mutex_lock(&p.lock);
	p.job = job;
	p.stop = false;
	p.busy = p.nworkers;
	p.seq++;
	pthread_cond_broadcast(&p.wake);
	pthread_mutex_unlock(&p.lock);
}

/* => no worker touches a page until crew_start; a job that has an end comes to it first
 */
static void crew_stop(void)
{
	eventfd_t v;

	if (p.stop)
		return;
	p.stop = true;
	eventfd_read(p.done_fd, &v);
}

static void *mail_main(void *arg)
{
	(void)arg;
	for (;;) {
		unsigned answered = 0;

		for (size_t i = 0; i < p.nmail; i++) {
			uint64_t *page = p.mail + i * PAGE_WORDS;
			uint32_t seq = p.mail_seq[i];
			uint64_t turn = mail_load(&page[MAIL_W_TURN]);
			/* The mapper may be about to give the turn back. */
			bool waiting = turn == MAIL_MAPPER &&
				       page[MAIL_W_MAGIC] == MAIL_MAGIC &&
				       (page[MAIL_W_SEQ] == seq || page[MAIL_W_SEQ] == seq + 1);

			if (waiting)
				continue;
			if (turn == MAIL_PATROL &&
			    mail_check(page, p.salt, i, seq + 1, MAIL_PATROL)) {
				p.mail_ok++;
			} else {
				say("PATROL BAD mail=%zu seq=%" PRIu32 " turn=%" PRIx64
				    " got magic=%" PRIx64 " seq=%" PRIu64,
				    i, seq, turn, page[MAIL_W_MAGIC], page[MAIL_W_SEQ]);
				p.mail_bad++;
				page[MAIL_W_MAGIC] = MAIL_MAGIC;
				page[MAIL_W_SALT] = p.salt;
				page[MAIL_W_INDEX] = i;
			}
			p.mail_seq[i] = seq + 2;
			mail_send(page, p.salt, i, seq + 2, MAIL_MAPPER);
			answered++;
		}
		if (!answered)
			usleep(10000);
	}
	return NULL;
}

/* Mail pages stay where they are: whoever maps guest RAM remembers their place. */
static void mail_setup(void)
{
	pthread_t t;
	size_t bytes = p.nmail * PAGE_SIZE;

	p.mail = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p.mail_seq = calloc(p.nmail, sizeof(*p.mail_seq));
	if (p.mail == MAP_FAILED || !p.mail_seq)
		fail("mail pages");
	if (madvise(p.mail, bytes, MADV_NOHUGEPAGE) || mlock(p.mail, bytes))
		fail("mlock of mail pages");
	for (size_t i = 0; i < p.nmail; i++) {
		uint64_t *page = p.mail + i * PAGE_WORDS;

		page[MAIL_W_SALT] = p.salt;
		page[MAIL_W_INDEX] = i;
		p.mail_seq[i] = 2;
		mail_send(page, p.salt, i, 2, MAIL_MAPPER);
		page[MAIL_W_MAGIC] = MAIL_MAGIC;
	}
	if (pthread_create(&t, NULL, mail_main, NULL))
		fail("thread");
}

/* ---- the main thread ---- */

static const char *pattern_name(void)
{
	return pattern_names[p.pattern];
}

static void report(uint64_t seconds)
{
	uint64_t checked = 0, written = 0, bad = p.mail_bad, worst = 0, one;

	for (unsigned i = 0; i < p.nworkers; i++) {
		checked += p.workers[i].checked;
		written += p.workers[i].written;
		bad += p.workers[i].bad;
		one = atomic_exchange(&p.workers[i].worst, 0);
		if (one > worst)
			worst = one;
	}
	say("PATROL t=%" PRIu64 " pattern=%s passes=%" PRIu64 " checked=%" PRIu64
	    " written=%" PRIu64 " bad=%" PRIu64 " worst_us=%" PRIu64 " pages=%zu mail=%" PRIu64,
	    seconds, pattern_name(), p.npages ? checked / p.npages : 0, checked, written, bad,
	    worst * 1000000 / p.tsc_hz, p.npages, p.mail_ok);
}

static uint64_t total_checked(void)
{
	uint64_t checked = 0;

	for (unsigned i = 0; i < p.nworkers; i++)
		checked += p.workers[i].checked;
	return checked;
}

/* told: the count that was told last; => that of now */
static uint64_t tell(uint64_t told)
{
	uint64_t checked = total_checked();

	if (checked != told)
		say("PATROL at checked=%" PRIu64 " visits", checked);
	return checked;
}

static uint64_t total_bad(void)
{
	uint64_t bad = p.mail_bad;

	for (unsigned i = 0; i < p.nworkers; i++)
		bad += p.workers[i].bad;
	return bad;
}

/* From the generations alone: no page is touched. */
static void say_state(void)
{
	uint64_t sum = 0;
	size_t stamped = 0;

	for (size_t i = 0; i < p.npages; i++) {
		struct stamp s = stamp_of(i, p.gen[i]);

		if (s.kind == STAMP_ZERO)
			continue;
		stamped++;
		sum += s.seed;
	}
	say("PATROL STATE pages=%zu stamped=%zu sum=%016" PRIx64 " salt=%016" PRIx64, p.npages,
	    stamped, sum, p.salt);
}

static bool set_pattern(const char *name)
{
	for (int i = 0; i <= ROTATE; i++)
		if (!strcmp(name, pattern_names[i])) {
			p.wanted = (enum pattern)i;
			if (i != ROTATE)
				p.pattern = i;
			return true;
		}
	return false;
}

struct console {
	char buf[256];
	size_t len;
	bool eof;
	bool paused;
	enum job job; /* what the workers do now, unless they are stopped */
	bool quit, reboot;
	uint64_t work, work_from,
		work_began; /* visits to be made, 0: none; the count then; ns */
};

static void command(struct console *c, char *line)
{
	char *arg = strchr(line, ' ');
	size_t pages;

	if (arg)
		*arg++ = '\0';
	pages = arg ? strtoul(arg, NULL, 10) * MIB_PAGES : 0;

	if (!strcmp(line, "quit")) {
		crew_stop();
		c->quit = true;
		say("PATROL QUIT bad=%" PRIu64, total_bad());
	} else if (!strcmp(line, "reboot")) {
		crew_stop();
		c->reboot = true;
		say("PATROL REBOOT bad=%" PRIu64, total_bad());
	} else if (!strcmp(line, "pause")) {
		crew_stop();
		c->paused = true;
		say("PATROL PAUSED");
	} else if (!strcmp(line, "resume")) {
		if (c->paused)
			crew_start(JOB_WALK);
		c->paused = false;
		say("PATROL RESUMED");
	} else if (!strcmp(line, "pattern") && arg && set_pattern(arg)) {
		say("PATROL PATTERN %s", arg);
	} else if (!strcmp(line, "check")) {
		crew_stop();
		c->job = JOB_CHECK;
		crew_start(JOB_CHECK);
	} else if (!strcmp(line, "state")) {
		crew_stop();
		say_state();
		if (!c->paused)
			crew_start(JOB_WALK);
	} else if (!strcmp(line, "work") && arg && strtoull(arg, NULL, 10)) {
		c->work = strtoull(arg, NULL, 10);
		c->work_from = total_checked();
		c->work_began = now_ns();
	} else if (!strcmp(line, "free") && pages && pages < p.npages) {
		crew_stop();
		p.npages -= pages;
		if (madvise(page_at(p.npages), pages * PAGE_SIZE, MADV_DONTNEED))
			fail("madvise");
		say("PATROL FREED pages=%zu", p.npages);
		if (!c->paused)
			crew_start(JOB_WALK);
	} else if (!strcmp(line, "alloc") && pages && p.npages + pages <= p.pages_max) {
		crew_stop();
		p.stamp_from = p.npages;
		p.npages += pages;
		c->job = JOB_STAMP;
		crew_start(JOB_STAMP);
	} else {
		say("PATROL REFUSED %s", line);
	}
}

/* Commands wait while a job runs that has an end. */
static void console_run(struct console *c)
{
	while (c->job == JOB_WALK && !c->quit && !c->reboot) {
		char line[sizeof(c->buf)];
		size_t n = strcspn(c->buf, "\r\n");

		if (n == c->len)
			return;
		memcpy(line, c->buf, n);
		line[n] = '\0';
		c->len -= n + 1;
		memmove(c->buf, c->buf + n + 1, c->len + 1);
		if (n)
			command(c, line);
	}
}

static void console_read(struct console *c)
{
	ssize_t n = read(STDIN_FILENO, c->buf + c->len, sizeof(c->buf) - 1 - c->len);

	c->eof = n == 0;
	if (n > 0)
		c->len += (size_t)n;
	c->buf[c->len] = '\0';
	console_run(c);
	if (c->len == sizeof(c->buf) - 1) {
		say("PATROL REFUSED line too long");
		c->len = 0;
	}
}

static void look_at_work(struct console *c)
{
	uint64_t done = total_checked() - c->work_from;

	if (!c->work || done < c->work)
		return;
	say("PATROL WORKED visits=%" PRIu64 " ms=%" PRIu64, done,
	    (now_ns() - c->work_began) / 1000000);
	c->work = 0;
}

/* => a check or a stamping is finished: answer, and walk on */
static void job_done(struct console *c)
{
	crew_stop();
	if (c->job == JOB_CHECK)
		say("PATROL CHECKED pages=%zu bad=%" PRIu64, p.npages, total_bad());
	else
		say("PATROL READY pages=%zu threads=%u", p.npages, p.nworkers);
	c->job = JOB_WALK;
	if (!c->paused)
		crew_start(JOB_WALK);
	console_run(c);
}

static int serve(void)
{
	struct console c = { .job = JOB_STAMP };
	uint64_t start = now_ns(), reported = 0, rotated = 0, told = 0, told_at = 0, s;

	crew_start(JOB_STAMP);
	while (!c.quit && !c.reboot) {
		struct pollfd fds[] = { { .fd = c.job == JOB_WALK ? -1 : p.done_fd,
					  .events = POLLIN },
					{ .fd = c.job != JOB_WALK || c.eof ? -1 : STDIN_FILENO,
					  .events = POLLIN } };
		uint64_t ns = now_ns() - start, next = (reported + 1) * 1000000000u;

		if (next > told_at + TELL_NS)
			next = told_at + TELL_NS;
		if (c.work && next > ns + WORK_NS)
			next = ns + WORK_NS;
		poll(fds, 2, ns < next ? (int)((next - ns) / 1000000) + 1 : 0);
		if (fds[0].revents)
			job_done(&c);
		if (fds[1].revents)
			console_read(&c);
		look_at_work(&c);
		ns = now_ns() - start;
		if (ns - told_at >= TELL_NS) {
			told = tell(told);
			told_at = ns;
		}
		s = ns / 1000000000u;
		if (s <= reported)
			continue;
		reported = s;
		report(s);
		if (p.wanted == ROTATE && s - rotated >= p.rotate_s) {
			rotated = s;
			p.pattern = (p.pattern + 1) % PATTERNS;
		}
	}
	return c.reboot ? EXIT_REBOOT : 0;
}

static size_t meminfo_free_pages(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	size_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %zu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib / 4;
}

static void memory_setup(size_t pages)
{
	p.pages_max = p.npages = pages;
	p.mem = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p.gen = calloc(pages, sizeof(*p.gen));
	if (p.mem == MAP_FAILED || !p.gen)
		fail("memory");
	p.salt = stamp_mix(__rdtsc() ^ now_ns());
}

static void terminal_raw(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &t))
		return;
	cfmakeraw(&t);
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

/* ---- self-test: each kind of damage must be seen, and counted once ---- */

static void damage_none(size_t i)
{
	(void)i;
}

static void damage_zero(size_t i)
{
	memset(page_at(i), 0, PAGE_SIZE);
}

static void damage_stale(size_t i)
{
	struct stamp s = stamp_of(i, p.gen[i] - 1);

	stamp_write(&s, page_at(i), 0);
}

static void damage_torn(size_t i)
{
	struct stamp s = stamp_of(i, p.gen[i] - 1);

	stamp_write(&s, page_at(i), PAGE_WORDS / 2);
}

static void damage_misplaced(size_t i)
{
	memcpy(page_at(i), page_at(i ? i - 1 : 1), PAGE_SIZE);
}

static void damage_last_bit(size_t i)
{
	page_at(i)[PAGE_WORDS - 1] ^= UINT64_C(1) << 63;
}

static void damage_other_run(size_t i)
{
	struct stamp s = stamp_make(STAMP_MAGIC, p.salt + 1, i, p.gen[i], 0);

	stamp_write(&s, page_at(i), 0);
}

static int self_test(void)
{
	static const struct {
		const char *name;
		void (*damage)(size_t i);
		unsigned zeros;
		uint64_t want;
	} cases[] = {
		{ "none", damage_none, 12, 0 },
		{ "zero", damage_zero, 0, 1 },
		{ "stale", damage_stale, 0, 1 },
		{ "torn", damage_torn, 0, 1 },
		{ "misplaced", damage_misplaced, 0, 1 },
		{ "last-bit", damage_last_bit, 12, 1 },
		{ "last-bit-of-zero-page", damage_last_bit, 100, 1 },
		{ "another-run", damage_other_run, 0, 1 },
	};
	struct worker w = { .rng = 1 };
	int failed = 0;

	memory_setup(64);
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		p.zeros = cases[c].zeros;
		for (size_t target = 0; target < p.npages; target++) {
			w.bad = 0;
			for (unsigned round = 0; round < 2; round++)
				for (size_t i = 0; i < p.npages; i++)
					page_stamp(&w, i);
			cases[c].damage(target);
			p.bad_lines = target ? BAD_LINES_MAX : 0;
			for (size_t i = 0; i < p.npages; i++)
				page_visit(&w, i, false);
			/* What was bad was repaired, or all would be bad for ever. */
			for (size_t i = 0; i < p.npages; i++)
				page_visit(&w, i, true);
			if (w.bad == cases[c].want)
				continue;
			say("PATROL SELF-TEST %s page=%zu: bad=%" PRIu64 ", not %" PRIu64,
			    cases[c].name, target, w.bad, cases[c].want);
			failed++;
		}
		say("PATROL SELF-TEST %s bad=%" PRIu64, cases[c].name, cases[c].want);
	}
	say("PATROL SELF-TEST %s", failed ? "FAILED" : "passed");
	return failed ? 1 : 0;
}

static unsigned number(const char *s)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (!*s || *end || v > 1u << 24) {
		say("PATROL FAILED not a number: %s", s);
		exit(2);
	}
	return (unsigned)v;
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t share = 80, pages = 0, first = 0;

	p.nworkers = cpus > THREADS_MAX ? THREADS_MAX : (unsigned)cpus;
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value)
			*value++ = '\0';
		if (!strcmp(argv[i], "--self-test"))
			return self_test();
		else if (!strcmp(argv[i], "--half"))
			p.half = true;
		else if (value && !strcmp(argv[i], "--mib"))
			pages = (size_t)number(value) * MIB_PAGES;
		else if (value && !strcmp(argv[i], "--first"))
			first = (size_t)number(value) * MIB_PAGES;
		else if (value && !strcmp(argv[i], "--share"))
			share = number(value);
		else if (value && !strcmp(argv[i], "--threads"))
			p.nworkers = number(value);
		else if (value && !strcmp(argv[i], "--write"))
			p.write_pct = number(value);
		else if (value && !strcmp(argv[i], "--checks"))
			p.checks = number(value);
		else if (value && !strcmp(argv[i], "--zeros"))
			p.zeros = number(value);
		else if (value && !strcmp(argv[i], "--rotate"))
			p.rotate_s = number(value);
		else if (value && !strcmp(argv[i], "--mail"))
			p.nmail = number(value);
		else if (!value || strcmp(argv[i], "--pattern") || !set_pattern(value)) {
			say("PATROL FAILED usage: patrol [--self-test] [--mib=N | "
			    "--share=PERCENT] "
			    "[--first=MIB] "
			    "[--threads=N] "
			    "[--pattern=sequential|random|zipf|hotcold|rotate] "
			    "[--rotate=SECONDS] [--write=PERCENT] [--zeros=PERCENT] "
			    "[--checks=N] "
			    "[--mail=PAGES] [--half]");
			return 2;
		}
	}
	if (p.nworkers < 1 || p.nworkers > THREADS_MAX || p.zeros > 100 ||
	    p.nmail > MAIL_COUNT_MAX) {
		say("PATROL FAILED number out of range");
		return 2;
	}

	terminal_raw();
	p.tsc_hz = tsc_measure_hz();
	if (!pages)
		pages = meminfo_free_pages() * share / 100;
	memory_setup(pages);
	/* the rest is for `alloc` */
	if (first && first < pages)
		p.npages = first;
	if (p.nmail)
		mail_setup();
	p.done_fd = eventfd(0, EFD_CLOEXEC);
	if (p.done_fd < 0)
		fail("eventfd");
	for (unsigned i = 0; i < p.nworkers; i++) {
		struct worker *w = &p.workers[i];

		w->number = i;
		w->rng = stamp_mix(p.salt + i) | 1;
		if (pthread_create(&w->thread, NULL, worker_main, w))
			fail("thread");
	}
	return serve();
}
