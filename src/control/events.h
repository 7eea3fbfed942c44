/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events of the host as QMP has them, and not too many of them.
 *
 * Of those with the same name that are about the same (a path, a guest, a
 * disk) one is sent at once, and for a while after it no other: the last of
 * those that came meanwhile is sent at the end of that while, as QEMU does.
 * All of it runs on the thread of the loop.
 */
#ifndef DRUM_CONTROL_EVENTS_H
#define DRUM_CONTROL_EVENTS_H

#include <stdint.h>

#include <json-c/json.h>

#include "base/loop.h"
#include "vmm/host.h"

#define EVENTS_KINDS_MAX 256 /* held back at a time; beyond, the oldest is sent early */
#define EVENTS_MISSED_NS (UINT64_C(30) * 1000000000) /* that PAGER_RESTARTED is news */

struct events;

/* event is valid during the call, which may not end the events. */
typedef void (*events_send_fn)(void *arg, struct json_object *event);

/* => NULL when there is no memory */
struct events *events_create(struct loop *loop, uint32_t every_ms, events_send_fn send,
			     void *arg);
void events_destroy(struct events *ev); /* what is held back is dropped; NULL is fine */

/* From now on let one pass in so many milliseconds. */
void events_set_every(struct events *ev, uint32_t every_ms);

void events_emit(struct events *ev, const struct host_event *event);

/* For a client that has just come: what it should know, and may have come too late for.
 * => NULL: nothing; it stays the events' */
struct json_object *events_missed(const struct events *ev);

#endif
