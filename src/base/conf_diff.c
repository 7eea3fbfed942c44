/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Settings that are one value are rows of tables: where they are, and how they are written.
 * Where the new file says nothing more of one, it stays: what would hold without it is
 * not known here.  Of a swap device and of a disk a missing option is its default, as when
 * it is added; but for endurance, of which the file then says nothing.
 *
 * Nothing is taken away because it is no longer in the file: guests may need it.
 */
#include "base/conf_diff.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"

#define TEXT_MAX 64

struct diff {
	const struct conf *old, *new;
	const struct conf_diff_ops *ops;
	void *arg;
};

__attribute__((format(printf, 3, 4))) static void
line(const struct diff *d, enum conf_line kind, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->ops->line(d->arg, kind, text);
}

/* A value that is in a file, or (NULL) is not. => true: it has changed to another */
static bool value(const struct diff *d, const char *what, const char *old, const char *new)
{
	if (!old == !new && (!old || !strcmp(old, new)))
		return false;
	if (!new)
		line(d, CONF_LINE_LEFT,
		     "%s is no longer in the file; it stays as it is until drumd is started "
		     "anew",
		     what);
	else
		line(d, CONF_LINE_CHANGED, "%s %s -> %s", what, old ? old : "(not given)", new);
	return new != NULL;
}

/* --- what takes a restart -------------------------------------------------------------- */

/* A new key of this kind: a row here. */
static const struct {
	const char *name;
	size_t at;    /* in struct conf, of a char *, */
	bool in_conf; /* or of a char[] */
} restarts[] = {
	{ "run-dir", offsetof(struct conf, run_dir), false },
	{ "state-dir", offsetof(struct conf, state_dir), false },
	{ "group", offsetof(struct conf, group.name), true },
	{ "monitor-group", offsetof(struct conf, monitor_group.name), true },
	{ "metrics listen", offsetof(struct conf, metrics), true },
};

static const char *text_at(const struct conf *c, size_t at, bool in_conf)
{
	const char *here = (const char *)c + at;
	const char *text = in_conf ? here : *(char *const *)here;

	return text && text[0] ? text : "(not given)";
}

static void restart(const struct diff *d)
{
	for (size_t i = 0; i < sizeof(restarts) / sizeof(restarts[0]); i++) {
		const char *old = text_at(d->old, restarts[i].at, restarts[i].in_conf);
		const char *new = text_at(d->new, restarts[i].at, restarts[i].in_conf);

		if (strcmp(old, new) != 0)
			line(d, CONF_LINE_RESTART, "%s %s -> %s needs a restart of drumd",
			     restarts[i].name, old, new);
	}
}

/* --- values ------------------------------------------------------------------------------ */

static void daemon_settings(const struct diff *d)
{
	if (value(d, "log-level", log_level_name(d->old->log_level),
		  log_level_name(d->new->log_level)))
		d->ops->log_level(d->arg, d->new->log_level);
	if (value(d, "leave", d->old->leave ? "yes" : "no", d->new->leave ? "yes" : "no"))
		d->ops->leave(d->arg, d->new->leave);
}

static const struct {
	const char *name;
	size_t at; /* of a uint32_t, in struct conf_paging */
} pagings[] = {
	{ "paging cluster", offsetof(struct conf_paging, cluster) },
	{ "paging depth", offsetof(struct conf_paging, depth) },
	{ "paging total-writes", offsetof(struct conf_paging, total_writes) },
	{ "paging reads", offsetof(struct conf_paging, reads) },
	{ "paging swblocks", offsetof(struct conf_paging, swblocks) },
	{ "paging give-up", offsetof(struct conf_paging, give_up) },
	{ "paging stall-after", offsetof(struct conf_paging, stall_after) },
	{ "paging sample", offsetof(struct conf_paging, sample) },
};
#define PAGINGS (sizeof(pagings) / sizeof(pagings[0]))
_Static_assert(sizeof(struct conf_paging) == PAGINGS * sizeof(uint32_t), "a row each");

/* => NULL: it is not given */
static const char *paging_text(char *buf, const struct conf_paging *p, size_t i)
{
	uint32_t n = *(const uint32_t *)((const char *)p + pagings[i].at);

	if (!n)
		return NULL;
	if (pagings[i].at == offsetof(struct conf_paging, cluster))
		return size_format(buf, n);
	if (pagings[i].at == offsetof(struct conf_paging, sample) && n == CONF_SAMPLE_OFF)
		return "off";
	snprintf(buf, TEXT_MAX, "%" PRIu32, n);
	return buf;
}

