/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Theory of operation
 *
 * A program of type `syscall` runs when somebody calls it, in his context.  It
 * goes from a descriptor of the caller's to the memfd's page cache, an xarray,
 * and reports the counts of the folios there.  Every read of kernel memory is
 * one that may fail, and the offsets are those of the running kernel (CO-RE).
 *
 * Nothing is locked.  Nodes of the tree are freed under RCU, which a program of
 * this type does not hold back, so what is read must prove itself:
 *
 *   - A folio counts only if it says that it belongs to this file, at this
 *     index.
 *   - While a page is in the tree, none of the nodes above it is freed, but for
 *     one case: a tree that shrinks loses its topmost node.  Then the head
 *     changes, and the caller is told to come again.  So no page that is there
 *     is ever taken for a hole.
 *   - Entries that are neither page nor node (one that is being replaced) are
 *     `unsure`.
 *
 * A folio of several pages has one entry and copies ("siblings") of it in a node,
 * which tell how large it is.
 */

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "vmm/pincheck_bpf.h"

#define LEVELS_MAX  11 /* of a tree of 2^64 pages and 64 slots a node */
#define DOUBLED_MAX 6
#define ENTRY_RETRY (256 << 2 | 2) /* of an xarray: come again */

/* What is used of the kernel's structures; their places are found at load time. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct xarray {
	void *xa_head;
};

struct xa_node {
	unsigned char shift;
	void *slots[64];
};

struct inode {
	unsigned long i_ino;
};

struct address_space {
	struct inode *host;
	struct xarray i_pages;
};

struct file {
	struct address_space *f_mapping;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct files_struct *files;
};

struct folio {
	struct address_space *mapping;
	unsigned long index;
	atomic_t _mapcount;
	atomic_t _refcount;
	atomic_t _large_mapcount; /* since 6.10 */
};

#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PIN_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, unsigned int);
	__type(value, struct pin_batch);
} batches SEC(".maps");

struct walk {
	struct pin_batch *batch;
	struct address_space *mapping;
	unsigned long head;
	/* batch->node has the slots of this node, unless it is 0.  Each stands for
	 * 2^shift pages, and all for those with this prefix. */
	unsigned long node, shift;
	unsigned long prefix; /* page index >> shift >> node_bits() */
};

/* Constants of the kernel that runs. */
static __always_inline unsigned long node_slots(void)
{
	return bpf_core_field_size(struct xa_node, slots) / sizeof(void *);
}

static __always_inline unsigned int node_bits(void)
{
	return node_slots() == 64 ? 6 : 4; /* XA_CHUNK_SHIFT */
}

static __always_inline int is_internal(unsigned long entry)
{
	return (entry & 3) == 2;
}

static __always_inline int is_node(unsigned long entry)
{
	return is_internal(entry) && entry > 4096;
}

static __always_inline int is_sibling(unsigned long entry)
{
	return is_internal(entry) && entry >> 2 < node_slots() - 1;
}

static __always_inline unsigned long slot(const struct walk *w, unsigned long offset)
{
	return w->batch->node[offset & (PIN_NODE - 1)];
}

/* Read the node's slots. => 0 or -1 */
static __always_inline long enter(struct walk *w, unsigned long node)
{
	unsigned char shift;

	w->node = 0;
	if (bpf_core_read(&shift, sizeof(shift), &((struct xa_node *)node)->shift) < 0 ||
	    bpf_probe_read_kernel(
		    w->batch->node, node_slots() * sizeof(void *),
		    (void *)(node + bpf_core_field_offset(struct xa_node, slots))) < 0)
		return -1;
	w->node = node;
	w->shift = shift & 63;
	return 0;
}

/* How many slots the entry at offset takes: it and its siblings. */
static __always_inline unsigned long width(const struct walk *w, unsigned long offset)
{
	unsigned long n = 1;

	for (int i = 0; i < DOUBLED_MAX; i++) {
		if (offset + n >= node_slots() || slot(w, offset + n) != (offset << 2 | 2))
			break;
		n *= 2;
	}
	return n;
}

