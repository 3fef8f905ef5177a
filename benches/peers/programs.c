/* GCBench and binary-trees (README.md) in Boehm's collector: boehm-programs NAME WORK DEPTH. One JSON line.
   boehm-exact as NAME also turns interior pointers off, which saves a sixteen-byte granule per object. */

#define GC_THREADS
#include <gc.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SHORTEST 4
#define STRETCH 2
#define ELEMENTS 500000
#define LOOKED_AT 1000

/* GCBench's node carries two integers that nobody reads; that of binary-trees does not. Both begin alike. */
typedef struct node {
    struct node *left, *right;
} node;

typedef struct {
    node links;
    int32_t i, j;
} fat;

static size_t node_bytes = sizeof(node);
/* Not static: the compiler must not keep a hidden copy of what the collector has to find. */
node *long_lived;
double *array;

static uint64_t nodes(int depth) { return (UINT64_C(2) << depth) - 1; }

static void fail(const char *what) {
    fprintf(stderr, "boehm-programs: %s\n", what);
    exit(1);
}

static node *new_node(void) {
    node *made = GC_malloc(node_bytes);
    if (!made) fail("out of memory: ask for less depth");
    return made;
}

static node *bottom_up(int depth) {
    node *left = depth ? bottom_up(depth - 1) : NULL, *right = depth ? bottom_up(depth - 1) : NULL;
    node *made = new_node();
    made->left = left;
    made->right = right;
    return made;
}

static void populate(int depth, node *into) {
    if (!depth) return;
    into->left = new_node();
    into->right = new_node();
    populate(depth - 1, into->left);
    populate(depth - 1, into->right);
}

static node *top_down(int depth) {
    node *root = new_node();
    populate(depth, root);
    return root;
}

static uint64_t count(const node *of) { return of->left ? 1 + count(of->left) + count(of->right) : 1; }

static void gcbench(int depth, char *out) {
    int stretched = depth + STRETCH;
    node_bytes = sizeof(fat);
    if (count(bottom_up(stretched)) != nodes(stretched)) fail("the stretch tree came out wrong");
    long_lived = top_down(depth);
    array = GC_malloc_atomic(ELEMENTS * sizeof *array);
    if (!array) fail("out of memory: ask for less depth");
    memset(array, 0, ELEMENTS * sizeof *array);
    for (int i = 0; i < ELEMENTS / 2; i++) array[i] = 1.0 / i;
    for (int d = SHORTEST; d <= depth; d += 2) {
        uint64_t trees = 2 * nodes(stretched) / nodes(d);
        for (int kind = 0; kind < 2; kind++)
            for (uint64_t i = 0; i < trees; i++) {
                node *tree = kind ? bottom_up(d) : top_down(d);
                if (i == 0 && count(tree) != nodes(d)) fail("a short-lived tree came out wrong");
            }
    }
    if (array[LOOKED_AT] != 1.0 / LOOKED_AT) fail("the array came out wrong");
    sprintf(out, "\"long lived tree of depth %d: %" PRIu64 " nodes\",\"long lived array of %d: element %d is 1/%d\"", depth,
            count(long_lived), ELEMENTS, LOOKED_AT, LOOKED_AT);
}

static void binary_trees(int depth, char *out) {
    out += sprintf(out, "\"stretch tree of depth %d check: %" PRIu64 "\"", depth + 1, count(bottom_up(depth + 1)));
    long_lived = bottom_up(depth);
    for (int d = SHORTEST; d <= depth; d += 2) {
        uint64_t trees = UINT64_C(1) << (depth - d + SHORTEST), sum = 0;
        for (uint64_t i = 0; i < trees; i++) sum += count(bottom_up(d));
        out += sprintf(out, ",\"%" PRIu64 " trees of depth %d check: %" PRIu64 "\"", trees, d, sum);
    }
    sprintf(out, ",\"long lived tree of depth %d check: %" PRIu64 "\"", depth, count(long_lived));
}

static int64_t cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static int64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv) {
    int depth = argc == 4 ? atoi(argv[3]) : 0, is_gcbench = argc == 4 && !strcmp(argv[2], "gcbench");
    if (depth < 6 || depth > 25 || !(is_gcbench || !strcmp(argv[2], "binary-trees"))) {
        fprintf(stderr, "usage: boehm-programs NAME gcbench|binary-trees DEPTH (6 to 25)\n");
        return 2;
    }
    if (!strcmp(argv[1], "boehm-exact")) GC_set_all_interior_pointers(0);
    GC_INIT();
    char checks[2048];
    int64_t wall = wall_ns(), cpu = cpu_ns();
    if (is_gcbench)
        gcbench(depth, checks);
    else
        binary_trees(depth, checks);
    wall = wall_ns() - wall;
    cpu = cpu_ns() - cpu;
    printf("{\"work\":\"%s\",\"checks\":[%s],\"wall_ns\":%" PRId64 ",\"cpu_ns\":%" PRId64 "}\n", argv[2], checks, wall, cpu);
    return 0;
}
