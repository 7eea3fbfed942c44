/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper and the pager say to each other.
 *
 * There is one main channel, and one channel for each guest between the
 * keeper's thread and the pager's worker of that guest.  Both ends are of
 * one build: a message has no version, MSG_HELLO compares them once.
 *
 * Main channel
 *	pager  > MSG_READY	started, serves; id: 1 if it has a pin check
 *	keeper > MSG_HELLO	fds: qmp.sock, run directory, monitor.sock, /dev/userfaultfd
 *				if there is one, with u.hello.state_dir the state directory,
 *				and with u.hello.metrics the socket of metrics
 *	pager  > MSG_ATTACH	seq, pid, name
 *	keeper > MSG_ATTACHED	seq, error; fd: guest channel
 *	pager  > MSG_SWAP_OPEN	seq, path, flags; again: identity, bytes as last known
 *	keeper > MSG_SWAP_OPENED seq, error, what it is; fd: opened O_DIRECT; with error
 *				code 0 its text may be a warning
 *	pager  > MSG_SWAP_LOOK	seq, identity: how large is it now?
 *	keeper > MSG_SWAP_LOOKED seq, error, bytes
 *	keeper > MSG_SWAP_ADD	u.swap_add			(of the configuration file);
 *				id: 1: and set so, if it is on already
 *	keeper > MSG_PAGING	u.paging			(of the configuration file)
 *	keeper > MSG_ADOPT	name, pid, limit; fd: guest channel	(a guest that was left)
 *	keeper > MSG_ADOPTED_ALL			no more come; id: 1 if one could not be
 *	keeper > MSG_SWAPCACHE	u.swapcache			(of the configuration file)
 *	keeper > MSG_HOST	u.host				(of the configuration file)
 *	keeper > MSG_DUMP_ADD	u.swap: path			(of the configuration file)
 *	pager  > MSG_SWAP_CLOSE	identity			(it could not be used)
 *	pager  > MSG_DISK_OPEN	seq, u.disk; id: 1 if it was there before this pager started,
 *				and must be the image with that identity then
 *	keeper > MSG_DISK_OPENED seq, error (with code 0 its text may be a warning), u.disk:
 *				socket, identity, anew; fds: keep channel, listening
 *				socket, and, unless it is nbd:, the image, in a
 *				description of its own
 *	keeper > MSG_DISK_ADD	u.disk				(of the configuration file)
 *	pager  > MSG_DISK_CLOSE	u.disk.name: close all of it, remove the socket
 *	pager  > MSG_REEXEC	seq: become the drumd that is installed now
 *	keeper > MSG_REEXECED	seq, error: why not; otherwise the pager is stopped
 *	keeper > MSG_STOP	id: enum stop_how
 *	pager  > MSG_STOPPED	error: 0, or why it goes on
 *	pager  > MSG_CONFIG	seq, id: enum config_ask, u.config: what to set
 *	keeper > MSG_CONFIG_LINE seq, id: enum config_line, u.config_line
 *	keeper > MSG_CONFIGURED	seq, error, u.config: as it is now
 *	keeper > MSG_LOG_LEVEL	id: enum log_level, from now on
 *	keeper > MSG_SWAP_SET	u.swap_add, id: which of it, as SWAP_SET_*
 *	keeper > MSG_DISK_SET	u.disk: name, swapcache
 *	keeper > MSG_DUMP_SET	u.swap: path; "": none
 *
 * To read the configuration again (MSG_CONFIG, or a signal to the keeper): lines that tell what
 * has changed, and what there is to be done as at the start, all with the seq that was asked by
 * (0: nobody asked), then MSG_CONFIGURED.  Of MSG_PAGING, MSG_HOST and MSG_SWAPCACHE only what
 * has changed is given then.
 *
 * Guest channel
 *	keeper > MSG_MEMFD	index, size; fd
 *	keeper > MSG_MAPPER	id, pid, ranges; fd: userfaultfd
 *	keeper > MSG_BEGIN	everything known has been sent; seq of a zap under way, or 0;
 *				error: as MSG_UNSAFE
 *	worker > MSG_SERVING	error: 0, or why it cannot be
 *	worker > MSG_ZAP	seq, ranges
 *	keeper > MSG_ZAPPED	seq, error
 *	keeper > MSG_MAPPER	a process that came later, or one that has mapped anew
 *	keeper > MSG_MAPPER_GONE id
 *	keeper > MSG_UNSAFE	text: the guest can no longer be paged
 *	worker > MSG_DETACH	everything is in and unregistered: leave no trace
 *	worker > MSG_LIMIT	bytes, for the guest's file in the run directory
 *	keeper > MSG_DETACHED
 */
