/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The script is one function of bash and what the tables of verbs and options say, as `case`
 * clauses.  Bash has split the line at blanks, and at "=" and ":" too, which belong to our
 * words: these are put together again, and of what is offered only the part behind the last
 * of them is handed to bash.  The words before the cursor are gone through as drumctl does: an
 * option, its value if it takes one, else a word of the verb, or an operand.
 *
 * Names of guests, disks and devices are asked of the daemon; where it cannot be reached none
 * is offered.  They are compared by hand: compgen -W would have the shell expand them.
 */
#include <stdio.h>
#include <string.h>

#include "base/disk_params.h"
#include "base/log.h"
#include "base/swapcache_knobs.h"
#include "drumctl/options.h"
#include "drumctl/verbs.h"

static const char head[] =
	"# bash completion of drumctl, made by `drumctl completion bash`\n"
	"\n"
	"# What begins as the word does, of the lines of standard input.\n"
	"_drumctl_among()\n"
	"{\n"
	"	local word\n"
	"	while IFS= read -r word; do\n"
	"		[[ -z $word || $word != \"$cur\"* ]] || COMPREPLY+=(\"$word\")\n"
	"	done\n"
	"}\n"
	"\n"
	"_drumctl_words()\n"
	"{\n"
	"	_drumctl_among < <(printf '%s\\n' \"$@\")\n"
	"}\n"
	"\n"
	"# The first column of `drumctl VERB list`.\n"
	"_drumctl_list()\n"
	"{\n"
	"	_drumctl_among < <(\"${words[0]}\" \"${socket[@]}\" \"$1\" list --noheadings "
	"\\\n"
	"		--raw --output \"$2\" 2>/dev/null </dev/null)\n"
	"}\n"
	"\n"
	"_drumctl_files()\n"
	"{\n"
	"	compopt -o filenames 2>/dev/null\n"
	"	_drumctl_among < <(compgen -f -- \"$cur\")\n"
	"}\n"
	"\n"
	"# Names separated by commas, perhaps behind a plus sign.\n"
	"_drumctl_columns()\n"
	"{\n"
	"	local before=\n"
	"	case $cur in\n"
	"	*,*)	before=${cur%,*}, ;;\n"
	"	+*)	before=+ ;;\n"
	"	esac\n"
	"	_drumctl_words \"${@/#/$before}\"\n"
	"}\n";

static const char function[] =
	"_drumctl()\n"
	"{\n"
	"	local words=() socket=() named=() values=() cur option= i w last operand=\n"
	"	COMPREPLY=()\n"
	"	for ((i = 0; i <= COMP_CWORD; i++)); do\n"
	"		w=${COMP_WORDS[i]} last=$((${#words[@]} - 1))\n"
	"		if ((i > 0)) && [[ $w == [=:]* || ${words[last]} == *[=:] ]]; then\n"
	"			words[last]+=$w\n"
	"		else\n"
	"			words+=(\"$w\")\n"
	"		fi\n"
	"	done\n"
	"	cur=${words[-1]}\n"
	"	for ((i = 1; i < ${#words[@]} - 1; i++)); do\n"
	"		w=${words[i]}\n"
	"		case $w in\n"
	"		-s | --socket)\n"
	"			# behind the words of a verb --socket may be another\n"
	"			[[ $w == --socket && ${#named[@]} -gt 0 ]] ||\n"
	"				socket=(-s \"${words[i + 1]}\") ;;\n"
	"		esac\n"
	"		case $w in\n"
	"		--*=*)	;;\n"
	"		-*)\n"
	"			_drumctl_takes_value \"$w\" || continue\n"
	"			i=$((i + 1))\n"
	"			((i < ${#words[@]} - 1)) || option=$w ;;\n"
	"		*)	named+=(\"$w\") ;;\n"
	"		esac\n"
	"	done\n"
	"	# --option=VALUE, of which VALUE is completed\n"
	"	if [[ $cur == --*=* ]]; then\n"
	"		option=${cur%%=*}\n"
	"		cur=${cur#*=}\n"
	"	fi\n"
	"	_drumctl_tables\n"
	"	# bash looks at what is behind the last of its word breaks\n"
	"	case $cur in\n"
	"	*[=:]*)	w=${cur%\"${cur##*[=:]}\"}\n"
	"		COMPREPLY=(\"${COMPREPLY[@]#\"$w\"}\") ;;\n"
	"	esac\n"
	"}\n"
	"complete -F _drumctl drumctl\n";

