/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the store (store.h) has of guests: the userfaultfds of each process that is
 * attached, by its id, start time and their number there, and the memfds, by their identity.
 */
#ifndef DRUM_KEEPER_KEPT_H
#define DRUM_KEEPER_KEPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/left.h"
#include "keeper/mappers.h"

void kept_put_uffd(pid_t pid, uint64_t start_time, int remote, int fd);
/* => a userfaultfd, or -ENOENT */
int must_check kept_take_uffd(pid_t pid, uint64_t start_time, int remote);
void kept_forget_uffd(pid_t pid, uint64_t start_time, int remote);

void kept_put_memfds(const struct memfd *m, int n);
/* All that are wanted, in that order. => false: one is not there */
bool must_check kept_take_memfds(const struct left_memfd *want, int n,
				 struct memfd out[PROTO_MEMFDS_MAX]);
void kept_forget_memfds(const struct memfd *m, int n);

/* Is that a name of one of them? */
bool kept_is_name(const char *name);
/* And if so, of a process that lives, or of a memfd? */
bool kept_may_be_needed(const char *name);

/* Is descriptor fd of that process a userfaultfd? */
bool is_userfaultfd_of(pid_t pid, int fd);

#endif
