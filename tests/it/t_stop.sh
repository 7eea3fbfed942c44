#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon is stopped: guests are paged in and left alone, or wait for the next daemon.
. "$(dirname "$0")/lib.sh"
it_init

# SIGTERM under load: everything comes in, QEMU lives on as if nothing had been.
drum_start
swap_on 1G
guest_start one 512M
guest_up one
pid=${GUEST_PID[one]}
before=$(vmm_state "$pid")
guest_attach one --limit 128M
wait_shrunk one $((128 * MIB))
guest_walks one 10000
drum_stop
assert_no_trace "$pid"
[ "$before" = "$(vmm_state "$pid")" ] || fail "stopped, but QEMU is not as before"
guest_walks one 100000
guest_check one

# SIGTERM while all of it is out.
drum_start
ctl swap on "$T/swap"
guest_attach one
guest_ask one pause 'PATROL PAUSED' >/dev/null
ctl guest out one
drum_stop
assert_no_trace "$pid"
guest_check one
guest_ask one resume 'PATROL RESUMED' >/dev/null

# --leave: the guest stays attached and waits; the next daemon takes it over.
for round in 1 2; do
	drum_start --leave
	if [ $round = 1 ]; then
		ctl swap on "$T/swap"
		guest_attach one --limit 128M
	fi
	wait_until 20 guest_listed one || fail "round $round: the guest was not taken over"
	wait_shrunk one $((128 * MIB))
	guest_walks one 10000
	drum_stop
	assert_trace "$pid"
	! is_gone "$pid" || fail "QEMU did not survive"
done
drum_start
wait_until 20 guest_listed one || fail "the guest was not taken over"
guest_is one pid -eq "$pid" || fail "another process was taken over"
guest_patterns one 5000
guest_check one
assert_resident one
ctl guest detach one
assert_no_trace "$pid"
guest_walks one 100000
guest_end one
assert_swap_free
drum_stop
it_passed
