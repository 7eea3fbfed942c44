/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/swap_path.h"
#include "drumctl/ask.h"

static const struct column paging_columns[] = {
	{ "cluster", "cluster", CELL_SIZE, 0 },
	{ "depth", "depth", CELL_COUNT, 0 },
	{ "total writes", "total-writes", CELL_COUNT, 0 },
	{ "reads", "reads", CELL_COUNT, 0 },
	{ "swblocks", "swblocks", CELL_COUNT, 0 },
	{ "give up s", "give-up", CELL_COUNT, 0 },
	{ "stall after s", "stall-after", CELL_COUNT, 0 },
	{ "sample", "sample", CELL_COUNT, 0 },
	{ 0 },
};

static int paging_show(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_query(c, "query-paging", paging_columns, args, e);
}

static int paging_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "cluster", args, OPT_CLUSTER, args->cluster);
	add_number(o, "depth", args, OPT_DEPTH, args->depth);
	add_number(o, "total-writes", args, OPT_TOTAL_WRITES, args->total_writes);
	add_number(o, "reads", args, OPT_READS, args->reads);
	add_number(o, "swblocks", args, OPT_SWBLOCKS, args->swblocks);
	add_number(o, "give-up", args, OPT_GIVE_UP, args->give_up);
	add_number(o, "stall-after", args, OPT_STALL_AFTER, args->stall_after);
	add_number(o, "sample", args, OPT_SAMPLE, args->sample);
	return tell(c, "paging-set", o, e);
}

#define SHOWS (OPT_JSON | OPT_BYTES)
#define LISTS (SHOWS | OPT_NOHEADINGS | OPT_RAW | OPT_OUTPUT)
#define ONS                                                                                    \
	(OPT_PRIORITY | OPT_MIRROR | OPT_FORCE | OPT_FILL | OPT_DISCARD | OPT_NO_CHECKSUMS |   \
	 OPT_MAX_INFLIGHT | OPT_MAX_BANDWIDTH | OPT_ENDURANCE)
#define SETS                                                                                   \
	(OPT_PRIORITY | OPT_DISCARD | OPT_NO_DISCARD | OPT_MAX_INFLIGHT | OPT_MAX_BANDWIDTH |  \
	 OPT_ENDURANCE)
#define PAGINGS                                                                                \
	(OPT_CLUSTER | OPT_DEPTH | OPT_TOTAL_WRITES | OPT_READS | OPT_SWBLOCKS | OPT_GIVE_UP | \
	 OPT_STALL_AFTER | OPT_SAMPLE)

#define GUESTS	(OPT_LIMIT | OPT_RESERVATION | OPT_SHARES | OPT_QMP | OPT_BALLOON | OPT_DOMAIN)
#define HOSTS	(OPT_BUDGET | OPT_IDLE_TAX | OPT_STALL_TARGET)
#define DAEMONS (OPT_LOG_LEVEL | OPT_LEAVE)
#define TOPS	(OPT_DELAY | OPT_SORT | OPT_FILTER | OPT_COUNT)
#define DISKS                                                                                  \
	(OPT_READ_ONLY | OPT_LISTEN | OPT_CACHE | OPT_SERIAL | OPT_GUEST | OPT_NO_MAP |        \
	 OPT_QUEUES | OPT_SWAPCACHE)

