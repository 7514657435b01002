/* Reductions: many elements to one, over all of the array or along one axis. Elements reach a reduction in runs of
   one of three working types (double, int64_t, uint64_t), gathered and converted on the way where need be. */
#include "clones.h"
#include "convert.h"
#include "loop.h"

#include <math.h>
#include <string.h>

enum { DOUBLES, SIGNED, UNSIGNED, WORKING };

static const lm_dtype working_dtype[WORKING] = {LM_FLOAT64, LM_INT64, LM_UINT64};

/* Sums of blocks are the leaves of a binary tree, so the rounding error grows with the tree's height only: bit k of
   `blocks` says that part[k] holds the sum of 2^k of them. */
typedef struct accumulator {
    int64_t count, position; /* elements so far; where the extremum was */
    uint64_t blocks;
    double part[48], mean;
    lm_element v;
} accumulator;

typedef void feeder(accumulator *acc, const void *run, int64_t n);
typedef void finisher(accumulator *acc, int working);

/* --- sums ----------------------------------------------------------------------------------------------- */

#define LANES 16
#define BLOCK 128

static void push_block(accumulator *acc, double sum)
{
    int level = 0;
    for (uint64_t b = acc->blocks++; b & 1; b >>= 1) sum += acc->part[level++];
    acc->part[level] = sum;
}

static void sum_blocks(accumulator *acc)
{
    acc->v.f = 0;
    for (int level = 0; acc->blocks >> level; level++)
        if (acc->blocks >> level & 1) acc->v.f += acc->part[level];
}

/* Sum of `term` over x = run[0 … n), block by block. */
#define SUM_DOUBLES(term) \
    const double *run = from; \
    for (; n > 0; n -= BLOCK, run += BLOCK) { \
        double s[LANES] = {0}; \
        int64_t m = n < BLOCK ? n : BLOCK, i = 0; \
        for (; i + LANES <= m; i += LANES) \
            for (int j = 0; j < LANES; j++) { \
                double x = run[i + j]; \
                s[j] += term; \
            } \
        for (int j = 0; i < m; i++, j++) { \
            double x = run[i]; \
            s[j] += term; \
        } \
        for (int width = LANES / 2; width; width /= 2) \
            for (int j = 0; j < width; j++) s[j] += s[j + width]; \
        push_block(acc, s[0]); \
    }

LM_CLONES static void sum_doubles(accumulator *acc, const void *from, int64_t n)
{
    acc->count += n;
    SUM_DOUBLES(x)
}

LM_CLONES static void squares_doubles(accumulator *acc, const void *from, int64_t n)
{
    double mean = acc->mean;
    SUM_DOUBLES((x - mean) * (x - mean))
}

LM_CLONES static void sum_whole(accumulator *acc, const void *from, int64_t n)
{
    const uint64_t *run = from;
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += run[i];
    acc->v.u += sum;
    acc->count += n;
}

static void finish_sum(accumulator *acc, int working)
{
    if (working == DOUBLES) sum_blocks(acc);
}

static void finish_mean(accumulator *acc, int working)
{
    (void)working;
    sum_blocks(acc);
    acc->v.f /= (double)acc->count;
}

/* After the first pass: the mean is known, the squares' sum begins. */
static void turn_mean(accumulator *acc, int working)
{
    finish_mean(acc, working);
    acc->mean = acc->v.f;
    acc->blocks = 0;
}

static void finish_std(accumulator *acc, int working)
{
    finish_mean(acc, working);
    acc->v.f = sqrt(acc->v.f);
}

/* --- products ------------------------------------------------------------------------------------------- */

static void prod_doubles(accumulator *acc, const void *from, int64_t n)
{
    const double *run = from;
    double p = acc->count ? acc->v.f : 1;
    for (int64_t i = 0; i < n; i++) p *= run[i];
    acc->v.f = p;
    acc->count += n;
}

static void prod_whole(accumulator *acc, const void *from, int64_t n)
{
    const uint64_t *run = from;
    uint64_t p = acc->count ? acc->v.u : 1;
    for (int64_t i = 0; i < n; i++) p *= run[i];
    acc->v.u = p;
    acc->count += n;
}

