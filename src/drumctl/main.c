/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/swapcache_knobs.h"
#include "base/version.h"
#include "config.h"
#include "drumctl/client.h"
#include "drumctl/options.h"
#include "drumctl/safe.h"
#include "drumctl/verbs.h"

#define DEFAULT_SOCKET DRUM_RUN_DIR "/qmp.sock"

enum exit_code {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_INTERRUPTED = 128 + SIGINT,
};

/* Long options without a letter start here. */
enum { LETTER_NONE = 256 };

/* "guest attach", for messages; NULL as long as the verb is not known */
static const struct verb *current;

static void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *fmt, ...)
{
	char text[2 * ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fputs("drumctl: ", stderr);
	if (current)
		fprintf(stderr, "%s%s%s: ", current->group ? current->group : "",
			current->group ? " " : "", current->word);
	put_safe(stderr, text);
	fputc('\n', stderr);
}

/* " --name NAME", or " [--limit SIZE]" */
static void usage_options(FILE *to, uint64_t bits, const char *open, const char *close)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if (option_defs[i].bit & bits)
			fprintf(to, " %s--%s%s%s%s", open, option_defs[i].name,
				option_defs[i].value ? " " : "",
				option_defs[i].value ? option_defs[i].value : "", close);
}

static void usage_verb(FILE *to, const struct verb *v)
{
	fprintf(to, "%s%s%s%s%s%s%s", v->group ? v->group : "", v->group ? " " : "", v->word,
		v->operand ? " " : "", operand_name(v->operand), v->second ? " " : "",
		operand_name(v->second));
	usage_options(to, v->required, "", "");
	usage_options(to, v->optional, "[", "]");
}

