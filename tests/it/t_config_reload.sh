#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The configuration read again, by a signal and by drumctl: what has changed is done and told,
# errors change nothing, what was set by hand and has not changed in the file stays.
. "$(dirname "$0")/lib.sh"
it_init

CONF=$T/drum.conf
ONE=$T/one
TWO=$T/two

# told WORDS: drumd's log has this line, of its own or of the pager
told() {
	grep -qF "$1" "$T/drumd.log"
}

# conf LINE...: the file
conf() {
	printf '%s\n' '[drumd]' "state-dir = $T/${STATE:-state}" "$@" >"$CONF"
}

# member KEY...: of what is in the object on standard input
member() {
	"$IT_PYTHON" -IS -c 'import functools, json, sys
print(functools.reduce(lambda o, k: o[int(k) if k.isdigit() else k], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

# expect_reload TEXT: drumctl says exactly that
expect_reload() {
	local said
	said=$(ctl config reload 2>&1) || fail "config reload: $said"
	[ "$said" = "$1" ] || fail "config reload said: $said"
}

swap_make "$ONE" 32M
swap_make "$TWO" 32M
: >"$T/image" && truncate -s 1M "$T/image"

conf '[swap]' "device = $ONE 3" '[paging]' 'depth = 8'
[ "$(ctl config check "$CONF")" = "$CONF: ok" ] || fail 'it is not ok'
drum_start --config "$CONF"
wait_until 10 swap_listed "$ONE"
expect_reload 'nothing has changed'

# By hand, which the file is silent of, or says the same of as before.
ctl paging set --depth 4 --reads 5
ctl swap set "$ONE" --priority 9

# An error changes nothing, is told with its line, and so are the others.
conf '[swap]' "device = $ONE 4" '[paging]' 'depth = 16' 'reads = 99' 'speed = 1'
said=$(ctl config reload 2>&1) && fail 'it was taken'
case $said in
"drumctl: config reload: $CONF:7: reads is '99', but must be a number from 1 to 24; and 1 more error"*) ;;
*) fail "it said: $said" ;;
esac
told "$CONF:8: no key 'speed' in [paging]" || fail 'the second error is not in the log'
[ "$(ctl paging show --json | json depth)" = 4 ] || fail 'something was changed'
said=$(ctl config check "$CONF" 2>&1) && fail 'check takes it'
[ "$(grep -c "^$CONF:[78]: " <<<"$said")" = 2 ] || fail "check said: $said"

# What has changed is done.
conf 'log-level = debug' 'leave = yes' '[swap]' "device = $ONE 4" "device = $TWO 1" \
	'[paging]' 'depth = 16' '[disk]' "device = web $T/image swapcache=off" \
	'[swapcache]' 'maxswappct = 20' '[host]' 'idle-tax = 33' '[dump]' "device = $T/dump"
swap_make "$T/dump" 1M
expect_reload "log-level info -> debug
leave no -> yes
paging depth 8 -> 16
host idle-tax (not given) -> 33%
swapcache maxswappct (not given) -> 20
device $ONE priority 3 -> 4
device $TWO is switched on
disk web is added
dump device (none) -> $T/dump"
swap_listed "$TWO" || fail 'the new device is not on'
[ "$(swap_field "$ONE" priority)" = 4 ] || fail 'the priority has not changed'
[ "$(ctl paging show --json | json depth)" = 16 ] || fail 'depth has not changed'
[ "$(ctl paging show --json | json reads)" = 5 ] || fail 'what was set by hand is undone'
[ "$(ctl host show --json | json idle-tax | cut -d . -f 1)" = 33 ] || fail 'the tax has not changed'
[ "$(ctl swapcache show --json | member knobs maxswappct)" = 20 ] || fail 'the knob has not changed'
[ "$(ctl disk show web --json | json swapcache)" = off ] || fail 'there is no disk'
[ "$(ctl dump show --json | json path)" = "$T/dump" ] || fail 'there is no dump device'
told 'config: paging depth 8 -> 16' || fail 'the change is not in the log'
[ "$(ctl config show --json | json log-level)" = debug ] || fail 'config show has another level'
[ "$(ctl config show --json | member file 4 value)" = "$TWO 1" ] || fail 'and another file'

# Both processes log at the new level, and at another.
ctl daemon set --log-level trace --leave no
ctl swap set "$TWO" --priority 2
[ "$(ctl config show --json | json leave)" = False ] || fail 'leave is not off'
ctl daemon set --log-level info

# What another pager is told is what holds; what was set by hand of the cache stays.
ctl swapcache set maxswappct=30
before=$(pager)
kill -KILL "$before"
wait_until 10 another_pager "$before"
wait_until 10 ctl stat >"$T/stat"
[ "$(ctl paging show --json | json depth)" = 16 ] || fail 'the new pager has the old file'
[ "$(ctl swapcache show --json | member knobs maxswappct)" = 30 ] || fail 'the new pager undid that'

# By a signal.  What is gone from the file stays, and is told.
STATE=other conf '[swap]' "device = $ONE 4" '[paging]' 'depth = 32'
kill -HUP "$(cat "$T/run/drumd.pid")"
wait_until 10 told 'config: paging depth 16 -> 32'
told "config: device $TWO is no longer in the file; \`drumctl swap off $TWO\` takes it out" ||
	fail 'what is gone is not told'
told "config: state-dir $T/state -> $T/other needs a restart of drumd" || fail 'a restart is not asked for'
wait_until 10 told 'config: dump device'
swap_listed "$TWO" || fail 'the device was switched off'
ctl disk show web >/dev/null || fail 'the disk is gone'

# What cannot be done is told too, and the exit code says so.
conf '[swap]' "device = $ONE 4" "device = $T/missing" '[paging]' 'depth = 32'
said=$(ctl config reload 2>&1) && fail 'it said nothing of a missing device'
grep -q "^failed: .*$T/missing" <<<"$said" || fail "it said: $said"

# A file that is gone is an error.
rm "$CONF"
refused 'cannot read' config reload
drum_stop
it_passed
