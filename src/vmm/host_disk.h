/* SPDX-License-Identifier: BSD-2-Clause */
/* struct host_disk, shared by host_disk*.c (disks) and host_front.c (who is connected). */
#ifndef DRUM_VMM_HOST_DISK_H
#define DRUM_VMM_HOST_DISK_H

#include <string.h>

#include "vmm/disk.h"
#include "vmm/diskset.h"
#include "vmm/host_priv.h"

/* The first device number of a disk in drum addresses: above those of swap devices. */
#define HOST_DISK_NUMBER_FIRST (DRUM_DEVICES_MAX + 1)

enum front_state {
	FRONT_NONE,	 /* nobody is connected: it listens */
	FRONT_ACCEPTED,	 /* somebody is, and has said nothing yet */
	FRONT_ATTACHING, /* its VMM is being attached */
	FRONT_WAITING,	 /* its guest is not served yet */
	FRONT_GIVEN,	 /* the worker has it */
};

struct host_disk {
	struct host_disk *next;
	struct host *host;
	struct diskset_entry set;
	struct disk d;		  /* d.image NULL: missing, or opening */
	struct request *request;  /* adding, or resizing it */
	bool opening;		  /* not listed yet */
	int server;		  /* an earlier pager's connection to the server, until the
				     image has it; -1: none */
	bool anew;		  /* its image may have been changed since the last pager */
	struct cache_file *cache; /* NULL: nothing of it is cached */
	int listener;		  /* -1: none */
	struct loop_watch *listen_watch, *conn_watch;

	enum front_state front;
	pid_t pid;		 /* of the front end */
	struct guest *guest;	 /* GIVEN; NULL: its worker has ended, and we are about to */
	bool kept;		 /* ACCEPTED: the keeper has the connection too */
	bool drop;		 /* the keeper has not been told yet that one is over */
	bool posted;		 /* CMD_DISK is not answered yet */
	bool tick;		 /* to be looked at again by time */
	uint64_t retry_at;	 /* ns */
	uint64_t give_up_at;	 /* ns: WAITING for the guest, or for its name to be free */
	char told[ERR_TEXT_MAX]; /* the last failure that was told, */
	uint64_t told_at;	 /* ns, when */
};

#define SECTOR_SHIFT 9

static inline bool host_disk_is_nbd(const char *image)
{
	return strncmp(image, "nbd:", 4) == 0;
}

/* host_disk.c */

/* One that is empty, at the end of the list. */
struct host_disk *host_disk_new(struct host *h);

/* host_disk_open.c */

/* MSG_DISK_OPEN for it. */
void host_disk_ask_keeper(const struct host_disk *hd, bool again, struct proto_msg *m);
/* The answer: descriptors are taken, and the image is there unless it is nbd:.
 * => 0, or -errno and e */
int must_check host_disk_take_opened(struct host_disk *hd, const struct proto_msg *m,
				     const int *fds, int nfds, struct err *e);
/* The image of nbd:, which known says of what it was; NULL: see.  Waits for the server then.
 * => NULL and e */
struct image *must_check host_disk_open_server(struct host_disk *hd,
					       const struct image_info *known, struct err *e);
/* Its files in the run directory are no more. */
void host_disk_unlink(const struct host_disk *hd);
/* The drum learns of its device number, if it has one. => 0, or -errno and e */
int must_check host_disk_make_mapped(struct host_disk *hd, struct err *e);
/* The image is there: the rest; again: it is of an earlier pager. => 0, or -errno and e */
int must_check host_disk_make_whole(struct host_disk *hd, bool again, struct err *e);

/* host_front.c */

/* It can be used: listen, or go on with who was connected. */
void host_front_begin(struct host_disk *hd);
/* Tell whoever is connected to go, if no worker has it. */
void host_front_drop(struct host_disk *hd);
void host_front_step(struct host_disk *hd);
/* Post cmd, calloc'ed, to the worker that has it. => false: none has, and cmd is freed */
bool must_check host_front_post(struct host_disk *hd, struct command *cmd);

#endif
