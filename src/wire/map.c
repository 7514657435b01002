#include "map.h"

#include <string.h>

#define SMALLEST 64
#define KEEP 32768 /* entries kept from one use to the next */

static bool map_new(lua_State *L, lm_map *m, size_t capacity)
{
    void *ud;
    lua_Alloc alloc = lua_getallocf(L, &ud);
    lm_entry *entries = alloc(ud, NULL, 0, capacity * sizeof(lm_entry));
    if (!entries) return false;
    memset(entries, 0, capacity * sizeof(lm_entry));
    *m = (lm_map){entries, capacity, 0, 1, 64};
    while (capacity >>= 1) m->shift--;
    return true;
}

void lm_mapfree(lua_State *L, lm_map *m)
{
    void *ud;
    lua_Alloc alloc = lua_getallocf(L, &ud);
    if (m->entries) alloc(ud, m->entries, m->capacity * sizeof(lm_entry), 0);
    *m = (lm_map){NULL, 0, 0, 0, 0};
}

bool lm_mapclear(lua_State *L, lm_map *m)
{
    if (m->capacity > KEEP) lm_mapfree(L, m);
    if (!m->entries) return map_new(L, m, SMALLEST);
    if (++m->generation == 1 << 16) {
        memset(m->entries, 0, m->capacity * sizeof(lm_entry));
        m->generation = 1;
    }
    m->used = 0;
    return true;
}

bool lm_mapgrow(lua_State *L, lm_map *m)
{
    lm_map larger;
    if (!map_new(L, &larger, m->capacity * 2)) return false;
    for (size_t i = 0; i < m->capacity; i++) {
        const lm_entry *e = &m->entries[i];
        if (!lm_mapheld(m, e)) continue;
        lm_entry *to = lm_mapfind(&larger, e->key);
        to->key = e->key;
        to->stamped = larger.generation << 48 | lm_mapnumber(e);
        larger.used++;
    }
    lm_mapfree(L, m);
    *m = larger;
    return true;
}
