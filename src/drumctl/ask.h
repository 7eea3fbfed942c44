/* SPDX-License-Identifier: BSD-2-Clause */
/* What verbs have in common: arguments, a command, its answer on the screen. */
#ifndef DRUM_DRUMCTL_ASK_H
#define DRUM_DRUMCTL_ASK_H

#include <json-c/json.h>

#include "drumctl/client.h"
#include "drumctl/options.h"
#include "drumctl/output.h"

void add_text(struct json_object *o, const char *key, const char *text);
/* Only if the option is given. */
void add_number(struct json_object *o, const char *key, const struct verb_args *args,
		uint64_t option, uint64_t number);
void add_true(struct json_object *o, const char *key, const struct verb_args *args,
	      uint64_t option);

/* A warning of the daemon's, which did what was asked, goes to standard error. */
void show_warning(struct json_object *result);

/* A command that returns nothing but perhaps a warning. => as client_call */
int must_check tell(struct client *c, const char *command, struct json_object *args,
		    struct err *e);

/*
 * A command about a guest, the operand, that is answered at its end: a terminal shows how
 * far it is, and Ctrl-C leaves it to itself.
 * => as client_call, and -EINTR
 */
int must_check tell_job(struct client *c, const char *command, const struct verb_args *args,
			struct err *e);
/* => a signalfd of SIGINT, or -1: Ctrl-C does what it does elsewhere */
int must_check catch_interrupt(void);

/* A query whose result is an array of objects, shown as a table. */
int must_check show_table(struct client *c, const char *command, const struct column *columns,
			  const struct verb_args *args, struct err *e);

/* An object as a list. */
int must_check show_object(struct json_object *object, const struct column *columns,
			   const struct verb_args *args, struct err *e);

/* A query whose result is one object. */
int must_check show_query(struct client *c, const char *command, const struct column *columns,
			  const struct verb_args *args, struct err *e);

#endif
