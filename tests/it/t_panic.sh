#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The kernel of a guest panics: it says so by pvpanic, and is dumped, most of it from swap.
. "$(dirname "$0")/lib.sh"
it_init
umask 077 # dumps are warned of otherwise

RAM=$((128 * MIB))

dump_says() { # dump_says LINE: of `dump show`
	ctl dump show | grep -qE "^ *$1\$"
}

drum_start
swap_on 256M
truncate -s $((RAM + MIB)) "$T/dump"
ctl dump set "$T/dump"

# Drum has a monitor of its own, for QEMU serves one client at a time.
PATROL=--share=70 GUEST_SMP=1 GUEST_APPEND=unknown_nmi_panic guest_start one 128M -device pvpanic-pci \
	-action panic=pause -qmp "unix:$T/one.drum,server=on,wait=off"
guest_up one
guest_attach one --limit 48M --qmp "$T/one.drum"
wait_until 20 guest_is one monitor = up || fail "the monitor is $(guest_field one monitor)"
wait_shrunk one $((48 * MIB))
dump_says 'last dump +-' || fail "dumped already: $(ctl dump show)"

guest_qmp one inject-nmi >/dev/null
wait_until 20 dump_says 'complete +yes' || fail "not dumped: $(ctl dump show)"
dump_says 'last dump +one' || fail "another one is dumped: $(ctl dump show)"
grep -q 'guest one: its kernel has panicked, it is dumped' "$T/drumd.log" || fail "nothing in the log"
guest_qmp one query-status | grep -q guest-panicked || fail "QEMU knows of no panic"
[ "$(guest_field one swapped)" -ge $((32 * MIB)) ] || fail "nearly nothing is on swap"

# It stands still: what is in memory when all of it has come in is what was dumped.
ctl guest set one --limit none
ctl guest in one
range=$(ram_ranges "${GUEST_PID[one]}" | head -n 1)
cmp -i 4096:0 -n "$RAM" "$T/dump" "/proc/${GUEST_PID[one]}/map_files/$range" || fail "the dump is not what is in memory"

guest_kill one
wait_until 20 guest_not_listed one || fail "still listed"
assert_drum_lives
drum_stop
it_passed
