#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Detach under load leaves the VMM as if Drum had never been there; it can be attached again.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
guest_start one 512M
guest_up one
pid=${GUEST_PID[one]}
before=$(vmm_state "$pid")
events_start
for limit in 128 64 128; do
	guest_attach one --limit ${limit}M
	assert_trace "$pid"
	wait_shrunk one $((limit * MIB))
	guest_walks one 5000
	ctl guest detach one
	guest_not_listed one || fail "detached, but still listed"
	assert_no_trace "$pid"
	after=$(vmm_state "$pid")
	[ "$before" = "$after" ] || {
		diff <(echo "$before") <(echo "$after") >&2 || true
		fail "detached, but not as before"
	}
	swap_used_is 0 || fail "detached, but $(swap_used) bytes of swap used"
	guest_walks one 100000
done
guest_check one
for what in "ATTACHED guest=one pid=$pid size=$((512 * MIB))" 'DETACHED guest=one reason=detached'; do
	wait_for "GUEST_$what" "$T/events.log" 20 >/dev/null
done
# Nothing depends on the daemon any more.
drum_stop
guest_walks one 100000
guest_check one
guest_end one
it_passed
