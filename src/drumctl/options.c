/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/options.h"

#include <errno.h>
#include <string.h>

#include "base/disk_params.h"
#include "base/host_params.h"
#include "base/log.h"
#include "base/size.h"
#include "base/swapcache_knobs.h"

#define AT(member) offsetof(struct verb_args, member)

/* Help and usage have them in this order. */
const struct option_def option_defs[OPTIONS] = {
	{ "socket", 's', 0, "SOCKET", TYPE_TEXT, AT(socket), 0, 0, "Where drumd listens." },
	{ "help", 'h', 0, NULL, TYPE_NONE, 0, 0, 0, "Print this and leave." },
	{ "version", 'V', 0, NULL, TYPE_NONE, 0, 0, 0, "Print the version and leave." },
	{ "json", 'J', OPT_JSON, NULL, TYPE_NONE, 0, 0, 0, "Print JSON." },
	{ "bytes", 'b', OPT_BYTES, NULL, TYPE_NONE, 0, 0, 0, "Print sizes as exact bytes." },
	{ "noheadings", 'n', OPT_NOHEADINGS, NULL, TYPE_NONE, 0, 0, 0, "Print no headings." },
	{ "raw", 'r', OPT_RAW, NULL, TYPE_NONE, 0, 0, 0,
	  "Print columns that are not aligned." },
	{ "output", 'o', OPT_OUTPUT, "COLS", TYPE_TEXT, AT(output), 0, 0,
	  "Print these columns, as NAME,SIZE; +SIZE adds one." },
	{ "name", 0, OPT_NAME, "NAME", TYPE_TEXT, AT(name), 0, 0, "What the guest is called." },
	{ "limit", 0, OPT_LIMIT, "SIZE", TYPE_SIZE_OR_NONE, AT(limit), 0, 0,
	  "Most of the guest's RAM that may be resident, or none." },
	{ "memory", 0, OPT_MEMORY, "SIZE", TYPE_SIZE, AT(memory), 0, 0,
	  "All RAM of the guest that is to come." },
	{ "reservation", 0, OPT_RESERVATION, "SIZE", TYPE_SIZE_OR_NONE, AT(reservation), 0, 0,
	  "RAM of the guest that may always be resident, or none." },
	{ "shares", 0, OPT_SHARES, "N", TYPE_NUMBER, AT(shares), 1, GUEST_SHARES_MAX,
	  "What it pays for memory with; 10 for each MiB of its RAM." },
	{ "qmp", 0, OPT_QMP, "SOCKET", TYPE_TEXT, AT(qmp), 0, 0,
	  "Where its VMM's QMP monitor listens, or none." },
	{ "balloon", 0, OPT_BALLOON, "ID", TYPE_TEXT, AT(balloon), 0, 0,
	  "Id of its balloon device, or none: what is found." },
	{ "domain", 0, OPT_DOMAIN, "NAME", TYPE_TEXT, AT(domain), 0, 0,
	  "Its name in libvirt, instead of --qmp; or none." },
	{ "dry-run", 0, OPT_DRY_RUN, NULL, TYPE_NONE, 0, 0, 0,
	  "Tell what would be answered, and change nothing." },
	{ "budget", 0, OPT_BUDGET, "SIZE", TYPE_SIZE_OR_NONE, AT(budget), 0, 0,
	  "Memory that all guests may have, or none: nothing is decided." },
	{ "idle-tax", 0, OPT_IDLE_TAX, "PERCENT", TYPE_TAX, AT(idle_tax), 0, 0,
	  "On memory that is not used: 0 to 99." },
	{ "stall-target", 0, OPT_STALL_TARGET, "PERCENT", TYPE_PERCENT, AT(stall_target), 0, 0,
	  "Stalls up to which cold memory is taken, as 0.1; 0: none is." },
	{ "priority", 'p', OPT_PRIORITY, "N", TYPE_NUMBER, AT(priority), 0, 32767,
	  "Higher ones are used first: 0 to 32767." },
	{ "mirror", 0, OPT_MIRROR, "DEVICE", TYPE_TEXT, AT(mirror), 0, 0,
	  "Keep the same on this one as well." },
	{ "force", 0, OPT_FORCE, NULL, TYPE_NONE, 0, 0, 0,
	  "Although something else is on it." },
	{ "fill", 0, OPT_FILL, NULL, TYPE_NONE, 0, 0, 0,
	  "Allocate the holes of the file first." },
	{ "discard", 'd', OPT_DISCARD, NULL, TYPE_NONE, 0, 0, 0,
	  "Tell the device which blocks are free." },
	{ "no-discard", 0, OPT_NO_DISCARD, NULL, TYPE_NONE, 0, 0, 0, "Do not, from now on." },
	{ "no-checksums", 0, OPT_NO_CHECKSUMS, NULL, TYPE_NONE, 0, 0, 0,
	  "Trust what the device returns." },
	{ "max-inflight", 0, OPT_MAX_INFLIGHT, "N", TYPE_NUMBER, AT(max_inflight), 0,
	  UINT32_MAX, "Most I/Os at a time; 0 for no limit." },
	{ "max-bandwidth", 0, OPT_MAX_BANDWIDTH, "SIZE", TYPE_SIZE, AT(max_bandwidth), 0, 0,
	  "Most bytes in a second; 0 for no limit." },
	{ "endurance", 0, OPT_ENDURANCE, "SIZE", TYPE_SIZE_OR_NONE, AT(endurance), 0, 0,
	  "Bytes a day that the swapcache obeys, or none." },
	{ "cancel", 0, OPT_CANCEL, NULL, TYPE_NONE, 0, 0, 0,
	  "Stop switching it off; the device stays on." },
	{ "cluster", 0, OPT_CLUSTER, "SIZE", TYPE_SIZE, AT(cluster), 0, 0,
	  "Bytes that one write to swap moves: 4K to 1M." },
	{ "depth", 0, OPT_DEPTH, "N", TYPE_NUMBER, AT(depth), 0, UINT32_MAX,
	  "Writes in flight for each guest: 1 to 32." },
	{ "total-writes", 0, OPT_TOTAL_WRITES, "N", TYPE_NUMBER, AT(total_writes), 0,
	  UINT32_MAX, "Writes in flight for all guests: 1 to 1024." },
	{ "reads", 0, OPT_READS, "N", TYPE_NUMBER, AT(reads), 0, UINT32_MAX,
	  "Reads ahead in flight for each guest: 1 to 24." },
	{ "swblocks", 0, OPT_SWBLOCKS, "N", TYPE_NUMBER, AT(swblocks), 0, UINT32_MAX,
	  "Most swblocks of all guests, of 16 pages each: from 1024 on." },
	{ "give-up", 0, OPT_GIVE_UP, "SECONDS", TYPE_NUMBER, AT(give_up), 0, UINT32_MAX,
	  "Until a page that cannot be read is poisoned: 1 to 86400." },
	{ "stall-after", 0, OPT_STALL_AFTER, "SECONDS", TYPE_NUMBER, AT(stall_after), 0,
	  UINT32_MAX, "Until an event tells of a page that is waited for: 1 to 86400." },
	{ "sample", 0, OPT_SAMPLE, "N", TYPE_NUMBER, AT(sample), 0, UINT32_MAX,
	  "Pages a second looked at, whether they are used: to 512; 0 is off." },
	{ "image", 0, OPT_IMAGE, "IMAGE", TYPE_TEXT, AT(image), 0, 0,
	  "What is on the disk: a file, a block device or nbd:URI." },
	{ "read-only", 0, OPT_READ_ONLY, NULL, TYPE_NONE, 0, 0, 0, "Let nobody write to it." },
	{ "socket", 0, OPT_LISTEN, "PATH", TYPE_TEXT, AT(listen), 0, 0,
	  "Behind 'disk add': where the disk's front end connects." },
	{ "cache", 0, OPT_CACHE, "MODE", TYPE_TEXT, AT(cache), 0, 0,
	  "As QEMU's: " DISK_CACHE_ALLOWED "." },
	{ "serial", 0, OPT_SERIAL, "SERIAL", TYPE_TEXT, AT(serial), 0, 0,
	  "Serial number that the guest sees." },
	{ "guest", 0, OPT_GUEST, "NAME", TYPE_TEXT, AT(guest), 0, 0,
	  "What the guest is called that connects." },
	{ "no-map", 0, OPT_NO_MAP, NULL, TYPE_NONE, 0, 0, 0,
	  "Do not note which pages are copies of blocks." },
	{ "queues", 0, OPT_QUEUES, "N", TYPE_NUMBER, AT(queues), 1, DISK_QUEUES_MAX,
	  "Most queues: 1 to 64." },
	{ "swapcache", 0, OPT_SWAPCACHE, "MODE", TYPE_TEXT, AT(swapcache), 0, 0,
	  "What of it is cached on swap: " SWAPCACHE_MODE_ALLOWED "." },
	{ "log-level", 0, OPT_LOG_LEVEL, "LEVEL", TYPE_TEXT, AT(log_level), 0, 0,
	  "What drumd logs: " LOG_LEVEL_ALLOWED "." },
	{ "leave", 0, OPT_LEAVE, "yes|no", TYPE_TEXT, AT(leave), 0, 0,
	  "Leave guests waiting when drumd is stopped." },
	{ "count", 'c', OPT_COUNT, "N", TYPE_NUMBER, AT(count), 1, UINT32_MAX,
	  "Leave after so many events, samples or looks." },
	{ "delay", 0, OPT_DELAY, "SECONDS", TYPE_SECONDS, AT(delay), 100, 3600 * 1000,
	  "Between two samples (5 if it is not given) or looks (1), from 0.1 on." },
	{ "sort", 0, OPT_SORT, "COLUMN", TYPE_TEXT, AT(sort), 0, 0,
	  "Sort guests by this column, as resident; by faults at first." },
	{ "filter", 0, OPT_FILTER, "TEXT", TYPE_TEXT, AT(filter), 0, 0,
	  "Only guests that have this in their names." },
	{ "cells", 0, OPT_CELLS, "N", TYPE_NUMBER, AT(cells), 1, 4096,
	  "Divide the guest's RAM into so many: 1 to 4096." },
	{ "svg", 0, OPT_SVG, "FILE", TYPE_TEXT, AT(svg), 0, 0,
	  "Write a picture to this file instead." },
	{ "follow", 0, OPT_FOLLOW, NULL, TYPE_NONE, 0, 0, 0,
	  "Go on when drumd was started anew." },
	{ "html", 0, OPT_HTML, "OUT", TYPE_TEXT, AT(html), 0, 0,
	  "Write a page, to this file." },
};

