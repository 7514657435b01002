#include "array.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const lm_kind lm_array_kind = {"mpi.array", sizeof(lm_array)};

#define ALIGNMENT 64

/* --- memory --------------------------------------------------------------------------------------------- */

lm_array *lm_checkarray(lua_State *L, int arg)
{
    lm_array *a = lm_toarray(L, arg);
    if (!a) a = lm_check(L, arg, &lm_array_kind);
    if (!a->block->data) luaL_argerror(L, arg, "the array's memory was freed");
    return a;
}

/* The collector begins anew when the heap has grown by so many percent (Lua's own number is 200, for twice). A small
   heap full of arrays would be marked every dozen arrays: there it may grow to ten times its size. */
#define SMALL_HEAP 1024 /* KiB */
#define PAUSE_SMALL 1000
#define PAUSE_LARGE 200

/* Sets the collector's pause by the size of the heap, unless the script has set one itself. */
static void pace_collector(lua_State *L)
{
    static int set = PAUSE_LARGE;
    /* garbage is in the count: a small heap is one until it has grown as far as it may */
    int limit = set == PAUSE_SMALL ? SMALL_HEAP * (PAUSE_SMALL / 100) : SMALL_HEAP;
    int wanted = lua_gc(L, LUA_GCCOUNT) < limit ? PAUSE_SMALL : PAUSE_LARGE;
    if (wanted == set) return;
    int was = lua_gc(L, LUA_GCSETPAUSE, wanted);
    if (was == set) set = wanted;
    else lua_gc(L, LUA_GCSETPAUSE, was);
}

/* From here on memory is asked for in huge pages: first use then costs one page fault for 512. */
#define HUGE_FROM (INT64_C(4) << 20)

/* madvise for the whole pages inside the block. */
static void advise(const lm_block *block, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)block->data + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)block->data + block->bytes) & ~(page - 1);
    if (from < to) madvise((void *)from, to - from, advice);
}

/* Shape and row-major strides; the caller knows that the size does not overflow. */
static void set_shape(lm_array *a, lm_dtype dtype, int ndim, const int64_t *shape)
{
    a->dtype = dtype;
    a->ndim = (unsigned char)ndim;
    a->contiguous = true;
    a->size = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        a->shape[d] = shape[d];
        a->stride[d] = a->size;
        a->size *= shape[d];
    }
}

lm_array *lm_newarray(lua_State *L, lm_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t bytes = lm_dtypes[dtype].size;
    for (int d = 0; d < ndim; d++)
        if (shape[d] < 0 || __builtin_mul_overflow(bytes, shape[d], &bytes)) luaL_error(L, "not enough memory");
    if (bytes > PTRDIFF_MAX / 2) luaL_error(L, "not enough memory");
    pace_collector(L);
    lm_array *a = lua_newuserdatauv(L, sizeof(lm_array) + sizeof(lm_block) + ALIGNMENT + (size_t)bytes, 0);
    lm_block *block = (lm_block *)(a + 1);
    uintptr_t behind = (uintptr_t)(block + 1);
    uintptr_t aligned = (behind + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
    *block = (lm_block){.data = (char *)aligned, .bytes = (size_t)bytes};
    a->kind = &lm_array_kind;
    a->block = block;
    a->data = block->data;
    set_shape(a, dtype, ndim, shape);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &lm_array_kind);
    lua_setmetatable(L, -2);
    if (bytes >= HUGE_FROM) advise(block, MADV_HUGEPAGE);
    return a;
}

lm_array *lm_newover(lua_State *L, int index, lm_block *block, lm_dtype dtype, int ndim, const int64_t *shape)
{
    index = lua_absindex(L, index);
    lm_array *a = lm_new(L, &lm_array_kind, 1);
    a->block = block;
    a->data = block->data;
    set_shape(a, dtype, ndim, shape);
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
    return a;
}

lm_array *lm_newview(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    const lm_array *a = lm_toarray(L, index);
    lm_array *view = lm_new(L, &lm_array_kind, 1);
    *view = *a;
    if (a->block == (const lm_block *)(a + 1)) lua_pushvalue(L, index);
    else lua_getiuservalue(L, index, 1);
    lua_setiuservalue(L, -2, 1);
    return view;
}

void lm_settle(lm_array *a)
{
    int64_t size = 1;
    a->contiguous = true;
    for (int d = a->ndim - 1; d >= 0; d--) {
        if (a->shape[d] != 1 && a->stride[d] != size) a->contiguous = false;
        size *= a->shape[d];
    }
    a->size = size;
    if (size == 0) a->contiguous = true;
}

