#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 45
# Three guests in 60 % of their memory: one has filled its own and sleeps, one works, one grows.
# Who works has more in the end than who sleeps, together they stay within the budget, nobody
# goes below its reservation, and a pager that is killed leaves all that as it was.
. "$(dirname "$0")/lib.sh"
it_init

SIZE=256
BUDGET=$((3 * SIZE * 60 / 100))
RESERVED=64
least=()

arbiter_guest() { # arbiter_guest NAME PATROL-OPTIONS
	PATROL=$2 guest_start "$1" ${SIZE}M -qmp "unix:$T/$1.drum,server=on,wait=off" \
		-device virtio-balloon-pci,id=balloon,deflate-on-oom=on
}

terms() { # terms NAME
	guest_attach "$1" --reservation ${RESERVED}M --shares 1000 --qmp "$T/$1.drum"
}

# Each look samples who has how much; the kernel says it, not the daemon.
declare -A has
look() {
	local name
	sum=0
	for name in idle busy grows; do
		has[$name]=$(($(ram_blocks "${GUEST_PID[$name]}") / MIB))
		sum=$((sum + has[$name]))
		# what was never used, or was given back, is not taken from it
		if [ "${has[$name]}" -lt $RESERVED ]; then
			least+=("$name ${has[$name]}")
		fi
	done
}

within_budget() {
	look
	[ $sum -le $((BUDGET + 16)) ]
}

# In memory, and by what it is due: of that it takes no more than it needs.
busy_holds_more() {
	look
	[ $((has[busy] * 4)) -gt $((has[idle] * 5)) ] && [ $sum -le $((BUDGET + 16)) ]
}

busy_has_more() {
	busy_holds_more &&
		[ $(($(guest_field busy target) * 2)) -gt $(($(guest_field idle target) * 3)) ]
}

figures() {
	echo "MiB: idle ${has[idle]}, busy ${has[busy]}, grows ${has[grows]}: $sum of $BUDGET; due:" \
		"$(($(guest_field idle target) / MIB)), $(($(guest_field busy target) / MIB))"
}

drum_start
swap_on 1G
GUEST_SMP=1
arbiter_guest idle --mib=150,--zeros=0
arbiter_guest busy --mib=165,--zeros=0,--pattern=random
guest_up idle
terms idle
guest_ask idle pause 'PATROL PAUSED' >/dev/null
guest_up busy
terms busy
arbiter_guest grows --mib=150,--first=30,--zeros=0
guest_up grows
terms grows
guest_ask grows pause 'PATROL PAUSED' >/dev/null
wait_until 30 guest_is busy monitor = up || fail "the monitor is $(guest_field busy monitor)"
ctl host set --budget ${BUDGET}M
began=$(now_ms)

for mib in 30 30 30; do
	guest_ask grows "alloc $mib" 'PATROL READY' >/dev/null
	look
done
wait_until 30 within_budget || fail "more than the budget: $(figures)"
wait_until 60 busy_has_more || fail "who works has no more than who sleeps: $(figures); $(ctl explain idle)"
guest_walks busy 20000
busy_has_more || fail "not for long: $(figures)"

learnt=$(($(now_ms) - began))

# ---- what is shown ----

ctl stat >"$T/stat"
grep -Eq "^host budget +4[0-9]{2}(\.[0-9])?M" "$T/stat" || fail "stat says: $(cat "$T/stat")"
grep -Eq '^ +level +(high|soft|hard|low)' "$T/stat" || fail "stat says: $(cat "$T/stat")"
grep -Eq '^ +overcommit +1\.[67]' "$T/stat" || fail "stat says: $(cat "$T/stat")"
ctl host show --json --bytes >"$T/host"
[ "$(json budget <"$T/host")" = $((BUDGET * MIB)) ] || fail "budget: $(json budget <"$T/host")"
[ "$(json reserved <"$T/host")" = $((3 * RESERVED * MIB)) ] || fail "reserved: $(json reserved <"$T/host")"
[ "$(json rounds <"$T/host")" -gt 3 ] || fail "$(json rounds <"$T/host") rounds"
for name in idle busy; do
	ctl explain $name >"$T/explain"
	for topic in Memory Price Evictions Stalls Balloon; do
		grep -qx $topic "$T/explain" || fail "explain $name has nothing on $topic: $(cat "$T/explain")"
	done
	grep -q 'its 1000 shares\|It has 1000 shares' "$T/explain" || fail "explain $name: $(cat "$T/explain")"
	[ "$(ctl explain $name --json | json count)" -ge 5 ] || fail "explain --json has less"
done
ctl explain idle | tr -s ' \n' ' ' | grep -qE 'Of its 256M of RAM .* are in memory and .* on swap' ||
	fail "explain idle: $(ctl explain idle)"
[ "$(guest_field idle uses)" -lt "$(guest_field busy uses)" ] ||
	fail "idle uses $(guest_field idle uses), busy $(guest_field busy uses)"

# ---- another pager ----

old=$(pager)
kill -KILL "$old"
wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
for name in idle busy grows; do
	wait_until 20 guest_is $name state = running || fail "guest $name was not taken over"
	guest_is $name reservation -eq $((RESERVED * MIB)) || fail "reservation: $(guest_field $name reservation)"
	guest_is $name shares -eq 1000 || fail "shares: $(guest_field $name shares)"
	guest_is $name qmp = "$T/$name.drum" || fail "qmp: $(guest_field $name qmp)"
done
[ "$(ctl host show --json --bytes | json budget)" = $((BUDGET * MIB)) ] || fail "the budget is forgotten"
guest_ask grows 'alloc 30' 'PATROL READY' >/dev/null
look
guest_walks busy 20000
# What it has learnt of who works it has to learn anew; who has how much it sees.
wait_until 60 busy_holds_more || fail "after a new pager: $(figures)"

# ---- nobody was short of what is its own, and every byte is right ----

[ ${#least[@]} = 0 ] || fail "below ${RESERVED}M: ${least[*]}"
in_the_end=$(figures)
ctl host set --budget none
for name in idle busy grows; do
	guest_check $name
	guest_end $name
done
assert_drum_lives
assert_swap_free
drum_stop
it_passed "$in_the_end; after $((learnt / 1000)) s"