static void finish_prod(accumulator *acc, int working)
{
    if (acc->count) return;
    if (working == DOUBLES) acc->v.f = 1;
    else acc->v.u = 1;
}

/* --- extrema -------------------------------------------------------------------------------------------- */

/* The first NaN is the extremum, as in NumPy. Finds the run's extremum in lanes, then, when it is a new one and the
   place is asked for, its first place. The lanes are vectors: a mask chooses where a condition would branch. */
typedef double doubles __attribute__((vector_size(32)));
typedef int64_t signeds __attribute__((vector_size(32)));
typedef uint64_t unsigneds __attribute__((vector_size(32)));
#define VECTORS 4 /* of four elements, so that none waits for the one before it */

#define EXTREMUM(name, type, vector, field, better) \
    LM_CLONES static type extreme_##name(const type *run, int64_t n) \
    { \
        type one = run[0]; \
        int64_t i = 0; \
        if (n >= 4 * VECTORS) { \
            vector best[VECTORS], x; \
            memcpy(best, run, sizeof best); \
            for (; i + 4 * VECTORS <= n; i += 4 * VECTORS) \
                for (int k = 0; k < VECTORS; k++) { \
                    memcpy(&x, run + i + 4 * k, sizeof x); \
                    signeds take = (signeds)(x better best[k]) | (signeds)(x != x); \
                    best[k] = (vector)(((signeds)x & take) | ((signeds)best[k] & ~take)); \
                } \
            for (int k = 0; k < 4 * VECTORS; k++) { \
                type y = best[k / 4][k % 4]; \
                one = ((y better one) | (y != y)) ? y : one; \
            } \
        } \
        for (; i < n; i++) one = ((run[i] better one) | (run[i] != run[i])) ? run[i] : one; \
        return one; \
    } \
    static void feed_##name(accumulator *acc, const void *from, int64_t n) \
    { \
        type x = extreme_##name(from, n); \
        if (!acc->count || x better acc->v.field || (x != x && acc->v.field == acc->v.field)) acc->v.field = x; \
        acc->count += n; \
    } \
    static void place_##name(accumulator *acc, const void *from, int64_t n) \
    { \
        const type *run = from; \
        type x = extreme_##name(run, n); \
        if (!acc->count || x better acc->v.field || (x != x && acc->v.field == acc->v.field)) { \
            int64_t i = 0; /* x is there, unless another process has changed a mapped file since */ \
            while (i < n - 1 && run[i] != x && run[i] == run[i]) i++; \
            acc->v.field = x; \
            acc->position = acc->count + i + 1; \
        } \
        acc->count += n; \
    }
EXTREMUM(min_doubles, double, doubles, f, <)
EXTREMUM(max_doubles, double, doubles, f, >)
EXTREMUM(min_signed, int64_t, signeds, i, <)
EXTREMUM(max_signed, int64_t, signeds, i, >)
EXTREMUM(min_unsigned, uint64_t, unsigneds, u, <)
EXTREMUM(max_unsigned, uint64_t, unsigneds, u, >)

static void finish_place(accumulator *acc, int working)
{
    (void)working;
    acc->v.i = acc->position;
}


/* --- any and all: how many are not zero ----------------------------------------------------------------- */

#define NONZERO(name, type) \
    LM_CLONES static void nonzero_##name(accumulator *acc, const void *from, int64_t n) \
    { \
        const type *run = from; \
        int64_t found = 0; \
        for (int64_t i = 0; i < n; i++) found += run[i] != 0; \
        acc->v.i += found; \
        acc->count += n; \
    }
NONZERO(doubles, double)
NONZERO(whole, uint64_t)

static void finish_any(accumulator *acc, int working)
{
    (void)working;
    acc->v.i = acc->v.i > 0;
}

static void finish_all(accumulator *acc, int working)
{
    (void)working;
    acc->v.i = acc->v.i == acc->count;
}


/* --- the reductions ------------------------------------------------------------------------------------- */

enum { SAME, WIDE, FLOAT, PLACE, TRUTH }; /* the result's dtype */

typedef struct reduction {
    const char *name;
    int result;
    bool needs_elements;
    feeder *feed[WORKING];
    finisher *finish; /* NULL: the accumulator's value is the result */
    feeder *again;    /* a second pass over the same runs, of doubles */
    finisher *turn;   /* between the two */
} reduction;

