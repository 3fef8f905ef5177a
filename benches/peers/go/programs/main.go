// GCBench and binary-trees (README.md) in Go's collector: go-programs WORK DEPTH. One JSON line.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	shortest = 4
	stretch  = 2
	elements = 500000
	lookedAt = 1000
)

// GCBench's node carries two integers that nobody reads; that of binary-trees does not.
type fat struct {
	left, right *fat
	i, j        int32
}

type thin struct {
	left, right *thin
}

func nodes(depth int) int { return 2<<depth - 1 }

func must(right bool, what string) {
	if !right {
		fmt.Fprintln(os.Stderr, "go-programs:", what, "came out wrong")
		os.Exit(1)
	}
}

func fatBottomUp(depth int) *fat {
	if depth == 0 {
		return &fat{}
	}
	return &fat{left: fatBottomUp(depth - 1), right: fatBottomUp(depth - 1)}
}

func populate(depth int, node *fat) {
	if depth == 0 {
		return
	}
	node.left, node.right = &fat{}, &fat{}
	populate(depth-1, node.left)
	populate(depth-1, node.right)
}

func fatTopDown(depth int) *fat {
	root := &fat{}
	populate(depth, root)
	return root
}

func (node *fat) count() int {
	if node.left == nil {
		return 1
	}
	return 1 + node.left.count() + node.right.count()
}

func gcbench(depth int) []string {
	stretched := depth + stretch
	must(fatBottomUp(stretched).count() == nodes(stretched), "the stretch tree")
	longLived := fatTopDown(depth)
	array := make([]float64, elements)
	for i := 0; i < elements/2; i++ {
		array[i] = 1 / float64(i)
	}
	for d := shortest; d <= depth; d += 2 {
		trees := 2 * nodes(stretched) / nodes(d)
		for _, make := range []func(int) *fat{fatTopDown, fatBottomUp} {
			for i := 0; i < trees; i++ {
				if tree := make(d); i == 0 {
					must(tree.count() == nodes(d), "a short-lived tree")
				}
			}
		}
	}
	must(array[lookedAt] == 1/float64(lookedAt), "the array")
	return []string{
		fmt.Sprintf("long lived tree of depth %d: %d nodes", depth, longLived.count()),
		fmt.Sprintf("long lived array of %d: element %d is 1/%d", elements, lookedAt, lookedAt),
	}
}

func thinBottomUp(depth int) *thin {
	if depth == 0 {
		return &thin{}
	}
	return &thin{thinBottomUp(depth - 1), thinBottomUp(depth - 1)}
}

func (node *thin) count() int {
	if node.left == nil {
		return 1
	}
	return 1 + node.left.count() + node.right.count()
}

func binaryTrees(depth int) (lines []string) {
	line := func(what string, count int) { lines = append(lines, fmt.Sprintf("%s check: %d", what, count)) }
	line(fmt.Sprintf("stretch tree of depth %d", depth+1), thinBottomUp(depth+1).count())
	longLived := thinBottomUp(depth)
	for d := shortest; d <= depth; d += 2 {
		trees, sum := 1<<(depth-d+shortest), 0
		for i := 0; i < trees; i++ {
			sum += thinBottomUp(d).count()
		}
		line(fmt.Sprintf("%d trees of depth %d", trees, d), sum)
	}
	line(fmt.Sprintf("long lived tree of depth %d", depth), longLived.count())
	return lines
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	works := map[string]func(int) []string{"gcbench": gcbench, "binary-trees": binaryTrees}
	depth := 0
	if len(os.Args) == 3 {
		depth, _ = strconv.Atoi(os.Args[2])
	}
	if depth < 6 || depth > 25 || works[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go-programs gcbench|binary-trees DEPTH (6 to 25)")
		os.Exit(2)
	}
	wall, spent := time.Now(), cpu()
	checks := works[os.Args[1]](depth)
	took, used := time.Since(wall), cpu()-spent
	fmt.Printf(`{"work":"%s","checks":["%s"],"wall_ns":%d,"cpu_ns":%d}`+"\n", os.Args[1], strings.Join(checks, `","`),
		took.Nanoseconds(), used.Nanoseconds())
}
