#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# All of a guest is paged out, again and again, while it works and while it sleeps.
. "$(dirname "$0")/lib.sh"
it_init
most=$((16 * MIB))

drum_start
swap_on 512M
guest_start one 256M
guest_up one
guest_attach one

# Asleep: next to nothing is left, and all of it is right afterwards.
for round in 1 2; do
	guest_ask one pause 'PATROL PAUSED' >/dev/null
	ctl guest out one
	ram_is one -le $most || fail "round $round: $(ram_blocks "${GUEST_PID[one]}") bytes are left"
	assert_resident one
	guest_check one
	guest_ask one resume 'PATROL RESUMED' >/dev/null
done

# At work: in each pattern, each time it has come back a little.
for pattern in sequential random zipf hotcold; do
	guest_ask one "pattern $pattern" "PATROL PATTERN $pattern" >/dev/null
	for round in 1 2 3; do
		ctl guest out one
		guest_walks one 5000
	done
done
guest_check one

# And all of it comes back, at once.
ctl guest in one
guest_is one swapped -eq 0 || fail "paged in, but $(guest_field one swapped) bytes swapped"
assert_resident one
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed
