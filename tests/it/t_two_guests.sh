#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Two guests on one swap file; one ends while the other works on.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
GUEST_SMP=1
guest_start one 256M
guest_start two 384M
guest_up one
guest_up two
guest_attach one --limit 64M
guest_attach two --limit 96M
[ "$(ctl guest list --json | json count)" = 2 ] || fail "not two guests listed"
wait_shrunk one $((64 * MIB))
wait_shrunk two $((96 * MIB))
guest_patterns one 10000
guest_patterns two 10000
assert_limited one $((64 * MIB)) 5000
assert_limited two $((96 * MIB)) 5000
[ "$(swap_used)" -ge $((256 * MIB)) ] || fail "hardly any swap used"

# Blocks that the first gives back are the second's next.
guest_check one
guest_end one
wait_until 20 guest_not_listed one || fail "the guest is gone and still listed"
ctl guest set two --limit 48M
wait_shrunk two $((48 * MIB))
guest_walks two 5000
guest_start three 256M
guest_up three
guest_attach three --limit 64M
guest_walks three 10000
ctl guest set two --limit 128M
guest_check two
guest_check three
guest_end two
guest_end three
assert_swap_free
[ "$(ctl guest list --json | json count)" = 0 ] || fail "guests are gone and still listed"
drum_stop
it_passed
