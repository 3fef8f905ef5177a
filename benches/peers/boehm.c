/* The peer graph (README.md) in Boehm's collector: boehm NAME OBJECTS COLLECTIONS. One JSON line per collection.
   NAME is what the lines say; boehm-exact also turns interior pointers off, which saves a sixteen-byte granule per object. */

#define GC_THREADS
#include <gc.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)
#define ROOTS 1000
#define SLOTS 4
#define EMPTY UINT64_MAX

typedef struct object {
    struct object *slots[SLOTS];
} object;

typedef struct {
    uint64_t edges, fingerprint, live;
} facts;

/* Not static: nothing here reads it, and the compiler must not conclude that nobody does. */
object *roots[ROOTS];

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int kept(uint64_t i) { return mix(i + UINT64_C(0xD1B54A32D192ED03)) & 1; }

static void references(uint64_t n, uint64_t i, uint64_t targets[SLOTS]) {
    uint64_t state = mix(i);
    int closed = kept(i);
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t d = mix(state += GOLDEN);
        targets[slot] = EMPTY;
        if ((d & 15) < 5) continue;
        for (uint64_t local = d & 16;; d = mix(state += GOLDEN)) {
            uint64_t distance = 1 + ((d >> 5) & 63);
            uint64_t target = !local       ? ((d >> 32) * n) >> 32
                              : (d & 2048) ? (i + distance) % n
                                           : (i + n - distance) % n;
            if (closed && !kept(target)) continue;
            targets[slot] = target;
            break;
        }
    }
}

static uint64_t root(uint64_t n, uint64_t r) {
    uint64_t i = r * n / ROOTS;
    while (!kept(i)) i = (i + 1) % n;
    return i;
}

static void *need(void *memory) {
    if (!memory) {
        fprintf(stderr, "boehm: out of memory: ask for fewer objects\n");
        exit(1);
    }
    return memory;
}

static int first_visit(uint8_t *seen, uint64_t i) {
    uint8_t bit = 1 << (i & 7);
    int first = !(seen[i >> 3] & bit);
    seen[i >> 3] |= bit;
    return first;
}

static uint64_t count_live(uint64_t n) {
    uint8_t *seen = need(calloc(n / 8 + 1, 1));
    uint32_t *stack = need(malloc(n * sizeof *stack));
    uint64_t depth = 0, live = 0, targets[SLOTS];
    for (uint64_t r = 0; r < ROOTS; r++)
        if (first_visit(seen, root(n, r))) stack[depth++] = root(n, r);
    for (; depth; live++) {
        references(n, stack[--depth], targets);
        for (int slot = 0; slot < SLOTS; slot++)
            if (targets[slot] != EMPTY && first_visit(seen, targets[slot])) stack[depth++] = targets[slot];
    }
    free(seen);
    free(stack);
    return live;
}

/* The table lives outside the collector's sight: it is scaffolding, and the collector is off while it stands. */
static void build(uint64_t n, facts *facts) {
    object **table = need(malloc(n * sizeof *table));
    uint64_t targets[SLOTS];
    facts->edges = facts->fingerprint = 0;
    for (uint64_t i = 0; i < n; i++) table[i] = need(GC_MALLOC(sizeof(object)));
    for (uint64_t i = 0; i < n; i++) {
        references(n, i, targets);
        for (uint64_t slot = 0; slot < SLOTS; slot++) {
            if (targets[slot] == EMPTY) continue;
            table[i]->slots[slot] = table[targets[slot]];
            facts->edges++;
            facts->fingerprint += mix(((i << 32) | targets[slot]) + slot * GOLDEN);
        }
    }
    for (uint64_t r = 0; r < ROOTS; r++) roots[r] = table[root(n, r)];
    memset(table, 0, n * sizeof *table);
    free(table);
}

/* The collector reads the stack conservatively: what earlier calls left below us would keep a whole graph alive. */
static __attribute__((noinline)) void wipe_stack(void) {
    volatile char below[1 << 16];
    for (size_t i = 0; i < sizeof below; i++) below[i] = 0;
}

/* GC_gcollect marks and leaves most blocks unswept. GC_malloc_many sweeps one block per call and hands out its free list, until none is left
   and it has to carve a fresh block: then the free bytes fall or the heap grows. */
static void collect(void) {
    wipe_stack();
    GC_enable();
    GC_gcollect();
    GC_disable();
    size_t free_bytes = GC_get_free_bytes(), heap_bytes = GC_get_heap_size();
    do GC_malloc_many(sizeof(object));
    while (GC_get_free_bytes() == free_bytes && GC_get_heap_size() == heap_bytes);
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
    uint64_t n = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    int collections = argc == 4 ? atoi(argv[3]) : 0;
    if (n < ROOTS || n > UINT32_MAX || collections < 1) {
        fprintf(stderr, "usage: boehm NAME OBJECTS (from 1000) COLLECTIONS\n");
        return 2;
    }
    if (!strcmp(argv[1], "boehm-exact")) GC_set_all_interior_pointers(0);
    GC_INIT();
    GC_disable();
    uint64_t object_bytes = GC_size(need(GC_MALLOC(sizeof(object))));
    GC_expand_hp(n * (object_bytes + 8));
    facts facts = {.live = count_live(n)};
    for (int round = 0; round < collections; round++) {
        memset(roots, 0, sizeof roots);
        collect();
        collect(); /* what the first collection's overflowing mark stack leaves behind keeps objects alive in the next one */
        build(n, &facts);
        int64_t wall = wall_ns(), cpu = cpu_ns();
        collect();
        wall = wall_ns() - wall;
        cpu = cpu_ns() - cpu;
        struct GC_prof_stats_s stats;
        GC_get_prof_stats(&stats, sizeof stats);
        printf("{\"peer\":\"%s\",\"objects\":%" PRIu64 ",\"edges\":%" PRIu64 ",\"fingerprint\":\"%016" PRIx64 "\",\"live\":%" PRIu64
               ",\"survivors\":%" PRIu64 ",\"wall_ns\":%" PRId64 ",\"cpu_ns\":%" PRId64 ",\"cpu_ns_per_live\":%.1f}\n",
               argv[1], n, facts.edges, facts.fingerprint, facts.live, n - stats.bytes_reclaimed_since_gc / object_bytes, wall, cpu,
               (double)cpu / (double)facts.live);
        fflush(stdout);
    }
    return 0;
}
