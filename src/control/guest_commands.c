/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of guests: those that the host does, and those that are the manager's. */
#include <errno.h>

#include "base/host_params.h"
#include "control/call.h"
#include "control/query.h"
#include "control/registry.h"

_Static_assert(GUEST_SHARES_MAX == SHARES_MAX && GUEST_MONITOR_MAX == SOCKET_PATH_MAX &&
		       GUEST_PLACE_MAX == BALLOON_ID_MAX && GUEST_PLACE_MAX == GUEST_NAME_MAX,
	       "what is taken has room");

/* Values stand in the order of GUEST_SETTINGS. */
static struct guest_settings settings(const union command_value *values, const bool *given)
{
	struct guest_settings s = { .limit = values[0].size,
				    .reservation = values[1].size,
				    .shares = values[2].count,
				    .qmp = values[3].text,
				    .balloon = values[4].text,
				    .domain = values[5].text };

	for (unsigned int i = 0; i < 6; i++)
		s.what |= given[i] ? 1u << i : 0;
	return s;
}

_Static_assert(GUEST_SET_LIMIT == 1u << 0 && GUEST_SET_RESERVATION == 1u << 1 &&
		       GUEST_SET_SHARES == 1u << 2 && GUEST_SET_QMP == 1u << 3 &&
		       GUEST_SET_BALLOON == 1u << 4 && GUEST_SET_DOMAIN == 1u << 5,
	       "the order of GUEST_SETTINGS");

static void admit_dry(struct command_call *call, const char *name, uint64_t memory,
		      const struct guest_settings *s)
{
	struct json_object *o = json_object_new_object();
	struct manager_admission a;

	manager_admit_dry(call->manager, name, memory, s, &a);
	figures_add(o, admission_figures, &a);
	if (!a.admitted)
		figures_add(o, admission_reason_figures, &a);
	call_done(call, o);
}

void run_guest_admit(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	struct guest_settings s = settings(values + 2, given + 2);
	struct err e = { 0 };

	if (values[8].flag)
		admit_dry(call, values[0].text, values[1].size, &s);
	else if (manager_admit(call->manager, values[0].text, values[1].size, &s, &e) < 0)
		call_refused(call, &e);
	else
		call_done(call, json_object_new_object());
}

void run_guest_release(struct command_call *call, const union command_value *values,
		       const bool *given)
{
	struct err e = { 0 };

	(void)given;
	if (manager_release(call->manager, values[0].text, &e) < 0)
		call_refused(call, &e);
	else
		call_done(call, json_object_new_object());
}

void run_guest_attach(struct command_call *call, const union command_value *values,
		      const bool *given)
{
	struct guest_settings s = settings(values + 2, given + 2);

	manager_attach(call->manager, values[0].number, values[1].text, &s, call_host_done,
		       call);
}

void run_guest_set(struct command_call *call, const union command_value *values,
		   const bool *given)
{
	struct guest_settings s = settings(values + 1, given + 1);
	struct err e;

	if (s.what) {
		manager_set(call->manager, values[0].text, &s, call_host_done, call);
		return;
	}
	(void)err_set(&e, -EINVAL,
		      "nothing to set, give limit, reservation, shares, qmp, balloon or "
		      "domain");
	call_refused(call, &e);
}

void run_guest_detach(struct command_call *call, const union command_value *values,
		      const bool *given)
{
	call_job(call, "guest-detach", values[0].text, given[1] ? values[1].text : NULL,
		 host_guest_detach);
}

void run_guest_out(struct command_call *call, const union command_value *values,
		   const bool *given)
{
	call_job(call, "guest-out", values[0].text, given[1] ? values[1].text : NULL,
		 host_guest_out);
}

void run_guest_in(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	call_job(call, "guest-in", values[0].text, given[1] ? values[1].text : NULL,
		 host_guest_in);
}

void run_query_guests(struct command_call *call, const union command_value *values,
		      const bool *given)
{
	struct json_object *array = NULL;
	struct err e;

	if (given[0] &&
	    query_one_guest(call->host, call->manager, values[0].text, &array) == -ENOENT) {
		(void)err_set(&e, -ENOENT, "no guest is named '%s'", values[0].text);
		call_refused(call, &e);
		return;
	}
	if (!given[0])
		array = query_guests(call->host, call->manager);
	call_answer(call, array);
}

static void add_sentence(void *arg, const char *topic, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "topic", json_object_new_string(topic));
	json_object_object_add(o, "text", json_object_new_string(text));
	json_object_array_add(arg, o);
}

void run_guest_explain(struct command_call *call, const union command_value *values,
		       const bool *given)
{
	struct json_object *array = json_object_new_array();
	struct err e = { 0 };

	(void)given;
	if (manager_explain(call->manager, values[0].text, add_sentence, array, &e) == 0) {
		call_done(call, array);
		return;
	}
	json_object_put(array);
	call_refused(call, &e);
}
