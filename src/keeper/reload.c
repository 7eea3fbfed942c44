/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The configuration is read again on SIGHUP, and when the pager asks for it (MSG_CONFIG).  What
 * is wrong with it is logged, and nothing is changed.  Else it is compared to the reading that
 * is in force: base/conf_diff.c says what to do.  The keeper does its own part and asks the
 * pager for the rest.  The new reading is in force then, but for what takes a restart: that is
 * as it was, and is told again the next time.
 *
 * What swapcache and arbiter were told is marked by the number of a reading, so that a restart
 * of the pager does not undo what was set by hand since.  When one of them is told something
 * anew both get the new number.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/conf_diff.h"
#include "base/log.h"
#include "keeper/keeper_priv.h"

struct reload {
	struct keeper *k;
	uint32_t seq; /* of who asked, or 0 */
};

static void send_line(const struct reload *r, enum config_line kind, const char *section,
		      const char *key, const char *text)
{
	struct proto_msg m = { .type = MSG_CONFIG_LINE, .seq = r->seq, .id = kind };

	if (!r->seq)
		return;
	snprintf(m.u.config_line.section, sizeof(m.u.config_line.section), "%s", section);
	snprintf(m.u.config_line.key, sizeof(m.u.config_line.key), "%s", key);
	snprintf(m.u.config_line.text, sizeof(m.u.config_line.text), "%s", text);
	(void)!keeper_send(r->k, &m, NULL, 0);
}

static void on_line(void *arg, enum conf_line kind, const char *text)
{
	enum config_line send = kind == CONF_LINE_CHANGED   ? CONFIG_CHANGED
				: kind == CONF_LINE_RESTART ? CONFIG_RESTART
							    : CONFIG_LEFT;

	log_at(kind == CONF_LINE_CHANGED ? LOG_LVL_INFO : LOG_LVL_WARN, "config: %s", text);
	send_line(arg, send, "", "", text);
}

static void set_log_level(struct keeper *k, enum log_level level)
{
	struct proto_msg m = { .type = MSG_LOG_LEVEL, .id = level };

	log_set_level(level);
	(void)!keeper_send(k, &m, NULL, 0);
}

static void on_log_level(void *arg, enum log_level level)
{
	set_log_level(((struct reload *)arg)->k, level);
}

static void on_leave(void *arg, bool leave)
{
	((struct reload *)arg)->k->leave = leave;
}

static void on_paging(void *arg, const struct conf_paging *p)
{
	struct reload *r = arg;

	keeper_send_paging(r->k, r->seq, p);
}

static void on_host(void *arg, const struct conf_host *h)
{
	static const uint64_t none[SWAPCACHE_KNOBS];
	struct reload *r = arg;

	r->k->conf = keeper_new_conf();
	keeper_send_knobs(r->k, r->seq, 0, none);
	keeper_send_host(r->k, r->seq, h);
}

static void on_knobs(void *arg, uint32_t given, const uint64_t *knob)
{
	static const struct conf_host none;
	struct reload *r = arg;

	r->k->conf = keeper_new_conf();
	keeper_send_knobs(r->k, r->seq, given, knob);
	keeper_send_host(r->k, r->seq, &none);
}

static void send_swap(const struct reload *r, const struct conf_swap *s, enum msg_type type,
		      uint32_t id)
{
	struct proto_msg m;
	struct err e = { 0 };

	/* paths have room: a line of the file is shorter */
	if (swaps_add(s, &m, &e) < 0) {
		log_err("%s", e.text);
		return;
	}
	m.type = type;
	m.seq = r->seq;
	m.id = id;
	(void)!keeper_send(r->k, &m, NULL, 0);
}

static void on_swap_add(void *arg, const struct conf_swap *s)
{
	send_swap(arg, s, MSG_SWAP_ADD, 1);
}

static void on_swap_set(void *arg, const struct conf_swap *s, unsigned int what)
{
	send_swap(arg, s, MSG_SWAP_SET, what);
}

static void on_disk_add(void *arg, const struct conf_disk *d)
{
	struct reload *r = arg;

	keeper_send_disk(r->k, r->seq, d);
}

static void on_disk_set(void *arg, const struct conf_disk *d)
{
	struct reload *r = arg;
	struct proto_msg m = { .type = MSG_DISK_SET, .seq = r->seq };

	snprintf(m.u.disk.name, sizeof(m.u.disk.name), "%s", d->name);
	m.u.disk.swapcache = d->swapcache;
	(void)!keeper_send(r->k, &m, NULL, 0);
}

static void on_dump(void *arg, const char *path)
{
	struct reload *r = arg;
	struct proto_msg m = { .type = MSG_DUMP_SET, .seq = r->seq };

	snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", path ? path : "");
	(void)!keeper_send(r->k, &m, NULL, 0);
}

