#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 70
# timeout: 600
# Swap on an NBD server that goes away: what is there is waited for, what leaves goes elsewhere;
# and a server that comes back with something else.
. "$(dirname "$0")/lib.sh"
it_init
command -v nbdkit >/dev/null || skip "no nbdkit"

L="nbd:nbd+unix:///?socket=$T/sock"
F=$T/file

# server_start ARGUMENT...
server_start() {
	rm -f "$T/sock" "$T/pid"
	nbdkit --foreground --unix "$T/sock" --pidfile "$T/pid" "$@" >>"$T/nbdkit.log" 2>&1 &
	IT_PIDS[server]=$!
	wait_until 20 test -s "$T/pid" || fail "nbdkit does not start"
}

server_kill() {
	# Not of interest is that the shell tells who was killed.
	{
		kill -KILL "${IT_PIDS[server]}"
		wait "${IT_PIDS[server]}" || true
	} 2>/dev/null
	unset "IT_PIDS[server]"
}

events_of() {
	grep -ac "$1 .*path=nbd:" "$T/events.log" || true
}

has_events() { # has_events NAME MANY
	[ "$(events_of "$1")" -ge "$2" ]
}

# nbd_is STATE
nbd_is() {
	wait_until 30 swap_is "$L" state = "$1" || fail "$L is $(swap_field "$L" state), not $1"
}

waits_for_a_page() {
	guest_is one reading -gt 0
}

truncate -s 512M "$T/disk"
server_start file "$T/disk"
drum_start
events_start
ctl swap on "$L" --priority 5
swap_make "$F" 512M
ctl swap on "$F"
PATROL=--mib=160 guest_start one 256M
guest_up one
guest_attach one --limit 96M
wait_shrunk one $((96 * MIB))
guest_walks one 3000
swap_is "$L" used -gt $((32 * MIB)) || fail "only $(swap_field "$L" used) bytes on $L"
swap_is "$F" used -eq 0 || fail "$F is used, and $L is not full"

for time in 1 2; do
	round=$time
	# Under load.  The guest waits for what is there; what leaves goes to the file.
	server_kill
	nbd_is offline
	wait_until 20 has_events SWAP_DEVICE_OFFLINE "$round" || fail "$(events_of SWAP_DEVICE_OFFLINE) events"
	had=$(swap_field "$F" write-bytes)
	ctl guest set one --limit $((96 - 32 * time))M
	wait_shrunk one $(((96 - 32 * time) * MIB))
	swap_is "$F" write-bytes -gt "$had" || fail "nothing was written to $F"
	wait_until 30 waits_for_a_page || fail "nobody waits for a page"
	if [ $time = 2 ]; then
		# The pager dies meanwhile: the next knows what is there, and waits for it too.
		old=$(pager)
		kill -KILL "$old"
		wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
		wait_until 20 guest_is one state = running || fail "the guest was not taken over"
		nbd_is offline
		! has_events SWAP_DEVICE_ONLINE 2 || fail "online without a server"
		# it listened to the one that died
		events_start
		round=1
	fi
	assert_no_bad one
	server_start file "$T/disk"
	nbd_is on
	wait_until 20 has_events SWAP_DEVICE_ONLINE "$round" || fail "$(events_of SWAP_DEVICE_ONLINE) events"
	guest_walks one 3000
	guest_check one
done
[ "$(swap_field "$L" checksum-errors)" = 0 ] || fail "checksums of $L are wrong"
! grep -aE 'PAGE_POISONED|GUEST_STALLED' "$T/events.log" || fail "what was waited for was given up"

# One that has something else: no byte of it reaches the guest.
swap_is "$L" used -gt 0 || fail "$L is not used any more"
server_kill
nbd_is offline
ctl guest set one --limit 96M
server_start memory 512M
nbd_is on
wait_until 60 swap_is "$L" checksum-errors -gt 0 || fail "nobody sees that it is another disk"
wait_until 30 waits_for_a_page || fail "the guest got something"
assert_no_bad one
guest_kill one
wait_until 20 guest_not_listed one || fail "the guest is gone and still listed"
assert_swap_free
ctl swap off "$L"
assert_drum_lives
drum_stop
it_passed
