#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 40
# timeout: 300
# What no front end and no driver may do, one after the other: each costs its own connection or
# ring and nothing else.  And the ways in which rings are legally used, with every answer checked.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
it_init
it_need_drum
FRONT=$DRUM_BUILD/tests/it/vufront

# front MODE OPTION...: to its end
front() {
	local mode=$1
	shift
	"$FRONT" "$mode" "$(disk_sock d)" "$@" >"$T/front.log" 2>&1 ||
		fail "$mode $*: $(grep -a BAD "$T/front.log" | head -n 5; tail -n 1 "$T/front.log")"
}

drum_start
truncate -s 96M "$T/d.img"
ctl disk add d --image "$T/d.img" --serial it-is-d
DRUM_PAGER=$(pager)
for options in "--no-indirect --num 128" "--no-event-idx --queues 1" "--log --flat" "--stop-every 1" "--reset-every 1"; do
	# shellcheck disable=SC2086 # words
	front verify --seconds 1 --serial it-is-d $options
	grep -q '^front done requests=[1-9].* flushes=[1-9].* discards=[1-9].* zeroes=[1-9].*, bad 0$' "$T/front.log" ||
		fail "verify $options: $(tail -n 2 "$T/front.log")"
done
front hostile
cases=$(grep -c '^front hostile ' "$T/front.log")
[ "$cases" -gt 100 ] || fail "only $cases cases"
front verify --seconds 1 --serial it-is-d
[ "$(pager)" = "$DRUM_PAGER" ] || fail "a pager has died: $(grep -a 'ended by' "$T/drumd.log")"
wait_until 20 disk_state_is d idle || fail "$(disk_field d state)"
ctl disk remove d
drum_stop
it_passed "$cases cases"
