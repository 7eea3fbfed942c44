/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mapper: a second process that maps a guest's RAM and uses it, as a vhost-user
 * back end does.
 *
 * Theory of operation
 *
 * It opens the memfd of the VMM's guest RAM through /proc/PID/map_files and maps
 * it shared.  It touches nothing before it is told to.  Then it finds patrol's
 * mail pages by their magic and answers mail: each page is written in turn by
 * patrol and by this process, each checks every byte of what the other wrote,
 * and both remember the sequence (stamp.h).  A zero or stale page on either side
 * is thus seen on that side.  `verify` reads all of guest RAM: of each page that
 * patrol stamped the newest copy counts, and the sum over them must be the one
 * that patrol computes of its own memory.
 *
 * Commands on standard input: go, verify, damage, quit.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest/stamp.h"

struct mail {
	volatile uint64_t *page;
	uint64_t sent; /* sequence of our last answer; 0: none yet */
	bool lost;     /* was bad when last looked at: counted once */
};

static struct {
	uint64_t *mem;
	size_t pages;
	uint64_t salt;
	struct mail mails[MAIL_COUNT_MAX];
	size_t nmails;
	uint64_t ok, bad;
	bool spoil_next_in, spoil_next_out; /* by the damage command */
} m;

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("MAPPER FAILED ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(1);
}

