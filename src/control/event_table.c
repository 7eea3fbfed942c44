/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/event_table.h"

#include <errno.h>
#include <string.h>

#define TEXT	EVENT_TEXT
#define NUMBER	EVENT_NUMBER
#define PERCENT EVENT_PERCENT

#define GUEST                                                                                  \
	{                                                                                      \
		"guest", TEXT, false, "Name of the guest."                                     \
	}
#define PATH                                                                                   \
	{                                                                                      \
		"path", TEXT, false, "The swap device, as query-swap-devices has it."          \
	}
#define SWAP_ERROR                                                                             \
	{                                                                                      \
		"error", TEXT, true, "What went wrong."                                        \
	}
#define SWAP_LEFT                                                                              \
	{ "free", NUMBER, false, "Bytes of swap that are free." },                             \
	{                                                                                      \
		"size", NUMBER, false, "Bytes of all swap."                                    \
	}

const struct event_def event_defs[] = {
	{ "SWAP_LOW", "There is little swap left.", { SWAP_LEFT } },
	{ "SWAP_FULL",
	  "There is no swap left: page-out stops and guests keep what they have.",
	  { SWAP_LEFT } },
	{ "SWAP_OK", "There is enough swap again.", { SWAP_LEFT } },
	{ "SWAP_DEVICE_ERROR", "I/O of a device failed.", { PATH, SWAP_ERROR } },
	{ "SWAP_DEVICE_OFFLINE",
	  "A device does not answer.  What is on it is waited for, and nothing is written to "
	  "it.",
	  { PATH, SWAP_ERROR } },
	{ "SWAP_DEVICE_ONLINE", "A device answers again.", { PATH, SWAP_ERROR } },
	{ "SWAP_DEVICE_REMOVED", "A device was switched off.", { PATH } },
	{ "SWAP_MIRROR_LOST", "A mirror has lost a half.", { PATH, SWAP_ERROR } },
	{ "SWAP_MIRROR_WHOLE",
	  "A mirror has two halves again that hold the same.",
	  { PATH, SWAP_ERROR } },
	{ "SWAPBLOCKS_FULL",
	  "There is no room left to note where pages are: page-out pauses.",
	  { { "used", NUMBER, false, "Swblocks in use." },
	    { "max", NUMBER, false, "Most that there may be: paging-set swblocks." } } },
	{ "SWAPBLOCKS_OK",
	  "There is room again.",
	  { { "used", NUMBER, false, "Swblocks in use." },
	    { "max", NUMBER, false, "Most that there may be." } } },
	{ "GUEST_ATTACHED",
	  "A guest is attached.",
	  { GUEST,
	    { "pid", NUMBER, false, "Process id of its VMM." },
	    { "size", NUMBER, false, "Bytes of its RAM." } } },
	{ "GUEST_DETACHED",
	  "A guest is attached no longer.",
	  { GUEST,
	    { "reason", TEXT, false,
	      "One of detached (by command), ended (with its VMM), quarantined (all of it was "
	      "paged in after GUEST_QUARANTINED)." } } },
	{ "PAGER_RESTARTED",
	  "A pager has taken the place of another, and has found all guests that there were.  "
	  "Who connects within 30 seconds after it is told too, for all clients are cut off "
	  "before it.",
	  { { "reason", TEXT, false,
	      "One of pager-died, drumd-replaced (daemon-reexec), drumd-started (which has "
	      "found "
	      "guests of an earlier one)." },
	    { "guests", NUMBER, false, "Guests that there were." },
	    { "waiting", NUMBER, false, "Those of them that cannot be served." },
	    { "paused-us", NUMBER, true,
	      "Microseconds for which guests have waited; absent if that is not known." } } },
	{ "GUEST_QUARANTINED",
	  "Something is wrong with a guest.  It is paged in and let go; pages that cannot be "
	  "read keep it attached.",
	  { GUEST, { "reason", TEXT, false, "What is wrong." } } },
	{ "GUEST_WAITING",
	  "A guest of an earlier daemon cannot be served.  It waits, and the next daemon tries "
	  "again.",
	  { GUEST, { "reason", TEXT, false, "Why." } } },
	{ "PAGE_POISONED",
	  "A page cannot be read and is lost; the guest sees a memory error when it touches "
	  "it.",
	  { GUEST,
	    { "path", TEXT, false, "The swap device that it was on." },
	    { "page", NUMBER, false, "Number of the page in the guest's RAM." } } },
	{ "GUEST_STALLED",
	  "A guest has waited for a page for paging-set stall-after seconds and still does.  "
	  "Told once, and again only when it is because of something else.",
	  { GUEST,
	    { "reason", TEXT, false, "What for." },
	    { "path", TEXT, true, "The swap device that it waits for, or that has the page." },
	    { "page", NUMBER, true, "Number of the page in the guest's RAM." },
	    { "seconds", NUMBER, false, "How long." } } },
	{ "GUEST_RESUMED",
	  "That is over.",
	  { GUEST,
	    { "path", TEXT, true, "The swap device that it waited for." },
	    { "page", NUMBER, true, "Number of the page." },
	    { "seconds", NUMBER, false, "How long it took." } } },
	{ "GUEST_ADMITTED",
	  "A guest was admitted.",
	  { GUEST,
	    { "memory", NUMBER, false, "Bytes of its RAM." },
	    { "reservation", NUMBER, false, "Bytes of it that always may be resident." },
	    { "promised-swap", NUMBER, false, "Bytes of swap that nobody else is given." } } },
	{ "GUEST_RELEASED", "That is void: the guest was released, or has ended.", { GUEST } },
	{ "GUEST_GRANT",
	  "What a guest is due has changed by more than an eighth, or for another reason: what "
	  "was decided, and by what.",
	  { GUEST,
	    { "reason", TEXT, false, "As why of query-guests." },
	    { "target", NUMBER, false, "Bytes that it is due." },
	    { "resident", NUMBER, false, "Bytes that it has." },
	    { "working-set", NUMBER, false, "As uses of query-guests." },
	    { "price", NUMBER, false, "Shares that it pays for each GiB." } } },
	{ "GUEST_BALLOON",
	  "The balloon of a guest has another state.",
	  { GUEST,
	    { "state", TEXT, false, "One of absent, idle, inflating, deflating, stuck." },
	    { "reason", TEXT, false, "Why it is absent or stuck; else empty." },
	    { "actual", NUMBER, false, "Bytes of RAM that the guest has left." },
	    { "wanted", NUMBER, false, "Bytes that it should have left." } } },
	{ "BALLOON_STUCK",
	  "The balloon of a guest does not follow, or says that it has given what is in use: "
	  "the "
	  "guest is paged instead.  Told beside GUEST_BALLOON.",
	  { GUEST,
	    { "reason", TEXT, false, "Which of these." },
	    { "actual", NUMBER, false, "Bytes of RAM that the guest has left, as it says." },
	    { "wanted", NUMBER, false, "Bytes that it should have left." } } },
	{ "ADMISSION_REFUSED",
	  "A guest was not admitted, or not attached with the reservation that was asked for, "
	  "for want of memory or swap.",
	  { GUEST,
	    { "memory", NUMBER, false, "Bytes of its RAM." },
	    { "reason", TEXT, false, "The arithmetic." } } },
	{ "HOST_PRESSURE",
	  "Tasks of the host, whoever they are, wait for memory more or less than before.  A "
	  "level is left at half of what it is entered at.",
	  { { "level", TEXT, false,
	      "One of low, moderate (some-avg10 is 10 or more), critical (full-avg10 is 5 or "
	      "more)." },
	    { "some-avg10", PERCENT, false,
	      "Percent of the last 10 seconds in which some task waited, by the kernel's "
	      "/proc/pressure/memory." },
	    { "full-avg10", PERCENT, false, "In which all that could run did." },
	    { "available", NUMBER, true, "Bytes of RAM that could be had." } } },
	{ "SWAPCACHE_STATE",
	  "The swapcache has another state.  It is looked at once a second.",
	  { { "state", TEXT, false, "One of writing, cleaning, off, stopped." },
	    { "burst", TEXT, false, "One of bursting, recovering." } } },
	{ "HOST_MEMORY",
	  "The host's memory has another level.",
	  { { "level", TEXT, false, "One of off, high, soft, hard, low." },
	    { "free", NUMBER, false, "Bytes of the budget that are not resident." },
	    { "used", NUMBER, false, "Bytes that are." },
	    { "budget", NUMBER, false, "Bytes for all guests." } } },
	{ "DISK_CONNECTED",
	  "A front end is served.",
	  { { "disk", TEXT, false, "Name of the disk." },
	    { "guest", TEXT, true, "Name of the guest." } } },
	{ "DISK_DISCONNECTED",
	  "A front end is no longer there.",
	  { { "disk", TEXT, false, "Name of the disk." },
	    { "guest", TEXT, true, "Name of the guest." },
	    { "reason", TEXT, true, "Why it was disconnected; absent if it went itself." } } },
	{ "JOB_STATUS_CHANGE",
	  "A job has another state.  Each change is told: this event is never held back.",
	  { { "id", TEXT, false, "Of the job, as query-jobs has it." },
	    { "status", TEXT, false,
	      "One of created, running, aborting, concluded, null.  null: it is "
	      "forgotten." } } },
	{ 0 },
};

