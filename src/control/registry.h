/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry of figures: a row for each member of an answer.
 *
 * It says what the member is called, where its value is in the struct that the host or the
 * manager fills in, and what it means.  QMP's answers, query-qmp-schema, the metrics and
 * drum-qmp(7) are all made of these rows: a figure is described once.
 */
#ifndef DRUM_CONTROL_REGISTRY_H
#define DRUM_CONTROL_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

enum figure_type {
	FIGURE_TEXT,	/* char[] */
	FIGURE_COUNT,	/* unsigned, 4 or 8 bytes */
	FIGURE_SIZE,	/* likewise: bytes */
	FIGURE_INT,	/* int */
	FIGURE_BOOL,	/* bool */
	FIGURE_US,	/* uint64_t: nanoseconds, shown as microseconds with one decimal */
	FIGURE_PERCENT, /* uint32_t: millionths, shown as percent with four decimals */
	FIGURE_RATIO,	/* uint32_t: thousandths, shown as a number with three decimals */
	/* of these no value is in a struct: who makes the answer adds them */
	FIGURE_WORD,   /* a text */
	FIGURE_REAL,   /* a number, with decimals */
	FIGURE_OBJECT, /* an object of type `of` */
	FIGURE_ARRAY,  /* an array of objects of type `of`, or of integers if that is NULL */
	FIGURE_WORDS,  /* an array of texts */
	FIGURE_NULL,   /* null */
};

enum figure_kind {
	FIGURE_INFO,	/* no metric */
	FIGURE_GAUGE,	/* may become less */
	FIGURE_COUNTER, /* only grows, until the pager is another one */
};

struct object_type;

struct figure {
	const char *name; /* NULL ends the rows */
	enum figure_type type;
	uint16_t width; /* bytes of the value; 0: none, see above */
	uint16_t offset;
	enum figure_kind kind;
	/* The family without "drum_" before it and "_total" behind it, and, where rows share
	 * one, this row's own label, as state="active".  NULL: of FIGURE_INFO; no label. */
	const char *metric, *label;
	const char *doc; /* sentences */
	const struct object_type *of;
};

#define FIGURE(from, name_, type_, field_, kind_, metric_, label_, doc_)                       \
	{                                                                                      \
		.name = (name_), .type = FIGURE_##type_,                                       \
		.width = sizeof(((struct from *)0)->field_),                                   \
		.offset = offsetof(struct from, field_), .kind = FIGURE_##kind_,               \
		.metric = (metric_), .label = (label_), .doc = (doc_)                          \
	}
/* One that the maker of the answer adds. */
#define FIGURE_ADDED(name_, type_, of_, doc_)                                                  \
	{                                                                                      \
		.name = (name_), .type = FIGURE_##type_, .of = (of_), .doc = (doc_)            \
	}

#define OBJECT_PARTS_MAX 8

/* What an answer, or an object within one, consists of. */
struct object_type {
	const char *name;			     /* as "Guest" */
	const char *doc;			     /* "A guest": what it is */
	const struct figure *part[OBJECT_PARTS_MAX]; /* ends with NULL */
	unsigned int optional; /* bit i: the members of part[i] may be missing */
};

/* Add what is in the struct `from`, of all rows that have a value there. */
void figures_add(struct json_object *o, const struct figure *rows, const void *from);

/* The value as it is in the struct, of all but texts. */
uint64_t figure_value(const struct figure *f, const void *from);

/* => the row and whether it may be missing, or NULL */
const struct figure *object_member(const struct object_type *type, const char *name,
				   bool *optional);

/* The rows of structs: of vmm/host.h, balloon/manager.h. */
extern const struct figure guest_figures[], guest_terms_figures[], guest_full_figures[],
	guest_own_figures[], swap_figures[], swap_wear_figures[], swap_left_figures[],
	swap_ram_figures[], half_figures[], wear_path_figures[], wear_left_figures[],
	wear_tightest_figures[], swapcache_figures[], host_figures[], host_overcommit_figures[],
	host_pressure_figures[], admission_figures[], admission_reason_figures[],
	totals_figures[], paging_figures[], daemon_figures[], daemon_from_figures[],
	daemon_failed_figures[], dump_device_figures[], dump_under_way_figures[],
	dump_last_figures[], disk_figures[], disk_guest_figures[], disk_pid_figures[],
	map_figures[], latency_figures[], guest_swap_figures[], guest_swap_list[];

/* What commands return. */
extern const struct object_type done_object, /* of all that return nothing */
	version_object, command_object, guest_object, guest_map_object, guest_latency_object,
	admission_object, sentence_object, swap_object, wear_object, swapcache_object,
	host_object, totals_object, paging_object, daemon_object, dump_object, disk_object,
	job_object, config_object, config_changes_object;

#endif
