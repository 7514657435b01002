/* Kernels of two operands: arithmetic and comparisons. */
#include "clones.h"
#include "kernels.h"

#include <math.h>

#define LOOP(X, Y, result) \
    LM_INDEPENDENT for (int64_t i = 0; i < n; i++) { \
        x = X; \
        y = Y; \
        o[i] = result; \
    }

/* T: the operands' type, R: the result's. Runs with both operands contiguous, or one of them a single number, are
   loops of their own, so that the compiler vectorizes them. */
#define KERNEL(name, T, R, result) \
    LM_CLONES static void name(void *out, const void *left, const void *right, const int64_t s[], int64_t n) \
    { \
        R *o = out; \
        const T *a = left, *b = right; \
        T x, y; \
        if (s[0] == 1 && s[1] == 1 && s[2] == 1) { \
            LOOP(a[i], b[i], result) \
        } else if (s[0] == 1 && s[1] == 1 && s[2] == 0) { \
            const T c = *b; \
            LOOP(a[i], c, result) \
        } else if (s[0] == 1 && s[1] == 0 && s[2] == 1) { \
            const T c = *a; \
            LOOP(c, b[i], result) \
        } else { \
            int64_t so = s[0], sa = s[1], sb = s[2]; \
            for (int64_t i = 0; i < n; i++) { \
                x = a[i * sa]; \
                y = b[i * sb]; \
                o[i * so] = result; \
            } \
        } \
    }

/* One loop for what no vector unit does. */
#define PLAIN(name, T, R, result) \
    static void name(void *out, const void *left, const void *right, const int64_t s[], int64_t n) \
    { \
        R *o = out; \
        const T *a = left, *b = right; \
        for (int64_t i = 0; i < n; i++, o += s[0], a += s[1], b += s[2]) { \
            T x = *a, y = *b; \
            *o = result; \
        } \
    }

/* --- what is the same for signed and unsigned integers of a size: done unsigned, so that overflow wraps - */

#define U(x) ((uint64_t)(x))

static inline uint64_t power(uint64_t x, uint64_t n)
{
    uint64_t p = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1) p *= x;
    return p;
}

