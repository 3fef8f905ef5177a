// The peer graph (README.md) in Go's collector: go-peer OBJECTS COLLECTIONS. One JSON line per collection.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

const (
	golden = 0x9E3779B97F4A7C15
	roots  = 1000
	slots  = 4
	empty  = ^uint64(0)
)

type object struct {
	slots [slots]*object
}

type facts struct {
	edges, fingerprint, live uint64
}

var rooted [roots]*object

func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

func kept(i uint64) bool { return mix(i+0xD1B54A32D192ED03)&1 == 1 }

func references(n, i uint64) (targets [slots]uint64) {
	state := mix(i)
	draw := func() uint64 {
		state += golden
		return mix(state)
	}
	closed := kept(i)
	for slot := range targets {
		d := draw()
		targets[slot] = empty
		if d&15 < 5 {
			continue
		}
		for local := d&16 != 0; ; d = draw() {
			distance := 1 + (d>>5)&63
			target := ((d >> 32) * n) >> 32
			if local && d&2048 != 0 {
				target = (i + distance) % n
			} else if local {
				target = (i + n - distance) % n
			}
			if !closed || kept(target) {
				targets[slot] = target
				break
			}
		}
	}
	return targets
}

func root(n, r uint64) uint64 {
	i := r * n / roots
	for !kept(i) {
		i = (i + 1) % n
	}
	return i
}

func countLive(n uint64) (live uint64) {
	seen := make([]uint64, n/64+1)
	stack := make([]uint32, 0, n)
	visit := func(i uint64) {
		if bit := uint64(1) << (i & 63); seen[i>>6]&bit == 0 {
			seen[i>>6] |= bit
			stack = append(stack, uint32(i))
		}
	}
	for r := uint64(0); r < roots; r++ {
		visit(root(n, r))
	}
	for ; len(stack) > 0; live++ {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, target := range references(n, uint64(i)) {
			if target != empty {
				visit(target)
			}
		}
	}
	return live
}

func build(n uint64, f *facts) {
	f.edges, f.fingerprint = 0, 0
	table := make([]*object, n)
	for i := range table {
		table[i] = new(object)
	}
	for i := uint64(0); i < n; i++ {
		for slot, target := range references(n, i) {
			if target == empty {
				continue
			}
			table[i].slots[slot] = table[target]
			f.edges++
			f.fingerprint += mix((i<<32 | target) + uint64(slot)*golden)
		}
	}
	for r := range rooted {
		rooted[r] = table[root(n, uint64(r))]
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func number(text string) uint64 {
	value, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return value
}

func main() {
	if len(os.Args) != 3 || number(os.Args[1]) < roots || number(os.Args[2]) < 1 {
		fmt.Fprintln(os.Stderr, "usage: go-peer OBJECTS (from 1000) COLLECTIONS")
		os.Exit(2)
	}
	n := number(os.Args[1])
	debug.SetGCPercent(-1)
	f := facts{live: countLive(n)}
	for round := uint64(0); round < number(os.Args[2]); round++ {
		rooted = [roots]*object{}
		runtime.GC()
		build(n, &f)
		wallBefore, cpuBefore := time.Now(), cpu()
		runtime.GC()
		wall, spent := time.Since(wallBefore), cpu()-cpuBefore
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		fmt.Printf(`{"peer":"go","objects":%d,"edges":%d,"fingerprint":"%016x","live":%d,"survivors":%d,`+
			`"wall_ns":%d,"cpu_ns":%d,"cpu_ns_per_live":%.1f}`+"\n", n, f.edges, f.fingerprint, f.live, stats.HeapObjects,
			wall.Nanoseconds(), spent.Nanoseconds(), float64(spent)/float64(f.live))
	}
}