#define FEEDERS(name) {name##_doubles, name##_signed, name##_unsigned}

static const reduction reductions[] = {
    {"sum", WIDE, false, {sum_doubles, sum_whole, sum_whole}, finish_sum, NULL, NULL},
    {"prod", WIDE, false, {prod_doubles, prod_whole, prod_whole}, finish_prod, NULL, NULL},
    {"min", SAME, true, FEEDERS(feed_min), NULL, NULL, NULL},
    {"max", SAME, true, FEEDERS(feed_max), NULL, NULL, NULL},
    {"argmin", PLACE, true, FEEDERS(place_min), finish_place, NULL, NULL},
    {"argmax", PLACE, true, FEEDERS(place_max), finish_place, NULL, NULL},
    {"any", TRUTH, false, {nonzero_doubles, nonzero_whole, nonzero_whole}, finish_any, NULL, NULL},
    {"all", TRUTH, false, {nonzero_doubles, nonzero_whole, nonzero_whole}, finish_all, NULL, NULL},
    {"mean", FLOAT, false, {sum_doubles}, finish_mean, NULL, NULL},
    {"var", FLOAT, false, {sum_doubles}, finish_mean, squares_doubles, turn_mean},
    {"std", FLOAT, false, {sum_doubles}, finish_std, squares_doubles, turn_mean},
};

static lm_dtype result_dtype(const reduction *r, lm_dtype dtype)
{
    char kind = lm_dtypes[dtype].kind;
    switch (r->result) {
    case SAME: return dtype;
    case WIDE: return kind == 'f' ? dtype : kind == 'i' ? LM_INT64 : LM_UINT64;
    case FLOAT: return LM_FLOAT64;
    case PLACE: return LM_INT64;
    default: return LM_UINT8;
    }
}

static int working_type(const reduction *r, lm_dtype dtype)
{
    char kind = lm_dtypes[dtype].kind;
    return r->result == FLOAT || kind == 'f' ? DOUBLES : kind == 'i' ? SIGNED : UNSIGNED;
}

/* The dtype of what finish leaves in the accumulator. */
static lm_dtype finished_dtype(const reduction *r, int working)
{
    return r->result == PLACE || r->result == TRUTH ? LM_INT64 : working_dtype[working];
}

#define CHUNK 1024

typedef struct feeding {
    accumulator *acc;
    feeder *feed;
    lm_dtype from, to;
} feeding;

/* Hands a strided run on as contiguous pieces of the working type. */
static void feed_run(void *context, char *data[], const int64_t stride[], int64_t n)
{
    const feeding *f = context;
    if (f->from == f->to && stride[0] == 1) {
        f->feed(f->acc, data[0], n);
        return;
    }
    lm_element piece[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        lm_casts[f->to][f->from](piece, 1, data[0] + i * stride[0] * lm_dtypes[f->from].size, stride[0], m);
        f->feed(f->acc, piece, m);
    }
}

/* All elements; row-major where their places matter, else in the order of memory. */
static void feed_all(const lm_array *a, feeding *f, bool ordered)
{
    lm_loop loop;
    if (ordered) lm_loopordered(&loop, a);
    else lm_loopset(&loop, a->ndim, a->shape, 1, (const lm_array *[]){a});
    lm_looprun(&loop, feed_run, f);
}

static void reduce_all(const lm_array *a, const reduction *r, int w, accumulator *acc)
{
    memset(acc, 0, sizeof *acc);
    feeding f = {acc, r->feed[w], a->dtype, working_dtype[w]};
    feed_all(a, &f, r->result == PLACE);
    if (r->again) {
        r->turn(acc, w);
        f.feed = r->again;
        feed_all(a, &f, false);
    }
    if (r->finish) r->finish(acc, w);
}

/* --- along an axis -------------------------------------------------------------------------------------- */

#define COLUMNS 16
#define ROWS 256

typedef struct reducing {
    const reduction *r;
    int w;
    int64_t n, stride; /* along the axis */
    lm_dtype from, to;
} reducing;

