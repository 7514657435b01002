/* Random numbers by counter: number k of (seed, stream) is a pure function of the three, so it is the same on any
   machine, any number of ranks and in any order of drawing. Philox4x64-10 of Random123; the counter's words are
   the block of four numbers, the stream, the rank and 0, the key's are the seed and 0. Without a seed the last word counts
   the calls. */
#include "clones.h"
#include "convert.h"
#include "stream.h"

#include <Random123/philox.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

typedef struct generator {
    philox4x64_key_t key;
    philox4x64_ctr_t counter; /* word 0 counts blocks of four */
} generator;

/* Multiplication without flags lets more blocks run at a time. */
#if defined __x86_64__ && !defined __clang__ && !defined __SANITIZE_ADDRESS__
#define BMI2_CLONES __attribute__((target_clones("bmi2", "default")))
#else
#define BMI2_CLONES
#endif

/* `blocks` blocks of four numbers from block `count` on. The rounds of Random123's philox4x64 on locals: with gcc 12 the
   library's own function keeps its state in memory from round to round, and takes more than twice the time. */
BMI2_CLONES static void draw_blocks(generator g, uint64_t count, uint64_t *to, int64_t blocks)
{
    for (; blocks > 0; blocks--, count++, to += 4) {
        uint64_t x0 = count, x1 = g.counter.v[1], x2 = g.counter.v[2], x3 = g.counter.v[3];
        uint64_t k0 = g.key.v[0], k1 = g.key.v[1];
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            unsigned __int128 p = (unsigned __int128)PHILOX_M4x64_0 * x0, q = (unsigned __int128)PHILOX_M4x64_1 * x2;
            x0 = (uint64_t)(q >> 64) ^ x1 ^ k0;
            x2 = (uint64_t)(p >> 64) ^ x3 ^ k1;
            x1 = (uint64_t)q;
            x3 = (uint64_t)p;
            k0 += PHILOX_W64_0;
            k1 += PHILOX_W64_1;
        }
        to[0] = x0;
        to[1] = x1;
        to[2] = x2;
        to[3] = x3;
    }
}

/* The `n` 64-bit numbers from number `first` on. */
static void draw(const generator *g, uint64_t first, uint64_t *to, int64_t n)
{
    uint64_t four[4], skip = first % 4;
    if (skip > 0 && n > 0) {
        int64_t m = n < 4 - (int64_t)skip ? n : 4 - (int64_t)skip;
        draw_blocks(*g, first / 4, four, 1);
        memcpy(to, four + skip, (size_t)m * sizeof *to);
        to += m;
        n -= m;
        first += 4;
    }
    draw_blocks(*g, first / 4, to, n / 4);
    if (n % 4 == 0) return;
    draw_blocks(*g, first / 4 + (uint64_t)(n / 4), four, 1);
    memcpy(to + n / 4 * 4, four, (size_t)(n % 4) * sizeof *to);
}

enum { UNIFORM, NORMAL, INTEGERS, PERMUTATION, DISTRIBUTIONS };

typedef struct distribution {
    const char *name;
    int kind;
    lm_dtype dtype; /* by default */
    void (*shape)(lm_element *to, const uint64_t *from, int64_t m, const struct distribution *d);
    double low, high; /* uniform: the interval; normal: mean and standard deviation */
    lua_Integer from; /* integers */
    uint64_t span;    /* of them, 0 for all 2^64 */
    uint64_t mask;    /* uniform: the bits that the dtype holds, so that no rounding reaches 1 */
} distribution;

/* The upper 53 bits as a number from 0 up to but not 1: (x >> 11) · 2^-53. The halves become doubles as mantissas of
   2^52 and 2^84, which vector units do that cannot convert 64-bit integers; every step is exact. */
static inline double unit(uint64_t x)
{
    lm_element low = {.u = (x >> 11 & 0xffffffff) | 0x4330000000000000}, high = {.u = x >> 43 | 0x4530000000000000};
    return ((high.f - 0x1.00000001p84) + low.f) * 0x1p-53;
}