#ifndef DRUM_BASE_PROTO_H
#define DRUM_BASE_PROTO_H

#include <stdint.h>

#include "base/err.h"
#include "base/host_params.h"
#include "base/swapcache_knobs.h"
#include "base/version.h"

#define PROTO_NAME_MAX	  64
#define PROTO_PATH_MAX	  1024
#define PROTO_RANGES_MAX  64
#define PROTO_SAMPLE_OFF  UINT32_MAX /* paging.sample: 0 says nothing */
#define PROTO_MEMFDS_MAX  8
#define PROTO_MAPPERS_MAX 16
#define PROTO_DISKS_MAX	  64
#define PROTO_GROUP_MAX	  33 /* bytes of a group's name, as of useradd(8) */

enum msg_type {
	MSG_HELLO = 1,
	MSG_READY,
	MSG_ATTACH,
	MSG_ATTACHED,
	MSG_SWAP_OPEN,
	MSG_SWAP_OPENED,
	MSG_SWAP_LOOK,
	MSG_SWAP_LOOKED,
	MSG_SWAP_CLOSE,
	MSG_SWAP_ADD,
	MSG_DUMP_ADD,
	MSG_PAGING,
	MSG_SWAPCACHE,
	MSG_HOST,
	MSG_DISK_OPEN,
	MSG_DISK_OPENED,
	MSG_DISK_ADD,
	MSG_DISK_CLOSE,
	MSG_ADOPT,
	MSG_ADOPTED_ALL,
	MSG_REEXEC,
	MSG_REEXECED,
	MSG_STOP,
	MSG_STOPPED,
	MSG_CONFIG,
	MSG_CONFIG_LINE,
	MSG_CONFIGURED,
	MSG_LOG_LEVEL,
	MSG_SWAP_SET,
	MSG_DISK_SET,
	MSG_DUMP_SET,

	MSG_MEMFD,
	MSG_MAPPER,
	MSG_BEGIN,
	MSG_SERVING,
	MSG_ZAP,
	MSG_ZAPPED,
	MSG_MAPPER_GONE,
	MSG_UNSAFE,
	MSG_DETACH,
	MSG_LIMIT,
	MSG_DETACHED,
};

enum stop_how {
	STOP_DETACH,  /* page all guests in and let go of them */
	STOP_LEAVE,   /* leave them attached, for another drumd */
	STOP_REPLACE, /* the same for the next pager, which comes at once: in any case */
};

/* Whose place a pager takes. */
enum proto_after {
	AFTER_NOBODY,	/* it is the first of this drumd, which may find guests all the same */
	AFTER_DEATH,	/* one that has died */
	AFTER_REPLACED, /* one that has left, so that drumd could be replaced */
};

/* Whose members may use a socket. */
struct proto_group {
	char name[PROTO_GROUP_MAX]; /* "": nobody's */
	uint32_t gid;
};

enum config_ask { CONFIG_SHOW, CONFIG_SET, CONFIG_RELOAD };

enum config_line {
	CONFIG_ENTRY, /* a line of the file: section, key, text */
	CONFIG_CHANGED,
	CONFIG_RESTART,
	CONFIG_LEFT,
};

/* What of u.config to set. */
#define CONFIG_SET_LOG_LEVEL (1u << 0)
#define CONFIG_SET_LEAVE     (1u << 1)

/* A piece of guest RAM: bytes off .. off+len of memfd number memfd; start is
 * where a mapper has it, unused in MSG_ZAP. */
struct proto_range {
	uint32_t memfd;
	uint32_t pad;
	uint64_t off;
	uint64_t len;
	uint64_t start;
};