/* `m` neighbouring results at once: pieces of the rows they lie in are turned into columns. */
static void feed_columns(const reducing *c, const char *data, int64_t between, int64_t m, accumulator *acc, feeder *feed)
{
    lm_element columns[COLUMNS][ROWS];
    size_t size = lm_dtypes[c->from].size;
    lm_castfn *cast = lm_casts[working_dtype[c->w]][c->from];
    for (int64_t row = 0; row < c->n; row += ROWS) {
        int64_t rows = c->n - row < ROWS ? c->n - row : ROWS;
        const char *at = data + row * c->stride * (int64_t)size;
        if (c->stride <= between)
            for (int64_t k = 0; k < m; k++) cast(columns[k], 1, at + k * between * (int64_t)size, c->stride, rows);
        else
            for (int64_t i = 0; i < rows; i++) cast(&columns[0][i], ROWS, at + i * c->stride * (int64_t)size, between, m);
        for (int64_t k = 0; k < m; k++) feed(&acc[k], columns[k], rows);
    }
}

/* Operand 0 is the result, operand 1 the array's elements at the axis's beginning. */
static void reduce_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    const reducing *c = context;
    accumulator acc[COLUMNS];
    for (int64_t i = 0; i < n; i += COLUMNS) {
        int64_t m = n - i < COLUMNS ? n - i : COLUMNS;
        const char *from = data[1] + i * stride[1] * lm_dtypes[c->from].size;
        memset(acc, 0, sizeof *acc * (size_t)m);
        feed_columns(c, from, stride[1], m, acc, c->r->feed[c->w]);
        for (int64_t k = 0; k < m && c->r->again; k++) c->r->turn(&acc[k], c->w);
        if (c->r->again) feed_columns(c, from, stride[1], m, acc, c->r->again);
        for (int64_t k = 0; k < m; k++) {
            char *to = data[0] + (i + k) * stride[0] * lm_dtypes[c->to].size;
            if (c->r->finish) c->r->finish(&acc[k], c->w);
            lm_casts[c->to][finished_dtype(c->r, c->w)](to, 1, &acc[k].v, 1, 1);
        }
    }
}

/* Makes `a` a header without the axis. */
static void drop_axis(lm_array *a, int axis)
{
    a->ndim--;
    memmove(a->shape + axis, a->shape + axis + 1, (size_t)(a->ndim - axis) * sizeof *a->shape);
    memmove(a->stride + axis, a->stride + axis + 1, (size_t)(a->ndim - axis) * sizeof *a->stride);
    lm_settle(a);
}

/* Upvalue 1 is the row in `reductions`. */
static int array_reduce(lua_State *L)
{
    const reduction *r = &reductions[lua_tointeger(L, lua_upvalueindex(1))];
    const lm_array *a = lm_checkarray(L, 1);
    int axis = lm_checkaxis(L, 2, a), w = working_type(r, a->dtype);
    int64_t n = axis < 0 ? a->size : a->shape[axis];
    lm_dtype dtype = result_dtype(r, a->dtype);
    if (r->needs_elements && n == 0)
        return luaL_error(L, "%s of no elements: the shape is %s", r->name, lm_pushshape(L, a->ndim, a->shape));
    if (axis < 0 || a->ndim == 1) {
        accumulator acc;
        lm_element element;
        reduce_all(a, r, w, &acc);
        if (r->result == TRUTH) {
            lua_pushboolean(L, acc.v.i != 0);
            return 1;
        }
        lm_casts[dtype][finished_dtype(r, w)](&element, 1, &acc.v, 1, 1);
        lm_pushelement(L, dtype, &element);
        return 1;
    }
    lm_array kept = *a;
    drop_axis(&kept, axis);
    lm_array *result = lm_newarray(L, dtype, kept.ndim, kept.shape);
    reducing c = {r, w, n, a->stride[axis], a->dtype, dtype};
    lm_loop loop;
    lm_loopset(&loop, kept.ndim, kept.shape, 2, (const lm_array *[]){result, &kept});
    lm_looprun(&loop, reduce_inner, &c);
    return 1;
}

void lm_reductionopen(lua_State *L)
{
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++) {
        lua_pushinteger(L, (lua_Integer)i);
        lua_pushcclosure(L, array_reduce, 1);
        lua_setfield(L, -2, reductions[i].name);
    }
}
