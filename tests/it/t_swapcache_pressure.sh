#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 45
# timeout: 600
# Swap is full of what the cache has, and a guest needs it: the guest gets it, and is never told
# that there is none.  The cache's only device is switched off, and drumd stopped, while both are
# at work.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
. "$(dirname "$0")/cache.sh"
disk_needs_drum
it_init
it_need_drum

SWAP=224
LIMIT=64		# of a guest of 256 MiB, whose patrol has 112 of them
FRONT=$DRUM_BUILD/tests/it/vufront

# reads_begin: all of the disk, in order, again and again
reads_begin() {
	"$FRONT" bench "$(disk_sock disk)" --ram 16 --seconds "$1" --only read-1m-4 >"$T/front.log" 2>&1 &
	IT_PIDS[front]=$!
}

# It ends by itself when its connection does.
reads_end() {
	{
		kill -KILL "${IT_PIDS[front]}" || true
		wait "${IT_PIDS[front]}" || true
	} 2>/dev/null
	unset "IT_PIDS[front]"
}

full_of_cache() { # full_of_cache MIB: it has so much
	wait_until 60 cache_is cached -ge $(($1 * MIB)) || fail "only $(cache_field cached) bytes are cached: $(cache_says)"
}

random_file "$T/disk.img" $((192 * MIB)) pressure
drum_start --leave
events_start
swap_on ${SWAP}M
wait_for "SWAP_OK free=$((SWAP * MIB))" "$T/events.log" 10 >/dev/null
from=$(lines_of "$T/events.log") log=$(lines_of "$T/drumd.log")
cache_all_on
# more than is left for it, were it not for the guest
cache_set maxswappct=85 curburst=1G
disk_add disk "$T/disk.img"
PATROL=--mib=112 guest_start one 256M
guest_up one
guest_attach one

# What the guest needs is what the cache has.
reads_begin 120
full_of_cache $((SWAP * 3 / 4))
full=$(cache_field cached)
free=$((SWAP * MIB - $(swap_used)))
[ $free -lt $((SWAP * MIB / 3)) ] || fail "$free bytes of swap are free, that is no pressure"
ctl guest set one --limit ${LIMIT}M
wait_shrunk one $((LIMIT * MIB))
cache_is cached -lt "$full" || fail "the guest is out, and the cache has all it had"
guest_walks one 5000
# and goes on so: all of the guest's pages go out and come in beside reads that want to be cached
for ((i = 0; i < 3; i++)); do
	ctl guest out one >>"$T/warnings.log" 2>&1 || fail "guest out: $(tail -n 2 "$T/warnings.log")"
	guest_walks one 3000
done
guest_check one
! tail -n +$((from + 1)) "$T/events.log" | grep -a SWAP_FULL || fail "swap was full, and the cache had some of it"
! tail -n +$((log + 1)) "$T/drumd.log" | cat - "$T/warnings.log" | grep -aiE 'no space|swap is full|ENOSPC' || fail "somebody found no swap, and the cache had some"
! is_gone "${IT_PIDS[front]}" || fail "the front end has ended: $(cat "$T/front.log")"

# The guest comes in, and the cache has it all again; its only device goes.
ctl guest set one --limit 256M
ctl guest in one
full_of_cache $((SWAP / 2))
ctl swap off "$T/swap"
cache_is used -eq 0 || fail "no device is on, and the cache has $(cache_field used) bytes: $(cache_says)"
guest_check one
! is_gone "${IT_PIDS[front]}" || fail "the front end has ended: $(cat "$T/front.log")"

# In the middle of writing.
ctl swap on "$T/swap"
cache_set curburst=1G
wait_until 30 cache_is cached -gt $MIB || fail "nothing is cached any more: $(cache_says)"
drum_stop 10
reads_end
# the next one finds an image that anybody may have changed meanwhile
drum_start
wait_until 20 guest_listed one || fail "the guest was not taken over"
disk_is disk cached -eq 0 || fail "$(disk_field disk cached) bytes are cached of an image that nobody has held"
guest_check one
guest_end one
disk_remove disk
assert_swap_free
assert_drum_lives
drum_stop
it_passed "the cache had $((full / MIB)) MiB"