void lm_free(lua_State *L, lm_block *block)
{
    if (!block->data) return;
    if (block->flights) luaL_error(L, "the array is in use by a request that is not complete");
    if (block->mapped) {
        /* zeros take the file's place, for whoever is still on the way to the memory */
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)block->data & ~(page - 1);
        mmap((void *)from, (uintptr_t)block->data + block->bytes - from, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    } else {
        advise(block, MADV_DONTNEED);
    }
    block->data = NULL;
    block->guarded = true;
}

/* --- shapes --------------------------------------------------------------------------------------------- */

int lm_checkshape(lua_State *L, int arg, int64_t *shape)
{
    int ndim = 1;
    if (lua_type(L, arg) == LUA_TTABLE) {
        lua_Unsigned n = lua_rawlen(L, arg);
        if (n > LM_MAXDIM)
            luaL_argerror(L, arg, lua_pushfstring(L, "%I dimensions, at most %d are possible", (lua_Integer)n, LM_MAXDIM));
        ndim = (int)n;
    } else if (!lua_isnumber(L, arg)) {
        luaL_typeerror(L, arg, "shape: an integer or a list of integers");
    }
    for (int d = 0; d < ndim; d++) {
        if (lua_type(L, arg) == LUA_TTABLE) lua_rawgeti(L, arg, d + 1);
        else lua_pushvalue(L, arg);
        int whole;
        shape[d] = lua_tointegerx(L, -1, &whole);
        if (!whole || shape[d] < 0) {
            const char *got = luaL_tolstring(L, -1, NULL);
            luaL_argerror(L, arg, lua_pushfstring(L, "dimension %d of the shape is %s, expected an integer from 0",
                                                  d + 1, got));
        }
        lua_pop(L, 1);
    }
    return ndim;
}

int lm_checkaxis(lua_State *L, int arg, const lm_array *a)
{
    if (lua_isnoneornil(L, arg)) return -1;
    lua_Integer axis = lm_checkinteger(L, arg, "axis");
    if (axis < 1 || axis > a->ndim)
        luaL_argerror(L, arg, lua_pushfstring(L, "axis %I is out of range 1 to %d", axis, a->ndim));
    return (int)axis - 1;
}

const char *lm_pushshape(lua_State *L, int ndim, const int64_t *shape)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addchar(&b, '(');
    for (int d = 0; d < ndim; d++) {
        char *room = luaL_prepbuffsize(&b, 32);
        luaL_addsize(&b, (size_t)snprintf(room, 32, "%s%" PRId64, d ? ", " : "", shape[d]));
    }
    luaL_addchar(&b, ')');
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

/* --- packing -------------------------------------------------------------------------------------------- */

