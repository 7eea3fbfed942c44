/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vmm/pincheck.c asks of the BPF program, and its answers.  One slot of a
 * memory-mapped BPF array holds one struct pin_batch.
 *
 * Built for BPF too: no header of the C library.
 */
#ifndef DRUM_VMM_PINCHECK_BPF_H
#define DRUM_VMM_PINCHECK_BPF_H

#define PIN_SLOTS      288 /* who may ask at the same time: guests, and some more */
#define PIN_BATCH      64  /* pages that one call looks at */
#define PIN_NODE       64  /* most slots of a node of the page cache's tree */
#define PIN_FOLIO_SIZE 64  /* of a folio, what has all that is looked at */

enum pin_kind {
	PIN_UNSURE, /* could not be looked at, or changed meanwhile */
	PIN_HOLE,   /* no page in memory: a hole, or swapped by the kernel */
	PIN_FOLIO,  /* the other fields are valid */
};

struct pin_page {
	unsigned long long index; /* in: in the memfd */
	unsigned int kind;	  /* out: enum pin_kind */
	unsigned int pages;	  /* of the folio that the page belongs to */
	int refs;		  /* references of that folio */
	int maps;		  /* its mappings */
};

struct pin_batch {
	unsigned long long ino; /* in: of the memfd, to be sure that it is that */
	unsigned int fd;	/* in: the caller's descriptor of the memfd */
	unsigned int n;		/* in: pages */
	struct pin_page page[PIN_BATCH];
	/* the program's own */
	unsigned long long node[PIN_NODE]; /* slots of the node at hand */
	unsigned char folio[PIN_FOLIO_SIZE];
};

/* The context of a call. */
struct pin_call {
	unsigned int slot;
};

#endif
