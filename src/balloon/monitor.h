/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor of a guest's VMM: QMP on a socket of QEMU's (monitor_qmp.c, qmp_client.c), or
 * libvirt's API where libvirt owns the monitor (monitor_virt.c, on a thread of its own, for
 * its calls wait).
 *
 * Control thread only, and nothing here waits.  A monitor that does not answer is lost, which
 * is told, and is tried again: after a second, then twice as long, up to a minute.
 * Everything it says is believed as little as a guest: sizes are clamped by whoever uses them.
 */
#ifndef DRUM_BALLOON_MONITOR_H
#define DRUM_BALLOON_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct loop;
struct monitor;

enum monitor_state { MONITOR_CONNECTING, MONITOR_UP, MONITOR_LOST };

struct monitor_figures {   /* bytes; as of the last answer */
	uint64_t at;	   /* ns, when it came; 0: none has */
	bool balloon;	   /* there is a balloon device */
	uint64_t actual;   /* RAM that the guest has left */
	bool stats;	   /* its driver tells: */
	uint64_t stats_at; /* ns on our clock, when it told that */
	uint64_t free, available, total, caches;
	uint64_t swapped_in, swapped_out, major_faults; /* since it booted; faults: count */
	bool deflate_on_oom, reports_free;
	bool running; /* the guest is not paused */
};

struct monitor_ops {		    /* each on the control thread, from the loop; may be NULL */
	void (*changed)(void *arg); /* state, or figures */
	void (*panicked)(void *arg); /* the guest's kernel has said so (pvpanic) */
	void *arg;
};

#define MONITOR_VCPUS_MAX 512

/* balloon: id of the device, or NULL: the first that is found. => NULL: errno tells */
struct monitor *must_check monitor_qmp(struct loop *l, const char *socket, const char *balloon,
				       const struct monitor_ops *ops);
/* uri: NULL: libvirt's default for the system's QEMU. => NULL and e */
struct monitor *must_check monitor_virt(struct loop *l, const char *uri, const char *domain,
					const struct monitor_ops *ops, struct err *e);
/* No callback any more; returns at once. */
void monitor_destroy(struct monitor *m);
/* End the process as exit(3) does; without exit handlers if there was a monitor_virt: a thread
 * of it may still use what libraries of libvirt free there. */
void monitor_exit(int status) __attribute__((noreturn));

enum monitor_state monitor_state(const struct monitor *m);
const char *monitor_why(const struct monitor *m); /* of LOST; else "" */
void monitor_figures(const struct monitor *m, struct monitor_figures *out);
/* Ask for new figures; nothing while that is under way.  Statistics come from the guest
 * itself, every `seconds`. */
void monitor_poll(struct monitor *m, uint32_t seconds);
/* Leave the guest with so much RAM (the balloon's target); errors make it LOST or are in
 * monitor_why. Only the last one counts. */
void monitor_set_ram(struct monitor *m, uint64_t bytes);
/* Thread ids of vCPUs, as far as known. => how many; fills at most max */
size_t monitor_vcpus(const struct monitor *m, pid_t *tid, size_t max);

#endif