/* `local` is false where it is not given. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
const struct verb verbs[] = {
	{ "swap", "on", OPERAND_DEVICE, OPERAND_NONE, 0, ONS, 0, NULL,
	  "Page to a block device, a file, compressed RAM, or over NBD.", swap_on },
	{ "swap", "off", OPERAND_DEVICE, OPERAND_NONE, 0, OPT_CANCEL, 0, NULL,
	  "Move all that is on a swap device elsewhere, and switch it off.", swap_off },
	{ "swap", "priority", OPERAND_DEVICE, OPERAND_PRIORITY, 0, 0, 0, NULL,
	  "Change the priority of a swap device; higher ones are used first.", swap_priority },
	{ "swap", "set", OPERAND_DEVICE, OPERAND_NONE, 0, SETS, SETS, NULL,
	  "Change how a swap device is used.", swap_set },
	{ "swap", "resize", OPERAND_DEVICE, OPERAND_NONE, 0, 0, 0, NULL,
	  "Use what was added to a swap device.", swap_resize },
	{ "swap", "mirror", OPERAND_DEVICE, OPERAND_HALF, 0, OPT_FORCE, 0, NULL,
	  "Replace the lost half of a mirror.", swap_mirror },
	{ "swap", "list", OPERAND_NONE, OPERAND_NONE, 0, LISTS, 0, swap_columns,
	  "List the swap devices.", swap_list },
	{ "swap", "show", OPERAND_DEVICE, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show all about a swap device.", swap_show },
	{ "paging", "show", OPERAND_NONE, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show the limits of paging.", paging_show },
	{ "paging", "set", OPERAND_NONE, OPERAND_NONE, 0, PAGINGS, PAGINGS, NULL,
	  "Change limits of paging, for all guests.", paging_set },
	{ "guest", "admit", OPERAND_GUEST, OPERAND_NONE, OPT_MEMORY,
	  GUESTS | OPT_DRY_RUN | SHOWS, 0, NULL,
	  "Promise memory and swap to a guest that is to come, or refuse it.", guest_admit },
	{ "guest", "release", OPERAND_GUEST, OPERAND_NONE, 0, 0, 0, NULL,
	  "Take that back, as it does not come.", guest_release },
	{ "guest", "attach", OPERAND_PID, OPERAND_NONE, OPT_NAME, GUESTS, 0, NULL,
	  "Take over the paging of a VMM's guest.", guest_attach },
	{ "guest", "detach", OPERAND_GUEST, OPERAND_NONE, 0, 0, 0, NULL,
	  "Page a guest in and let go of it.", guest_detach },
	{ "guest", "list", OPERAND_NONE, OPERAND_NONE, 0, LISTS, 0, guest_columns,
	  "List the guests.", guest_list },
	{ "guest", "show", OPERAND_GUEST, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show all about a guest.", guest_show },
	{ "guest", "set", OPERAND_GUEST, OPERAND_NONE, 0, GUESTS, GUESTS, NULL,
	  "Change how much of a guest may be resident.", guest_set },
	{ "guest", "out", OPERAND_GUEST, OPERAND_NONE, 0, 0, 0, NULL,
	  "Page out all of a guest that can be.", guest_out },
	{ "guest", "in", OPERAND_GUEST, OPERAND_NONE, 0, 0, 0, NULL, "Page in all of a guest.",
	  guest_in },
	{ "host", "show", OPERAND_NONE, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show how memory is divided among guests.", host_show },
	{ "host", "set", OPERAND_NONE, OPERAND_NONE, 0, HOSTS, HOSTS, NULL,
	  "Change how memory is divided among guests.", host_set },
	{ "disk", "add", OPERAND_DISK, OPERAND_NONE, OPT_IMAGE, DISKS, 0, NULL,
	  "Serve an image to a guest, as a vhost-user-blk disk.", disk_add },
	{ "disk", "set", OPERAND_DISK, OPERAND_NONE, OPT_SWAPCACHE, 0, 0, NULL,
	  "Change how a disk is served.", disk_set },
	{ "disk", "list", OPERAND_NONE, OPERAND_NONE, 0, LISTS, 0, disk_columns,
	  "List the disks.", disk_list },
	{ "disk", "show", OPERAND_DISK, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show all about a disk.", disk_show },
	{ "disk", "remove", OPERAND_DISK, OPERAND_NONE, 0, 0, 0, NULL,
	  "Serve a disk no longer.", disk_remove },
	{ "disk", "resize", OPERAND_DISK, OPERAND_NONE, 0, 0, 0, NULL,
	  "Look how large the image is now, and tell the guest.", disk_resize },
	{ "swapcache", "show", OPERAND_NONE, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show what the swapcache does, and its knobs.", swapcache_show },
	{ "swapcache", "set", OPERAND_KNOBS, OPERAND_NONE, 0, 0, 0, NULL,
	  "Change knobs of the swapcache.", swapcache_set },
	{ "dump", "set", OPERAND_DEVICE, OPERAND_NONE, 0, OPT_FORCE, 0, NULL,
	  "Dump guests to a block device or a file.", dump_set },
	{ "dump", "show", OPERAND_NONE, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show the dump device and the last dump.", dump_show },
	{ "dump", "off", OPERAND_NONE, OPERAND_NONE, 0, 0, 0, NULL,
	  "Let go of the dump device.", dump_off },
	{ "dump", "guest", OPERAND_GUEST, OPERAND_NONE, 0, 0, 0, NULL,
	  "Write a guest's RAM to the dump device.", dump_guest },
	{ NULL, "dump", OPERAND_GUEST, OPERAND_NONE, 0, 0, 0, NULL,
	  "The same, of a guest that is called none of these.", dump_guest },
	{ "job", "list", OPERAND_NONE, OPERAND_NONE, 0, LISTS, 0, job_columns,
	  "List what goes on, and what has ended.", job_list },
	{ "job", "cancel", OPERAND_JOB, OPERAND_NONE, 0, 0, 0, NULL, "End a job early.",
	  job_cancel },
	{ "job", "dismiss", OPERAND_JOB, OPERAND_NONE, 0, 0, 0, NULL,
	  "Forget a job that has ended.", job_dismiss },
	{ "daemon", "reexec", OPERAND_NONE, OPERAND_NONE, 0, 0, 0, NULL,
	  "Replace the running daemon by the one that is installed.", daemon_reexec },
	{ "daemon", "set", OPERAND_NONE, OPERAND_NONE, 0, DAEMONS, DAEMONS, NULL,
	  "Change the log level, or what becomes of guests at a stop.", daemon_set },
	{ "config", "check", OPERAND_CONF, OPERAND_NONE, 0, 0, 0, NULL,
	  "Look for errors in the configuration file; needs no daemon.", config_check,
	  .local = true },
	{ "config", "reload", OPERAND_NONE, OPERAND_NONE, 0, OPT_JSON, 0, NULL,
	  "Have the daemon read its file again and do what has changed.", config_reload },
	{ "config", "show", OPERAND_NONE, OPERAND_NONE, 0, OPT_JSON, 0, NULL,
	  "Show what the file says, and what the daemon goes by.", config_show },
	{ "completion", "bash", OPERAND_NONE, OPERAND_NONE, 0, 0, 0, NULL,
	  "Print what completes command lines of drumctl in bash.", completion_bash,
	  .local = true },
	{ NULL, "stat", OPERAND_NONE, OPERAND_NONE, 0, SHOWS, 0, NULL,
	  "Show the host's memory, and sums over guests and swap devices.", stat_show },
	{ NULL, "explain", OPERAND_GUEST, OPERAND_NONE, 0, OPT_JSON, 0, NULL,
	  "Tell why a guest has the memory that it has.", guest_explain },
	{ NULL, "top", OPERAND_NONE, OPERAND_NONE, 0, TOPS, 0, NULL,
	  "Watch the host, guests, devices and disks; on a terminal, until q is typed.",
	  top_show },
	{ NULL, "map", OPERAND_GUEST, OPERAND_NONE, 0, OPT_JSON | OPT_SVG | OPT_CELLS, 0, NULL,
	  "Show a picture of a guest's RAM, by what its pages are and how old.", map_show },
	{ NULL, "hist", OPERAND_GUEST, OPERAND_NONE, 0, OPT_JSON | OPT_SVG, 0, NULL,
	  "Show how long a guest's faults took.", hist_show },
	{ NULL, "events", OPERAND_NONE, OPERAND_NONE, 0, OPT_JSON | OPT_COUNT | OPT_FOLLOW, 0,
	  NULL, "Print events as they happen, until interrupted.", show_events },
	{ NULL, "record", OPERAND_FILE, OPERAND_NONE, 0, OPT_DELAY | OPT_COUNT, 0, NULL,
	  "Append figures and events to a file, until interrupted.", record },
	{ NULL, "report", OPERAND_FILE, OPERAND_NONE, OPT_HTML, 0, 0, NULL,
	  "Make a page with plots of what was recorded.", report, .local = true },
	{ 0 },
};
#pragma GCC diagnostic pop

bool verb_reads(const struct verb *v)
{
	static const char *const words[] = { "list", "show", "stat", "explain", "events",
					     "top",  "map",  "hist", "record" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(v->word, words[i]))
			return true;
	return false;
}

const char *operand_name(enum operand_type type)
{
	switch (type) {
	case OPERAND_DEVICE:
		return "PATH";
	case OPERAND_HALF:
		return "NEW";
	case OPERAND_PRIORITY:
		return "N";
	case OPERAND_PID:
		return "PID";
	case OPERAND_GUEST:
	case OPERAND_DISK:
		return "NAME";
	case OPERAND_JOB:
		return "ID";
	case OPERAND_KNOBS:
		return "KNOB=VALUE ...";
	case OPERAND_FILE:
		return "FILE";
	case OPERAND_CONF:
		return "[FILE]";
	case OPERAND_NONE:
		break;
	}
	return "";
}

/* Begins as ram: and nbd: do, which only "./ram:x" names a file by. */
static bool is_special(const char *device)
{
	return !strncmp(device, "ram:", 4) || !strncmp(device, "nbd:", 4);
}