LM_CLONES static void shape_uniform(lm_element *to, const uint64_t *from, int64_t m, const distribution *d)
{
    if (d->low == 0 && d->high == 1)
        for (int64_t i = 0; i < m; i++) to[i].f = unit(from[i] & d->mask);
    else
        for (int64_t i = 0; i < m; i++) to[i].f = d->low + (d->high - d->low) * unit(from[i] & d->mask);
}

/* Box and Muller: two uniform numbers give two normal ones. */
static void shape_normal(lm_element *to, const uint64_t *from, int64_t m, const distribution *d)
{
    for (int64_t i = 0; i + 1 < m; i += 2) {
        double r = sqrt(-2 * log(1 - unit(from[i]))), angle = 2 * 3.14159265358979323846 * unit(from[i + 1]);
        to[i].f = d->low + d->high * r * cos(angle);
        to[i + 1].f = d->low + d->high * r * sin(angle);
    }
}

/* High half of the product: the bias is below span / 2^64. */
static void shape_integers(lm_element *to, const uint64_t *from, int64_t m, const distribution *d)
{
    for (int64_t i = 0; i < m; i++)
        to[i].u = (uint64_t)d->from + (d->span ? (uint64_t)(((unsigned __int128)from[i] * d->span) >> 64) : from[i]);
}

static const distribution distributions[DISTRIBUTIONS] = {
    {"uniform", UNIFORM, LM_FLOAT64, shape_uniform, 0, 1, 0, 0, UINT64_MAX},
    {"normal", NORMAL, LM_FLOAT64, shape_normal, 0, 1, 0, 0, 0},
    {"integers", INTEGERS, LM_INT64, shape_integers, 0, 0, 0, 0, 0},
    {"permutation", PERMUTATION, LM_INT64, NULL, 0, 0, 0, 0, 0},
};

#define CHUNK 1024

/* Fills the array: element k is made of number first + k; normal numbers come in pairs from an even number on. */
static void fill_random(lm_array *a, generator g, uint64_t first, const distribution *d)
{
    uint64_t drawn[CHUNK];
    lm_element made[CHUNK];
    size_t size = lm_dtypes[a->dtype].size;
    for (int64_t at = 0, n; at < a->size; at += n) {
        char *to = a->data + (size_t)at * size;
        int odd = (first + (uint64_t)at) % 2;
        n = a->size - at < CHUNK - odd ? a->size - at : CHUNK - odd;
        int64_t pairs = (odd + n + 1) / 2 * 2;
        bool direct = d->dtype == a->dtype && pairs == n;
        bool stream = direct && lm_bytes(a) >= LM_STREAM && (uintptr_t)to % 16 == 0;
        draw(&g, first + (uint64_t)at - (uint64_t)odd, drawn, pairs);
        d->shape(direct && !stream ? (lm_element *)to : made, drawn, pairs, d);
        if (stream) lm_stream(to, made, (size_t)n * size);
        else if (!direct) lm_casts[a->dtype][d->dtype](to, 1, made + odd, 1, n);
    }
    lm_endstream();
}

/* 1 … n in random order: Fisher and Yates. */
static void fill_permutation(int64_t *p, int64_t n, generator g, uint64_t first)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t x;
        draw(&g, first + (uint64_t)i, &x, 1);
        int64_t j = (int64_t)(((unsigned __int128)x * (uint64_t)(i + 1)) >> 64);
        p[i] = p[j];
        p[j] = i + 1;
    }
}

static lua_Integer option_integer(lua_State *L, const char *name, lua_Integer otherwise)
{
    int whole = 1;
    if (lua_getfield(L, 2, name) != LUA_TNIL) otherwise = lua_tointegerx(L, -1, &whole);
    if (!whole) luaL_argerror(L, 2, lua_pushfstring(L, "option %s is a %s, expected an integer", name, luaL_typename(L, -1)));
    lua_pop(L, 1);
    return otherwise;
}

static double option_number(lua_State *L, const char *name, double otherwise)
{
    int number = 1;
    if (lua_getfield(L, 2, name) != LUA_TNIL) otherwise = lua_tonumberx(L, -1, &number);
    if (!number) luaL_argerror(L, 2, lua_pushfstring(L, "option %s is a %s, expected a number", name, luaL_typename(L, -1)));
    lua_pop(L, 1);
    return otherwise;
}

