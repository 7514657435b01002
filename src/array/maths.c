/* Kernels of mathematical functions. On x86-64 with gcc they go through libmvec, glibc's vector mathematics (at most
   4 ulp off); everywhere else through libm. */
#include "clones.h"
#include "kernels.h"

#include <math.h>
#include <string.h>

/* How many elements of a type the widest vector unit takes: a kernel does whole groups, the last one filled up, so that
   every element goes through the same code, wherever it stands. */
#define WIDEST 64 /* bytes */
#define GROUP(T) ((int64_t)(WIDEST / sizeof(T)))

#if defined __x86_64__ && !defined __clang__ && !defined __SANITIZE_ADDRESS__
#define VECTORIZED __attribute__((const, simd("notinbranch")))
#define WIDE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORIZED __attribute__((const))
#define WIDE_CLONES
#endif

/* --- one operand ---------------------------------------------------------------------------------------- */

/* Does n elements, a multiple of GROUP for their type. */
typedef void groups1(void *out, const void *from, int64_t n);

static void in_groups(void *out, const void *from, int64_t n, size_t size, groups1 *groups)
{
    char last[WIDEST];
    int64_t group = WIDEST / (int64_t)size, whole = n & ~(group - 1);
    size_t rest = (size_t)(n - whole) * size;
    groups(out, from, whole);
    if (rest == 0) return;
    memset(last, 0, sizeof last);
    memcpy(last, (const char *)from + (size_t)whole * size, rest);
    groups(last, last, group);
    memcpy((char *)out + (size_t)whole * size, last, rest);
}

