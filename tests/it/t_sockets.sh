#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Who may use qmp.sock and monitor.sock, by mode and by credentials; and that this outlives the
# pager and the daemon.
. "$(dirname "$0")/lib.sh"
it_init
it_need_drum
command -v setpriv >/dev/null || skip "no setpriv"
for group in users games nogroup; do
	getent group $group >/dev/null || skip "no group $group"
done

# What nobody runs must be his to run.
cp "$DRUM_BUILD/drumctl" "$T/drumctl"

# as GROUP SOCKET WORDS...: drumctl, as a user who is in this group besides
as() {
	local group=$1 socket=$2
	shift 2
	setpriv --reuid=65534 --regid=nogroup --groups "$group" "$T/drumctl" -s "$T/run/$socket" "$@"
}

# no STATUS PATTERN COMMAND...: it is refused so
no() {
	local wanted=$1 pattern=$2 status=0
	shift 2
	"$@" >"$T/said" 2>&1 || status=$?
	[ $status = "$wanted" ] || fail "'$*' ended with $status: $(cat "$T/said")"
	grep -qE -- "$pattern" "$T/said" || fail "'$*' says: $(cat "$T/said")"
}

# mode SOCKET "MODE OWNER GROUP"
mode() {
	[ "$(stat -c '%a %U %G' "$T/run/$1")" = "$2" ] || fail "$1: $(stat -c '%a %U %G' "$T/run/$1")"
}

configure() {
	{
		printf '[drumd]\nstate-dir = %s\n' "$T/state"
		printf '%s\n' "$@"
	} >"$T/conf"
}

who_may() {
	mode qmp.sock '660 root users'
	mode monitor.sock '666 root games'
	no 3 'Permission denied' as nogroup qmp.sock stat
	no 3 "is for root and members of the group 'users' or 'games'" as nogroup monitor.sock stat
	no 3 'Permission denied' as games qmp.sock swap on "$T/swap"
	no 1 'swap-on is refused on this socket, which is for reading' as games monitor.sock swap on "$T/swap"
	as games monitor.sock guest list >/dev/null
	# beside the socket that is not for him
	as games qmp.sock stat >/dev/null
	as users monitor.sock stat >/dev/null
	as users qmp.sock paging set --depth 7
	as users qmp.sock job list >/dev/null
}

configure 'group = users' 'monitor-group = no-such-group'
no 1 "conf:4: monitor-group is 'no-such-group', but must be the name of a group that there is" \
	"$DRUM_DAEMON/drumd" --foreground --config "$T/conf" --run-dir "$T/run"

# Forty devices that are not there make an answer of forty messages between the two processes.
devices=()
for ((i = 0; i < 40; i++)); do
	devices+=("device = $T/none$i $i")
done
configure 'group = users' 'monitor-group = games' '[swap]' "${devices[@]}"
drum_start --config "$T/conf"
"$IT_PYTHON" -IS "$IT_SRC/flood" "$T/run/monitor.sock" 60 30 query-config || fail "readers are not answered"
ctl stat >/dev/null
swap_make "$T/swap" 8M
who_may
grep -aq 'user 65534 (pid .*) refused on monitor.sock' "$T/drumd.log" || fail "the log does not tell"
ctl swap on "$T/swap"
as users qmp.sock swap off "$T/swap"

say "the pager is killed"
inode=$(stat -c %i "$T/run/qmp.sock" "$T/run/monitor.sock")
old=$(pager)
kill -KILL "$old"
another() {
	[ -n "$(pager)" ] && [ "$(pager)" != "$old" ] && ctl stat >/dev/null 2>&1
}
wait_until 20 another || fail "no other pager"
who_may

say "the daemon is replaced, by one with other groups"
configure 'group = games'
ctl daemon reexec >/dev/null
mode qmp.sock '660 root games'
mode monitor.sock '660 root games'
no 3 'Permission denied' as users qmp.sock stat
as games qmp.sock paging set --depth 8
as games monitor.sock stat >/dev/null
configure
ctl daemon reexec >/dev/null
mode qmp.sock '600 root root'
mode monitor.sock '600 root root'
no 3 'Permission denied.*group in drum.conf' as games monitor.sock stat
[ "$inode" = "$(stat -c %i "$T/run/qmp.sock" "$T/run/monitor.sock")" ] || fail "other sockets"
drum_stop
for socket in qmp monitor; do
	[ ! -e "$T/run/$socket.sock" ] || fail "$socket.sock is left"
done
it_passed
