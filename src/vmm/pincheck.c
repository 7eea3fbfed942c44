/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The BPF program (pincheck.bpf.c) stands in this file as it was built.  It is
 * loaded once.  Questions and answers are in an array that the kernel and we
 * share, a slot for each thread that asks; a call of the program is one system
 * call for up to 64 pages.
 *
 * Why a look is enough.  To pin a page somebody needs an address where it is
 * mapped.  An inactive page is mapped by no VMM, so whoever has it pinned had
 * done so before it was unmapped, and its reference has been there since: a
 * page table entry is taken away first, and who was about to use it looks
 * again.  To pin it anew somebody must fault, and the guest's worker, which is
 * the one that asks, is the one that serves faults.  So what was not pinned
 * when the worker looked is not until the worker maps the page.
 *
 * That is why the look comes before the page's content is read, for the look
 * for zeros or for the write to swap, and not merely before it is punched: I/O
 * that ends between the reading and a later look would change the page and
 * leave no reference, and the older content would be what is on swap.
 *
 * A page that is new may be in a list of a CPU, at most 31 in each, that goes to
 * the LRU lists as a whole.  That is a reference too; it is taken later.
 *
 * What a kernel says that is laid out other than thought cannot be trusted.
 * Hence the trial: a scratch memfd with pages that are there and not, mapped
 * once, twice and not, pinned and not.  If a single answer is wrong there is no
 * pin check.
 */

#include "vmm/pincheck.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"

bool pincheck_is_free(const struct pin_page *page, bool unmapped)
{
	switch (page->kind) {
	case PIN_HOLE:
		return true;
	case PIN_FOLIO:
		/* of a large folio, others may map other parts */
		return page->refs > 0 && page->maps >= 0 &&
		       (unsigned int)page->refs == page->pages + (unsigned int)page->maps &&
		       (page->maps <= 1 || page->pages > 1 || !unmapped);
	default:
		return false;
	}
}

void pincheck_drain(void)
{
	void *page = NULL;
	int node = 0, status;

	/* it does so before it moves pages, also when there are none to be moved */
	(void)syscall(SYS_move_pages, 0, 0UL, &page, &node, &status, 0);
}

#if DRUM_HAVE_BPF

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/memlock.h"

/* The object file, as clang made it. */
__asm__(".section .rodata\n"
	".balign 16\n"
	"pincheck_object:\n"
	".incbin \"" DRUM_BPF_OBJECT "\"\n"
	"pincheck_object_end:\n"
	".previous\n");
extern const unsigned char pincheck_object[], pincheck_object_end[];

struct pincheck {
	int program;	       /* descriptor */
	uint8_t *slots;	       /* mapped: PIN_SLOTS batches */
	bool taken[PIN_SLOTS]; /* [a] */
};

/* How an array map lays out its values. */
#define SLOT_SIZE ((sizeof(struct pin_batch) + 7) & ~(size_t)7)

static int print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char text[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("pin check: %s", text);
	return 0;
}

static int load(struct pincheck *p, struct err *e)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "drum_pincheck");
	struct bpf_object *object;
	struct bpf_program *program;
	int map, ret;

	libbpf_set_print(print);
	object = bpf_object__open_mem(pincheck_object,
				      (size_t)(pincheck_object_end - pincheck_object), &opts);
	if (!object)
		return err_set(e, -errno, "the BPF program cannot be read: %s",
			       strerror(errno));
	ret = bpf_object__load(object);
	program = bpf_object__find_program_by_name(object, "look_at_pages");
	map = bpf_object__find_map_fd_by_name(object, "batches");
	if (ret < 0 || !program || map < 0) {
		ret = ret < 0 ? ret : -ENOENT;
		err_set(e, ret, "the BPF program cannot be loaded: %s%s", strerror(-ret),
			ret == -EPERM || ret == -EACCES ? " (it needs CAP_BPF and CAP_PERFMON)"
							: " (does the kernel have BTF?)");
		goto out;
	}
	p->slots =
		mmap(NULL, SLOT_SIZE * PIN_SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (p->slots == MAP_FAILED) {
		p->slots = NULL;
		ret = err_set(e, -errno, "the BPF map cannot be mapped: %s", strerror(errno));
		goto out;
	}
	/* the mapping holds the map, and the program holds it too */
	p->program = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
	if (p->program < 0)
		ret = err_set(e, -errno, "the BPF program: %s", strerror(errno));
out:
	bpf_object__close(object);
	return ret;
}

