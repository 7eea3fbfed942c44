#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 40
# Guests that cannot be asked for memory: one without a driver for its balloon, one whose balloon
# says that it has given what is in use, one whose monitor takes connections and says nothing.
# They are paged instead.  And one that needs at once what its balloon has taken.
. "$(dirname "$0")/lib.sh"
it_init

"${CC:-cc}" -O2 -o "$T/liar" "$IT_SRC/guest/liar.c"
initrd_with "$IT_SRC/guest/liar-init" "$T/liar"

# Drum has a monitor of its own, for QEMU serves one client at a time.
balloon_guest() { # balloon_guest NAME SIZE ARGUMENT...
	guest_start "$1" "$2" -qmp "unix:$T/$1.drum,server=on,wait=off" \
		-device virtio-balloon-pci,id=balloon,deflate-on-oom=on "${@:3}"
}

sum_is() { # sum_is OPERATOR MIB
	local sum=0 name
	for name in "${!GUEST_PID[@]}"; do
		sum=$((sum + $(ram_blocks "${GUEST_PID[$name]}")))
	done
	test $((sum / MIB)) "$1" "$2"
}

budget_holds() { # budget_holds MIB WHEN
	wait_until 30 sum_is -le $(($1 + 16)) || fail "more than $1 MiB: $2"
}

say_silent() { # a monitor that never says anything
	"$IT_PYTHON" -IS -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(8)
print("LISTENS", flush=True)
clients = []
while True:
    clients.append(s.accept()[0])
    print("CAME", flush=True)
' "$1" >"$T/silent.log" 2>&1 &
	IT_PIDS[silent]=$!
	wait_for LISTENS "$T/silent.log" 10 >/dev/null
}

drum_start
swap_on 1G
events_start
GUEST_SMP=1
PATROL=--mib=110,--zeros=0,--pattern=random GUEST_APPEND=rdinit=/liar-init \
	balloon_guest liar 192M -initrd "$T/initrd"
PATROL=--mib=140,--zeros=0,--pattern=sequential balloon_guest needs 256M
guest_up liar
guest_up needs
wait_for 'LIAR UP' "$T/liar.log" 20 >/dev/null

# ---- no driver ----

guest_attach liar --qmp "$T/liar.drum"
guest_attach needs --qmp "$T/needs.drum"
wait_until 20 guest_is liar monitor = up || fail "the monitor is $(guest_field liar monitor)"
guest_is liar balloon = absent || fail "a balloon without driver is $(guest_field liar balloon)"
ctl explain liar >"$T/explain"
grep -qx Balloon "$T/explain" || fail "explain says: $(cat "$T/explain")"
ctl host set --budget 260M
budget_holds 260 'of a guest without driver'
guest_walks liar 3000

# ---- it lies ----

guest_qmp liar balloon "{\"value\": $((64 * MIB))}" >/dev/null
wait_for 'LIAR gave=[1-9]' "$T/liar.log" 20 >/dev/null
[ "$(guest_qmp liar query-balloon | json actual)" = $((64 * MIB)) ] || fail "QEMU does not believe it"
wait_until 60 guest_is liar balloon = stuck || fail "a balloon that lies is $(guest_field liar balloon)"
[ -n "$(guest_field liar balloon-reason)" ] || fail "and nobody is told why"
wait_for "BALLOON_STUCK guest=liar reason=\"it says .* actual=$((64 * MIB)) wanted=" "$T/events.log" 20 >/dev/null
ctl explain liar | tr -s ' \n' ' ' | grep -q 'Its balloon is stuck: ' || fail "$(ctl explain liar)"
grep -q 'guest liar: its balloon is stuck, it is paged instead' "$T/drumd.log" || fail "nothing in the log"
ctl host set --budget 220M
budget_holds 220 'of a guest that lies'
[ "$(guest_field liar resident)" -ge $((32 * MIB)) ] || fail "it was left with $(guest_field liar resident)"
guest_walks liar 3000

# ---- a monitor that hangs ----

say_silent "$T/silent"
ctl guest set liar --qmp "$T/silent"
wait_for CAME "$T/silent.log" 20 >/dev/null
walked=$(patrol_field liar checked)
wait_until 40 guest_is liar monitor = lost || fail "a silent monitor is $(guest_field liar monitor)"
[ -n "$(guest_field liar monitor-reason)" ] || fail "and nobody is told why"
patrol_is liar checked -gt $((walked + 1000)) || fail "no fault was served meanwhile"
ctl guest detach liar
guest_attach liar --qmp "$T/silent"
guest_walks liar 3000
budget_holds 220 'of a guest whose monitor hangs'

# ---- what is free goes by the balloon, and is needed at once ----

guest_ask needs pause 'PATROL PAUSED' >/dev/null
guest_ask needs 'free 110' 'PATROL FREED' >/dev/null
wait_until 60 guest_is needs balloon-size -ge $((48 * MIB)) ||
	fail "the balloon has taken $(guest_field needs balloon-size): $(ctl explain needs)"
guest_ask needs 'alloc 110' 'PATROL READY' 60 >/dev/null
budget_holds 220 'of a guest that takes memory back'

ctl host set --budget none
for name in liar needs; do
	guest_check $name
done
guest_end needs
guest_kill liar
assert_drum_lives
assert_swap_free
drum_stop
it_passed
