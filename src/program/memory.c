/* The pool: small blocks of one size lie together in a slab, and a free one is a link away. The C library's malloc
   keeps only a few at hand, and takes half of the time that a table costs.

   All slabs lie in one range of addresses, which is reserved at the start and takes memory where it is used. So a
   block's address says whether it is the pool's, and everything else is malloc's: larger blocks, those from before the
   pool, and all of them where no range can be had. Of the larger ones, too, some are kept at hand. */
#include "memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RANGE ((size_t)1 << 34)
#define SLAB ((size_t)1 << 16)
#define PIECE (16 * SLAB) /* by which the range is opened for use */
#define LARGEST 512
#define STEP 16 /* sizes are multiples of it: all that Lua or a C library's object may be aligned to */
#define SPARE 64 /* empty slabs that keep their memory, besides as many as are in use */

typedef struct slab {
    struct slab *next, *previous; /* among the slabs of this size that have room, or the empty ones */
    void *free;                   /* the first of the blocks given back, each begins with the address of the next */
    char *fresh;                  /* behind it no block was handed out */
    uint32_t used, capacity;      /* blocks */
    uint32_t size;                /* of a block */
    bool shut;                    /* bare, and counts for no limit */
} slab;

static struct {
    char *base;                      /* NULL: no pool */
    size_t opened, taken;            /* bytes of the range that are usable, and that are slabs by now */
    slab *rooms[LARGEST / STEP + 1]; /* by size: the slabs with room */
    slab *spare, *bare;              /* empty slabs: with their memory, and those that gave it back to the system */
    size_t in_use, spares;           /* slabs with blocks in use; spare ones */
} pool;

/* What is known of the slab at an address lies before all slabs, so that its own memory need not be touched. */
static slab *slab_of(const void *p) { return (slab *)(void *)pool.base + ((size_t)((const char *)p - pool.base) / SLAB); }
static char *slab_memory(const slab *s) { return pool.base + (size_t)(s - (slab *)(void *)pool.base) * SLAB; }

static bool pooled(const void *p) { return (uintptr_t)p - (uintptr_t)pool.base < RANGE && pool.base; }

static bool pool_open(size_t from, size_t to)
{
    return mprotect(pool.base + from, to - from, PROT_READ | PROT_WRITE) == 0;
}

static slab *slab_take(void)
{
    slab *s = pool.spare;
    if (s) {
        pool.spare = s->next;
        pool.spares--;
        return s;
    }
    if ((s = pool.bare)) {
        size_t at = (size_t)(slab_memory(s) - pool.base);
        if (s->shut && !pool_open(at, at + SLAB)) return NULL;
        pool.bare = s->next;
        return s;
    }
    if (pool.taken == pool.opened) {
        if (pool.opened == RANGE || !pool_open(pool.opened, pool.opened + PIECE)) return NULL;
        pool.opened += PIECE;
    }
    pool.taken += SLAB;
    return slab_of(pool.base + pool.taken - SLAB);
}

static void slab_link(slab *s)
{
    slab **first = &pool.rooms[s->size / STEP];
    s->previous = NULL;
    s->next = *first;
    if (*first) (*first)->previous = s;
    *first = s;
}

static void slab_unlink(slab *s)
{
    if (s->previous) s->previous->next = s->next;
    else pool.rooms[s->size / STEP] = s->next;
    if (s->next) s->next->previous = s->previous;
}

static slab *slab_new(size_t size)
{
    slab *s = slab_take();
    if (!s) return NULL;
    char *memory = slab_memory(s);
    *s = (slab){.fresh = memory, .size = (uint32_t)size, .capacity = (uint32_t)(SLAB / size)};
    pool.in_use++;
    slab_link(s);
    return s;
}

/* Gives the memory of a spare slab back to the system, and its share of what a limit allows. */
static void slab_strip(void)
{
    slab *s = pool.spare;
    pool.spare = s->next;
    pool.spares--;
    madvise(slab_memory(s), SLAB, MADV_DONTNEED);
    s->shut = mprotect(slab_memory(s), SLAB, PROT_NONE) == 0;
    s->next = pool.bare;
    pool.bare = s;
}

/* An empty slab, from now on for any size. */
static void slab_retire(slab *s)
{
    slab_unlink(s);
    pool.in_use--;
    s->next = pool.spare;
    pool.spare = s;
    pool.spares++;
    for (int i = 0; i < 2 && pool.spares > pool.in_use + SPARE; i++) slab_strip();
}

