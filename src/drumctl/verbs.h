/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of drumctl: one table, which parsing, --help and the test of the
 * manual read.
 */
#ifndef DRUM_DRUMCTL_VERBS_H
#define DRUM_DRUMCTL_VERBS_H

#include <stdbool.h>

#include "base/err.h"
#include "drumctl/client.h"
#include "drumctl/options.h"
#include "drumctl/output.h"

enum operand_type {
	OPERAND_NONE,
	OPERAND_DEVICE, /* a path, ram:SIZE or nbd:URI */
	OPERAND_HALF,	/* a path or nbd:URI */
	OPERAND_PRIORITY,
	OPERAND_PID,
	OPERAND_GUEST,
	OPERAND_DISK,
	OPERAND_JOB,
	OPERAND_KNOBS, /* KNOB=VALUE, one or more of them */
	OPERAND_FILE,  /* a record */
	OPERAND_CONF,  /* a file, or nothing */
};

/*
 * => 0 or as client_call; also -EINVAL for what only the verb knows to be
 *    wrong, and -EINTR: interrupted by SIGINT
 */
typedef int verb_fn(struct client *c, const struct verb_args *args, struct err *e);

struct verb {
	const char *group; /* "guest", or NULL when the verb is one word */
	const char *word;
	enum operand_type operand, second;
	uint64_t required, optional;  /* of enum option_bit */
	uint64_t some;		      /* among optional: one at least is needed */
	const struct column *columns; /* that --output may name; or NULL */
	const char *doc;
	verb_fn *run;
	bool local; /* needs no daemon: its client is NULL */
};

/* Ends with one whose word is NULL. */
extern const struct verb verbs[];

/* Of swap devices, in swap.c and swap_off.c. */
verb_fn swap_on, swap_off, swap_priority, swap_set, swap_resize, swap_mirror, swap_list,
	swap_show;
extern const struct column swap_columns[];

/* In guest.c. */
verb_fn guest_admit, guest_release, guest_attach, guest_detach, guest_list, guest_show,
	guest_set, guest_out, guest_in;
extern const struct column guest_columns[];
/* What the terms of a guest may be. => 0 or -EINVAL */
int must_check guest_check(const struct verb_args *args, struct err *e);

/* In explain.c. */
verb_fn guest_explain;

/* In host.c. */
verb_fn host_show, host_set, stat_show;

/* In disk.c. */
verb_fn disk_add, disk_set, disk_list, disk_show, disk_remove, disk_resize;
extern const struct column disk_columns[];
/* What only these verbs are given. => 0 or -EINVAL */
int must_check disk_check(const struct verb_args *args, struct err *e);

/* In swapcache.c. */
verb_fn swapcache_show, swapcache_set;
/* Its operands. => 0 or -EINVAL */
int must_check swapcache_check(const struct verb_args *args, struct err *e);

/* In dump.c. */
verb_fn dump_set, dump_off, dump_show, dump_guest;

/* In job.c. */
verb_fn job_list, job_cancel, job_dismiss;
extern const struct column job_columns[];

/* In daemon.c. */
verb_fn daemon_reexec, daemon_set;
/* The values of daemon_set. => 0 or -EINVAL */
int must_check daemon_check(const struct verb_args *args, struct err *e);

/* In config.c. */
verb_fn config_check, config_reload, config_show;

/* In completion.c. */
verb_fn completion_bash;

/* In top.c. */
verb_fn top_show;
/* The column, and whether there is a terminal. => 0 or -EINVAL */
int must_check top_check(const struct verb_args *args, struct err *e);

/* In map.c. */
verb_fn map_show, hist_show;

/* In events.c. */
verb_fn show_events;

/* In record.c and report.c. */
verb_fn record, report;

/*
 * What is wrong is found before the daemon is asked: operands, options that
 * exclude each other, columns.  => 0 or -EINVAL
 */
int must_check verb_check(const struct verb *v, const struct verb_args *args, struct err *e);

/* Does it only show? Then the socket for reading will do. */
bool verb_reads(const struct verb *v);

/* "PATH", "PID", "NAME", "N", "NEW", "ID", "KNOB=VALUE ...", "[FILE]", "FILE" or "" */
const char *operand_name(enum operand_type type);

#endif