static void copy_elements(char *to, int64_t tostride, const char *from, int64_t fromstride, int64_t n, size_t size)
{
    if (tostride == 1 && fromstride == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    /* packed memory need not be aligned: memcpy of a known size is a move */
#define COPY(type) \
    for (int64_t i = 0; i < n; i++) \
        memcpy(to + i * tostride * (int64_t)sizeof(type), from + i * fromstride * (int64_t)sizeof(type), sizeof(type))
    switch (size) {
    case 1: COPY(uint8_t); break;
    case 2: COPY(uint16_t); break;
    case 4: COPY(uint32_t); break;
    default: COPY(uint64_t); break;
    }
#undef COPY
}

/* Copies dimension d and those behind it between the array and packed memory; returns the packed end. */
static char *copy_dimension(const lm_array *a, int d, char *data, char *packed, bool pack)
{
    size_t size = lm_dtypes[a->dtype].size;
    if (d >= a->ndim - 1) {
        int64_t n = a->ndim ? a->shape[d] : 1, stride = a->ndim ? a->stride[d] : 1;
        if (pack) copy_elements(packed, 1, data, stride, n, size);
        else copy_elements(data, stride, packed, 1, n, size);
        return packed + (size_t)n * size;
    }
    for (int64_t i = 0; i < a->shape[d]; i++)
        packed = copy_dimension(a, d + 1, data + i * a->stride[d] * (int64_t)size, packed, pack);
    return packed;
}

void lm_pack(const lm_array *a, void *to)
{
    if (a->size == 0) return;
    if (a->contiguous) memcpy(to, a->data, lm_bytes(a));
    else copy_dimension(a, 0, a->data, to, true);
}

void lm_unpack(lm_array *a, const void *from)
{
    if (a->size == 0) return;
    if (a->contiguous) memcpy(a->data, from, lm_bytes(a));
    else copy_dimension(a, 0, a->data, (char *)from, false);
}

/* --- memory in use by requests -------------------------------------------------------------------------- */

/* The interval of memory the array's elements lie in. */
static void array_extent(const lm_array *a, const char **from, const char **to)
{
    int64_t low = 0, high = 0;
    for (int d = 0; d < a->ndim; d++) {
        int64_t last = (a->shape[d] - 1) * a->stride[d];
        if (last < 0) low += last;
        else high += last;
    }
    int64_t size = lm_dtypes[a->dtype].size;
    *from = a->data + low * size;
    *to = a->size ? a->data + (high + 1) * size : *from;
}

static int64_t divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* The column in which the elements of an array begin when memory is read in rows of so many elements, and how many lie
   between that and the one in which they end. */
static int64_t array_column(const lm_array *a, int64_t row, int64_t *width)
{
    int64_t first = 0;
    *width = 0;
    for (int d = 0; d < a->ndim; d++) {
        int64_t last = a->stride[d] % row ? (a->shape[d] - 1) * a->stride[d] : 0;
        if (last < 0) first += last;
        *width += last < 0 ? -last : last;
    }
    return first;
}

/* Whether the two lie in different columns of rows of that length. */
static bool apart_in_rows(const lm_array *a, const lm_array *b, int64_t row)
{
    int64_t width, other_width, distance = (b->data - a->data) / lm_dtypes[a->dtype].size;
    if (row < 2) return false;
    distance -= array_column(a, row, &width);
    distance = (distance + array_column(b, row, &other_width)) % row;
    if (distance < 0) distance += row;
    return distance > width && distance + other_width < row;
}

static bool apart_in_rows_of(const lm_array *strides, const lm_array *a, const lm_array *b)
{
    for (int d = 0; d < strides->ndim; d++)
        if (strides->shape[d] > 1 && apart_in_rows(a, b, strides->stride[d] < 0 ? -strides->stride[d] : strides->stride[d])) return true;
    return false;
}

bool lm_overlap(const lm_array *a, const lm_array *b)
{
    const char *from, *to, *other_from, *other_to;
    if (a->block != b->block || a->size == 0 || b->size == 0) return false;
    array_extent(a, &from, &to);
    array_extent(b, &other_from, &other_to);
    if (from >= other_to || other_from >= to) return false;
    if (apart_in_rows_of(a, a, b) || apart_in_rows_of(b, a, b)) return false;
    /* every other element: each step is a multiple of what the distance is not */
    int64_t step = 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] > 1) step = divisor(step, a->stride[d]);
    for (int d = 0; d < b->ndim; d++)
        if (b->shape[d] > 1) step = divisor(step, b->stride[d]);
    return step == 0 || (b->data - a->data) / lm_dtypes[a->dtype].size % step == 0;
}

bool lm_tangled(const lm_array *a, const lm_array *b)
{
    bool same = a->data == b->data && a->dtype == b->dtype && a->ndim == b->ndim &&
                !memcmp(a->shape, b->shape, a->ndim * sizeof *a->shape) &&
                !memcmp(a->stride, b->stride, a->ndim * sizeof *a->stride);
    return !same && lm_overlap(a, b);
}

const char *lm_unusable(const lm_array *a, bool writing)
{
    if (!a->block->data) return "the array's memory was freed";
    if (writing && a->block->mapped) return "the array is a file's memory (mmap=true) and cannot be written";
    if (!a->block->flights) return NULL;
    for (const lm_flight *f = a->block->flights; f; f = f->next)
        if ((f->receiving || writing) && lm_overlap(a, f->array))
            return f->receiving ? "the array is being received into by a request that is not complete"
                                : "the array is being sent by a request that is not complete";
    return NULL;
}

void lm_checkwrite(lua_State *L, const lm_array *a)
{
    if (!a->block->guarded) return;
    const char *why = lm_unusable(a, true);
    if (why) luaL_error(L, "%s", why);
}

void lm_claim(lua_State *L, const lm_array *a, lm_flight *flight, bool receiving)
{
    const char *why = lm_unusable(a, receiving);
    if (why) luaL_error(L, "%s", why);
    flight->array = a;
    flight->receiving = receiving;
    flight->next = a->block->flights;
    a->block->flights = flight;
    a->block->guarded = true;
}

void lm_release(lm_block *block, lm_flight *flight)
{
    lm_flight **f = &block->flights;
    while (*f && *f != flight) f = &(*f)->next;
    if (*f) *f = flight->next;
    block->guarded = block->flights || block->mapped || !block->data;
}