#define BITS(T, wide) \
    KERNEL(add_##T, T, T, (T)((wide)x + (wide)y)) \
    KERNEL(sub_##T, T, T, (T)((wide)x - (wide)y)) \
    KERNEL(mul_##T, T, T, (T)((wide)x * (wide)y)) \
    PLAIN(pow_##T, T, T, (T)power(x, y)) \
    KERNEL(eq_##T, T, uint8_t, x == y) \
    KERNEL(ne_##T, T, uint8_t, x != y)
BITS(uint8_t, uint32_t)
BITS(uint16_t, uint32_t)
BITS(uint32_t, uint32_t)
BITS(uint64_t, uint64_t)

/* --- what is not: order and division, which rounds down. A divisor that is 0 was refused; one that has become 0 since, as
   in a mapped file, gives 0 ------------------------------------------------------------------------------- */

#define ORDER(T) \
    KERNEL(lt_##T, T, uint8_t, x < y) \
    KERNEL(le_##T, T, uint8_t, x <= y) \
    KERNEL(minimum_##T, T, T, x < y ? x : y) \
    KERNEL(maximum_##T, T, T, x > y ? x : y)

#define SIGNED(T) \
    ORDER(T) \
    static inline T quotient_##T(T x, T y) \
    { \
        if (y == -1) return (T)(0 - U(x)); \
        if (y == 0) return 0; \
        return (T)(x / y - (x % y != 0 && (x ^ y) < 0)); \
    } \
    static inline T modulo_##T(T x, T y) \
    { \
        if (y == -1 || y == 0) return 0; \
        T r = (T)(x % y); \
        return r != 0 && (r ^ y) < 0 ? (T)(r + y) : r; \
    } \
    PLAIN(idiv_##T, T, T, quotient_##T(x, y)) \
    PLAIN(mod_##T, T, T, modulo_##T(x, y))
SIGNED(int8_t)
SIGNED(int16_t)
SIGNED(int32_t)
SIGNED(int64_t)

#define UNSIGNED(T) \
    ORDER(T) \
    PLAIN(idiv_##T, T, T, (T)(y ? x / y : 0)) \
    PLAIN(mod_##T, T, T, (T)(y ? x % y : 0))
UNSIGNED(uint8_t)
UNSIGNED(uint16_t)
UNSIGNED(uint32_t)
UNSIGNED(uint64_t)

/* --- floats --------------------------------------------------------------------------------------------- */

/* NumPy's (and Python's) rules: the remainder has the divisor's sign, quotient · divisor + remainder is the dividend. */
#define FLOATS(T, f) \
    static inline T modulo_##T(T x, T y) \
    { \
        T r = fmod##f(x, y); \
        if (y == 0) return r; \
        if (r == 0) return copysign##f(0, y); \
        return (y < 0) != (r < 0) ? r + y : r; \
    } \
    static inline T quotient_##T(T x, T y) \
    { \
        if (y == 0) return x / y; \
        T r = fmod##f(x, y), q = (x - r) / y; \
        if (r != 0 && (y < 0) != (r < 0)) q -= 1; \
        if (q == 0) return copysign##f(0, x / y); \
        T whole = floor##f(q); \
        return q - whole > (T)0.5 ? whole + 1 : whole; \
    } \
    KERNEL(add_##T, T, T, x + y) \
    KERNEL(sub_##T, T, T, x - y) \
    KERNEL(mul_##T, T, T, x * y) \
    KERNEL(div_##T, T, T, x / y) \
    PLAIN(idiv_##T, T, T, quotient_##T(x, y)) \
    PLAIN(mod_##T, T, T, modulo_##T(x, y)) \
    KERNEL(eq_##T, T, uint8_t, x == y) \
    KERNEL(ne_##T, T, uint8_t, x != y) \
    KERNEL(lt_##T, T, uint8_t, x < y) \
    KERNEL(le_##T, T, uint8_t, x <= y) \
    KERNEL(minimum_##T, T, T, ((x < y) | (x != x)) ? x : y) \
    KERNEL(maximum_##T, T, T, ((x > y) | (x != x)) ? x : y)
FLOATS(double, )
FLOATS(float, f)

/* --- the table ------------------------------------------------------------------------------------------ */

#define FLOAT_COLUMNS(name) [LM_FLOAT64] = name##_double, [LM_FLOAT32] = name##_float
#define UNSIGNED_COLUMNS(name) \
    [LM_UINT8] = name##_uint8_t, [LM_UINT16] = name##_uint16_t, [LM_UINT32] = name##_uint32_t, \
    [LM_UINT64] = name##_uint64_t
#define BITS_COLUMNS(name) \
    [LM_INT8] = name##_uint8_t, [LM_INT16] = name##_uint16_t, [LM_INT32] = name##_uint32_t, \
    [LM_INT64] = name##_uint64_t, UNSIGNED_COLUMNS(name)
#define ORDER_COLUMNS(name) \
    [LM_INT8] = name##_int8_t, [LM_INT16] = name##_int16_t, [LM_INT32] = name##_int32_t, \
    [LM_INT64] = name##_int64_t, UNSIGNED_COLUMNS(name)

const lm_binary lm_binaries[] = {
    {"add", "__add", LM_ARITHMETIC, LM_ANY, false, {FLOAT_COLUMNS(add), BITS_COLUMNS(add)}},
    {"sub", "__sub", LM_ARITHMETIC, LM_ANY, false, {FLOAT_COLUMNS(sub), BITS_COLUMNS(sub)}},
    {"mul", "__mul", LM_ARITHMETIC, LM_ANY, false, {FLOAT_COLUMNS(mul), BITS_COLUMNS(mul)}},
    {"div", "__div", LM_DIVISION, LM_ANY, false, {FLOAT_COLUMNS(div)}},
    {"idiv", "__idiv", LM_ARITHMETIC, LM_NOTZERO, false, {FLOAT_COLUMNS(idiv), ORDER_COLUMNS(idiv)}},
    {"mod", "__mod", LM_ARITHMETIC, LM_NOTZERO, false, {FLOAT_COLUMNS(mod), ORDER_COLUMNS(mod)}},
    {"pow", "__pow", LM_ARITHMETIC, LM_NOTNEGATIVE, false,
     {[LM_FLOAT64] = lm_pow64, [LM_FLOAT32] = lm_pow32, BITS_COLUMNS(pow)}},
    {"minimum", NULL, LM_ARITHMETIC, LM_ANY, false, {FLOAT_COLUMNS(minimum), ORDER_COLUMNS(minimum)}},
    {"maximum", NULL, LM_ARITHMETIC, LM_ANY, false, {FLOAT_COLUMNS(maximum), ORDER_COLUMNS(maximum)}},
    {"atan2", NULL, LM_DIVISION, LM_ANY, false, {[LM_FLOAT64] = lm_atan2_64, [LM_FLOAT32] = lm_atan2_32}},
    {"hypot", NULL, LM_DIVISION, LM_ANY, false, {[LM_FLOAT64] = lm_hypot64, [LM_FLOAT32] = lm_hypot32}},
    {"eq", NULL, LM_COMPARISON, LM_ANY, false, {FLOAT_COLUMNS(eq), BITS_COLUMNS(eq)}},
    {"ne", NULL, LM_COMPARISON, LM_ANY, false, {FLOAT_COLUMNS(ne), BITS_COLUMNS(ne)}},
    {"lt", NULL, LM_COMPARISON, LM_ANY, false, {FLOAT_COLUMNS(lt), ORDER_COLUMNS(lt)}},
    {"le", NULL, LM_COMPARISON, LM_ANY, false, {FLOAT_COLUMNS(le), ORDER_COLUMNS(le)}},
    {"gt", NULL, LM_COMPARISON, LM_ANY, true, {FLOAT_COLUMNS(lt), ORDER_COLUMNS(lt)}},
    {"ge", NULL, LM_COMPARISON, LM_ANY, true, {FLOAT_COLUMNS(le), ORDER_COLUMNS(le)}},
    {NULL, NULL, 0, 0, false, {NULL}},
};
