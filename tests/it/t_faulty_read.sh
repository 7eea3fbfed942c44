#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Swap that cannot be read: it is tried again, and until then a guest waits, alone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

read_errors_grow() {
	guest_is one read-errors -ge $((errors + 10))
}

waits_for_a_page() {
	guest_is one reading -gt 0
}

faulty_start disk 1G
faulty_loop disk
dev=$(faulty_dev disk)
drum_start
ctl swap on "$dev"
PATROL=--mib=128 guest_start one 256M
PATROL=--mib=32 guest_start two 128M
guest_up one
guest_up two
guest_attach one --limit 64M
guest_attach two
wait_shrunk one $((64 * MIB))

# Every fifth read fails: nobody has to wait for that.
faulty_set disk read=EIO/5
guest_patterns one 2000
ctl guest out one
guest_check one
faulty_has disk 'read EIO' 100 || fail "hardly any read failed"
guest_is one read-errors -ge 100 || fail "the guest's read-errors are $(guest_field one read-errors)"
swap_field_is "$dev" read-errors -ge 100 || fail "the device's read-errors are $(swap_field "$dev" read-errors)"
swap_field_is "$dev" write-errors -eq 0 || fail "no write failed, and some are counted"

# Every read fails.  The guest waits; the daemon and the other guest do not.
faulty_set disk read=EIO
ctl guest out one
wait_for "cannot be read from $dev.*Input/output error" "$T/drumd.log" 30 >/dev/null
errors=$(guest_field one read-errors)
wait_until 30 read_errors_grow || fail "it is not tried again"
waits_for_a_page || fail "nobody waits for a page"
guest_walks two 20000
assert_no_bad one

# It can be read again, and all is there.
faulty_set disk none
guest_walks one 5000
guest_check one

# A page that cannot be read may still be given up: the guest ends.
faulty_set disk read=EIO
ctl guest out one
wait_until 30 waits_for_a_page || fail "nobody waits for a page"
guest_kill one
wait_until 20 guest_not_listed one || fail "the guest is gone and still listed"
assert_swap_free
guest_check two
guest_end two
assert_drum_lives
drum_stop
it_passed