static int check_device(const char *device, bool half, struct err *e)
{
	if (!is_special(device))
		return 0; /* made absolute before drumd sees it */
	if (half && device[0] == 'r')
		return err_set(e, -EINVAL,
			       "'%s' cannot be half of a mirror; give a path or "
			       "nbd:URI",
			       device);
	if (swap_path_kind(device) == SWAP_PATH_WRONG)
		return err_set(e, -EINVAL,
			       "not a device: '%s'; write it as ram:512M, as "
			       "nbd:nbd://HOST/EXPORT, or as a path: ./%s",
			       device, device);
	return 0;
}

static int check_operand(enum operand_type type, const char *operand, struct err *e)
{
	size_t digits = strspn(operand, "0123456789");
	uint32_t n;

	if (operand[0] == '\0')
		return err_set(e, -EINVAL, "%s is empty", operand_name(type));
	if (type == OPERAND_PID && (digits == 0 || digits > 18 || operand[digits] != '\0'))
		return err_set(e, -EINVAL, "not a process id: '%s'", operand);
	if (type == OPERAND_PRIORITY && number_parse(operand, 0, 32767, &n) < 0)
		return err_set(e, -EINVAL, "not a priority from 0 to 32767: '%s'", operand);
	if (type == OPERAND_DEVICE || type == OPERAND_HALF)
		return check_device(operand, type == OPERAND_HALF, e);
	return 0;
}

