/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file guest-NAME.state in the run directory: what a later keeper needs to
 * take a guest back.
 */
#ifndef DRUM_KEEPER_LEFT_H
#define DRUM_KEEPER_LEFT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/proto.h"

struct left_memfd {
	uint64_t dev, ino;
};

struct left_mapper {
	pid_t pid;
	uint64_t start_time; /* ticks since boot: a pid alone may be another's by now */
	int remote;	     /* number of the userfaultfd there */
};

struct left_guest {
	pid_t pid;				   /* the VMM */
	uint64_t limit;				   /* bytes, 0: none */
	struct left_memfd memfd[PROTO_MEMFDS_MAX]; /* in the order of page indices */
	int nmemfds;
	struct left_mapper mapper[PROTO_MAPPERS_MAX];
	int nmappers;
};

/* Replace the file as a whole; what goes wrong is logged. */
void left_save(const char *run_dir, const char *name, const struct left_guest *left);

/* => 0; -EINVAL: it is not such a file; -errno */
int must_check left_read(const char *run_dir, const char *name, struct left_guest *left,
			 struct err *e);

/* Remove it, and the file of the guest's swblocks. */
void left_forget(const char *run_dir, const char *name);

#endif
