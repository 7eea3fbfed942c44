/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The keeper reads the configuration file and knows what is in force of it; what it wants of
 * guests, swap and disks it asks of us.  Here such messages arrive, at the start and when the
 * file was read again, and here is who asks for that.
 *
 * A request (MSG_CONFIG) collects the lines that the keeper sends with its number.  What is
 * to be done meanwhile may take a while, as switching a device on; each of these actions
 * counts in `pending`, and one that fails adds a line.  The request ends when the keeper has
 * said that no more comes and none is pending.  Where nobody asked, what fails is logged.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_diff.h"
#include "base/log.h"
#include "vmm/host_priv.h"

_Static_assert(CONF_SWAP_PRIORITY == SWAP_SET_PRIORITY &&
		       CONF_SWAP_INFLIGHT == SWAP_SET_INFLIGHT &&
		       CONF_SWAP_BANDWIDTH == SWAP_SET_BANDWIDTH &&
		       CONF_SWAP_DISCARD == SWAP_SET_DISCARD &&
		       CONF_SWAP_ENDURANCE == SWAP_SET_ENDURANCE,
	       "the bits are the same");
_Static_assert(CONFIG_ENTRY == (int)HOST_CONFIG_ENTRY &&
		       CONFIG_CHANGED == (int)HOST_CONFIG_CHANGED &&
		       CONFIG_RESTART == (int)HOST_CONFIG_RESTART &&
		       CONFIG_LEFT == (int)HOST_CONFIG_LEFT,
	       "so are the kinds");

struct config_request {
	struct config_request *next;
	uint32_t seq;
	host_config_fn done;
	host_done_fn done_set; /* of host_daemon_set, instead */
	void *ctx;
	struct host_config_line *lines, **tail;
	unsigned int pending; /* actions, and MSG_CONFIGURED */
	struct proto_msg now; /* that */
};

/* Something that the configuration wants. */
struct action {
	struct host *host;
	uint32_t seq; /* 0: nobody asked */
};

static struct config_request *find(struct host *h, uint32_t seq)
{
	struct config_request *r = h->config_requests;

	while (r && r->seq != seq)
		r = r->next;
	return r;
}

static void add_line(struct config_request *r, enum host_config_kind kind, const char *section,
		     const char *key, const char *text)
{
	struct host_config_line *l = calloc(1, sizeof(*l) + strlen(text) + 1);

	if (!l)
		BROKEN("out of memory");
	l->kind = kind;
	snprintf(l->section, sizeof(l->section), "%s", section);
	snprintf(l->key, sizeof(l->key), "%s", key);
	strcpy(l->text, text);
	*r->tail = l;
	r->tail = &l->next;
}

static void end(struct host *h, struct config_request *r)
{
	struct config_request **at = &h->config_requests;
	struct host_config_line *l;
	struct host_config c = {
		.file = r->now.u.config.file,
		.run_dir = r->now.u.config.run_dir,
		.state_dir = r->now.u.config.state_dir,
		.log_level = r->now.u.config.log_level,
		.leave = r->now.u.config.leave,
		.lines = r->lines,
	};

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->done_set)
		r->done_set(r->ctx, &r->now.err);
	else
		r->done(r->ctx, r->now.err.code ? NULL : &c, &r->now.err);
	while ((l = r->lines)) {
		r->lines = l->next;
		free(l);
	}
	free(r);
}

/* --- what the configuration wants ------------------------------------------------------ */

static void on_done(void *ctx, const struct err *e)
{
	struct action *a = ctx;
	struct config_request *r = a->seq ? find(a->host, a->seq) : NULL;
	/* a device, or disk, that is there from before is as it was wanted */
	bool there = e->code == -EBUSY || e->code == -EEXIST;

	if (e->text[0])
		log_at(e->code == 0  ? LOG_LVL_WARN
		       : there && !r ? LOG_LVL_INFO
				     : LOG_LVL_ERROR,
		       "configuration: %s", e->text);
	if (r && e->text[0])
		add_line(r, e->code ? HOST_CONFIG_FAILED : HOST_CONFIG_WARNING, "", "",
			 e->text);
	if (r && --r->pending == 0)
		end(a->host, r);
	free(a);
}

static void swap_set(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx)
{
	host_swap_set(h, m->u.swap_add.path, m->id,
		      &(struct swap_on){
			      .priority = m->u.swap_add.priority,
			      .max_inflight = m->u.swap_add.max_inflight,
			      .max_bandwidth = m->u.swap_add.max_bandwidth,
			      .discard = m->u.swap_add.discard,
			      .endurance = m->u.swap_add.endurance,
		      },
		      done, ctx);
}

