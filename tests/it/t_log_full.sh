#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The log goes into a pipe that nobody reads: nobody waits for that.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

faulty_start disk 512M
faulty_loop disk
mkfifo "$T/pipe"
# Both ends are held open, here and by nobody else.
exec {pipe}<>"$T/pipe"
it_need_drum
"$DRUM_BUILD/drumd" --config "$T/state.conf" --foreground --run-dir "$T/run" --log-level trace </dev/null >/dev/null 2>"$T/pipe" {pipe}>&- &
DRUMD_PID=$!
: >"$T/drumd.log"
wait_until 10 drum_ready || fail "drumd does not answer"
# Fill it: what Drum says from here on has no room.
(yes | timeout 5 dd of="$T/pipe" bs=4096 count=1024 oflag=nonblock) 2>/dev/null || true

events_start
ctl swap on "$(faulty_dev disk)"
guest_start one 256M
guest_up one
guest_attach one --limit 64M
guest_walks one 5000
# Each error is a line.
faulty_set disk read=EIO/3 write=EIO/3
faulty_wait disk '(read|write) EIO' 100
guest_walks one 2000
faulty_set disk none
guest_patterns one 5000
guest_check one
ctl guest out one
ctl stat >/dev/null

# Somebody reads again, and is told.
cat <&"$pipe" >"$T/drumd.log" {pipe}<&- &
IT_PIDS[reader]=$!
ctl guest detach one
wait_for '[0-9]+ messages were lost: the log was full' "$T/drumd.log" 20 >/dev/null
guest_end one
drum_stop
it_passed