const struct event_def *event_find(const char *name)
{
	for (const struct event_def *d = event_defs; d->name; d++)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

static const struct host_event_field *field_of(const struct host_event *event, const char *name)
{
	const struct host_event_field *f = event->field;

	for (; f < event->field + HOST_EVENT_FIELDS && f->key; f++)
		if (!strcmp(f->key, name))
			return f;
	return NULL;
}

static enum event_type type_of(const struct host_event_field *f)
{
	return f->text ? EVENT_TEXT : f->percent ? EVENT_PERCENT : EVENT_NUMBER;
}

static const char *event_type_name(enum event_type type)
{
	static const char *const names[] = { "number", "text", "percent" };

	return names[type];
}

int event_check(const struct host_event *event, struct err *e)
{
	const struct event_def *d = event_find(event->name);
	int known = 0, n = 0;

	if (!d)
		return err_set(e, -EINVAL, "event %s is in no table", event->name);
	for (const struct event_field *f = d->field; f->name; f++) {
		const struct host_event_field *has = field_of(event, f->name);

		if (!has && !f->optional)
			return err_set(e, -EINVAL, "event %s lacks %s", event->name, f->name);
		if (has && type_of(has) != f->type)
			return err_set(e, -EINVAL, "event %s: %s is no %s", event->name,
				       f->name, event_type_name(f->type));
		known += has != NULL;
	}
	while (n < HOST_EVENT_FIELDS && event->field[n].key)
		n++;
	if (n != known)
		return err_set(e, -EINVAL, "event %s has members that are in no table",
			       event->name);
	return 0;
}