int verb_check(const struct verb *v, const struct verb_args *args, struct err *e)
{
	const uint64_t both = OPT_DISCARD | OPT_NO_DISCARD;
	int rc = 0;

	if (v->operand && args->operand)
		rc = check_operand(v->operand, args->operand, e);
	if (rc == 0 && v->second)
		rc = check_operand(v->second, args->second, e);
	if (rc == 0 && args->mirror)
		rc = check_operand(OPERAND_HALF, args->mirror, e);
	if (rc == 0 && (v->optional & OPT_RESERVATION))
		rc = guest_check(args, e);
	if (rc == 0 && v->operand == OPERAND_DISK)
		rc = disk_check(args, e);
	if (rc == 0 && v->operand == OPERAND_KNOBS)
		rc = swapcache_check(args, e);
	if (rc == 0 && (v->optional & OPT_SORT))
		rc = top_check(args, e);
	if (rc == 0 && (v->optional & OPT_LEAVE))
		rc = daemon_check(args, e);
	if (rc == 0 && args->output)
		rc = output_check(v->columns, args->output, e);
	if (rc < 0)
		return rc;
	if ((args->given & both) == both)
		return err_set(e, -EINVAL, "--discard and --no-discard exclude each other");
	if ((args->given & OPT_FILL) && is_special(args->operand))
		return err_set(e, -EINVAL, "--fill is for regular files");
	if ((args->given & OPT_FILL) && args->mirror && is_special(args->mirror))
		return err_set(e, -EINVAL,
			       "--fill is for regular files, and so must both "
			       "halves of the mirror be");
	if ((args->given & OPT_JSON) && (args->given & OPT_SVG))
		return err_set(e, -EINVAL, "--json and --svg exclude each other");
	if (v->some && !(args->given & v->some))
		return err_set(e, -EINVAL, "nothing to set");
	return 0;
}
