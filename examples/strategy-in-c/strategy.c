/* Mark and sweep in C: the proof that the contract is not for Rust only.
 *
 * The host calls the functions below in the order that wit/strategy.wit gives. Marking gathers: it takes a batch of cells from the
 * worklist, reads the references of all of them, then marks. With a graph window the references are read with plain loads, without one by a
 * host call per batch. */

#include <stdlib.h>
#include <string.h>

#include "windowed_collector.h"

#define BATCH 4096u
#define PAGE 65536u

static uint32_t capacity;          /* cells, null included */
static uint64_t *marks;            /* one bit per cell; null is marked from the start */
static uint32_t *worklist;         /* marked cells whose references are still to be read; each enters once, so `capacity` is room enough */
static uint32_t waiting;           /* how many */
static const uint32_t *window;     /* the cells column, four references per cell; NULL on the portable path */

static bool mark(uint32_t cell)
{
    uint64_t bit = (uint64_t)1 << (cell % 64);
    if (marks[cell / 64] & bit)
        return false;
    marks[cell / 64] |= bit;
    worklist[waiting++] = cell;
    return true;
}

static bool mark_all(const uint32_t *cells, size_t count)
{
    bool fresh = false;
    for (size_t i = 0; i < count; i++)
        fresh |= mark(cells[i]);
    return fresh;
}

void exports_gc_strategy_strategy_describe(exports_gc_strategy_strategy_description_t *ret)
{
    memset(ret, 0, sizeof *ret);
    windowed_collector_string_dup(&ret->name, "mark-sweep-in-c");
    windowed_collector_string_dup(&ret->version, "0.1.0");
    windowed_collector_string_dup(&ret->summary, "Marks everything reachable and frees the rest. Written in C.");
    ret->completeness.tag = GC_STRATEGY_TYPES_COMPLETENESS_ALL;
    ret->completeness.val.all = 1;
}

bool exports_gc_strategy_strategy_configure(exports_gc_strategy_strategy_list_tuple2_string_option_value_t *options,
                                            exports_gc_strategy_strategy_heap_shape_t *shape,
                                            exports_gc_strategy_strategy_error_t *err)
{
    exports_gc_strategy_strategy_list_tuple2_string_option_value_free(options);
    capacity = shape->capacity;
    marks = calloc(capacity / 64, sizeof *marks);
    worklist = malloc((size_t)capacity * sizeof *worklist);
    if (!marks || !worklist) {
        err->tag = GC_STRATEGY_TYPES_ERROR_OUT_OF_MEMORY;
        return false;
    }
    return true;
}

uint32_t exports_gc_strategy_window_reserve(uint32_t bytes)
{
    size_t pages = bytes / PAGE + (bytes % PAGE != 0);
    size_t before = __builtin_wasm_memory_grow(0, pages);
    return before == (size_t)-1 ? 0 : (uint32_t)(before * PAGE);
}

void exports_gc_strategy_window_attached(exports_gc_strategy_window_columns_t *columns)
{
    window = (const uint32_t *)columns->cells;
}

bool exports_gc_strategy_strategy_begin(exports_gc_strategy_strategy_cycle_info_t *cycle,
                                        exports_gc_strategy_strategy_error_t *err)
{
    (void)err;
    exports_gc_strategy_strategy_cycle_info_free(cycle);
    memset(marks, 0, capacity / 8);
    marks[0] = 1;
    waiting = 0;
    return true;
}

void exports_gc_strategy_strategy_roots(exports_gc_strategy_strategy_list_cell_t *cells)
{
    mark_all(cells->ptr, cells->len);
    exports_gc_strategy_strategy_list_cell_free(cells);
}

bool exports_gc_strategy_strategy_shade(exports_gc_strategy_strategy_list_cell_t *cells)
{
    bool fresh = mark_all(cells->ptr, cells->len);
    exports_gc_strategy_strategy_list_cell_free(cells);
    return fresh;
}

/* Not asked for in `describe`, so never called. */
void exports_gc_strategy_strategy_changed(exports_gc_strategy_strategy_changes_t *changes)
{
    exports_gc_strategy_strategy_changes_free(changes);
}

void exports_gc_strategy_strategy_retired(exports_gc_strategy_strategy_list_cell_t *cells,
                                          windowed_collector_list_u64_t *epochs)
{
    exports_gc_strategy_strategy_list_cell_free(cells);
    windowed_collector_list_u64_free(epochs);
}

/* Reads the references of `count` cells, all loads before the first mark, so that their cache misses overlap. Mutators write to the window
 * at the same time: each reference is read once. */
static void visit_window(const uint32_t *cells, uint32_t count)
{
    static uint32_t references[BATCH * 4];
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t slot = 0; slot < 4; slot++)
            references[i * 4 + slot] = __atomic_load_n(&window[(size_t)cells[i] * 4 + slot], __ATOMIC_RELAXED);
    mark_all(references, (size_t)count * 4);
}

static void visit_portable(uint32_t *cells, uint32_t count)
{
    gc_strategy_heap_list_cell_t batch = {cells, count}, references;
    gc_strategy_heap_read_cells(&batch, &references);
    mark_all(references.ptr, references.len);
    gc_strategy_heap_list_cell_free(&references);
}

bool exports_gc_strategy_strategy_step(uint32_t budget, exports_gc_strategy_strategy_progress_t *ret,
                                       exports_gc_strategy_strategy_error_t *err)
{
    static uint32_t batch[BATCH];
    (void)err;
    while (waiting > 0 && budget > 0) {
        uint32_t count = waiting < BATCH ? waiting : BATCH;
        count = count < budget ? count : budget;
        budget -= count;
        waiting -= count;
        memcpy(batch, &worklist[waiting], count * sizeof *batch);
        if (window)
            visit_window(batch, count);
        else
            visit_portable(batch, count);
    }
    *ret = waiting > 0 ? GC_STRATEGY_TYPES_PROGRESS_MORE : GC_STRATEGY_TYPES_PROGRESS_IDLE;
    return true;
}

bool exports_gc_strategy_strategy_finish(exports_gc_strategy_strategy_verdict_t *ret,
                                         exports_gc_strategy_strategy_error_t *err)
{
    size_t bytes = capacity / 8;
    uint64_t *survivors = malloc(bytes);
    if (!survivors) {
        err->tag = GC_STRATEGY_TYPES_ERROR_OUT_OF_MEMORY;
        return false;
    }
    memcpy(survivors, marks, bytes);
    ret->tag = GC_STRATEGY_TYPES_VERDICT_SURVIVORS;
    ret->val.survivors.ptr = survivors; /* freed by the bindings when the host has read it */
    ret->val.survivors.len = capacity / 64;
    return true;
}

void exports_gc_strategy_strategy_settled(exports_gc_strategy_strategy_outcome_t *outcome)
{
    (void)outcome;
}
