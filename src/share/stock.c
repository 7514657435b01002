#include "stock.h"

#include <stdlib.h>
#include <string.h>

static uint64_t word_of(lm_range r) { return (uint64_t)r.first << 32 | r.end; }
static lm_range range_of(uint64_t word) { return (lm_range){(uint32_t)(word >> 32), (uint32_t)word}; }

int lm_newstock(lm_stock *b, MPI_Comm node)
{
    int rank;
    MPI_Comm_rank(node, &rank);
    MPI_Comm_size(node, &b->ranks);
    b->half = sizeof(lm_sheet) + (size_t)b->ranks * sizeof(lm_slot);
    b->window = MPI_WIN_NULL;
    if (b->ranks == 1) {
        b->memory = aligned_alloc(64, 2 * b->half);
        if (!b->memory) return MPI_ERR_NO_MEM;
        memset(b->memory, 0, 2 * b->half);
        return MPI_SUCCESS;
    }
    void *mine;
    MPI_Aint bytes;
    int unit, code = MPI_Win_allocate_shared(rank == 0 ? (MPI_Aint)(2 * b->half) + 64 : 0, 1, MPI_INFO_NULL, node, &mine, &b->window);
    if (code != MPI_SUCCESS) return code;
    MPI_Win_shared_query(b->window, 0, &bytes, &unit, &b->memory);
    /* the pages of one file: aligned alike in every process */
    b->memory += -(uintptr_t)b->memory % 64;
    if (rank == 0) memset(b->memory, 0, 2 * b->half);
    return MPI_Barrier(node);
}

int lm_freestock(lm_stock *b)
{
    if (b->window != MPI_WIN_NULL) return MPI_Win_free(&b->window);
    free(b->memory);
    b->memory = NULL;
    return MPI_SUCCESS;
}

lm_sheet *lm_sheetof(const lm_stock *b, uint32_t map) { return (lm_sheet *)(void *)(b->memory + map % 2 * b->half); }

void lm_clearsheet(const lm_stock *b, uint32_t map)
{
    lm_sheet *s = lm_sheetof(b, map);
    atomic_store(&s->stop, false);
    atomic_store(&s->elsewhere, 0);
    for (int i = -1; i < b->ranks; i++) {
        lm_slot *slot = i < 0 ? &s->common : &s->own[i];
        atomic_store(&slot->range, 0);
        atomic_store(&slot->done, 0);
    }
}

/* The word in the slot; not 0. */
static uint64_t slot_look(lm_slot *s, lm_range initial)
{
    uint64_t word = atomic_load_explicit(&s->range, memory_order_acquire);
    if (word) return word;
    return atomic_compare_exchange_strong(&s->range, &word, word_of(initial)) ? word_of(initial) : word;
}

lm_range lm_left(lm_slot *s, lm_range initial) { return range_of(slot_look(s, initial)); }

lm_range lm_takefront(lm_slot *s, lm_range initial, uint32_t n)
{
    uint64_t word = slot_look(s, initial);
    for (;;) {
        lm_range r = range_of(word);
        lm_range taken = {r.first, lm_length(r) < n ? r.end : r.first + n};
        if (!lm_length(r) || atomic_compare_exchange_weak(&s->range, &word, word_of((lm_range){taken.end, r.end}))) return taken;
    }
}

lm_range lm_takehalf(lm_slot *s, lm_range initial)
{
    uint64_t word = slot_look(s, initial);
    for (;;) {
        lm_range r = range_of(word);
        uint32_t middle = r.first + lm_length(r) / 2;
        if (!lm_length(r) || atomic_compare_exchange_weak(&s->range, &word, word_of((lm_range){r.first, middle})))
            return (lm_range){middle, r.end};
    }
}

void lm_putrange(lm_slot *s, lm_range r) { atomic_store(&s->range, word_of(r)); }
