// SPDX-License-Identifier: BSD-2-Clause

// goqmp SOCKET PID SWAP: drives drumd by go-qemu, a client of QEMU's monitor that nobody here
// wrote.  Says what it does, and leaves with 1 at the first answer that is not as it should be.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

const memory = 256 << 20

type object = map[string]interface{}

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "goqmp: "+format+"\n", args...)
	os.Exit(1)
}

func check(ok bool, format string, args ...interface{}) {
	if !ok {
		fail(format, args...)
	}
}

type drum struct {
	*qmp.SocketMonitor
}

func connect(path string) drum {
	m, err := qmp.NewSocketMonitor("unix", path, 5*time.Second)
	if err != nil {
		fail("dial: %v", err)
	}
	if err = m.Connect(); err != nil {
		fail("connect: %v", err)
	}
	return drum{m}
}

func (d drum) try(command string, args object) (json.RawMessage, error) {
	c := qmp.Command{Execute: command}
	if args != nil {
		c.Args = args
	}
	request, err := json.Marshal(c)
	if err != nil {
		fail("%s: %v", command, err)
	}
	raw, err := d.Run(request)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Return json.RawMessage `json:"return"`
	}
	if err = json.Unmarshal(raw, &answer); err != nil {
		fail("%s: %v", command, err)
	}
	return answer.Return, nil
}

// run is try for what is not refused; to, if not nil, is what to decode the result into.
func (d drum) run(command string, args object, to interface{}) {
	result, err := d.try(command, args)
	if err != nil {
		fail("%s: %v", command, err)
	}
	if to != nil {
		if err = json.Unmarshal(result, to); err != nil {
			fail("%s returned %s: %v", command, result, err)
		}
	}
	fmt.Println("done:", command)
}

func (d drum) refused(command string, args object, want string) {
	_, err := d.try(command, args)
	check(err != nil && err.Error() == want, "%s: %v, not: %s", command, err, want)
}

func (d drum) guest() object {
	var guests []object
	d.run("query-guests", object{"name": "web1"}, &guests)
	check(len(guests) == 1 && guests[0]["state"] == "running", "guests: %v", guests)
	return guests[0]
}

// wait takes events until there is one of each name, about that.
func wait(events <-chan qmp.Event, wanted map[string]object) {
	deadline := time.After(60 * time.Second)
	for len(wanted) > 0 {
		select {
		case e, open := <-events:
			check(open, "no events any more, of %v", wanted)
			check(e.Timestamp.Seconds > 1500000000, "%s is of %d", e.Event,
				e.Timestamp.Seconds)
			about, known := wanted[e.Event]
			for key, value := range about {
				known = known && e.Data[key] == value
			}
			if known {
				fmt.Println("event:", e.Event)
				delete(wanted, e.Event)
			}
		case <-deadline:
			fail("no events %v", wanted)
		}
	}
}

func main() {
	if len(os.Args) != 4 {
		fail("SOCKET PID SWAP")
	}
	path, swap := os.Args[1], os.Args[3]
	pid, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fail("%v", err)
	}

	d := connect(path)
	check(d.Version.QEMU.Major+d.Version.QEMU.Minor > 0 && len(d.Version.Package) > 5,
		"greeted by %v", d.Version)
	var version qmp.Version
	d.run("query-version", nil, &version)
	check(version == *d.Version, "%v and %v", version, *d.Version)
	var names []struct{ Name string }
	d.run("query-commands", nil, &names)
	has := map[string]bool{}
	for _, n := range names {
		has[n.Name] = true
	}
	check(has["guest-attach"] && has["query-qmp-schema"], "commands: %v", names)
	// go-qemu takes lines of up to 64 KiB: QEMU's own schema is too long for it.
	var schema []struct {
		Name string
		Meta string `json:"meta-type"`
	}
	d.run("query-qmp-schema", nil, &schema)
	for _, entry := range schema {
		if entry.Meta == "command" {
			check(has[entry.Name], "of the schema only: %s", entry.Name)
			delete(has, entry.Name)
		}
	}
	check(len(has) == 0, "not in the schema: %v", has)
	d.refused("nonesuch", nil, "The command nonesuch has not been found")
	d.refused("guest-detach", nil, "Parameter 'name' is missing")
	d.refused("guest-detach", object{"name": 7}, "Invalid parameter type for 'name', expected: string")

	// What happens is seen by a client of its own: go-qemu hands on one thing at a time.
	watcher := connect(path)
	events, err := watcher.Events(context.Background())
	if err != nil {
		fail("events: %v", err)
	}

	d.run("swap-on", object{"path": swap}, nil)
	d.run("host-set", object{"budget": 1 << 30}, nil)
	var host map[string]interface{}
	d.run("query-host", nil, &host)
	check(host["budget"] == float64(1<<30), "the host: %v", host)
	terms := object{"name": "web1", "memory": memory, "reservation": memory / 4, "dry-run": true}
	var would struct {
		Admitted bool
		Reason   string
	}
	d.run("guest-admit", terms, &would)
	check(would.Admitted, "would not be admitted: %s", would.Reason)
	terms["dry-run"] = false
	d.run("guest-admit", terms, nil)
	d.run("guest-attach", object{"name": "web1", "pid": pid}, nil)
	check(d.guest()["size"] == float64(memory), "the guest: %v", d.guest())
	wait(events, map[string]object{
		"GUEST_ADMITTED": {"guest": "web1", "memory": float64(memory)},
		"GUEST_ATTACHED": {"guest": "web1", "pid": float64(pid)},
	})
	d.run("guest-out", object{"name": "web1"}, nil)
	check(d.guest()["pages-out"].(float64) > 0, "nothing was paged out: %v", d.guest())
	d.run("guest-in", object{"name": "web1"}, nil)
	d.run("guest-detach", object{"name": "web1"}, nil)
	d.run("swap-off", object{"path": swap}, nil)
	wait(events, map[string]object{
		"GUEST_DETACHED":      {"guest": "web1"},
		"SWAP_DEVICE_REMOVED": {"path": swap},
	})
	if err = watcher.Disconnect(); err != nil {
		fail("disconnect: %v", err)
	}
	if err = d.Disconnect(); err != nil {
		fail("disconnect: %v", err)
	}
}
