#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Which of several swap devices is used: the higher priority first, equal ones in turn; a
# change moves nothing and holds at once.
. "$(dirname "$0")/lib.sh"
it_init

HIGH=$T/high
LOW=$T/low
ONE=$T/one
TWO=$T/two

# used DEVICE: in MiB
used() {
	echo $(($(swap_field "$1" used) / MIB))
}

# What the guest does not touch stays where it is.
all_out() {
	ctl guest out one 2>"$T/err" || grep -q 'swap is full' "$T/err" || fail "$(cat "$T/err")"
}

all_in() {
	ctl guest in one
	assert_swap_free
}

drum_start
for dev in "$HIGH:32M" "$LOW:256M" "$ONE:256M" "$TWO:256M"; do
	swap_make "${dev%:*}" "${dev#*:}"
done
ctl swap on "$LOW" --priority 3
ctl swap on "$ONE" --priority 5
ctl swap on "$TWO" --priority 5
ctl swap on "$HIGH" --priority 9
[ "$(ctl swap list -nr -o NAME,PRIO | paste -sd ' ')" = "$HIGH 9 $ONE 5 $TWO 5 $LOW 3" ] ||
	fail "the order: $(ctl swap list -nr -o NAME,PRIO | paste -sd ' ')"
GUEST_SMP=1
guest_start one 192M
guest_up one
guest_attach one
guest_ask one pause 'PATROL PAUSED' >/dev/null

# Down the priorities, and the equal ones to the same degree.
all_out
swapped=$(($(guest_field one swapped) / MIB))
[ "$swapped" -gt 80 ] || fail "only $swapped MiB are out"
# the guest rests, and still touches some
[ "$(used "$HIGH")" -ge 28 ] || fail "the highest has $(used "$HIGH") MiB only"
[ "$(used "$LOW")" = 0 ] || fail "the lowest has $(used "$LOW") MiB already"
difference=$(($(used "$ONE") - $(used "$TWO")))
[ "${difference#-}" -le 4 ] || fail "of equal ones: $(used "$ONE") and $(used "$TWO") MiB"
guest_check one

# Another order moves nothing.
before=$(ctl swap list --json -o NAME,USED | json path used | sort)
ctl swap priority "$LOW" 32767
ctl swap set "$HIGH" --priority 0
[ "$(ctl swap list -nr -o NAME,PRIO | paste -sd ' ')" = "$LOW 32767 $ONE 5 $TWO 5 $HIGH 0" ] ||
	fail "the order: $(ctl swap list -nr -o NAME,PRIO | paste -sd ' ')"
[ "$(ctl swap list --json -o NAME,USED | json path used | sort)" = "$before" ] ||
	fail "moved by a change of priority: $(ctl swap list -nr -o NAME,USED) before: $before"
guest_is one pages-moved -eq 0 || fail "$(guest_field one pages-moved) pages were moved"
# ... and what goes out from now on goes there
written=$(swap_field "$HIGH" write-bytes)$(swap_field "$ONE" write-bytes)$(swap_field "$TWO" write-bytes)
all_in
all_out
[ "$(used "$LOW")" -ge $((swapped - 8)) ] || fail "the highest now has $(used "$LOW") MiB only"
[ "$written" = "$(swap_field "$HIGH" write-bytes)$(swap_field "$ONE" write-bytes)$(swap_field "$TWO" write-bytes)" ] ||
	fail "a lower one was written to"
guest_check one

# While the guest works: growth goes to the new highest, equal ones share it.
all_in
ctl guest set one --limit 64M
guest_ask one resume 'PATROL RESUMED' >/dev/null
wait_shrunk one $((64 * MIB))
ctl swap priority "$LOW" 5
ctl swap priority "$HIGH" 5
ctl swap off "$HIGH"
read -r low one two < <(ctl swap list --json | json write-bytes | paste -sd ' ')
guest_walks one 30000
read -r low2 one2 two2 < <(ctl swap list --json | json write-bytes | paste -sd ' ')
grown=("$((low2 - low))" "$((one2 - one))" "$((two2 - two))")
for each in "${grown[@]}"; do
	[ "$each" -gt $((4 * MIB)) ] || fail "equal ones were written to: ${grown[*]}"
	if [ "$each" -gt $((2 * grown[0])) ] || [ $((2 * each)) -lt "${grown[0]}" ]; then
		fail "equal ones were not written to alike: ${grown[*]}"
	fi
done
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed "used alike: ${grown[*]}"