/* --- values of options ----------------------------------------------------------------- */

/* "auto, on, meta or off", "yes|no", as words: "auto on meta off" */
static void print_words(const char *list)
{
	const char *p = list;

	while (*p) {
		size_t len = strcspn(p, " ,|");

		if (len > 0 && !(len == 2 && !strncmp(p, "or", 2)))
			printf(" %.*s", (int)len, p);
		p += len;
		p += strspn(p, " ,|");
	}
}

/* Options whose value is one of some words. */
static const char *words_of(const struct option_def *o)
{
	switch (o->bit) {
	case OPT_CACHE:
		return DISK_CACHE_ALLOWED;
	case OPT_SWAPCACHE:
		return SWAPCACHE_MODE_ALLOWED;
	case OPT_LOG_LEVEL:
		return LOG_LEVEL_ALLOWED;
	case OPT_LEAVE:
		return o->value;
	default:
		return NULL;
	}
}

static bool is_file(const struct option_def *o)
{
	static const char *const values[] = { "SOCKET", "PATH", "IMAGE", "DEVICE", "FILE" };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (!strcmp(o->value, values[i]))
			return true;
	return false;
}

static void print_value(const struct verb *v, const struct option_def *o)
{
	if (!o->value)
		return;
	printf("			--%s%s%c)", o->name, o->letter ? " | -" : "",
	       o->letter ? o->letter : ' ');
	if (o->bit == OPT_OUTPUT) {
		printf("	_drumctl_columns");
		for (const struct column *c = v->columns; c && c->title; c++)
			if (!strchr(c->title, ' '))
				printf(" %s", c->title);
	} else if (words_of(o)) {
		printf("	_drumctl_words");
		print_words(words_of(o));
	} else if (is_file(o)) {
		printf("	_drumctl_files");
	} else if (o->bit == OPT_GUEST) {
		printf("	_drumctl_list guest NAME");
	}
	printf(" ;;\n");
}

/* --- operands ---------------------------------------------------------------------------- */

/* A name that is there already; else it is a new one, of which nothing is known. */
static bool is_old(const struct verb *v)
{
	static const char *const new[] = { "on", "add", "admit" };

	for (size_t i = 0; i < sizeof(new) / sizeof(new[0]); i++)
		if (!strcmp(v->word, new[i]))
			return false;
	return true;
}

static void print_operand(const struct verb *v, enum operand_type type)
{
	switch (type) {
	case OPERAND_DEVICE:
		if (v->group && !strcmp(v->group, "swap") && is_old(v))
			printf("_drumctl_list swap NAME");
		else
			printf("_drumctl_files");
		return;
	case OPERAND_GUEST:
		printf(is_old(v) ? "_drumctl_list guest NAME" : ":");
		return;
	case OPERAND_DISK:
		printf(is_old(v) ? "_drumctl_list disk NAME" : ":");
		return;
	case OPERAND_PID:
		printf("_drumctl_among < <(pgrep qemu)");
		return;
	case OPERAND_KNOBS:
		printf("compopt -o nospace 2>/dev/null; _drumctl_words");
		for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++)
			if (!swapcache_knob[k].read_only)
				printf(" %s=", swapcache_knob[k].name);
		return;
	case OPERAND_JOB:
		printf("_drumctl_list job ID");
		return;
	case OPERAND_HALF:
	case OPERAND_CONF:
	case OPERAND_FILE:
		printf("_drumctl_files");
		return;
	case OPERAND_PRIORITY:
	case OPERAND_NONE:
		break;
	}
	printf(":");
}

/* --- the tables -------------------------------------------------------------------------- */