int pincheck_slot(struct pincheck *p)
{
	for (int i = 0; i < PIN_SLOTS; i++)
		if (!__atomic_exchange_n(&p->taken[i], true, __ATOMIC_ACQUIRE))
			return i;
	return -ENOSPC;
}

void pincheck_slot_free(struct pincheck *p, int slot)
{
	if (slot >= 0)
		__atomic_store_n(&p->taken[slot], false, __ATOMIC_RELEASE);
}

int pincheck_look(struct pincheck *p, int slot, int memfd, ino_t ino, const uint64_t *page,
		  uint32_t n, struct pin_page *out)
{
	struct pin_call call = { .slot = (unsigned int)slot };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &call, .ctx_size_in = sizeof(call));
	struct pin_batch *b;
	int ret;

	if (slot < 0)
		return -ENOSPC;
	assert(n <= PIN_BATCH);
	b = (struct pin_batch *)(p->slots + SLOT_SIZE * (size_t)slot);
	b->fd = (unsigned int)memfd;
	b->ino = ino;
	b->n = n;
	for (uint32_t k = 0; k < n; k++) {
		b->page[k].index = page[k];
		b->page[k].kind = PIN_UNSURE;
	}
	ret = bpf_prog_test_run_opts(p->program, &opts);
	if (ret == 0)
		ret = (int)opts.retval;
	if (ret == 0)
		memcpy(out, b->page, n * sizeof(out[0]));
	return ret;
}

/* The trial. */

#define TRIAL_PAGES 256u
#define TRIAL_HOLE  TRIAL_PAGES
#define TRIAL_FAR   (UINT64_C(1) << 19) /* that the tree is of some height */
#define TRIAL_TRIES 20

struct trial {
	struct pincheck *p;
	int slot, fd;
	ino_t ino;
	uint64_t page; /* one that is in no CPU's list */
	int pipe[2];
	uint8_t *map[2];
};

static bool is_now(struct trial *t, uint64_t page, enum pin_kind kind, int refs, int maps,
		   bool is_free)
{
	struct pin_page got;

	if (pincheck_look(t->p, t->slot, t->fd, t->ino, &page, 1, &got) != 0)
		return false;
	log_debug("pin check: page %llu: kind %u, %d references, %d mappings",
		  (unsigned long long)page, got.kind, got.refs, got.maps);
	if (got.kind != kind || pincheck_is_free(&got, true) != is_free)
		return false;
	return kind != PIN_FOLIO || (got.pages == 1 && got.refs == refs && got.maps == maps);
}

/*
 * A page may be in a CPU's list; in a process whose memory is locked one that is mapped
 * is, too.  To drain them all CPUs must come by, so that is done only where it is needed.
 */
static bool is(struct trial *t, uint64_t page, enum pin_kind kind, int refs, int maps,
	       bool is_free)
{
	if (is_now(t, page, kind, refs, maps, is_free))
		return true;
	pincheck_drain();
	return is_now(t, page, kind, refs, maps, is_free);
}

/* Most new pages are on the LRU lists at once, and one that is will do. */
static bool find_page(struct trial *t)
{
	for (uint64_t page = 0; page < TRIAL_PAGES; page++)
		if (is_now(t, page, PIN_FOLIO, 1, 0, true)) {
			t->page = page;
			return true;
		}
	return false;
}

static bool map_page(struct trial *t, int which)
{
	uint8_t *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd,
			   (off_t)(t->page * 4096));

	if (at == MAP_FAILED)
		return false;
	t->map[which] = at;
	memlock_exempt(at, 4096);
	*(volatile uint8_t *)at;
	return true;
}