static void help(void)
{
	const struct verb *v;
	size_t i;

	puts("Usage: drumctl [-s SOCKET] VERB ...\n\nVerbs:");
	for (v = verbs; v->word; v++) {
		printf("  ");
		usage_verb(stdout, v);
		printf("\n          %s\n", v->doc);
	}
	puts("\nOptions:");
	for (i = 0; i < OPTIONS; i++) {
		const struct option_def *o = &option_defs[i];
		char text[64];

		snprintf(text, sizeof(text), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		printf("  %c%c%s %-23s %s\n", o->letter ? '-' : ' ',
		       o->letter ? o->letter : ' ', o->letter ? "," : " ", text, o->doc);
	}
	puts("\nKnobs of the swapcache:");
	for (i = 0; i < SWAPCACHE_KNOBS; i++)
		printf("    %-15s %s%s\n", swapcache_knob[i].name, swapcache_knob[i].what,
		       swapcache_knob[i].read_only ? " (cannot be set)" : "");
	puts("\nA SIZE is a number of bytes, or one with K, M, G or T: 512M, 1.5G.\n"
	     "See drumctl(8).");
}

static int usage_error(void)
{
	if (current) {
		fputs("Usage: drumctl ", stderr);
		usage_verb(stderr, current);
		fputc('\n', stderr);
	} else {
		fputs("Try 'drumctl --help'.\n", stderr);
	}
	return EXIT_USAGE;
}

/* The verb that the first words name, and how many words that takes. */
static const struct verb *find_verb(char **words, int n, int *taken)
{
	const struct verb *v;

	for (v = verbs; v->word; v++) {
		*taken = v->group ? 2 : 1;
		if (n >= *taken && (!v->group || !strcmp(v->group, words[0])) &&
		    !strcmp(v->word, words[*taken - 1]))
			return v;
	}
	return NULL;
}

/* "swap, paging, ...": what a line may begin with */
static const char *first_words(char list[256])
{
	const char *last = "";
	size_t used = 0;

	for (const struct verb *v = verbs; v->word && used < 256; v++) {
		const char *word = v->group ? v->group : v->word;

		if (strcmp(word, last) != 0)
			used += (size_t)snprintf(list + used, 256 - used, "%s%s",
						 used ? ", " : "", word);
		last = word;
	}
	return list;
}

static int unknown_verb(char **words, int n)
{
	const struct verb *v;
	char list[256] = "";
	size_t used = 0;

	if (n == 0) {
		complain("no verb given");
		return usage_error();
	}
	for (v = verbs; v->word; v++)
		if (v->group && !strcmp(v->group, words[0]))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", v->word);
	if (!used)
		complain("unknown verb '%s'; there are %s", words[0], first_words(list));
	else if (n == 1)
		complain("%s what? One of: %s", words[0], list);
	else
		complain("unknown verb '%s %s'; known: %s", words[0], words[1], list);
	return usage_error();
}

/* The verb's own rules: which options, how many operands. => 0 or -EINVAL, told */
static int check_args(const struct verb *v, const struct verb_args *args, int operands)
{
	const struct option_def *unknown, *missing;
	int wanted = (v->operand ? 1 : 0) + (v->second ? 1 : 0);
	int needed = wanted - (v->operand == OPERAND_CONF);
	struct err e;

	unknown = option_of(args->given & ~(v->required | v->optional));
	missing = option_of(v->required & ~args->given);
	if (unknown)
		complain("--%s does not belong here", unknown->name);
	else if (operands < needed)
		complain("%s is missing", operand_name(operands ? v->second : v->operand));
	else if (operands > wanted && v->operand != OPERAND_KNOBS)
		complain("too many arguments");
	else if (missing)
		complain("--%s %s is missing", missing->name, missing->value);
	else if (verb_check(v, args, &e) < 0)
		complain("%s", e.text);
	else
		return 0;
	return -EINVAL;
}

/*
 * Connect; who may not, but wants to look only, by the socket for that, which is beside the
 * other one.  => as client_open, with args->socket changed
 */
static int reach(const struct verb *v, struct verb_args *args, struct client **client,
		 struct err *e)
{
	static const char main_socket[] = "/qmp.sock", reading[] = "/monitor.sock";
	static char path[PATH_MAX];
	size_t n = strlen(args->socket), m = sizeof(main_socket) - 1;
	int rc = client_open(args->socket, client, e);
	struct err ignored;

	if (rc != -EACCES || !verb_reads(v) || n < m || n >= PATH_MAX - sizeof(reading) ||
	    strcmp(args->socket + n - m, main_socket) != 0)
		return rc;
	snprintf(path, sizeof(path), "%.*s%s", (int)(n - m), args->socket, reading);
	if (client_open(path, client, &ignored) < 0)
		return rc;
	args->socket = path;
	return 0;
}

static int run_verb(const struct verb *v, struct verb_args *args)
{
	struct client *client = NULL;
	struct err e;
	bool lost;
	int rc = v->local ? 0 : reach(v, args, &client, &e);

	if (rc < 0) {
		complain("%s", e.text);
		return EXIT_UNREACHABLE;
	}
	rc = v->run(client, args, &e);
	lost = client && client_is_lost(client);
	client_close(client);
	if (rc == 0)
		return EXIT_OK;
	complain("%s", e.text);
	if (rc == -EINTR)
		return EXIT_INTERRUPTED;
	return lost ? EXIT_UNREACHABLE : EXIT_REFUSED;
}

/* What was printed must also have arrived, on a full disk for instance. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	complain("cannot write the output: %s", strerror(errno));
	return code == EXIT_OK ? EXIT_REFUSED : code;
}

/* The command line, split: words that are no options, and options as option_defs has them. */
struct command_line {
	char **words;
	int nwords;
	bool seen[OPTIONS];
	const char *values[OPTIONS];
};

/* Of options with the same name, getopt knows this one. */
static size_t first_named(const char *name)
{
	size_t i = 0;

	while (strcmp(option_defs[i].name, name) != 0)
		i++;
	return i;
}

/*
 * "--socket" is where drumd listens; behind the words of a verb that has an option
 * of this name, it is that.  => the index of what was meant
 */
static size_t behind_verb(size_t i, const struct command_line *l)
{
	const struct verb *v;
	int taken;
	size_t k;

	if (option_defs[i].bit)
		return i;
	v = find_verb(l->words, l->nwords, &taken);
	for (k = 0; v && k < OPTIONS; k++)
		if ((option_defs[k].bit & (v->required | v->optional)) &&
		    !strcmp(option_defs[k].name, option_defs[i].name))
			return k;
	return i;
}

/*
 * Split the command line; what is drumctl's own is done.
 * => -1, or the exit code when that was all
 */
static int parse_options(int argc, char **argv, struct command_line *l)
{
	struct option longs[OPTIONS + 1] = { { 0 } };
	/* "-": in order, a word that is no option comes as 1 */
	char letters[2 * OPTIONS + 2] = "-";
	size_t i, n = 1, m = 0;
	int c;

	for (i = 0; i < OPTIONS; i++) {
		const struct option_def *o = &option_defs[i];

		if (first_named(o->name) == i)
			longs[m++] = (struct option){ o->name, o->value != NULL, NULL,
						      LETTER_NONE + (int)i };
		if (o->letter)
			letters[n++] = o->letter;
		if (o->letter && o->value)
			letters[n++] = ':';
	}
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == 1) {
			l->words[l->nwords++] = optarg;
			continue;
		}
		for (i = 0; i < OPTIONS; i++)
			if (c == LETTER_NONE + (int)i || c == option_defs[i].letter)
				break;
		if (i == OPTIONS) {
			int taken;

			/* getopt has said why; as far as it is known, what belongs there */
			current = find_verb(l->words, l->nwords, &taken);
			return usage_error();
		}
		if (c >= LETTER_NONE)
			i = behind_verb(i, l);
		l->seen[i] = true;
		l->values[i] = optarg;
		if (option_defs[i].letter == 'h') {
			help();
			return finish(EXIT_OK);
		} else if (option_defs[i].letter == 'V') {
			printf("drumctl %s\n", drum_version);
			return finish(EXIT_OK);
		}
	}
	/* behind "--" */
	while (optind < argc)
		l->words[l->nwords++] = argv[optind++];
	return -1;
}