static bool belongs(const struct verb *v, size_t i)
{
	const struct option_def *o = &option_defs[i];

	if (o->bit)
		return v && ((v->required | v->optional) & o->bit);
	/* drumctl's own, unless the verb has another of that name */
	for (size_t k = 0; v && k < OPTIONS; k++)
		if (k != i && !strcmp(option_defs[k].name, o->name) && belongs(v, k))
			return false;
	return true;
}

static void print_options(const struct verb *v)
{
	printf("		options=(");
	for (size_t i = 0, n = 0; i < OPTIONS; i++)
		if (belongs(v, i))
			printf("%s--%s", n++ ? " " : "", option_defs[i].name);
	printf(")\n		case $option in\n");
	for (size_t i = 0; i < OPTIONS; i++)
		if (belongs(v, i))
			print_value(v, &option_defs[i]);
	printf("		esac\n");
}

static void print_verb(const struct verb *v)
{
	int taken = v->group ? 2 : 1;

	printf("	'%s%s%s')\n", v->group ? v->group : "", v->group ? " " : "", v->word);
	print_options(v);
	if (v->operand) {
		/* of knobs there may be any number */
		printf("		case $((${#named[@]} - %d)) in\n		"
		       "%s)	"
		       "operand='",
		       taken, v->operand == OPERAND_KNOBS ? "*" : "0");
		print_operand(v, v->operand);
		printf("' ;;\n");
		if (v->second) {
			printf("		1)	operand='");
			print_operand(v, v->second);
			printf("' ;;\n");
		}
		printf("		esac\n");
	}
	printf("		;;\n");
}

static bool is_group(const char *word)
{
	for (const struct verb *v = verbs; v->word; v++)
		if (v->group && !strcmp(v->group, word))
			return true;
	return false;
}

/* What may follow `group`, or with NULL what may come first; each word once. */
static void print_next(const char *group)
{
	printf("		operand='_drumctl_words");
	for (const struct verb *v = verbs; v->word; v++) {
		bool first = v->group ? v == verbs || !v[-1].group ||
						strcmp(v[-1].group, v->group) != 0
				      : !is_group(v->word);

		if (group ? v->group && !strcmp(v->group, group) : first)
			printf(" %s", group || !v->group ? v->word : v->group);
	}
	printf("' ;;\n");
}

static void print_tables(void)
{
	const char *last = "";

	printf("\n_drumctl_takes_value()\n{\n	case $1 in\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		if (!option_defs[i].value)
			continue;
		printf("	--%s", option_defs[i].name);
		if (option_defs[i].letter)
			printf(" | -%c", option_defs[i].letter);
		printf(")	return 0 ;;\n");
	}
	printf("	esac\n	return 1\n}\n\n");

	printf("_drumctl_tables()\n{\n	local options=()\n"
	       "	case \"${named[0]-}${named[1]:+ ${named[1]}}\" in\n");
	for (const struct verb *v = verbs; v->word; v++)
		if (v->group)
			print_verb(v);
	printf("	*)\n	case ${named[0]-} in\n");
	for (const struct verb *v = verbs; v->word; v++)
		/* "dump NAME" is short for another one, which is offered */
		if (!v->group && !is_group(v->word))
			print_verb(v);
	printf("	'')\n");
	print_options(NULL);
	print_next(NULL);
	for (const struct verb *v = verbs; v->word; v++) {
		if (!v->group || !strcmp(v->group, last))
			continue;
		last = v->group;
		printf("	%s)\n", v->group);
		print_options(NULL);
		printf("		((${#named[@]} == 1)) || return\n");
		print_next(v->group);
	}
	printf("	esac ;;\n	esac\n"
	       "	if [[ $option ]]; then\n"
	       "		return\n"
	       "	elif [[ $cur == -* ]]; then\n"
	       "		_drumctl_words \"${options[@]}\"\n"
	       "	else\n"
	       "		eval \"$operand\"\n"
	       "	fi\n"
	       "}\n\n");
}

int completion_bash(struct client *c, const struct verb_args *args, struct err *e)
{
	(void)c;
	(void)args;
	(void)e;
	fputs(head, stdout);
	print_tables();
	fputs(function, stdout);
	return 0;
}