/* The distribution named by the options at 2, its parameters read. */
static distribution option_distribution(lua_State *L)
{
    int i = 0;
    if (lua_getfield(L, 2, "dist") != LUA_TNIL) {
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
        while (i < DISTRIBUTIONS && strcmp(name, distributions[i].name)) i++;
        if (i == DISTRIBUTIONS)
            luaL_argerror(L, 2, lua_pushfstring(L, "unknown dist '%s'; known are: uniform normal integers permutation",
                                                name));
    }
    lua_pop(L, 1);
    distribution d = distributions[i];
    if (d.kind == UNIFORM) {
        d.low = option_number(L, "low", 0);
        d.high = option_number(L, "high", 1);
    } else if (d.kind == NORMAL) {
        d.low = option_number(L, "mean", 0);
        d.high = option_number(L, "std", 1);
    } else if (d.kind == INTEGERS) {
        d.from = option_integer(L, "low", 1);
        if (lua_getfield(L, 2, "high") == LUA_TNIL) luaL_argerror(L, 2, "dist='integers' needs the option high");
        lua_pop(L, 1);
        lua_Integer high = option_integer(L, "high", 0);
        if (high < d.from)
            luaL_argerror(L, 2, lua_pushfstring(L, "no integer lies between low %I and high %I", d.from, high));
        d.span = (uint64_t)high - (uint64_t)d.from + 1;
    }
    return d;
}

/* Without a seed: one from the system for the process, and other numbers for every call. */
static void system_seed(generator *g)
{
    static uint64_t seed, calls;
    static pid_t owner;
    if (owner != getpid()) (void)!getrandom(&seed, sizeof seed, 0);
    owner = getpid();
    g->key.v[0] = seed;
    g->key.v[1] = 1;
    g->counter.v[3] = calls++;
}

static int random_random(lua_State *L)
{
    static const char *const known[] = {"seed", "stream", "dist", "dtype", "offset", "comm",
                                        "low",  "high",   "mean", "std",   NULL};
    lua_settop(L, 2);
    int64_t shape[LM_MAXDIM];
    int ndim = lm_checkshape(L, 1, shape);
    lm_checkoptions(L, 2, known);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    generator g = {{{0, 0}}, {{0, 0, 0, 0}}};
    distribution d = option_distribution(L);
    lua_Integer offset = option_integer(L, "offset", 0);
    if (offset < 0) return luaL_argerror(L, 2, lua_pushfstring(L, "offset is %I, expected 0 or more", offset));
    if (lua_getfield(L, 2, "seed") == LUA_TNIL) system_seed(&g);
    else g.key.v[0] = (uint64_t)option_integer(L, "seed", 0);
    if (lua_getfield(L, 2, "stream") != LUA_TNIL) g.counter.v[1] = (uint64_t)option_integer(L, "stream", 0);
    if (lua_getfield(L, 2, "comm") != LUA_TNIL) {
        lua_getfield(L, -1, "rank");
        lua_insert(L, -2);
        lua_call(L, 1, 1);
        g.counter.v[2] = (uint64_t)luaL_checkinteger(L, -1) + 1;
    }
    lua_getfield(L, 2, "dtype");
    lm_dtype dtype = lm_checkdtype(L, lua_gettop(L), d.dtype);
    if (d.kind != PERMUTATION) {
        if (lm_dtypes[d.dtype].kind == 'f' && lm_dtypes[dtype].kind != 'f')
            return luaL_argerror(L, 2, lua_pushfstring(L, "%s numbers are floats, not %s", d.name, lm_dtypes[dtype].name));
        if (dtype == LM_FLOAT32) d.mask = UINT64_MAX << 40;
        lm_array *a = lm_newarray(L, dtype, ndim, shape);
        fill_random(a, g, (uint64_t)offset, &d);
        return 1;
    }
    lm_array *a = lm_newarray(L, LM_INT64, ndim, shape);
    fill_permutation((int64_t *)a->data, a->size, g, (uint64_t)offset);
    if (dtype != LM_INT64) lm_newcopy(L, lua_gettop(L), dtype);
    return 1;
}

const luaL_Reg lm_randomfunctions[] = {{"random", random_random}, {NULL, NULL}};
