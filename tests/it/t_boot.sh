#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A guest is attached before its firmware has run, and boots in less than it believes to have.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
guest_start one 512M
wait_until 10 guest_qmp one query-status >/dev/null 2>&1 || fail "QEMU does not start"
guest_attach one --limit 96M
[ ! -s "$T/one.log" ] || say "note: the guest had said something before it was attached"
guest_up one 120
wait_shrunk one $((96 * MIB))
guest_patterns one 10000
guest_check one
guest_end one

# The very first instruction under Drum: attached while it is stopped.
guest_start two 256M -S
wait_until 10 guest_qmp two query-status >/dev/null 2>&1 || fail "QEMU does not start"
guest_attach two --limit 64M
guest_qmp two cont >/dev/null
guest_up two 120
guest_walks two 10000
ctl guest out two
guest_check two
guest_end two
assert_swap_free
drum_stop
it_passed
