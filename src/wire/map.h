/* A map from addresses to numbers: open addressing, emptied by counting up a generation, so that a small encoding
   never pays for an earlier large one. */
#ifndef LM_MAP_H
#define LM_MAP_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lm_entry {
    const void *key;
    uint64_t stamped; /* generation in the upper 16 bits, the number in the lower 48 */
} lm_entry;

typedef struct lm_map {
    lm_entry *entries; /* NULL until the first clearing */
    size_t capacity;   /* a power of two */
    size_t used;
    uint64_t generation; /* 1 to 65535 */
    int shift;
} lm_map;

/* Empties the map and makes it ready for use; false when memory is out. */
bool lm_mapclear(lua_State *L, lm_map *m);

void lm_mapfree(lua_State *L, lm_map *m);

/* Doubles the capacity; false when memory is out. */
bool lm_mapgrow(lua_State *L, lm_map *m);

/* The entry that holds the key, or the free one that lm_mapfill may fill with it. */
static inline lm_entry *lm_mapfind(const lm_map *m, const void *key)
{
    size_t i = (size_t)(((uintptr_t)key >> 9) * UINT64_C(0x9E3779B97F4A7C15) >> m->shift);
    i = (i & ~(size_t)7) | ((uintptr_t)key >> 6 & 7); /* objects that lie side by side share a cache line */
    for (;; i = (i + 1) & (m->capacity - 1)) {
        lm_entry *e = &m->entries[i];
        if (e->key == key || e->stamped >> 48 != m->generation) return e;
    }
}

static inline bool lm_mapheld(const lm_map *m, const lm_entry *e) { return e->stamped >> 48 == m->generation; }

static inline uint64_t lm_mapnumber(const lm_entry *e) { return e->stamped & ((UINT64_C(1) << 48) - 1); }

/* Invalidates other entries; false when memory is out. */
static inline bool lm_mapfill(lua_State *L, lm_map *m, lm_entry *e, const void *key, uint64_t number)
{
    e->key = key;
    e->stamped = m->generation << 48 | number;
    return ++m->used * 2 <= m->capacity || lm_mapgrow(L, m);
}

#endif