struct proto_msg {
	uint32_t type;	/* enum msg_type */
	uint32_t seq;	/* answer to which question */
	struct err err; /* of an answer */
	int32_t pid;
	uint32_t id;	/* memfd index, mapper id */
	uint64_t bytes; /* size of a memfd or device, a limit */
	union {
		char name[PROTO_NAME_MAX];
		struct {
			char path[PROTO_PATH_MAX];
			char kind[16];	   /* "file", "block" */
			uint64_t dev, ino; /* identity: of the file, or of the device */
			uint32_t skip;	   /* bytes at the start never used */
			int32_t priority;
			int32_t again; /* it was on before this pager started */
			int32_t force; /* although it holds something */
			int32_t dump;  /* for dumps, not for swap */
		} swap;
		struct {
			char path[PROTO_PATH_MAX];
			char mirror[PROTO_PATH_MAX]; /* "": none */
			int32_t priority;
			int32_t discard;
			int32_t no_checksums;
			uint32_t max_inflight;
			uint64_t max_bandwidth;
			uint64_t endurance;
			int32_t has_endurance;
		} swap_add;
		struct {
			char name[PROTO_NAME_MAX];
			char image[PROTO_PATH_MAX]; /* absolute, or "nbd:URI" */
			char socket[PROTO_PATH_MAX];
			char serial[PROTO_NAME_MAX];
			char guest[PROTO_NAME_MAX]; /* of a VMM that is not attached yet */
			int32_t cache;		    /* enum image_cache */
			int32_t read_only;
			int32_t no_map;
			uint32_t queues;   /* 0: as many as there may be */
			uint64_t dev, ino; /* identity of the image, as of swap; 0, 0: nbd: */
			int32_t swapcache; /* enum swapcache_mode */
			int32_t anew; /* of MSG_DISK_OPENED to one that had it: nobody has held
					 it all the time, so it may have been changed */
		} disk;
		struct { /* 0: not given */
			uint32_t cluster, depth, total_writes, reads, swblocks, give_up,
				stall_after, sample;
		} paging;
		struct {
			uint64_t conf;	/* which reading of the configuration it is from */
			uint32_t given; /* bit k: knob k, enum swapcache_knob */
			uint64_t knob[SWAPCACHE_KNOBS];
		} swapcache;
		struct {
			uint64_t conf;	/* as of swapcache */
			uint32_t given; /* bit k: key k, enum conf_host_key */
			uint32_t tax, stall_target;
			uint64_t budget;
			char libvirt_uri[HOST_URI_MAX + 1];
		} host;
		struct {
			uint32_t set; /* CONFIG_SET_* */
			int32_t log_level, leave;
			char file[PROTO_PATH_MAX]; /* that was read last, or "" */
			char run_dir[PROTO_PATH_MAX];
			char state_dir[PROTO_PATH_MAX];
		} config;
		struct {
			char section[16], key[32]; /* of an entry */
			char text[PROTO_PATH_MAX * 2];
		} config_line;
		struct {
			uint32_t nranges;
			uint32_t pad;
			struct proto_range range[PROTO_RANGES_MAX];
		} ram;
		struct {
			char run_dir[PROTO_PATH_MAX];
			char build[VERSION_MAX];
			int32_t log_level;
			int32_t to_syslog;
			int32_t state_dir; /* there is one */
			int32_t keeper;	   /* process id */
			uint32_t replaced; /* how often this process became another drumd */
			int32_t metrics;   /* there is such a socket */
			uint32_t restarts; /* pagers that were started before this one */
			char from[VERSION_MAX];	   /* version of the last one, or "" */
			char failed[ERR_TEXT_MAX]; /* why it could not be, or "" */
			uint64_t since; /* ns: guests wait since then; 0: they do not */
			int32_t after;	/* enum proto_after */
			struct proto_group group, monitor_group; /* of qmp.sock, monitor.sock */
		} hello;
	} u;
};

/*
 * The keep channel of a disk, SOCK_SEQPACKET, between the worker that has it and the keeper,
 * who holds what must outlive a pager.  KEEP_SERVER, the connection to the server of an nbd:
 * image, is sent by the thread that has made it, whoever has the disk.
 *
 *	pager  > KEEP_FD	role; fd: keep it, in place of one of that role.  With KEEP_CONN
 *				a connection begins, on which no answer was sent yet
 *	pager  > KEEP_DROP	role, or KEEP_ALL, which are all but KEEP_SERVER: the connection
 *				is over
 *	pager  > KEEP_REPLY	number, bytes, perhaps an fd: send it on the connection, and
 *				remember the number.  So an answer is sent once,
 *				whenever the pager dies.  Numbers grow; one that is not above
 *				the last is not sent.  If the front end leaves no room for
 *				it, its connection is shut down
 *
 * To a new pager the keeper first, when it has read all that the last one had sent:
 *	keeper > KEEP_FD	role; fd			(each that is kept)
 *	keeper > KEEP_END	number: of the last answer that was sent on the connection; 0:
 *				none
 * All of these are there when MSG_DISK_OPENED is.
 *
 * A message is as long as it needs to be: up to `reply`, and `bytes` more. Both ends are
 * non-blocking.
 */
#define KEEP_REPLY_MAX 640
#define KEEP_ALL       UINT32_MAX
#define KEEP_ROLES     256u
#define KEEP_CONN      (KEEP_ROLES - 1)
#define KEEP_SERVER    (KEEP_ROLES - 2)

enum keep_type { KEEP_FD = 1, KEEP_DROP, KEEP_REPLY, KEEP_END };

struct keep_msg {
	uint32_t type; /* enum keep_type */
	uint32_t role;
	uint64_t number;
	uint32_t bytes; /* of reply */
	uint32_t pad;
	uint8_t reply[KEEP_REPLY_MAX];
};

#endif
