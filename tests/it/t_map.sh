#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A picture of a guest's RAM: it has what `guest show` has, where it is; a part that the guest has
# never touched is zero; what is out is swapped, and on which device is known, over a restart too.
. "$(dirname "$0")/lib.sh"
it_init

# drum_qmp COMMAND ARGUMENTS
drum_qmp() {
	"$IT_PYTHON" -IS "$IT_SRC/qmp" "$T/run/qmp.sock" "$@"
}

# map_check CELLS CHECK: CHECK is of map and show, in Python; nothing moves
map_check() {
	ctl guest show one --json >"$T/show"
	drum_qmp query-guest-map "{\"name\":\"one\",\"cells\":$1}" >"$T/map"
	ctl guest show one --json >"$T/show2"
	"$IT_PYTHON" -IS - "$T" "$2" <<-'EOF'
		import json, sys
		def load(name):
		    data = json.load(open(sys.argv[1] + name))
		    return data[0] if isinstance(data, list) else data
		m, show, after = load("/map"), load("/show"), load("/show2")
		states = ["active", "inactive", "swapped", "zero", "reading", "writing"]
		counts = states + ["pinned", "kept"]
		per = m["cell-size"] // 4096
		assert m["size"] == show["size"] and m["cell-size"] % 4096 == 0
		assert (m["cells"] - 1) * m["cell-size"] < m["size"] <= m["cells"] * m["cell-size"]
		for k in counts + ["idle"]:
		    assert len(m[k]) == m["cells"], k
		for i in range(m["cells"]):
		    left = m["size"] // 4096 - i * per
		    assert sum(m[k][i] for k in states) == min(per, left), i
		for k in counts:
		    assert show[k] != after[k] or sum(m[k]) * 4096 == show[k], (k, sum(m[k]), show[k])
		assert all(-1 <= a <= 4 for a in m["idle"])
		assert eval(sys.argv[2]), {k: sum(m[k]) for k in counts}
	EOF
}

# swap_check CHECK: what each device has is this guest's; CHECK is of one and two, bytes
swap_check() {
	drum_qmp query-guests '{"name":"one"}' >"$T/show"
	ctl swap list --json >"$T/swaps"
	"$IT_PYTHON" -IS - "$T" "$1" <<-'EOF'
		import json, sys
		show = json.load(open(sys.argv[1] + "/show"))[0]
		there = {d["path"]: d["used"] for d in json.load(open(sys.argv[1] + "/swaps"))}
		mine = {d["path"]: d["used"] for d in show["swap"]}
		assert all(mine.values()), mine
		assert mine == {k: v for k, v in there.items() if v}, (mine, there)
		assert sum(mine.values()) == show["swapped"] + show["kept"], mine
		one, two = (mine.get(sys.argv[1] + name, 0) for name in ("/one", "/two"))
		assert eval(sys.argv[2]), mine
	EOF
}

drum_start
swap_make "$T/one" 256M
swap_make "$T/two" 256M
ctl swap on "$T/one"
ctl swap on "$T/two"
# of its second half the guest's kernel knows nothing
GUEST_APPEND=mem=128M guest_start one 256M
guest_up one
guest_attach one
guest_ask one pause 'PATROL PAUSED' >/dev/null
guest_qmp one stop >/dev/null
for cells in 1 100 4096; do
	map_check $cells 'sum(m["active"]) > 0 and sum(m["swapped"]) == 0' ||
		fail "the picture with $cells cells is wrong"
done
# the firmware and QEMU have put something at the end of RAM
map_check 256 'sum(m["zero"][130:230]) == 100 * per' || fail "what the guest does not know is not zero"

swap_check 'one == two == 0' || fail "it has swap, though nothing was paged out"
ctl guest out one
swap_check 'one > 0 and two > 0' || fail "what it has on swap is wrong"
map_check 1000 'sum(m["active"]) == 0 and sum(m["swapped"]) > 8192' || fail "it is not out"

# Another pager knows all of that; and when a device is off, the other one has it.
old=$(pager)
kill -KILL "$old"
wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
wait_until 20 guest_is one state = running || fail "the guest was not taken over"
swap_check 'one > 0 and two > 0' || fail "what it has on swap is wrong after a restart"
map_check 1000 'sum(m["active"]) == 0 and sum(m["swapped"]) > 8192' || fail "it is not out after a restart"
ctl swap off "$T/one"
swap_check 'one == 0 and two > 0' || fail "what it has on swap is wrong after swap off"

# Its latencies are those of `guest show`.
guest_qmp one cont >/dev/null
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 500
guest_qmp one stop >/dev/null
wait_until 10 guest_is one reading -eq 0 || fail "what is read does not come in"
drum_qmp query-guest-latency '{"name":"one"}' >"$T/latency"
ctl guest show one --json >"$T/show"
"$IT_PYTHON" -IS - "$T" <<-'EOF' || fail "latencies are wrong: $(cat "$T/latency")"
	import json, sys
	l = json.load(open(sys.argv[1] + "/latency"))
	show = json.load(open(sys.argv[1] + "/show"))
	show = show[0] if isinstance(show, list) else show
	b = l["buckets"]
	assert 0 < l["count"] <= show["faults"] and l["max-us"] == show["fault-max-us"]
	assert len(b) == 26 and b[-1] == {"count": l["count"]}
	for i in range(25):
	    assert round(b[i]["le-us"] * 1000) == 1 << (10 + i), i
	    assert b[i]["count"] <= b[i + 1]["count"], i
	assert l["p50-us"] <= l["p90-us"] <= l["p99-us"] <= l["p999-us"] <= l["max-us"]
EOF
map_check 64 'sum(m["active"]) > 0 and sum(m["swapped"]) > 0' || fail "some is in and some is out"
swap_check 'two > 0' || fail "what it has on swap is wrong when some is in"
guest_qmp one cont >/dev/null
guest_end one
assert_swap_free
drum_stop
it_passed
