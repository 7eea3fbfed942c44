#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A process with slow O_DIRECT reads in flight into its RAM, and with buffers registered with
# io_uring, is paged out again and again: what is read there is never lost.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

RAM=$((96 * MIB))
REGISTERED=512	# pages

direct_ask() { # direct_ask COMMAND PATTERN
	local from
	from=$(lines_of "$T/direct.log")
	echo "$1" >"$T/direct.in"
	wait_for "$2" "$T/direct.log" 60 "$from"
}

direct_field() {
	local line
	line=$(direct_ask report 'DIRECT SAYS')
	line=${line#* "$1"=}
	echo "${line%% *}"
}

direct_has() {
	[ "$(direct_field "$1")" -ge "$2" ]
}

# direct_start RAM-MIB THREADS REGISTERED-PAGES: from now on it is $pid
direct_start() {
	: >"$T/direct.log"
	rm -f "$T/direct.in"
	mkfifo "$T/direct.in"
	"$DRUM_BUILD/tests/it/direct" "$1" "$(faulty_dev disk)" 64 "$2" "$3" \
		<>"$T/direct.in" >"$T/direct.log" 2>&1 &
	IT_PIDS[direct]=$!
	pid=$!
	wait_for 'DIRECT READY' "$T/direct.log" 20 >/dev/null
}

direct_end() {
	local status=0
	direct_ask quit 'DIRECT QUIT .* bad=0$' >/dev/null
	assert_no_bad_reads
	wait "$pid" || status=$?
	unset "IT_PIDS[direct]"
	[ $status = 0 ] || fail "ended with $status"
}

# ms of CPU time that the pager has used
pager_ms() {
	local threads
	threads=$(pager)
	cat "/proc/$threads/task/"*/schedstat | awk '{ ns += $1 } END { printf "%d\n", ns / 1000000 }'
}

assert_no_bad_reads() {
	! grep -aE -m 1 'DIRECT (BAD|FAILED)' "$T/direct.log" || fail "a read was lost"
}

drum_start
! grep -a 'no pin check: the BPF program does not fit' "$T/drumd.log" || fail "the pin check does not work"
! grep -a 'no pin check' "$T/drumd.log" || skip "no pin check on this kernel"
swap_on 256M

# A disk whose reads take a while, so that most pages that are read into are zapped meanwhile.
nbdkit_start disk --filter=delay pattern size=64M delay-read=20ms
faulty_loop disk
direct_start $((RAM / MIB)) 8 $REGISTERED
wait_until 60 direct_has reads 500 || fail "$(direct_field reads) reads"
ctl guest attach "$pid" --name direct --limit 8M
assert_trace "$pid"

# The limit alone pages out all the time, and `guest out` takes what it can on top of it.
most=0 rounds=0
out_until() { # out_until READS
	local pinned
	until direct_has reads "$1"; do
		ctl guest out direct 2>>"$T/warnings.log"
		pinned=$(guest_field direct pinned)
		[ "$pinned" -le "$most" ] || most=$pinned
		rounds=$((rounds + 1))
		[ $rounds -lt 300 ] || fail "$(direct_field reads) of $1 reads"
		assert_no_bad_reads
	done
}
out_until $(($(direct_field reads) + 2000))
guest_is direct pages-out -gt 4000 || fail "$(guest_field direct pages-out) pages went out"
# A device has them for good, touched or not; what is read into for a moment comes and goes.
[ "$most" -ge $((REGISTERED * 4096)) ] || fail "at most $most bytes were shown as pinned"
[ "$most" -lt $((RAM / 2)) ] || fail "$most bytes were shown as pinned"
grep -qE 'guest direct: [0-9]+ KiB stay in memory' "$T/warnings.log" || fail "no warning of what stays"
[ "$(direct_field registered)" -ge 100 ] || fail "$(direct_field registered) reads into registered buffers"

# A pager that comes later looks, too.
pager=$(pager)
kill -KILL "$pager"
wait_until 30 another_pager "$pager" || fail "no other pager"
wait_until 30 guest_is direct state = running || fail "the guest is not taken over"
out_until $(($(direct_field reads) + 500))

# One that cannot look pages nothing of it out: it is paged in, and let go.
ctl guest detach direct
drum_stop
drum_start --leave
ctl swap on "$T/swap"
ctl guest attach "$pid" --name direct --limit 8M
ctl guest out direct 2>>"$T/warnings.log"
drum_stop
DRUM_RUNNER='setpriv --bounding-set -bpf,-sys_admin' drum_start
grep -qa 'no pin check: .*CAP_BPF' "$T/drumd.log" || fail "without CAP_BPF, and the log does not say so"
wait_until 60 guest_not_listed direct || fail "still paged: $(guest_field direct state)"
grep -qaE 'guest direct: quarantined.*O_DIRECT' "$T/drumd.log" || fail "let go, but not for O_DIRECT"
assert_no_trace "$pid"
refused 'O_DIRECT' guest attach "$pid" --name direct

direct_end
drum_stop

# All of it is pinned for good, as with VFIO: nothing goes out, and nobody works at it all the
# time or stops the VMM for nothing.
drum_start
ctl swap on "$T/swap"
direct_start 66 1 16384
wait_until 60 direct_has reads 100 || fail "$(direct_field reads) reads"
ctl guest attach "$pid" --name direct --limit 8M
wait_until 30 guest_is direct pinned -ge $((64 * MIB - MIB)) || fail "$(guest_field direct pinned) bytes are pinned"
guest_is direct over-limit -ge $((48 * MIB)) || fail "over its limit by $(guest_field direct over-limit)"
zaps=$(guest_field direct zaps) ms=$(pager_ms) from=$(now_ms)
wait_until 60 direct_has reads $(($(direct_field reads) + 400)) || fail "it does not get on"
took=$(($(now_ms) - from)) zaps=$(($(guest_field direct zaps) - zaps)) ms=$(($(pager_ms) - ms))
say "in $took ms: $zaps zaps, $ms ms of CPU"
[ $zaps -le $((took / 500 + 4)) ] || fail "$zaps zaps in $took ms"
[ $ms -le $((took / 5)) ] || fail "$ms ms of CPU in $took ms"
ctl guest out direct 2>"$T/out.log"
grep -qE 'guest direct: 6[0-9]{4} KiB stay in memory' "$T/out.log" || fail "guest out says: $(cat "$T/out.log")"
ctl guest detach direct
assert_no_trace "$pid"
direct_end
assert_drum_lives
drum_stop
it_passed "$rounds times out, at most $((most / 4096)) pages pinned"
