/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file `roster` in the run directory: terms of guests, where their monitors are, and
 * the host's budget, so that another pager has them.  A line for the host and one for each
 * guest, texts last and quoted.  Replaced as a whole.
 */
#ifndef DRUM_BALLOON_ROSTER_H
#define DRUM_BALLOON_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balloon/admission.h"
#include "balloon/arbiter.h"
#include "base/err.h"
#include "vmm/host.h"

#define ROSTER_FILE	"roster"
#define BALLOON_ID_MAX	63
#define SOCKET_PATH_MAX 107 /* of a sockaddr_un */

struct roster_entry {
	char name[GUEST_NAME_MAX + 1];
	struct guest_terms terms;
	bool admitted; /* swap is promised to it; else it was merely attached */
	bool attached;
	uint64_t promised;		  /* bytes of swap */
	char qmp[SOCKET_PATH_MAX + 1];	  /* socket of its monitor, or "" */
	char balloon[BALLOON_ID_MAX + 1]; /* id of the device, or "": to be found */
	char domain[GUEST_NAME_MAX + 1];  /* libvirt's, or "" */
	bool ballooned; /* its balloon was asked for memory, and has not given it all back */
};

/* => 0 or -errno */
int must_check roster_save(int dir_fd, const struct arbiter_conf *conf,
			   const struct roster_entry *entry, size_t n);
/* => how many, *entry malloc'ed; 0 and conf untouched: there is no file; -EINVAL it is not
 * ours, -ENOMEM, -errno */
int must_check roster_read(int dir_fd, struct arbiter_conf *conf, struct roster_entry **entry);

#endif