/* Of the part of a folio that was read. */
#define FOLIO(w, type, field)                                                                  \
	(*(type *)((w)->batch->folio + bpf_core_field_offset(struct folio, field)))

static __always_inline void report(struct pin_page *p, const struct walk *w,
				   unsigned long entry, unsigned long pages)
{
	struct folio *f = (struct folio *)entry;
	int mapped;

	if (bpf_probe_read_kernel(w->batch->folio, PIN_FOLIO_SIZE, f) < 0 ||
	    FOLIO(w, struct address_space *, mapping) != w->mapping ||
	    FOLIO(w, unsigned long, index) != (p->index & ~(pages - 1)))
		return;
	p->refs = FOLIO(w, int, _refcount);
	p->maps = FOLIO(w, int, _mapcount) + 1;
	if (pages > 1) {
		/* if there is no sum, only one that is mapped nowhere comes out even */
		mapped = -1;
		if (bpf_core_field_exists(f->_large_mapcount))
			bpf_core_read(&mapped, sizeof(mapped), &f->_large_mapcount.counter);
		p->maps = mapped + 1;
	}
	p->pages = pages;
	p->kind = PIN_FOLIO;
}

/* Find the entry of a page. => it, at *offset of w->node; 0: none */
static __always_inline unsigned long find(struct walk *w, unsigned long index,
					  unsigned long *offset)
{
	unsigned long entry = w->head;

	if (w->node && index >> w->shift >> node_bits() == w->prefix) {
		*offset = index >> w->shift & (node_slots() - 1);
		if (!is_node(slot(w, *offset)))
			return slot(w, *offset);
	}
	w->node = 0;
	/* a tree without a node has page 0 only */
	if (!is_node(entry))
		return index == 0 ? entry : 0;
	for (int level = 0; level < LEVELS_MAX && is_node(entry); level++) {
		if (enter(w, entry - 2) < 0)
			return ENTRY_RETRY;
		*offset = index >> w->shift;
		if (level == 0 && *offset >= node_slots())
			return 0;
		*offset &= node_slots() - 1;
		entry = slot(w, *offset);
	}
	w->prefix = index >> w->shift >> node_bits();
	return entry;
}

static long look(unsigned int i, void *arg)
{
	unsigned long entry, offset = 0;
	struct walk *w = arg;
	struct pin_page *p;

	if (i >= PIN_BATCH)
		return 1;
	p = &w->batch->page[i];
	p->kind = PIN_UNSURE;
	entry = find(w, p->index, &offset);
	if (is_sibling(entry)) {
		offset = entry >> 2;
		entry = slot(w, offset);
	}
	if (entry == 0 || entry & 1)
		p->kind = PIN_HOLE;
	else if (!is_internal(entry))
		report(p, w, entry, w->node ? width(w, offset) << w->shift : 1);
	return 0;
}

SEC("syscall")
int look_at_pages(struct pin_call *call)
{
	unsigned int slot = call->slot;
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct fdtable *fdt = BPF_CORE_READ(files, fdt);
	struct file **fds = BPF_CORE_READ(fdt, fd), *file = NULL;
	struct address_space *mapping;
	struct walk w = { 0 };

	w.batch = bpf_map_lookup_elem(&batches, &slot);
	if (!w.batch || w.batch->fd >= BPF_CORE_READ(fdt, max_fds))
		return -9; /* EBADF */
	bpf_probe_read_kernel(&file, sizeof(file), &fds[w.batch->fd]);
	w.mapping = mapping = BPF_CORE_READ(file, f_mapping);
	/* the table may be another by now; the file is the one that is meant if it
	 * has that number */
	if (!mapping || BPF_CORE_READ(mapping, host, i_ino) != w.batch->ino)
		return -9;
	w.head = (unsigned long)BPF_CORE_READ(mapping, i_pages.xa_head);
	bpf_loop(w.batch->n, look, &w, 0);
	if ((unsigned long)BPF_CORE_READ(mapping, i_pages.xa_head) != w.head)
		return -11; /* EAGAIN */
	return 0;
}

char pincheck_license[] SEC("license") = "Dual BSD/GPL";