static void paging(const struct diff *d)
{
	struct conf_paging set = { 0 };
	bool any = false;

	for (size_t i = 0; i < PAGINGS; i++) {
		char old[TEXT_MAX], new[TEXT_MAX];

		if (!value(d, pagings[i].name, paging_text(old, &d->old->paging, i),
			   paging_text(new, &d->new->paging, i)))
			continue;
		memcpy((char *)&set + pagings[i].at,
		       (const char *)&d->new->paging + pagings[i].at, sizeof(uint32_t));
		any = true;
	}
	if (any)
		d->ops->paging(d->arg, &set);
}

static const char *const hosts[] = {
	[CONF_HOST_BUDGET] = "host budget",
	[CONF_HOST_TAX] = "host idle-tax",
	[CONF_HOST_STALL_TARGET] = "host stall-target",
	[CONF_HOST_LIBVIRT_URI] = "host libvirt-uri",
};

static const char *host_text(char *buf, const struct conf_host *h, enum conf_host_key key)
{
	if (!(h->given & UINT32_C(1) << key))
		return NULL;
	switch (key) {
	case CONF_HOST_BUDGET:
		return h->budget ? size_format(buf, h->budget) : "none";
	case CONF_HOST_TAX:
		snprintf(buf, TEXT_MAX, "%" PRIu32 "%%", h->tax);
		return buf;
	case CONF_HOST_STALL_TARGET:
		snprintf(buf, TEXT_MAX, "%" PRIu32 ".%04" PRIu32 "%%",
			 h->stall_target / PERCENT_ONE, h->stall_target % PERCENT_ONE);
		return buf;
	case CONF_HOST_LIBVIRT_URI:
		break;
	}
	return h->libvirt_uri;
}

static void host(const struct diff *d)
{
	struct conf_host set = d->new->host;

	set.given = 0;
	for (enum conf_host_key key = 0; key < sizeof(hosts) / sizeof(hosts[0]); key++) {
		char old[TEXT_MAX], new[TEXT_MAX];

		if (value(d, hosts[key], host_text(old, &d->old->host, key),
			  host_text(new, &d->new->host, key)))
			set.given |= UINT32_C(1) << key;
	}
	if (set.given)
		d->ops->host(d->arg, &set);
}

static const char *knob_text(char *buf, const struct conf *c, enum swapcache_knob k)
{
	if (!(c->swapcache_given & UINT32_C(1) << k))
		return NULL;
	swapcache_knob_format(k, c->swapcache[k], buf, TEXT_MAX);
	return buf;
}

static void knobs(const struct diff *d)
{
	uint32_t given = 0;

	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++) {
		char old[TEXT_MAX], new[TEXT_MAX], name[TEXT_MAX];

		snprintf(name, sizeof(name), "swapcache %s", swapcache_knob[k].name);
		if (value(d, name, knob_text(old, d->old, k), knob_text(new, d->new, k)))
			given |= UINT32_C(1) << k;
	}
	if (given)
		d->ops->knobs(d->arg, given, d->new->swapcache);
}

static void dump(const struct diff *d)
{
	const char *old = d->old->dump, *new = d->new->dump;

	if (!old == !new && (!old || !strcmp(old, new)))
		return;
	line(d, CONF_LINE_CHANGED, "dump device %s -> %s", old ? old : "(none)",
	     new ? new : "(none)");
	d->ops->dump(d->arg, new);
}

/* --- swap devices --------------------------------------------------------------------------
 */

static const struct conf_swap *find_swap(const struct conf *c, const char *path)
{
	for (size_t i = 0; i < c->swaps; i++)
		if (!strcmp(c->swap[i].path, path))
			return &c->swap[i];
	return NULL;
}

/* Numbers, or sizes of which 0 is none. => have they changed? */
static bool setting(const struct diff *d, const char *path, const char *what, uint64_t old,
		    uint64_t new, bool sizes)
{
	char a[SIZE_TEXT_MAX + 8], b[SIZE_TEXT_MAX + 8];

	if (old == new)
		return false;
	snprintf(a, sizeof(a), "%" PRIu64, old);
	snprintf(b, sizeof(b), "%" PRIu64, new);
	if (sizes && old)
		size_format(a, old);
	if (sizes && new)
		size_format(b, new);
	line(d, CONF_LINE_CHANGED, "device %s %s %s -> %s", path, what,
	     sizes && !old ? "none" : a, sizes && !new ? "none" : b);
	return true;
}

static bool same(const char *a, const char *b)
{
	return !a == !b && (!a || !strcmp(a, b));
}

