#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 150
# timeout: 600
# What a guest uses is found, without a limit and with one, and what it uses stays in memory.
. "$(dirname "$0")/lib.sh"
it_init

# usage_start NAME PATTERN PERCENT TOUCHES: 128 MiB
usage_start() {
	mkfifo "$T/$1.in"
	"$DRUM_BUILD/tests/it/usage" 128 "$2" "$3" "$4" <>"$T/$1.in" >"$T/$1.log" 2>"$T/$1.err.log" &
	IT_PIDS[$1]=$!
	wait_for '"event":"ready"' "$T/$1.log" 30 >/dev/null
	ctl guest attach "${IT_PIDS[$1]}" --name "$1"
}

# usage_ask NAME FIELD: of what it knows itself
usage_ask() {
	local from answer
	from=$(lines_of "$T/$1.log")
	echo >"$T/$1.in"
	answer=$(wait_for '"hot-10s"' "$T/$1.log" 20 "$from")
	[[ $answer = *'"bad":0}'* ]] || fail "$1: wrong bytes: $answer"
	answer=${answer##*\""$2"\":}
	echo "${answer%%[,\}]*}"
}

# found NAME FIELD TRUTH: within a quarter of the truth
found() {
	local value
	value=$(guest_field "$1" "$2")
	[ $((value * 4)) -ge $(($3 * 3)) ] && [ $((value * 4)) -le $(($3 * 5)) ]
}

drum_start
swap_on 512M
usage_start block block 25 20000
usage_start zipf zipf 100 3000
usage_start phases phases 10 10000
usage_start limited block 40 20000
guest_is block idle-10s -eq 0 || fail "memory is called idle after no time"
guest_is block working-set -eq $((128 * MIB)) || fail "a working set is known after no time"
ctl paging set --sample 512
ctl guest set limited --limit 64M
wait_until 20 guest_is limited resident -le $((64 * MIB)) || fail "the limit does not hold"

# A minute, and one round over the sample; and once more, when all of it has been looked at while
# the limit held.
rests wait_until 150 guest_is block idle-1m -gt $((64 * MIB)) || fail "nothing is called idle"
rests sleep 70
for name in block zipf phases limited; do
	truth=$(usage_ask $name hot-1m)
	found $name working-set "$truth" ||
		fail "$name: $(guest_field $name working-set) bytes of $truth were found"
	say "$name: $(guest_field $name working-set) of $truth"
done
guest_is block idle-1m -gt $((80 * MIB)) || fail "too little is called idle"
guest_is block faults-swapped -eq 0 || fail "a guest without a limit was paged out"

# What it uses is less than its limit: it stays where it is.
before=$(guest_field limited faults-swapped)
sleep 10
after=$(guest_field limited faults-swapped)
[ $((after - before)) -lt 200 ] || fail "$((after - before)) faults on hot memory in 10 s"

ctl paging set --sample 0
before=$(guest_field block zaps)
wait_until 10 guest_is block working-set -eq $((128 * MIB)) || fail "something is known without looking"
sleep 3
guest_is block zaps -eq "$before" || fail "it is looked at, though that is off"
assert_drum_lives
drum_stop
it_passed
