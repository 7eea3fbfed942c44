#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Jobs of a real guest, on a swap device that is slow: each is seen, is cancelled half-way, and the
# guest goes on with its memory as it was.
. "$(dirname "$0")/lib.sh"
it_init
it_need_drum

qmp() {
	"$IT_PYTHON" -IS "$IT_SRC/qmp" "$T/run/qmp.sock" "$@"
}

# jobs_are FIELD...: of all jobs, $JOBS
jobs_are() {
	[ "$(qmp query-jobs | json "$@" | tr '\n' ' ')" = "$JOBS" ]
}

# moves: some of what there is to do is done, and not all
moves() {
	local fields current total
	fields=$(qmp query-jobs | json current-progress total-progress) || return
	read -r current total <<<"$(tr '\n' ' ' <<<"$fields")"
	[ "${current:-0}" -gt $MIB ] && [ "$current" -lt "$total" ]
}

# half_way COMMAND [ARGUMENT]: it is begun as job j, goes on for a while, and is cancelled
half_way() {
	say "$1"
	qmp "$1" "{${2:-\"name\": \"one\"}, \"job-id\": \"j\"}" >/dev/null
	wait_until 30 moves || fail "$1: $(qmp query-jobs)"
	ctl job cancel j
	JOBS='concluded '
	wait_until 30 jobs_are status || fail "$1 goes on: $(qmp query-jobs)"
	qmp query-jobs | grep -qE '(guest one|stays on): cancelled' || fail "$1: $(qmp query-jobs)"
	ctl job dismiss j
	[ "$(qmp query-jobs)" = '[]' ] || fail "$1: it is not dismissed"
}

drum_start
swap_on 128M
guest_start one 96M
guest_up one
guest_attach one
ctl swap set "$T/swap" --max-bandwidth 20M
half_way guest-out
guest_is one resident -gt $MIB || fail "all of it is out"
ctl swap set "$T/swap" --max-bandwidth 0
ctl guest out one
swapped=$(guest_field one swapped)
ctl swap set "$T/swap" --max-bandwidth 8M
half_way guest-in
guest_is one state = running || fail "it does not run"
truncate -s 128M "$T/dump"
chmod 600 "$T/dump"
ctl dump set "$T/dump"
half_way guest-dump
ctl dump show --json | json last | grep -q "'complete': False" || fail "the dump: $(ctl dump show)"
ctl swap set "$T/swap" --max-bandwidth 4M
half_way guest-detach
guest_is one state = running || fail "it is detached"
guest_is one swapped -lt "$swapped" || fail "nothing came in"
ctl swap set "$T/swap" --max-bandwidth 0
ctl guest out one
ctl swap set "$T/swap" --max-bandwidth 4M
half_way swap-off "\"path\": \"$T/swap\""
[ "$(swap_field "$T/swap" state)" = on ] || fail "it is off"
ctl swap set "$T/swap" --max-bandwidth 0
guest_check one
ctl guest detach one
guest_end one
assert_swap_free
drum_stop
it_passed