static const struct conf_diff_ops ops = {
	.line = on_line,
	.log_level = on_log_level,
	.leave = on_leave,
	.paging = on_paging,
	.host = on_host,
	.knobs = on_knobs,
	.swap_add = on_swap_add,
	.swap_set = on_swap_set,
	.disk_add = on_disk_add,
	.disk_set = on_disk_set,
	.dump = on_dump,
};

/* The answer to who asked, if somebody did. */
static void answer(const struct reload *r, const struct err *e)
{
	struct proto_msg m = { .type = MSG_CONFIGURED, .seq = r->seq, .err = *e };
	const struct keeper *k = r->k;

	if (!r->seq)
		return;
	snprintf(m.u.config.file, sizeof(m.u.config.file), "%s", k->opt->file);
	snprintf(m.u.config.run_dir, sizeof(m.u.config.run_dir), "%s", k->opt->conf->run_dir);
	snprintf(m.u.config.state_dir, sizeof(m.u.config.state_dir), "%s",
		 k->opt->conf->state_dir);
	m.u.config.log_level = (int32_t)log_level();
	m.u.config.leave = k->leave;
	(void)!keeper_send(r->k, &m, NULL, 0);
}

static void swap_text(char **a, char **b)
{
	char *was = *a;

	*a = *b;
	*b = was;
}

/* What the file no longer says stays as it was, for the next pager too. */
static void carry_over(struct conf_paging *to, const struct conf_paging *from)
{
	uint32_t *t = (uint32_t *)to;
	const uint32_t *f = (const uint32_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		if (t[i] == 0)
			t[i] = f[i];
}

/* Nothing of the file was taken: say what is wrong. */
static void refuse(const struct reload *r, const struct conf_errors *errors)
{
	struct err e = errors->err[0];
	size_t used = strlen(e.text);

	log_err("the configuration stays as it is:");
	for (unsigned int i = 0; i < errors->n; i++)
		log_err("%s", errors->err[i].text);
	if (errors->n > 1)
		snprintf(e.text + used, sizeof(e.text) - used,
			 "; and %u more errors, which `drumctl config check` shows",
			 errors->n - 1);
	answer(r, &e);
}

void reload(struct keeper *k, uint32_t seq)
{
	struct reload r = { k, seq };
	struct conf *now = k->opt->conf, conf = { 0 };
	struct conf_errors errors;
	struct err e = { 0 };

	if (upgrade_is_under_way(k)) {
		/* who comes then reads the file; who stays does it in pager_ready */
		k->reload_later |= !seq;
		err_set(&e, -EBUSY, "drumd is being replaced, try again");
		answer(&r, &e);
		return;
	}
	if (!k->pager_ready || k->stopping) {
		k->reload_later |= !seq;
		err_set(&e, -EBUSY, "drumd is stopping, or its pager is being started");
		answer(&r, &e);
		return;
	}
	k->reload_later = false;
	if (k->opt->read_conf(&conf, &errors) < 0) {
		refuse(&r, &errors);
		return;
	}
	log_info("the configuration was read again: %s", k->opt->file);
	k->send_failed = false;
	conf_diff(now, &conf, &ops, &r);
	if (k->send_failed) {
		/* the next pager is told all of it again, see pager_ready */
		k->reload_later = true;
		conf_free(&conf);
		return;
	}
	/* for the lives of this process */
	swap_text(&now->run_dir, &conf.run_dir);
	swap_text(&now->state_dir, &conf.state_dir);
	conf.group = now->group;
	conf.monitor_group = now->monitor_group;
	memcpy(conf.metrics, now->metrics, sizeof(conf.metrics));
	carry_over(&conf.paging, &now->paging);
	conf_free(now);
	*now = conf;
	answer(&r, &e);
}

static void show(const struct reload *r)
{
	const struct conf *c = r->k->opt->conf;
	static const struct err none;

	for (size_t i = 0; i < c->entries; i++)
		send_line(r, CONFIG_ENTRY, c->entry[i].section, c->entry[i].key,
			  c->entry[i].value);
	answer(r, &none);
}

static void set(const struct reload *r, const struct proto_msg *m)
{
	static const struct err none;
	struct keeper *k = r->k;

	if (m->u.config.set & CONFIG_SET_LOG_LEVEL) {
		log_info("log-level %s -> %s", log_level_name(log_level()),
			 log_level_name((enum log_level)m->u.config.log_level));
		set_log_level(k, (enum log_level)m->u.config.log_level);
	}
	if (m->u.config.set & CONFIG_SET_LEAVE) {
		k->leave = m->u.config.leave;
		log_info("leave is %s now", k->leave ? "yes" : "no");
	}
	answer(r, &none);
}

void reload_asked(struct keeper *k, const struct proto_msg *m)
{
	const struct reload r = { k, m->seq };

	switch (m->id) {
	case CONFIG_SHOW:
		show(&r);
		break;
	case CONFIG_SET:
		set(&r, m);
		break;
	case CONFIG_RELOAD:
		reload(k, m->seq);
		break;
	default:
		break;
	}
}
