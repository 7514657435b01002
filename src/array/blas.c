/* Products and vector operations, done by the BLAS the machine has. It is loaded on first use: starting does not
   pay for it, and a program without products needs none. */
#include "convert.h"
#include "loop.h"

#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* cblas.h */

static struct {
    void *library;
    double (*ddot)(int, const double *, int, const double *, int);
    float (*sdot)(int, const float *, int, const float *, int);
    double (*dnrm2)(int, const double *, int);
    float (*snrm2)(int, const float *, int);
    void (*daxpy)(int, double, const double *, int, double *, int);
    void (*saxpy)(int, float, const float *, int, float *, int);
    void (*dscal)(int, double, double *, int);
    void (*sscal)(int, float, float *, int);
    void (*dgemv)(int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
    void (*sgemv)(int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
    void (*dgemm)(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
    void (*sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
} blas;

static void load_blas(lua_State *L)
{
    if (blas.library) return;
    /* a rank is one of many: one thread each, unless the user says otherwise */
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    setenv("OMP_NUM_THREADS", "1", 0);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libblas.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!library) luaL_error(L, "no BLAS library on this machine: install Debian's libopenblas0-serial (%s)", dlerror());
    const struct {
        const char *name;
        void *function;
    } symbols[] = {
        {"cblas_ddot", &blas.ddot},   {"cblas_sdot", &blas.sdot},   {"cblas_dnrm2", &blas.dnrm2},
        {"cblas_daxpy", &blas.daxpy}, {"cblas_saxpy", &blas.saxpy}, {"cblas_snrm2", &blas.snrm2},
        {"cblas_dscal", &blas.dscal}, {"cblas_sscal", &blas.sscal}, {"cblas_dgemv", &blas.dgemv},
        {"cblas_dgemm", &blas.dgemm}, {"cblas_sgemm", &blas.sgemm}, {"cblas_sgemv", &blas.sgemv},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = dlsym(library, symbols[i].name);
        if (!found) {
            dlclose(library);
            luaL_error(L, "the BLAS library has no %s: install Debian's libopenblas0-serial", symbols[i].name);
        }
        memcpy(symbols[i].function, &found, sizeof found);
    }
    blas.library = library;
}

/* --- operands as BLAS takes them ------------------------------------------------------------------------ */

/* All elements as one run with one stride. */
typedef struct vector {
    char *data;
    int64_t n, stride;
} vector;

static bool as_vector(const lm_array *a, vector *v)
{
    *v = (vector){a->data, a->size, a->ndim == 1 && a->size > 1 ? a->stride[0] : 1};
    return a->contiguous || (a->ndim == 1 && v->stride > 0 && v->stride <= INT_MAX);
}

/* The array at arg as a vector of this dtype; a copy, pushed, where it has to be. */
static vector to_vector(lua_State *L, int arg, lm_dtype dtype)
{
    vector v;
    const lm_array *a = lm_toarray(L, arg);
    if (a->dtype != dtype || !as_vector(a, &v)) as_vector(lm_newcopy(L, arg, dtype), &v);
    return v;
}

typedef struct matrix {
    const char *data;
    int trans, leading;
} matrix;

static bool as_matrix(const lm_array *a, matrix *m)
{
    int64_t rows = a->shape[0], columns = a->shape[1];
    if (a->stride[1] == 1 || columns == 1) {
        *m = (matrix){a->data, NO_TRANS, 0};
        int64_t leading = rows > 1 ? a->stride[0] : columns;
        m->leading = (int)leading;
        return leading >= columns && leading <= INT_MAX;
    }
    if (a->stride[0] == 1 || rows == 1) {
        *m = (matrix){a->data, TRANS, (int)a->stride[1]};
        return a->stride[1] >= rows && a->stride[1] <= INT_MAX;
    }
    return false;
}

static matrix to_matrix(lua_State *L, int arg, lm_dtype dtype)
{
    matrix m;
    const lm_array *a = lm_toarray(L, arg);
    if (a->dtype != dtype || !as_matrix(a, &m)) as_matrix(lm_newcopy(L, arg, dtype), &m);
    return m;
}

/* --- dot ------------------------------------------------------------------------------------------------ */

#define PIECE (INT64_C(1) << 30) /* BLAS counts in int */

static double dot_floats(lm_dtype dtype, vector x, vector y)
{
    double sum = 0;
    size_t size = lm_dtypes[dtype].size;
    for (int64_t i = 0; i < x.n; i += PIECE) {
        int n = (int)(x.n - i < PIECE ? x.n - i : PIECE);
        const void *p = x.data + i * x.stride * (int64_t)size, *q = y.data + i * y.stride * (int64_t)size;
        if (dtype == LM_FLOAT64) sum += blas.ddot(n, p, (int)x.stride, q, (int)y.stride);
        else sum += (double)blas.sdot(n, p, (int)x.stride, q, (int)y.stride);
    }
    return sum;
}

/* Integers: exact modulo 2^64, and so modulo the result's size. */
static int64_t dot_integers(const int64_t *x, int64_t xs, const int64_t *y, int64_t ys, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (uint64_t)x[i * xs] * (uint64_t)y[i * ys];
    return (int64_t)sum;
}

static int dot_vectors(lua_State *L, lm_dtype dtype, int64_t n)
{
    if (lm_dtypes[dtype].kind != 'f') {
        lm_element element;
        const lm_array *x = lm_pushpacked(L, 1, LM_INT64), *y = lm_pushpacked(L, 2, LM_INT64);
        int64_t sum = dot_integers((int64_t *)x->data, 1, (int64_t *)y->data, 1, n);
        lm_casts[dtype][LM_INT64](&element, 1, &sum, 1, 1);
        lm_pushelement(L, dtype, &element);
        return 1;
    }
    vector x = to_vector(L, 1, dtype), y = to_vector(L, 2, dtype);
    lua_pushnumber(L, dot_floats(dtype, x, y));
    return 1;
}

/* Both in rows and columns: a vector on the left is one row, one on the right one column. */
static void multiply_integers(lm_array *result, const lm_array *x, const lm_array *y, int64_t m, int64_t k, int64_t n)
{
    size_t size = lm_dtypes[result->dtype].size;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t sum = dot_integers((int64_t *)x->data + i * k, 1, (int64_t *)y->data + j, n, k);
            lm_casts[result->dtype][LM_INT64](result->data + (size_t)(i * n + j) * size, 1, &sum, 1, 1);
        }
}

static double largest(const lm_array *a)
{
    const double *x = (const double *)a->data;
    double max = 0;
    for (int64_t i = 0; i < a->size; i++) max = fmax(max, fabs(x[i]));
    return max;
}

static void gemm(lm_dtype dtype, int64_t m, int64_t n, int64_t k, matrix x, matrix y, void *z)
{
    if (dtype == LM_FLOAT64)
        blas.dgemm(ROW_MAJOR, x.trans, y.trans, (int)m, (int)n, (int)k, 1, (const double *)x.data, x.leading,
                   (const double *)y.data, y.leading, 0, z, (int)n);
    else
        blas.sgemm(ROW_MAJOR, x.trans, y.trans, (int)m, (int)n, (int)k, 1, (const float *)x.data, x.leading,
                   (const float *)y.data, y.leading, 0, z, (int)n);
}

/* Integer matrices: by way of double, where no sum can leave the integers it holds exactly; else one by one. */
static void dot_integer_matrices(lua_State *L, lm_array *result, int64_t m, int64_t k, int64_t n)
{
    const lm_array *x = lm_newcopy(L, 1, LM_FLOAT64), *y = lm_newcopy(L, 2, LM_FLOAT64);
    if ((double)k * largest(x) * largest(y) < 0x1p53) {
        lm_array *product = lm_newarray(L, LM_FLOAT64, 2, (int64_t[]){m, n});
        gemm(LM_FLOAT64, m, n, k, (matrix){x->data, NO_TRANS, (int)k}, (matrix){y->data, NO_TRANS, (int)n}, product->data);
        lm_convert(result, product);
        return;
    }
    x = lm_pushpacked(L, 1, LM_INT64);
    y = lm_pushpacked(L, 2, LM_INT64);
    multiply_integers(result, x, y, m, k, n);
}

static void gemv(lm_dtype dtype, int rows, int columns, matrix m, vector x, void *y)
{
    /* rows and columns of the matrix as it lies in memory */
    int r = m.trans == TRANS ? columns : rows, c = m.trans == TRANS ? rows : columns;
    if (dtype == LM_FLOAT64)
        blas.dgemv(ROW_MAJOR, m.trans, r, c, 1, (const double *)m.data, m.leading, (const double *)x.data,
                   (int)x.stride, 0, y, 1);
    else
        blas.sgemv(ROW_MAJOR, m.trans, r, c, 1, (const float *)m.data, m.leading, (const float *)x.data,
                   (int)x.stride, 0, y, 1);
}

static int dot_error(lua_State *L, const lm_array *a, const lm_array *b, const char *what)
{
    const char *left = lm_pushshape(L, a->ndim, a->shape), *right = lm_pushshape(L, b->ndim, b->shape);
    return luaL_error(L, "dot of shapes %s and %s: %s", left, right, what);
}

static int array_dot(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1), *b = lm_checkarray(L, 2);
    lua_settop(L, 2);
    if (a->ndim < 1 || a->ndim > 2 || b->ndim < 1 || b->ndim > 2)
        return dot_error(L, a, b, "vectors and matrices have products");
    int64_t m = a->ndim == 2 ? a->shape[0] : 1, n = b->ndim == 2 ? b->shape[1] : 1, k = a->shape[a->ndim - 1];
    if (k != b->shape[0])
        return dot_error(L, a, b, lua_pushfstring(L, "%I is not %I", (lua_Integer)k, (lua_Integer)b->shape[0]));
    lm_dtype dtype = lm_promote(a->dtype, b->dtype);
    bool matrices = a->ndim == 2 && b->ndim == 2, floats = lm_dtypes[dtype].kind == 'f';
    if (floats || matrices) load_blas(L);
    if (a->ndim == 1 && b->ndim == 1) return dot_vectors(L, dtype, k);
    if ((floats || matrices) && (m > INT_MAX || n > INT_MAX || k > INT_MAX))
        return dot_error(L, a, b, "BLAS counts to 2147483647");
    int64_t shape[2] = {a->ndim == 2 ? m : n, n};
    lm_array *result = lm_newarray(L, dtype, matrices ? 2 : 1, shape);
    if (k == 0) memset(result->data, 0, lm_bytes(result));
    if (k == 0 || result->size == 0) return 1;
    if (!floats && matrices) {
        dot_integer_matrices(L, result, m, k, n);
    } else if (!floats) {
        const lm_array *x = lm_pushpacked(L, 1, LM_INT64), *y = lm_pushpacked(L, 2, LM_INT64);
        multiply_integers(result, x, y, m, k, n);
    } else if (matrices) {
        matrix x = to_matrix(L, 1, dtype), y = to_matrix(L, 2, dtype);
        gemm(dtype, m, n, k, x, y, result->data);
    } else if (a->ndim == 2) {
        matrix x = to_matrix(L, 1, dtype);
        gemv(dtype, (int)m, (int)k, x, to_vector(L, 2, dtype), result->data);
    } else {
        matrix y = to_matrix(L, 2, dtype);
        y.trans = y.trans == TRANS ? NO_TRANS : TRANS;
        gemv(dtype, (int)n, (int)k, y, to_vector(L, 1, dtype), result->data);
    }
    lua_settop(L, 3);
    return 1;
}

/* --- vectors -------------------------------------------------------------------------------------------- */

static lm_dtype float_dtype(lm_dtype dtype) { return lm_dtypes[dtype].kind == 'f' ? dtype : LM_FLOAT64; }

static int array_norm(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    lm_dtype dtype = float_dtype(a->dtype);
    load_blas(L);
    vector v = to_vector(L, 1, dtype);
    double norm = 0;
    for (int64_t i = 0; i < v.n; i += PIECE) {
        int n = (int)(v.n - i < PIECE ? v.n - i : PIECE);
        const void *p = v.data + i * v.stride * lm_dtypes[dtype].size;
        double part = dtype == LM_FLOAT64 ? blas.dnrm2(n, p, (int)v.stride) : (double)blas.snrm2(n, p, (int)v.stride);
        norm = hypot(norm, part);
    }
    lua_pushnumber(L, norm);
    return 1;
}

/* The array at 1, of floats and free to be written, as a vector: its own memory, or a pushed copy to be unpacked. */
static vector writable_vector(lua_State *L, lm_array **copied)
{
    vector v;
    lm_array *a = lm_checkarray(L, 1);
    if (lm_dtypes[a->dtype].kind != 'f')
        luaL_argerror(L, 1, lua_pushfstring(L, "float64 or float32 expected, got %s", lm_dtypes[a->dtype].name));
    *copied = NULL;
    if (!as_vector(a, &v)) as_vector(*copied = lm_newcopy(L, 1, a->dtype), &v);
    return v;
}

static int array_axpy(lua_State *L)
{
    lua_settop(L, 3);
    lm_array *copied, *a = lm_checkarray(L, 1);
    lua_Number alpha = luaL_checknumber(L, 2);
    const lm_array *x = lm_checkarray(L, 3);
    if (a->ndim != x->ndim || memcmp(a->shape, x->shape, a->ndim * sizeof *a->shape))
        return lm_misfit(L, a->ndim, a->shape, x->ndim, x->shape);
    load_blas(L);
    if (lm_tangled(a, x)) {
        lm_newcopy(L, 3, x->dtype);
        lua_replace(L, 3);
    }
    vector to = writable_vector(L, &copied), from = to_vector(L, 3, a->dtype);
    lm_checkwrite(L, a);
    for (int64_t i = 0; i < to.n; i += PIECE) {
        int n = (int)(to.n - i < PIECE ? to.n - i : PIECE);
        int64_t size = lm_dtypes[a->dtype].size;
        void *p = to.data + i * to.stride * size;
        const void *q = from.data + i * from.stride * size;
        if (a->dtype == LM_FLOAT64) blas.daxpy(n, alpha, q, (int)from.stride, p, (int)to.stride);
        else blas.saxpy(n, (float)alpha, q, (int)from.stride, p, (int)to.stride);
    }
    if (copied) lm_convert(a, copied);
    lua_settop(L, 1);
    return 1;
}

/* BLAS takes a NaN times 0 for 0. */
static void scale_exactly(const lm_array *a, vector v, double alpha)
{
    for (int64_t i = 0; i < v.n; i++) {
        if (a->dtype == LM_FLOAT64) ((double *)v.data)[i * v.stride] *= alpha;
        else ((float *)v.data)[i * v.stride] *= (float)alpha;
    }
}

static int array_scal(lua_State *L)
{
    lua_settop(L, 2);
    lm_array *copied, *a = lm_checkarray(L, 1);
    lua_Number alpha = luaL_checknumber(L, 2);
    load_blas(L);
    vector v = writable_vector(L, &copied);
    lm_checkwrite(L, a);
    bool exactly = alpha == 0 || !isfinite(alpha);
    if (exactly) scale_exactly(a, v, alpha);
    for (int64_t i = 0; i < v.n && !exactly; i += PIECE) {
        int n = (int)(v.n - i < PIECE ? v.n - i : PIECE);
        void *p = v.data + i * v.stride * lm_dtypes[a->dtype].size;
        if (a->dtype == LM_FLOAT64) blas.dscal(n, alpha, p, (int)v.stride);
        else blas.sscal(n, (float)alpha, p, (int)v.stride);
    }
    if (copied) lm_convert(a, copied);
    lua_settop(L, 1);
    return 1;
}

const luaL_Reg lm_blasmethods[] = {
    {"dot", array_dot}, {"norm", array_norm}, {"axpy", array_axpy}, {"scal", array_scal}, {NULL, NULL},
};
