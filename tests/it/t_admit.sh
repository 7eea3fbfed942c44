#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Admission: what is promised adds up, who does not fit is told why, what was promised is kept.
. "$(dirname "$0")/lib.sh"
it_init

host_is() { # host_is FIELD OPERATOR BYTES
	local value
	value=$(ctl host show --json --bytes | json "$1") || return
	test "$value" "$2" "$3"
}

host_says() { # host_says FIELD MIB
	host_is "$1" -eq $(($2 * MIB)) ||
		fail "$1 is $(($(ctl host show --json --bytes | json "$1") / MIB)) MiB, not $2"
}

has_ram() {
	[ -n "$(ram_ranges "${GUEST_PID[$1]}")" ]
}

drum_start
swap_on 256M
whole=$(ctl host show --json --bytes | json free-swap)
if [ "$whole" -gt $((256 * MIB)) ] || [ "$whole" -le $((240 * MIB)) ]; then
	fail "$whole bytes of 256M of swap can be promised"
fi
ctl host set --budget 256M
events_start

# dry_run NAME ARGUMENT...: what it says, and that this is what the real one does then
dry_run() {
	local status=0 real=0
	ctl guest admit "$@" --dry-run >"$T/dry" 2>/dev/null || status=$?
	ctl guest admit "$@" >"$T/real" 2>&1 || real=$?
	[ $status = $real ] || fail "admit $*: dry $status, real $real: $(cat "$T/dry" "$T/real")"
	[ $real != 0 ] || ctl guest release "$1"
}

# ---- who does not fit, by the budget, and by swap ----

refused 'reservation of 300M does not fit.*256M.*0.*leaves 256M' \
	guest admit big --memory 512M --reservation 300M
host_says promised-swap 0
ctl guest admit one --memory 192M --reservation 64M --shares 500
host_says promised-swap 128
host_says reserved 64
host_is free-swap -eq $((whole - 128 * MIB)) || fail "what is promised once can be promised again"
refused 'reservation of 200M does not fit.*256M.*64M.*leaves 192M' \
	guest admit two --memory 256M --reservation 200M
refused '256M of memory.*reservation of 32M.*224M of swap.*can be promised' \
	guest admit two --memory 256M --reservation 32M
refused 'one' guest admit one --memory 64M
host_says promised-swap 128
guest_is one state = admitted || fail "state is $(guest_field one state)"
guest_is one promised-swap -eq $((128 * MIB)) || fail "one is promised $(guest_field one promised-swap)"

wait_for 'ADMISSION_REFUSED guest=two memory=268435456 reason=' "$T/events.log" 20 >/dev/null
for reservation in 0 64 192 193; do
	for memory in 192 255 256 320; do
		dry_run try --memory ${memory}M --reservation ${reservation}M
	done
done
host_says promised-swap 128

# ---- swap that backs a promise stays ----

refused 'promised' swap off "$T/swap"
swap_listed "$T/swap" || fail "a refused swap off has taken the device"
swap_make "$T/more" 256M
ctl swap on "$T/more"
ctl guest admit two --memory 256M --reservation 32M
refused 'promised' swap off "$T/more"
ctl guest release two
refused 'two' guest release two
ctl swap off "$T/more"
host_says promised-swap 128

# ---- another pager has it all ----

old=$(pager)
kill -KILL "$old"
wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
wait_until 20 guest_listed one || fail "an admission is forgotten"
host_says promised-swap 128
host_says reserved 64
host_says budget 256
guest_is one shares -eq 500 || fail "shares are $(guest_field one shares)"
refused '200M does not fit' guest admit two --memory 256M --reservation 200M

# ---- the guest comes, with the terms of its admission, and ends ----

# No vCPU of it runs: it is its RAM that counts.
guest_start one 192M -S
guest_start other 64M -S
for name in one other; do
	wait_until 20 has_ram $name || fail "QEMU of $name has no RAM"
done
guest_attach one
guest_is one reservation -eq $((64 * MIB)) || fail "the reservation is $(guest_field one reservation)"
guest_is one promised-swap -eq $((128 * MIB)) || fail "the promise is $(guest_field one promised-swap)"
refused 'attached' guest release one
guest_attach other --reservation 16M
host_says reserved 80
refused 'does not fit.*80M.*leaves 176M' guest admit three --memory 256M --reservation 192M

# ---- they are left to another drumd, which is no end of theirs ----

old=$(pager)
ctl daemon reexec
wait_until 20 another_pager "$old" || fail "no pager after the reexec of $old"
wait_until 20 guest_listed other || fail "a guest is lost by a reexec"
host_says reserved 80
host_says promised-swap 128
guest_is one shares -eq 500 || fail "shares are $(guest_field one shares) after a reexec"

# ---- they end ----

guest_kill one
wait_until 20 guest_not_listed one || fail "the guest is gone and still listed"
host_says promised-swap 0
host_says reserved 16
guest_kill other
wait_until 20 guest_not_listed other || fail "the guest is gone and still listed"
host_says reserved 0
ctl swap off "$T/swap"
drum_stop
it_passed
