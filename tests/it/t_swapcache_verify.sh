#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 85
# timeout: 600
# Two front ends that check every answer write, discard, zero and read at random, while all that
# the swapcache has to do with is changed under them: knobs, modes of their disks, swap devices that
# go and come, a share of swap so small that it must be cleaned, and pagers that are killed.  One of
# them has too little memory, so pages of its own go to the image and to the same swap.
# ROUNDS says for how long, SEED which way.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
. "$(dirname "$0")/cache.sh"
disk_needs_drum
it_init
it_need_drum
command -v nbdkit >/dev/null || skip "no nbdkit"

ROUNDS=${ROUNDS:-48}
RANDOM=${SEED:-1}
FRONT=$DRUM_BUILD/tests/it/vufront
DISKS=(file slow)
FIGURES=(put cleaned invalidated hit-bytes)
declare -A seen=() happened=()

# remember: of a pager that is about to die
remember() {
	local field value
	assert_sums_right "round $round"
	for field in "${FIGURES[@]}"; do
		value=$(cache_field "$field") || return 0
		seen[$field]=$((${seen[$field]:-0} + value))
	done
}

front() { # front NAME OPTION...
	local name=$1
	shift
	"$FRONT" verify "$(disk_sock "$name")" --reconnect --region $((24 * MIB)) --reads 85 --ram 16 --queues 2 \
		--stop-every 5 --seed "$RANDOM" "$@" >"$T/$name.log" 2>&1 &
	IT_PIDS[$name]=$!
}

fronts_are_well() {
	local name
	for name in "${DISKS[@]}"; do
		! is_gone "${IT_PIDS[$name]}" || fail "$1: front end $name has ended: $(tail -n 3 "$T/$name.log")"
		! grep -a BAD "$T/$name.log" >&2 || fail "$1: wrong"
	done
}

requests() { # requests NAME: so far
	local line
	line=$(grep -a '^front at ' "$T/$1.log" | tail -n 1) || true
	line=${line#*requests=}
	echo "${line%% *}"
}

goes_on() { # goes_on NAME REQUESTS: and more of them
	local now
	now=$(requests "$1")
	[ "${now:-0}" -gt "$2" ]
}

comes_back() {
	wait_until 20 another_pager "$1" || fail "no pager after $1"
	wait_until 20 drum_ready || fail "no answer after $1 was killed"
	for disk in "${DISKS[@]}"; do
		wait_until 20 disk_state_is "$disk" connected || fail "$disk is $(disk_field "$disk" state) after a kill"
	done
}

any() { # any WORD...: one of them
	local words=("$@")
	ANY=${words[RANDOM % $#]}
}

# One of the things that may happen, whatever is going on.
change() {
	any knob knob knob mode mode swap clean clean kill
	happened[$ANY]=$((${happened[$ANY]:-0} + 1))
	case $ANY in
	knob)
		local knob
		any read_enable data_enable meta_enable fill_enable use_chflags
		knob=$ANY
		any on off
		cache_set "$knob=$ANY"
		;;
	mode)
		local disk
		any "${DISKS[@]}"
		disk=$ANY
		any auto on meta off
		ctl disk set "$disk" --swapcache="$ANY"
		;;
	swap)
		ctl swap off "$T/swap-a"
		! swap_listed "$T/swap-a" || fail "a device that is off is listed"
		sleep "0.$((RANDOM % 4))"
		ctl swap on "$T/swap-a" --priority 10
		;;
	clean)
		# of 64 MiB less than there is
		any 11 12 15
		cache_set "maxswappct=$ANY"
		sleep "0.$((RANDOM % 6))"
		cache_set maxswappct=75
		;;
	kill)
		local old
		remember
		old=$(pager)
		kill -KILL "$old"
		comes_back "$old"
		;;
	esac
}

# all_as_it_should_be: everything on, so that what follows has a cache
all_as_it_should_be() {
	cache_all_on
	cache_set use_chflags=off maxswappct=75
	for disk in "${DISKS[@]}"; do
		ctl disk set "$disk" --swapcache=auto
	done
}

drum_start
for name in a b; do
	swap_make "$T/swap-$name" 32M
done
ctl swap on "$T/swap-a" --priority 10
ctl swap on "$T/swap-b"
truncate -s 32M "$T/file.img" "$T/slow.img"
SLOW_MS=1 SLOW_THREADS=1
slow_serve slow "$T/slow.img"
disk_add file "$T/file.img"
disk_add slow "$(nbd_uri slow)"
all_as_it_should_be
front file
front slow --depth 8
for disk in "${DISKS[@]}"; do
	wait_until 30 goes_on "$disk" 0 || fail "$disk is not served"
done
ctl guest set file --limit 12M
wait_until 30 cache_is put -gt 0 || fail "nothing is cached: $(cache_says)"
wait_until 30 cache_is hit-bytes -gt 0 || fail "nothing comes from swap: $(cache_says)"
for ((round = 1; round <= ROUNDS; round++)); do
	if [ $((round % 6)) = 0 ]; then
		all_as_it_should_be
	fi
	change
	sleep "0.$((RANDOM % 5))"
	fronts_are_well "round $round, $ANY"
done
remember
all_as_it_should_be
hit=$(cache_field hit-bytes)
wait_until 30 cache_is hit-bytes -gt $((hit + MIB)) || fail "it does not work any more: $(cache_says)"
for field in "${FIGURES[@]}"; do
	[ "${seen[$field]}" -gt 0 ] || fail "$field stayed 0: $(cache_says)"
done
for disk in "${DISKS[@]}"; do
	from=$(requests "$disk")
	wait_until 30 goes_on "$disk" "$from" || fail "$disk is not served any more"
done
for disk in "${DISKS[@]}"; do
	status=0
	kill -TERM "${IT_PIDS[$disk]}"
	wait "${IT_PIDS[$disk]}" || status=$?
	unset "IT_PIDS[$disk]"
	if [ $status != 0 ] || ! grep -q '^front done .*, bad 0$' "$T/$disk.log"; then
		fail "front end $disk ended with $status: $(grep -a BAD "$T/$disk.log" | head -n 3; tail -n 2 "$T/$disk.log")"
	fi
done
assert_sums_right 'at the end'
assert_disks_served "${DISKS[@]}"
for disk in "${DISKS[@]}"; do
	disk_remove "$disk"
done
nbd_end slow
assert_swap_free
assert_drum_lives
drum_stop
it_passed "knobs ${happened[knob]:-0}, modes ${happened[mode]:-0}, swap off ${happened[swap]:-0}, cleaned ${happened[clean]:-0}, kills ${happened[kill]:-0}"
