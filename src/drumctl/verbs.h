/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of drumctl: one table, which parsing, --help and the test of the
 * manual read.
 */
#ifndef DRUM_DRUMCTL_VERBS_H
#define DRUM_DRUMCTL_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "drumctl/client.h"

enum verb_option {
	OPT_JSON = 1 << 0,
	OPT_BYTES = 1 << 1,
	OPT_NAME = 1 << 2,
	OPT_LIMIT = 1 << 3,
	OPT_PRIORITY = 1 << 4,
};

/* The command line, parsed; what is not given is zero. */
struct verb_args {
	unsigned int given; /* of enum verb_option */
	const char *operand;
	const char *name;
	uint64_t limit;
	int priority;
};

enum operand_type { OPERAND_NONE, OPERAND_PATH, OPERAND_PID, OPERAND_GUEST };

struct verb {
	const char *group; /* "guest", or NULL when the verb is one word */
	const char *word;
	enum operand_type operand;
	unsigned int required, optional; /* of enum verb_option */
	const char *doc;
	/* => 0 or as client_call; also -EINVAL for a wrong operand */
	int (*run)(struct client *c, const struct verb_args *args, struct err *e);
};

/* Ends with one whose word is NULL. */
extern const struct verb verbs[];

/*
 * A wrong operand is found before the daemon is asked.  => 0 or -EINVAL
 */
int must_check verb_check_operand(const struct verb *v, const char *operand, struct err *e);

/* "PATH", "PID", "NAME" or "" */
const char *verb_operand_name(const struct verb *v);

#endif
