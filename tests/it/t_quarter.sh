#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A running guest is attached and squeezed into a quarter of its RAM, and works on.
. "$(dirname "$0")/lib.sh"
it_init
limit=$((128 * MIB))

drum_start
swap_on 1G
guest_start one 512M
guest_up one
guest_attach one
assert_trace "${GUEST_PID[one]}"
assert_resident one
guest_is one size -eq $((512 * MIB)) || fail "wrong size"
guest_is one mappers -eq 1 || fail "wrong number of mappers"
guest_walks one 20000

ctl guest set one --limit 128M
wait_shrunk one $limit
assert_resident one
assert_limited one $limit 20000
guest_patterns one 20000
assert_limited one $limit 20000
for field in swapped faults pages-in pages-out pages-zero; do
	guest_is one $field -gt 0 || fail "$field is 0"
done
guest_check one
assert_resident one
[ "$(swap_used)" -ge $((128 * MIB)) ] || fail "hardly any swap used"

guest_end one
wait_until 20 guest_not_listed one || fail "the guest is gone and still listed"
assert_swap_free
assert_drum_lives
drum_stop
it_passed