static void swap_settings(const struct diff *d, const struct conf_swap *old,
			  const struct conf_swap *new)
{
	unsigned int what = 0;

	if (!same(old->mirror, new->mirror) || old->no_checksums != new->no_checksums)
		line(d, CONF_LINE_LEFT,
		     "device %s: its %s has changed in the file, which cannot be done while "
		     "it is on: `drumctl swap off %s`, and then `drumctl swap on`",
		     new->path, same(old->mirror, new->mirror) ? "no-checksums" : "mirror",
		     new->path);
	if (setting(d, new->path, "priority", (uint64_t)old->priority, (uint64_t) new->priority,
		    false))
		what |= CONF_SWAP_PRIORITY;
	if (setting(d, new->path, "max-inflight", old->max_inflight, new->max_inflight, false))
		what |= CONF_SWAP_INFLIGHT;
	if (setting(d, new->path, "max-bandwidth", old->max_bandwidth, new->max_bandwidth,
		    true))
		what |= CONF_SWAP_BANDWIDTH;
	if (old->discard != new->discard) {
		line(d, CONF_LINE_CHANGED, "device %s discard %s -> %s", new->path,
		     old->discard ? "yes" : "no", new->discard ? "yes" : "no");
		what |= CONF_SWAP_DISCARD;
	}
	if (old->has_endurance && !new->has_endurance) {
		line(d, CONF_LINE_LEFT,
		     "device %s: endurance is no longer in the file; its budget stays",
		     new->path);
	} else if (new->has_endurance && !old->has_endurance) {
		char b[SIZE_TEXT_MAX];

		line(d, CONF_LINE_CHANGED, "device %s endurance (not given) -> %s", new->path,
		     new->endurance ? size_format(b, new->endurance) : "none");
		what |= CONF_SWAP_ENDURANCE;
	} else if (setting(d, new->path, "endurance", old->endurance, new->endurance, true)) {
		what |= CONF_SWAP_ENDURANCE;
	}
	if (what)
		d->ops->swap_set(d->arg, new, what);
}

static void swaps(const struct diff *d)
{
	for (size_t i = 0; i < d->new->swaps; i++) {
		const struct conf_swap *new = &d->new->swap[i];
		const struct conf_swap *old = find_swap(d->old, new->path);

		if (old) {
			swap_settings(d, old, new);
		} else {
			line(d, CONF_LINE_CHANGED, "device %s is switched on", new->path);
			d->ops->swap_add(d->arg, new);
		}
	}
	for (size_t i = 0; i < d->old->swaps; i++)
		if (!find_swap(d->new, d->old->swap[i].path))
			line(d, CONF_LINE_LEFT,
			     "device %s is no longer in the file; `drumctl swap off %s` takes "
			     "it out",
			     d->old->swap[i].path, d->old->swap[i].path);
}

/* --- disks
 * ------------------------------------------------------------------------------------
 */

static const struct conf_disk *find_disk(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->disks; i++)
		if (!strcmp(c->disk[i].name, name))
			return &c->disk[i];
	return NULL;
}

static void disk_settings(const struct diff *d, const struct conf_disk *old,
			  const struct conf_disk *new)
{
	const struct {
		bool differs;
		const char *name;
	} fixed[] = {
		{ !same(old->image, new->image), "image" },
		{ !same(old->socket, new->socket), "socket" },
		{ !same(old->serial, new->serial), "serial" },
		{ !same(old->guest, new->guest), "guest" },
		{ old->cache != new->cache, "cache" },
		{ old->read_only != new->read_only, "read-only" },
		{ old->no_map != new->no_map, "no-map" },
		{ old->queues != new->queues, "queues" },
	};
	char list[80] = "";
	size_t used = 0;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (fixed[i].differs)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", fixed[i].name);
	if (used)
		line(d, CONF_LINE_LEFT,
		     "disk %s: its %s changed in the file, which takes `drumctl disk remove "
		     "%s` and `drumctl disk add`",
		     new->name, list, new->name);
	if (old->swapcache != new->swapcache) {
		line(d, CONF_LINE_CHANGED, "disk %s swapcache %s -> %s", new->name,
		     swapcache_mode_name(old->swapcache), swapcache_mode_name(new->swapcache));
		d->ops->disk_set(d->arg, new);
	}
}

static void disks(const struct diff *d)
{
	for (size_t i = 0; i < d->new->disks; i++) {
		const struct conf_disk *new = &d->new->disk[i];
		const struct conf_disk *old = find_disk(d->old, new->name);

		if (old) {
			disk_settings(d, old, new);
		} else {
			line(d, CONF_LINE_CHANGED, "disk %s is added", new->name);
			d->ops->disk_add(d->arg, new);
		}
	}
	for (size_t i = 0; i < d->old->disks; i++)
		if (!find_disk(d->new, d->old->disk[i].name))
			line(d, CONF_LINE_LEFT,
			     "disk %s is no longer in the file; `drumctl disk remove %s` takes "
			     "it out",
			     d->old->disk[i].name, d->old->disk[i].name);
}

void conf_diff(const struct conf *old, const struct conf *new, const struct conf_diff_ops *ops,
	       void *arg)
{
	const struct diff d = { old, new, ops, arg };

	restart(&d);
	daemon_settings(&d);
	paging(&d);
	host(&d);
	knobs(&d);
	swaps(&d);
	disks(&d);
	dump(&d);
}