/* => the exit code */
static int run_line(const struct command_line *l, struct verb_args *args)
{
	struct err e;
	int taken;
	size_t i;

	current = find_verb(l->words, l->nwords, &taken);
	if (!current)
		return unknown_verb(l->words, l->nwords);
	/* only now, as the messages name the verb */
	for (i = 0; i < OPTIONS; i++) {
		if (l->seen[i] && option_take(&option_defs[i], l->values[i], args, &e) < 0) {
			complain("%s", e.text);
			return usage_error();
		}
	}
	/* words end with NULL */
	args->operand = l->words[taken];
	args->operands = &l->words[taken];
	args->second = args->operand ? l->words[taken + 1] : NULL;
	if (check_args(current, args, l->nwords - taken) < 0)
		return usage_error();
	return finish(run_verb(current, args));
}

int main(int argc, char **argv)
{
	struct verb_args args = { .socket = getenv("DRUM_SOCKET") };
	struct command_line line = { .words = calloc((size_t)argc + 1, sizeof(*line.words)) };
	char me[] = "drumctl";
	int code;

	setlocale(LC_CTYPE, ""); /* paths in tables */
	if (!line.words) {
		complain("out of memory");
		return EXIT_REFUSED;
	}
	if (argc > 0)
		argv[0] = me; /* what getopt calls us, as complain does */
	if (!args.socket || !*args.socket)
		args.socket = DEFAULT_SOCKET;
	code = parse_options(argc, argv, &line);
	if (code < 0)
		code = run_line(&line, &args);
	free(line.words);
	return code;
}