/* The VMM's first shared mapping of a memfd of QEMU's memory backend. */
static void map_ram(const char *pid)
{
	char path[64], line[512];
	unsigned long start, end;
	struct stat st;
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		fail("%s: %s", path, strerror(errno));
	for (;;) {
		if (!fgets(line, sizeof(line), maps))
			fail("process %s maps no guest RAM", pid);
		if (strstr(line, "/memfd:memory-backend-memfd") && strstr(line, "s ") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	}
	fclose(maps);
	snprintf(path, sizeof(path), "/proc/%s/map_files/%lx-%lx", pid, start, end);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		fail("%s: %s", path, strerror(errno));
	m.pages = (size_t)st.st_size / PAGE_SIZE;
	m.mem = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m.mem == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	close(fd);
	printf("MAPPER MAPPED pages=%zu\n", m.pages);
}

static void bad(const char *what, size_t index)
{
	const volatile uint64_t *page = m.mails[index].page;

	if (m.mails[index].lost)
		return;
	m.mails[index].lost = true;
	m.bad++;
	if (m.bad <= 20)
		printf("MAPPER BAD mail=%zu %s: sent=%" PRIu64 " magic=%" PRIx64 " seq=%" PRIu64
		       " turn=%" PRIx64 "\n",
		       index, what, m.mails[index].sent, page[MAIL_W_MAGIC], page[MAIL_W_SEQ],
		       page[MAIL_W_TURN]);
}

static void find_mails(void)
{
	m.nmails = 0;
	memset(m.mails, 0, sizeof(m.mails));
	for (size_t i = 0; i < m.pages; i++) {
		volatile uint64_t *page = m.mem + i * PAGE_WORDS;
		uint64_t index;

		if (mail_load(&page[MAIL_W_MAGIC]) != MAIL_MAGIC)
			continue;
		index = page[MAIL_W_INDEX];
		if (index >= MAIL_COUNT_MAX || m.mails[index].page)
			fail("two pages of one mail: %" PRIu64, index);
		m.mails[index].page = page;
		m.salt = page[MAIL_W_SALT];
		m.nmails++;
	}
	for (size_t i = 0; i < m.nmails; i++)
		if (!m.mails[i].page)
			fail("no mail %zu of %zu", i, m.nmails);
	printf("MAPPER FOUND mails=%zu\n", m.nmails);
}

/* => how many were answered */
static unsigned answer_mails(void)
{
	unsigned answered = 0;

	for (size_t i = 0; i < m.nmails; i++) {
		volatile uint64_t *page = m.mails[i].page;
		uint64_t turn = mail_load(&page[MAIL_W_TURN]), sent = m.mails[i].sent;
		uint64_t seq = page[MAIL_W_SEQ];

		if (turn == MAIL_PATROL) {
			/* Patrol may be about to give the turn back. */
			if (page[MAIL_W_MAGIC] != MAIL_MAGIC ||
			    (seq != sent && seq != sent + 1))
				bad("while patrol has the turn", i);
			continue;
		}
		if (turn != MAIL_MAPPER) {
			/* Patrol sees that too, and begins anew. */
			bad("nobody has the turn", i);
			continue;
		}
		if (m.spoil_next_in)
			page[PAGE_WORDS - 1] ^= 1;
		m.spoil_next_in = false;
		m.mails[i].lost = false;
		if ((!sent || seq == sent + 1) && mail_check(page, m.salt, i, seq, MAIL_MAPPER))
			m.ok++;
		else
			bad("from patrol", i);
		m.mails[i].sent = seq + 1;
		mail_send(page, m.salt, m.spoil_next_out ? i + 1 : i, seq + 1, MAIL_PATROL);
		m.spoil_next_out = false;
		answered++;
	}
	return answered;
}

struct newest {
	uint32_t gen; /* 0: no such page was found */
	uint32_t at;  /* where in guest RAM */
};

/*
 * Of each of patrol's pages the newest copy: the guest's kernel leaves older ones
 * behind when it moves pages.  Patrol must be paused, and make no zero pages:
 * those carry no name.  => an array by index, to be freed
 */
static struct newest *scan(size_t *torn)
{
	struct newest *found = calloc(m.pages, sizeof(*found));

	if (!found)
		fail("out of memory");
	*torn = 0;
	for (size_t i = 0; i < m.pages; i++) {
		const uint64_t *page = m.mem + i * PAGE_WORDS;
		struct stamp s;

		if (page[0] != STAMP_MAGIC || page[2] >= m.pages)
			continue;
		s = stamp_make(STAMP_MAGIC, page[1], page[2], page[3], 0);
		if (stamp_check(&s, page, 0) != PAGE_WORDS) {
			++*torn;
		} else if (found[page[2]].gen < page[3]) {
			found[page[2]].gen = (uint32_t)page[3];
			found[page[2]].at = (uint32_t)i;
			m.salt = page[1];
		}
	}
	return found;
}

static void verify(void)
{
	size_t stamped = 0, torn;
	struct newest *found = scan(&torn);
	uint64_t sum = 0;

	for (size_t i = 0; i < m.pages; i++)
		if (found[i].gen) {
			stamped++;
			sum += stamp_seed(m.salt, i, found[i].gen);
		}
	free(found);
	printf("MAPPER VERIFIED stamped=%zu sum=%016" PRIx64 " torn=%zu\n", stamped, sum, torn);
}

/* Ten pages of patrol, one mail to us and one from us: the test of the tests. */
static void damage(void)
{
	size_t zeroed = 0, torn;
	struct newest *found = scan(&torn);

	for (size_t i = 0; i < m.pages && zeroed < 10; i++)
		if (found[i].gen) {
			memset(m.mem + (size_t)found[i].at * PAGE_WORDS, 0, PAGE_SIZE);
			zeroed++;
		}
	free(found);
	m.spoil_next_in = m.spoil_next_out = true;
	printf("MAPPER DAMAGED pages=%zu\n", zeroed);
}

int main(int argc, char **argv)
{
	time_t reported = 0, now;
	bool working = false;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (argc != 2)
		fail("usage: mapper PID");
	map_ram(argv[1]);
	for (;;) {
		struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
		bool idle = !working || !answer_mails();

		now = time(NULL);
		if (working && now != reported) {
			printf("MAPPER ok=%" PRIu64 " bad=%" PRIu64 "\n", m.ok, m.bad);
			reported = now;
		}
		if (poll(&in, 1, !idle ? 0 : working ? 5 : -1) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin) || !strcmp(line, "quit\n"))
			break;
		if (!strcmp(line, "go\n")) {
			find_mails();
			working = true;
		} else if (!strcmp(line, "verify\n")) {
			verify();
		} else if (!strcmp(line, "damage\n")) {
			damage();
		} else {
			printf("MAPPER REFUSED %s", line);
		}
	}
	printf("MAPPER QUIT ok=%" PRIu64 " bad=%" PRIu64 "\n", m.ok, m.bad);
	return m.bad ? 1 : 0;
}
