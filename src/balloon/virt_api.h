/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is asked of libvirt about one domain, as a struct of functions so that tests can play
 * it.  Each of them may take for ever: they belong on a thread that nobody waits for.
 */
#ifndef DRUM_BALLOON_VIRT_API_H
#define DRUM_BALLOON_VIRT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct virt_domain;

#define VIRT_VCPUS_MAX 512 /* MONITOR_VCPUS_MAX */

struct virt_look { /* bytes */
	bool running, panicked;
	bool balloon;
	uint64_t actual;
	uint64_t told; /* when the driver told the rest, seconds of the wall clock; 0: never */
	bool has_free;
	uint64_t free, available, total, caches, swapped_in, swapped_out, major_faults;
	bool deflate_on_oom, reports_free;
	pid_t vcpu[VIRT_VCPUS_MAX];
	size_t vcpus;
};

struct virt_api {
	/* => 0 and *out, or -errno and e */
	int (*open)(const char *uri, const char *name, struct virt_domain **out, struct err *e);
	/* seconds: the driver is to tell that often */
	int (*look)(struct virt_domain *d, uint32_t seconds, struct virt_look *out,
		    struct err *e);
	int (*set_ram)(struct virt_domain *d, uint64_t bytes, struct err *e);
	void (*close)(struct virt_domain *d);
};

/* The real one; loads the library when it is called first.  => NULL and e */
const struct virt_api *must_check virt_api_load(struct err *e);

#endif