int number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *number)
{
	uint64_t n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		n = 10 * n + (uint64_t)(*text - '0');
		if (n > max)
			return -EINVAL;
	}
	if (n < min)
		return -EINVAL;
	*number = (uint32_t)n;
	return 0;
}

/* "0.5" or "2", in milliseconds */
static int seconds_parse(const char *text, uint32_t min, uint32_t max, uint32_t *ms)
{
	size_t whole = strspn(text, "0123456789"), part = 0;
	uint64_t n = 0;

	if (text[whole] == '.')
		part = strspn(text + whole + 1, "0123456789");
	if (!whole || whole > 6 || part > 3 || text[whole + (part ? part + 1 : 0)] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < whole; i++)
		n = 10 * n + (uint64_t)(text[i] - '0');
	for (size_t i = 0; i < 3; i++)
		n = 10 * n + (i < part ? (uint64_t)(text[whole + 1 + i] - '0') : 0);
	if (n < min || n > max)
		return -EINVAL;
	*ms = (uint32_t)n;
	return 0;
}

int option_take(const struct option_def *o, const char *value, struct verb_args *args,
		struct err *e)
{
	void *to = (char *)args + o->offset;
	int rc;

	args->given |= o->bit;
	switch (o->type) {
	case TYPE_TEXT:
		*(const char **)to = value;
		break;
	case TYPE_SIZE:
		rc = size_parse(value, to);
		if (rc < 0)
			return err_set(
				e, -EINVAL, "--%s: %s: '%s'; write it as 512M or 2G", o->name,
				rc == -ERANGE ? "too large a size" : "not a size", value);
		break;
	case TYPE_SIZE_OR_NONE:
		if (size_or_none_parse(value, to) < 0)
			return err_set(e, -EINVAL,
				       "--%s: '%s' must be a size, as 512M or 2G, or none",
				       o->name, value);
		/* who means to have nothing in memory must not get all of it */
		if (o->bit == OPT_LIMIT && *(uint64_t *)to == 0 && strcmp(value, "none") != 0)
			return err_set(e, -EINVAL,
				       "--limit: 0 is no limit: give none if that is meant");
		break;
	case TYPE_NUMBER:
		if (number_parse(value, o->min, o->max, to) < 0)
			return err_set(e, -EINVAL, "--%s: not a number from %u to %u: '%s'",
				       o->name, o->min, o->max, value);
		break;
	case TYPE_TAX:
		if (host_tax_parse(value, to) < 0)
			return err_set(e, -EINVAL, "--%s: '%s' must be " HOST_TAX_ALLOWED,
				       o->name, value);
		break;
	case TYPE_PERCENT:
		if (percent_parse(value, to) < 0)
			return err_set(e, -EINVAL,
				       "--%s: '%s' must be " HOST_STALL_TARGET_ALLOWED, o->name,
				       value);
		break;
	case TYPE_SECONDS:
		if (seconds_parse(value, o->min, o->max, to) < 0)
			return err_set(e, -EINVAL,
				       "--%s: not a number of seconds from %g to %g: '%s'",
				       o->name, o->min / 1e3, o->max / 1e3, value);
		break;
	case TYPE_NONE:
		break;
	}
	return 0;
}

const struct option_def *option_of(uint64_t bits)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if (option_defs[i].bit & bits)
			return &option_defs[i];
	return NULL;
}
