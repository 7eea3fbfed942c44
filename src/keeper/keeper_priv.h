/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct keeper, shared by keeper.c (the pager's life, what it asks for, start and
 * end), upgrade.c (becoming another drumd) and reload.c (the configuration, read again).  The
 * main thread's.
 */
#ifndef DRUM_KEEPER_KEEPER_PRIV_H
#define DRUM_KEEPER_KEEPER_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "base/proto.h"
#include "keeper/disk.h"
#include "keeper/keeper.h"
#include "keeper/sockets.h"
#include "keeper/swap.h"
#include "keeper/tracer.h"

#define GUESTS_MAX 256

enum upgrade { UPGRADE_NONE, UPGRADE_CHECK, UPGRADE_LEAVE, UPGRADE_HOLD };

struct guest_slot {
	struct tracer *tracer; /* NULL: free */
	bool asked;	       /* the running pager waits for MSG_ATTACHED */
	bool given;	       /* the running pager has it */
};

struct keeper {
	const struct keeper_options *opt;
	struct loop *loop;
	struct tracer_env env;
	struct sockets sockets;
	int dir_fd, lock_fd, signal_fd, notify_fd;
	bool send_failed; /* of keeper_send, since somebody set it to false */
	int state_fd;	  /* the state directory, or -1 */
	int metrics_fd;	  /* where metrics are served, or -1 */
	uint64_t conf;	  /* which reading of the configuration is ours; never 0 */

	pid_t pager;	      /* 0: none runs */
	uint64_t pager_since; /* ns */
	bool pager_ready;
	bool pager_died; /* and no other has served since */
	int chan;	 /* -1: none */
	struct loop_watch *chan_watch;
	struct loop_watch *restart; /* timer, while one is due */
	unsigned int short_lives;   /* in a row */
	uint32_t pagers;	    /* that were started */
	unsigned int backoff_ms;

	bool unknown;	 /* a guest may wait whose blocks nobody knows */
	int ready_fd;	 /* -1: nobody waits for us to serve */
	bool must_serve; /* if the first pager does not come to serve, it is over */
	struct loop_watch *start_timer;
	bool stopping;
	bool stop_later; /* as soon as that can be */
	bool leave;	 /* on a stop guests stay attached and wait */
	bool reload_later;
	bool swap_added; /* of the configuration, once */

	enum upgrade upgrade;
	uint32_t upgrade_seq;
	struct loop_watch *upgrade_timer;
	uint32_t replaced;	   /* how often we have become another */
	char failed[ERR_TEXT_MAX]; /* why it could not be, or "" */
	uint64_t since;		   /* ns: guests wait since then, 0: they do not */
	struct guest_slot guest[GUESTS_MAX];
	struct swaps swaps;
	struct disks disks;
	int result;
};

/* In keeper.c. */

/* => 0, -EPIPE, or -errno, which was logged */
int keeper_send(struct keeper *k, const struct proto_msg *m, const int *fds, int nfds);
/* Start a pager after so many ms. */
void keeper_restart_pager(struct keeper *k, unsigned int ms);

/* What the configuration says, to the pager; seq: who asked for it to be read, or 0. */
void keeper_send_paging(struct keeper *k, uint32_t seq, const struct conf_paging *p);
void keeper_send_host(struct keeper *k, uint32_t seq, const struct conf_host *host);
void keeper_send_knobs(struct keeper *k, uint32_t seq, uint32_t given, const uint64_t *knob);
void keeper_send_disk(struct keeper *k, uint32_t seq, const struct conf_disk *d);
/* Another reading of the configuration: it is new for each start, and for each exec. */
uint64_t keeper_new_conf(void);

/* In reload.c. */

/* Read the configuration again and do what has changed; seq: of who asked, 0: a signal. */
void reload(struct keeper *k, uint32_t seq);
/* MSG_CONFIG has come. */
void reload_asked(struct keeper *k, const struct proto_msg *m);

/* In upgrade.c. */

/* MSG_REEXEC has come. */
void upgrade_ask(struct keeper *k, const struct proto_msg *m);
/* A tracer has told something, or the pager has gone. */
void upgrade_go_on(struct keeper *k);
/* => has the pager ended because it was asked to for that? */
bool upgrade_pager_died(struct keeper *k);
/* May nothing else begin? */
bool upgrade_is_under_way(const struct keeper *k);

/* This process was another drumd: go on from there.  => 0 or -errno and e */
int must_check upgrade_continue(struct keeper *k, struct err *e);
/* It serves: the other one is not needed any more. */
void upgrade_done(struct keeper *k);

#endif
