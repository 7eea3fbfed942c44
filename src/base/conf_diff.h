/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What differs between two readings of the configuration file, as things to do and as lines
 * for people.  What is the same in both is not touched, whatever was set meanwhile.
 */
#ifndef DRUM_BASE_CONF_DIFF_H
#define DRUM_BASE_CONF_DIFF_H

#include "base/conf.h"

/* Which of a swap device's settings; the bits are those of vmm/host.h. */
#define CONF_SWAP_PRIORITY  (1u << 0)
#define CONF_SWAP_INFLIGHT  (1u << 1)
#define CONF_SWAP_BANDWIDTH (1u << 2)
#define CONF_SWAP_DISCARD   (1u << 3)
#define CONF_SWAP_ENDURANCE (1u << 4)

enum conf_line {
	CONF_LINE_CHANGED, /* is done, by one of the other functions */
	CONF_LINE_RESTART, /* takes a restart of drumd */
	CONF_LINE_LEFT,	   /* stays as it is, and why */
};

/*
 * What to do.  Each is called after the lines that tell of it; texts and structures are
 * valid during the call.
 */
struct conf_diff_ops {
	void (*line)(void *arg, enum conf_line kind, const char *text);
	void (*log_level)(void *arg, enum log_level level);
	void (*leave)(void *arg, bool leave);
	void (*paging)(void *arg, const struct conf_paging *p); /* what differs; 0: not */
	void (*host)(void *arg, const struct conf_host *h);	/* given: what differs */
	void (*knobs)(void *arg, uint32_t given, const uint64_t *knob); /* likewise */
	void (*swap_add)(void *arg, const struct conf_swap *s);
	void (*swap_set)(void *arg, const struct conf_swap *s, unsigned int what);
	void (*disk_add)(void *arg, const struct conf_disk *d);
	void (*disk_set)(void *arg, const struct conf_disk *d); /* its swapcache mode */
	void (*dump)(void *arg, const char *path);		/* NULL: off */
};

void conf_diff(const struct conf *old, const struct conf *new, const struct conf_diff_ops *ops,
	       void *arg);

#endif