static inline void *block_take(size_t n)
{
    size_t size = (n + STEP - 1) & ~(size_t)(STEP - 1);
    slab *s = pool.rooms[size / STEP];
    if (!s && !(s = slab_new(size))) return NULL;
    void *block = s->free;
    if (block) {
        s->free = *(void **)block;
    } else {
        block = s->fresh;
        s->fresh += size;
    }
    if (++s->used == s->capacity) slab_unlink(s);
    return block;
}

static inline void block_give(void *block)
{
    slab *s = slab_of(block);
    *(void **)block = s->free;
    s->free = block;
    if (s->used-- == s->capacity) slab_link(s);
    if (s->used == 0 && (s->next || s->previous)) slab_retire(s);
}

/* --- what is larger ------------------------------------------------------------------------------------------ */

/* Blocks of middle size that were given back, each shelf for one size at a time: a loop that makes arrays and drops them
   finds there what the collector has just freed. */
#define MIDDLE ((size_t)64 << 10)
#define SHELVES 8
#define SHELF ((size_t)2 << 20) /* bytes on one, at most */

typedef struct shelf {
    size_t size, bytes; /* of a block; of all on it */
    void *first;        /* each begins with the address of the next */
} shelf;

static shelf shelves[SHELVES];

static inline shelf *shelf_of(size_t n) { return &shelves[n / STEP % SHELVES]; }

static void shelf_clear(shelf *s)
{
    while (s->first) {
        void *block = s->first;
        s->first = *(void **)block;
        free(block);
    }
    s->bytes = 0;
}

static inline void *shelf_take(size_t n)
{
    shelf *s = shelf_of(n);
    void *block = s->first;
    if (!block || s->size != n) return NULL;
    s->first = *(void **)block;
    s->bytes -= n;
    return block;
}

static void large_give(void *block, size_t n)
{
    shelf *s = shelf_of(n);
    bool other = s->size != n;
    if (n <= LARGEST || n > MIDDLE || (!other && s->bytes + n > SHELF)) {
        free(block);
        return;
    }
    if (other) {
        shelf_clear(s);
        s->size = n;
    }
    *(void **)block = s->first;
    s->first = block;
    s->bytes += n;
}

/* realloc, for which the shelves and spare slabs are given back when memory is short. */
static void *large(void *p, size_t n)
{
    void *block = realloc(p, n);
    if (block) return block;
    for (int i = 0; i < SHELVES; i++) shelf_clear(&shelves[i]);
    while (pool.spare) slab_strip();
    return realloc(p, n);
}

/* --- both ------------------------------------------------------------------------------------------------------ */

/* A block moves when it grows, or shrinks to a smaller size; it cannot fail to shrink. */
static void *block_move(void *p, size_t old, size_t new)
{
    if (pooled(p) && new <= slab_of(p)->size && (new + STEP > slab_of(p)->size || new >= old)) return p;
    void *to = new <= LARGEST ? block_take(new) : NULL;
    if (!to && new > old) to = large(NULL, new);
    if (!to) return new > old ? NULL : p;
    memcpy(to, p, old < new ? old : new);
    if (pooled(p)) block_give(p);
    else large_give(p, old);
    return to;
}

static void *pool_alloc(void *ud, void *p, size_t old, size_t new)
{
    (void)ud;
    if (!p) {
        if (new == 0) return NULL;
        void *block = new <= LARGEST ? block_take(new) : shelf_take(new);
        return block ? block : large(NULL, new);
    }
    if (new == 0) {
        if (pooled(p)) block_give(p);
        else large_give(p, old);
        return NULL;
    }
    return pooled(p) || new <= LARGEST ? block_move(p, old, new) : large(p, new);
}

static void pool_reserve(void)
{
    void *base = mmap(NULL, RANGE + SLAB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return;
    pool.base = (char *)(((uintptr_t)base + SLAB - 1) & ~(uintptr_t)(SLAB - 1));
    pool.taken = pool.opened = (RANGE / SLAB * sizeof(slab) + PIECE - 1) / PIECE * PIECE; /* what is known of slabs */
    if (!pool_open(0, pool.opened)) pool.base = NULL;
}

/* Large ones are arrays, and come and go by the thousand: what the collector frees is kept for the next, up to this,
   instead of going back to the system, which would hand it out again page by page. */
static void keep_large(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

void lm_usepool(lua_State *L)
{
    if (!pool.base) {
        pool_reserve();
        keep_large();
    }
    if (pool.base) lua_setallocf(L, pool_alloc, NULL);
}