/* => what is wrong, or NULL */
static const char *try(struct trial *t)
{
	struct iovec iov = { .iov_len = 64 };
	char byte[64];

	t->fd = memfd_create("drum-pincheck", MFD_CLOEXEC);
	if (t->fd < 0 || ftruncate(t->fd, (off_t)((TRIAL_FAR + 1) * 4096)) < 0 ||
	    fallocate(t->fd, 0, 0, TRIAL_PAGES * 4096) < 0 ||
	    fallocate(t->fd, 0, (off_t)(TRIAL_FAR * 4096), 4096) < 0 ||
	    pipe2(t->pipe, O_CLOEXEC) < 0)
		return "no memory to try it on";
	{
		struct stat st;

		if (fstat(t->fd, &st) < 0)
			return "no memory to try it on";
		t->ino = st.st_ino;
	}
	if (!find_page(t))
		return "it does not find a page that nobody uses";
	if (!is(t, TRIAL_HOLE, PIN_HOLE, 0, 0, true))
		return "it does not see a hole";
	if (!map_page(t, 0) || !is(t, t->page, PIN_FOLIO, 2, 1, true))
		return "it does not see a mapping";
	if (!map_page(t, 1) || !is(t, t->page, PIN_FOLIO, 3, 2, false))
		return "it does not see a second mapping";
	munmap(t->map[1], 4096);
	t->map[1] = NULL;
	/* the pipe refers to the page itself, as a device would */
	iov.iov_base = t->map[0];
	if (vmsplice(t->pipe[1], &iov, 1, 0) != 64 || !is(t, t->page, PIN_FOLIO, 3, 1, false))
		return "it does not see that a page is in use";
	munmap(t->map[0], 4096);
	t->map[0] = NULL;
	if (!is(t, t->page, PIN_FOLIO, 2, 0, false))
		return "it does not see that an unmapped page is in use";
	if (read(t->pipe[0], byte, sizeof(byte)) != 64 ||
	    !is(t, t->page, PIN_FOLIO, 1, 0, true))
		return "it does not see that a page is no longer in use";
	t->ino++;
	if (is(t, t->page, PIN_FOLIO, 1, 0, true))
		return "it takes one file for another";
	return NULL;
}

static int trial(struct pincheck *p, struct err *e)
{
	struct trial t;
	const char *wrong = NULL;

	/* others may use a page for a moment, as when memory is compacted */
	for (int i = 0; i < TRIAL_TRIES; i++) {
		t = (struct trial){ .p = p, .fd = -1, .pipe = { -1, -1 } };
		t.slot = pincheck_slot(p);
		wrong = try(&t);
		pincheck_slot_free(p, t.slot);
		for (int k = 0; k < 2; k++) {
			if (t.map[k])
				munmap(t.map[k], 4096);
			if (t.pipe[k] >= 0)
				close(t.pipe[k]);
		}
		if (t.fd >= 0)
			close(t.fd);
		if (!wrong)
			return 0;
	}
	return err_set(e, -ENOTSUP, "the BPF program does not fit this kernel: %s", wrong);
}

int pincheck_open(struct pincheck **out, struct err *e)
{
	struct pincheck *p = calloc(1, sizeof(*p));
	int ret;

	*out = NULL;
	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->program = -1;
	ret = load(p, e);
	if (ret == 0)
		ret = trial(p, e);
	if (ret == 0)
		*out = p;
	else
		pincheck_close(p);
	return ret;
}

void pincheck_close(struct pincheck *p)
{
	if (!p)
		return;
	if (p->slots)
		munmap(p->slots, SLOT_SIZE * PIN_SLOTS);
	if (p->program >= 0)
		close(p->program);
	free(p);
}

#else /* built without clang or libbpf */

int pincheck_open(struct pincheck **out, struct err *e)
{
	*out = NULL;
	return err_set(e, -ENOTSUP, "built without BPF (clang and libbpf were missing)");
}

void pincheck_close(struct pincheck *p)
{
	(void)p;
}

int pincheck_slot(struct pincheck *p)
{
	(void)p;
	return -ENOSPC;
}

void pincheck_slot_free(struct pincheck *p, int slot)
{
	(void)p;
	(void)slot;
}

int pincheck_look(struct pincheck *p, int slot, int memfd, ino_t ino, const uint64_t *page,
		  uint32_t n, struct pin_page *out)
{
	(void)p;
	(void)slot;
	(void)memfd;
	(void)ino;
	(void)page;
	(void)n;
	(void)out;
	return -ENOTSUP;
}

#endif