#define IN_GROUPS(name, T, function) \
    WIDE_CLONES static void groups_##name##_##T(void *out, const void *from, int64_t n) \
    { \
        T *o = out; \
        const T *x = from; \
        n &= ~(GROUP(T) - 1); \
        LM_INDEPENDENT for (int64_t i = 0; i < n; i++) o[i] = function(x[i]); \
    } \
    static void name##_##T(void *out, const void *from, int64_t n) \
    { \
        in_groups(out, from, n, sizeof(T), groups_##name##_##T); \
    }

/* math.h's functions under names that say that they have no side effects, and vector variants. */
#define FUNCTION1(name) \
    double v_##name(double) __asm__(#name) VECTORIZED; \
    float v_##name##f(float) __asm__(#name "f") VECTORIZED; \
    IN_GROUPS(name, double, v_##name) \
    IN_GROUPS(name, float, v_##name##f)

#define EACH_FUNCTION1(X) \
    X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) \
    X(tanh) X(asinh) X(acosh) X(atanh) X(cbrt) X(erf) X(erfc)
EACH_FUNCTION1(FUNCTION1)

/* --- what the compiler does alone: exact, or no floats -------------------------------------------------- */

#define SIMPLE(name, T, R, result) \
    LM_CLONES static void name##_##T(void *out, const void *from, int64_t n) \
    { \
        R *o = out; \
        const T *a = from; \
        LM_INDEPENDENT for (int64_t i = 0; i < n; i++) { \
            T x = a[i]; \
            o[i] = result; \
        } \
    }

#define FLOATS(T, f) \
    SIMPLE(sqrt, T, T, sqrt##f(x)) \
    SIMPLE(neg, T, T, -x) \
    SIMPLE(abs, T, T, fabs##f(x)) \
    SIMPLE(square, T, T, x * x) \
    SIMPLE(sign, T, T, x != x ? x : (T)((x > 0) - (x < 0))) \
    SIMPLE(floor, T, T, floor##f(x)) \
    SIMPLE(ceil, T, T, ceil##f(x)) \
    SIMPLE(trunc, T, T, trunc##f(x)) \
    SIMPLE(round, T, T, nearbyint##f(x)) \
    SIMPLE(isnan, T, uint8_t, x != x) \
    SIMPLE(isinf, T, uint8_t, fabs##f(x) == (T)INFINITY) \
    SIMPLE(isfinite, T, uint8_t, fabs##f(x) < (T)INFINITY)
FLOATS(double, )
FLOATS(float, f)

/* Unsigned, so that the least number's negative wraps. */
#define INTEGERS(T, wide) \
    SIMPLE(neg, T, T, (T)(0 - (wide)x)) \
    SIMPLE(square, T, T, (T)((wide)x * (wide)x)) \
    SIMPLE(same, T, T, x)
INTEGERS(uint8_t, uint32_t)
INTEGERS(uint16_t, uint32_t)
INTEGERS(uint32_t, uint32_t)
INTEGERS(uint64_t, uint64_t)

#define SIGNS(T) \
    SIMPLE(sign, T, T, (T)((x > 0) - (x < 0))) \
    SIMPLE(abs, T, T, x < 0 ? (T)(0 - (uint64_t)x) : x)
SIGNS(int8_t)
SIGNS(int16_t)
SIGNS(int32_t)
SIGNS(int64_t)

#define SIGN_OF_UNSIGNED(T) SIMPLE(sign, T, T, x > 0)
SIGN_OF_UNSIGNED(uint8_t)
SIGN_OF_UNSIGNED(uint16_t)
SIGN_OF_UNSIGNED(uint32_t)
SIGN_OF_UNSIGNED(uint64_t)

#define FLOAT_COLUMNS(name) [LM_FLOAT64] = name##_double, [LM_FLOAT32] = name##_float
#define SIGNED_COLUMNS(name, u) \
    [LM_INT8] = name##_##u##int8_t, [LM_INT16] = name##_##u##int16_t, [LM_INT32] = name##_##u##int32_t, \
    [LM_INT64] = name##_##u##int64_t
#define UNSIGNED_COLUMNS(name) \
    [LM_UINT8] = name##_uint8_t, [LM_UINT16] = name##_uint16_t, [LM_UINT32] = name##_uint32_t, \
    [LM_UINT64] = name##_uint64_t

#define ROW(name) {#name, LM_FLOAT, {FLOAT_COLUMNS(name)}},
#define ROUNDING(name) {#name, LM_SAME, {FLOAT_COLUMNS(name), SIGNED_COLUMNS(same, u), UNSIGNED_COLUMNS(same)}}

const lm_unary lm_unaries[] = {
    EACH_FUNCTION1(ROW)
    {"sqrt", LM_FLOAT, {FLOAT_COLUMNS(sqrt)}},
    {"neg", LM_SAME, {FLOAT_COLUMNS(neg), SIGNED_COLUMNS(neg, u), UNSIGNED_COLUMNS(neg)}},
    {"abs", LM_SAME, {FLOAT_COLUMNS(abs), SIGNED_COLUMNS(abs, ), UNSIGNED_COLUMNS(same)}},
    {"square", LM_SAME, {FLOAT_COLUMNS(square), SIGNED_COLUMNS(square, u), UNSIGNED_COLUMNS(square)}},
    {"sign", LM_SAME, {FLOAT_COLUMNS(sign), SIGNED_COLUMNS(sign, ), UNSIGNED_COLUMNS(sign)}},
    ROUNDING(floor),
    ROUNDING(ceil),
    ROUNDING(trunc),
    ROUNDING(round),
    {"isnan", LM_TRUTH, {FLOAT_COLUMNS(isnan)}},
    {"isinf", LM_TRUTH, {FLOAT_COLUMNS(isinf)}},
    {"isfinite", LM_TRUTH, {FLOAT_COLUMNS(isfinite)}},
    {NULL, 0, {NULL}},
};

/* --- two operands --------------------------------------------------------------------------------------- */

#define CHUNK 256 /* a multiple of every GROUP */

#define FUNCTION2(name, T, f, kernel, shortcut) \
    T v_##name##f(T, T) __asm__(#name #f) VECTORIZED; \
    WIDE_CLONES static void groups_##name##f(T *restrict o, const T *restrict x, const T *restrict y, int64_t n) \
    { \
        n &= ~(GROUP(T) - 1); \
        for (int64_t i = 0; i < n; i++) o[i] = v_##name##f(x[i], y[i]); \
    } \
    void kernel(void *out, const void *left, const void *right, const int64_t s[], int64_t n) \
    { \
        T *o = out, x[CHUNK] = {0}, y[CHUNK] = {0}, z[CHUNK]; \
        const T *a = left, *b = right; \
        shortcut \
        for (; n > 0; n -= CHUNK) { \
            int64_t m = n < CHUNK ? n : CHUNK; \
            for (int64_t i = 0; i < m; i++, a += s[1], b += s[2]) { \
                x[i] = *a; \
                y[i] = *b; \
            } \
            groups_##name##f(z, x, y, (m + GROUP(T) - 1) & ~(GROUP(T) - 1)); \
            for (int64_t i = 0; i < m; i++, o += s[0]) *o = z[i]; \
        } \
    }

/* With the exponent 2 for a whole run, a power is a product. */
#define SQUARES \
    if (s[2] == 0 && *b == 2) { \
        for (int64_t i = 0; i < n; i++) o[i * s[0]] = a[i * s[1]] * a[i * s[1]]; \
        return; \
    }

FUNCTION2(pow, double, , lm_pow64, SQUARES)
FUNCTION2(pow, float, f, lm_pow32, SQUARES)
FUNCTION2(atan2, double, , lm_atan2_64, )
FUNCTION2(atan2, float, f, lm_atan2_32, )
FUNCTION2(hypot, double, , lm_hypot64, )
FUNCTION2(hypot, float, f, lm_hypot32, )