/* A device that is new in the file may have been switched on by hand. */
static void swap_add(struct host *h, struct proto_msg *m, host_done_fn done, void *ctx)
{
	if (m->id && host_swap_find(h, m->u.swap_add.path)) {
		m->id = SWAP_SET_PRIORITY | SWAP_SET_INFLIGHT | SWAP_SET_BANDWIDTH |
			SWAP_SET_DISCARD |
			(m->u.swap_add.has_endurance ? SWAP_SET_ENDURANCE : 0);
		swap_set(h, m, done, ctx);
	} else {
		host_swap_add(h, m, done, ctx);
	}
}

static void disk_set(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx)
{
	host_disk_set(h, m->u.disk.name, DISK_SET_SWAPCACHE,
		      &(struct disk_add){ .swapcache = m->u.disk.swapcache }, done, ctx);
}

static void do_action(struct host *h, struct proto_msg *m)
{
	struct action *a = malloc(sizeof(*a));
	struct config_request *r = m->seq ? find(h, m->seq) : NULL;
	struct err e = { 0 };

	if (!a)
		BROKEN("out of memory");
	*a = (struct action){ h, m->seq };
	if (r)
		r->pending++;
	switch (m->type) {
	case MSG_SWAP_ADD:
		swap_add(h, m, on_done, a);
		return;
	case MSG_SWAP_SET:
		swap_set(h, m, on_done, a);
		return;
	case MSG_DISK_ADD:
		host_disk_add_from(h, m, on_done, a);
		return;
	case MSG_DISK_SET:
		disk_set(h, m, on_done, a);
		return;
	case MSG_DUMP_ADD:
		host_dump_add(h, m, on_done, a);
		return;
	case MSG_DUMP_SET:
		if (m->u.swap.path[0])
			host_dump_set(h, m->u.swap.path, false, on_done, a);
		else if (h->dump.path)
			host_dump_off(h, on_done, a);
		else
			on_done(a, &e);
		return;
	case MSG_SWAPCACHE:
		host_cache_configure(h, m, &e);
		break;
	case MSG_HOST:
		host_conf_from(h, m, &e);
		break;
	case MSG_PAGING:
		host_set_paging_from(h, m, &e);
		break;
	default:
		break;
	}
	on_done(a, &e);
}

void host_config_from(struct host *h, struct proto_msg *m)
{
	struct config_request *r;

	switch (m->type) {
	case MSG_LOG_LEVEL:
		log_set_level((enum log_level)m->id);
		break;
	case MSG_CONFIG_LINE:
		r = find(h, m->seq);
		if (r)
			add_line(r, (enum host_config_kind)m->id, m->u.config_line.section,
				 m->u.config_line.key, m->u.config_line.text);
		break;
	case MSG_CONFIGURED:
		r = find(h, m->seq);
		if (!r)
			break;
		r->now = *m;
		if (--r->pending == 0)
			end(h, r);
		break;
	default:
		do_action(h, m);
	}
}

/* --- who asks -------------------------------------------------------------------------- */

static struct config_request *ask(struct host *h, struct proto_msg *m, enum config_ask what,
				  host_config_fn done, void *ctx)
{
	struct config_request *r = calloc(1, sizeof(*r));

	if (!r)
		BROKEN("out of memory");
	r->seq = ++h->seq ? h->seq : ++h->seq;
	r->done = done;
	r->ctx = ctx;
	r->tail = &r->lines;
	r->pending = 1;
	r->next = h->config_requests;
	h->config_requests = r;
	m->type = MSG_CONFIG;
	m->seq = r->seq;
	m->id = what;
	/* a keeper that is gone ends this pager */
	(void)!host_ask_keeper(h, m);
	return r;
}

void host_config_show(struct host *h, host_config_fn done, void *ctx)
{
	struct proto_msg m = { 0 };

	(void)ask(h, &m, CONFIG_SHOW, done, ctx);
}

void host_config_reload(struct host *h, host_config_fn done, void *ctx)
{
	struct proto_msg m = { 0 };

	(void)ask(h, &m, CONFIG_RELOAD, done, ctx);
}

void host_daemon_set(struct host *h, unsigned int what, int level, bool leave,
		     host_done_fn done, void *ctx)
{
	struct proto_msg m = { 0 };

	m.u.config.set = (what & DAEMON_SET_LOG_LEVEL ? CONFIG_SET_LOG_LEVEL : 0) |
			 (what & DAEMON_SET_LEAVE ? CONFIG_SET_LEAVE : 0);
	m.u.config.log_level = level;
	m.u.config.leave = leave;
	ask(h, &m, CONFIG_SET, NULL, ctx)->done_set = done;
}
