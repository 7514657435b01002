/* Element-wise operations: arrays and numbers, broadcast and brought to one dtype, through the kernels' tables. */
#include "convert.h"
#include "kernels.h"
#include "loop.h"
#include "stream.h"

#include <string.h>

#define CHUNK 512 /* elements converted at a time */

typedef struct operation {
    lm_binarykernel *binary;
    lm_unarykernel *unary;
    bool swapped;
    lm_dtype work, made;                 /* what the kernel takes and gives */
    lm_dtype out, left, right;           /* what the arrays hold */
    bool direct;                         /* no conversion anywhere */
} operation;

static void call_kernel(const operation *op, void *out, const void *a, const void *b, const int64_t s[], int64_t n)
{
    if (op->swapped) op->binary(out, b, a, (int64_t[]){s[0], s[2], s[1]}, n);
    else op->binary(out, a, b, s, n);
}

/* A piece of an operand as the kernel takes it: converted into the buffer where it is of another dtype. */
static const void *piece_of(const operation *op, lm_dtype dtype, const char *data, int64_t *stride, int64_t m,
                            void *buffer)
{
    if (dtype == op->work) return data;
    if (*stride == 0) m = 1;
    lm_casts[op->work][dtype](buffer, 1, data, *stride, m);
    if (*stride != 0) *stride = 1;
    return buffer;
}

static void binary_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    const operation *op = context;
    if (op->direct) {
        call_kernel(op, data[0], data[1], data[2], stride, n);
        return;
    }
    lm_element left[CHUNK], right[CHUNK], out[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK, s[3] = {stride[0], stride[1], stride[2]};
        const void *a = piece_of(op, op->left, data[1], &s[1], m, left);
        const void *b = piece_of(op, op->right, data[2], &s[2], m, right);
        if (op->made == op->out) {
            call_kernel(op, data[0], a, b, s, m);
        } else {
            s[0] = 1;
            call_kernel(op, out, a, b, s, m);
            lm_casts[op->out][op->made](data[0], stride[0], out, 1, m);
        }
        data[0] += m * stride[0] * lm_dtypes[op->out].size;
        data[1] += m * stride[1] * lm_dtypes[op->left].size;
        data[2] += m * stride[2] * lm_dtypes[op->right].size;
    }
}

static void unary_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    const operation *op = context;
    if (op->direct && stride[0] == 1 && stride[1] == 1) {
        op->unary(data[0], data[1], n);
        return;
    }
    lm_element in[CHUNK], out[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        lm_casts[op->work][op->left](in, 1, data[1], stride[1], m);
        op->unary(out, in, m);
        lm_casts[op->out][op->made](data[0], stride[0], out, 1, m);
        data[0] += m * stride[0] * lm_dtypes[op->out].size;
        data[1] += m * stride[1] * lm_dtypes[op->left].size;
    }
}

/* --- operands ------------------------------------------------------------------------------------------- */

static bool same_shape(const lm_array *a, const lm_array *b)
{
    if (a->ndim != b->ndim) return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return true;
}

/* An array, or a number seen as an array of no dimensions. */
typedef struct operand {
    const lm_array *a;
    bool number, integer;
    lm_element value;
    lm_array scalar;
} operand;

static void check_operand(lua_State *L, int arg, operand *x)
{
    x->a = lm_toarray(L, arg);
    x->number = !x->a;
    if (x->a) {
        if (!x->a->block->data) lm_checkarray(L, arg); /* raises */
        return;
    }
    if (lua_type(L, arg) != LUA_TNUMBER) luaL_typeerror(L, arg, "number or mpi.array");
    x->integer = lua_isinteger(L, arg);
}

/* Gives the number its value in the dtype of the operation. */
static void settle_number(lua_State *L, int arg, operand *x, lm_dtype work)
{
    lm_setelement(L, arg, work, &x->value);
    x->scalar.data = (char *)&x->value;
    x->scalar.dtype = work;
    x->scalar.size = 1;
    x->scalar.ndim = 0;
    x->scalar.contiguous = true;
    x->a = &x->scalar;
}

/* Whether the integer keeps its value in this dtype; uint64 holds Lua's wrapped integers. */
static bool holds(lm_dtype dtype, lua_Integer i)
{
    int64_t back;
    lm_element element;
    lm_casts[dtype][LM_INT64](&element, 1, &i, 1, 1);
    lm_casts[LM_INT64][dtype](&back, 1, &element, 1, 1);
    return back == i;
}

/* The dtype both operands are brought to. */
static lm_dtype work_dtype(lua_State *L, const lm_binary *b, const operand *x, const operand *y)
{
    lm_dtype dtype;
    if (!x->number && !y->number) {
        dtype = lm_promote(x->a->dtype, y->a->dtype);
    } else {
        const operand *number = x->number ? x : y;
        dtype = (x->number ? y : x)->a->dtype;
        if (lm_dtypes[dtype].kind != 'f') {
            if (!number->integer) dtype = LM_FLOAT64;
            else if (b->rule == LM_COMPARISON && !holds(dtype, lua_tointeger(L, x->number ? 1 : 2))) dtype = LM_INT64;
        }
    }
    return b->rule == LM_DIVISION && lm_dtypes[dtype].kind != 'f' ? LM_FLOAT64 : dtype;
}

typedef struct search {
    lm_dtype dtype;
    bool negative; /* looks for numbers below 0 instead of 0 */
    int64_t at, found;
} search;

static void search_inner(void *context, char *data[], const int64_t stride[], int64_t n)
{
    search *s = context;
    int64_t piece[CHUNK];
    for (int64_t i = 0; i < n && s->found < 0; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        lm_casts[LM_INT64][s->dtype](piece, 1, data[0] + i * stride[0] * lm_dtypes[s->dtype].size, stride[0], m);
        for (int64_t j = 0; j < m && s->found < 0; j++)
            if (s->negative ? piece[j] < 0 : piece[j] == 0) s->found = s->at + i + j;
    }
    s->at += n;
}

/* Raises when integers on the right of a division have a zero, or exponents a negative one, saying where. */
static void check_right(lua_State *L, const lm_binary *b, lm_dtype work, const lm_array *right)
{
    if (b->right == LM_ANY || lm_dtypes[work].kind == 'f') return;
    if (b->right == LM_NOTNEGATIVE && lm_dtypes[right->dtype].kind == 'u') return;
    search s = {right->dtype, b->right == LM_NOTNEGATIVE, 0, -1};
    lm_loop loop;
    lm_loopordered(&loop, right);
    lm_looprun(&loop, search_inner, &s);
    if (s.found < 0) return;
    int64_t place[LM_MAXDIM];
    for (int d = right->ndim - 1; d >= 0; d--) {
        place[d] = s.found % right->shape[d] + 1;
        s.found /= right->shape[d];
    }
    const char *what = s.negative ? "an integer to a negative power" : "integer division by zero";
    if (right->ndim == 0) luaL_error(L, "%s", what);
    luaL_error(L, "%s: element %s on the right", what, lm_pushshape(L, right->ndim, place));
}

/* --- two operands --------------------------------------------------------------------------------------- */

/* Piece by piece through a buffer, when all arrays are contiguous and the result is new and large. */
static void run_streaming(operation *op, lm_inner *inner, lm_array *out, const lm_array *const from[],
                          const int64_t stride[], int n)
{
    lm_element piece[CHUNK];
    size_t size = lm_dtypes[out->dtype].size;
    for (int64_t i = 0; i < out->size; i += CHUNK) {
        int64_t m = out->size - i < CHUNK ? out->size - i : CHUNK;
        char *data[LM_OPERANDS] = {(char *)piece};
        for (int k = 0; k < n; k++) data[k + 1] = from[k]->data + i * stride[k + 1] * lm_dtypes[from[k]->dtype].size;
        inner(op, data, stride, m);
        lm_stream(out->data + (size_t)i * size, piece, (size_t)m * size);
    }
    lm_endstream();
}

static void run_binary(operation *op, lm_array *out, const lm_array *a, const lm_array *b, bool fresh)
{
    op->out = out->dtype;
    op->left = a->dtype;
    op->right = b->dtype;
    op->direct = op->left == op->work && op->right == op->work && op->out == op->made;
    bool simple = out->contiguous && (a->ndim == 0 || (a->contiguous && same_shape(a, out))) &&
                  (b->ndim == 0 || (b->contiguous && same_shape(b, out)));
    if (simple) {
        char *data[] = {out->data, a->data, b->data};
        int64_t stride[] = {1, a->ndim > 0 || out->ndim == 0, b->ndim > 0 || out->ndim == 0};
        bool streaming = fresh && lm_bytes(out) >= LM_STREAM;
        if (streaming) run_streaming(op, binary_inner, out, (const lm_array *[]){a, b}, stride, 2);
        else if (out->size) binary_inner(op, data, stride, out->size);
        return;
    }
    lm_loop loop;
    lm_loopset(&loop, out->ndim, out->shape, 3, (const lm_array *[]){out, a, b});
    lm_looprun(&loop, binary_inner, op);
}

/* The operation of the row in upvalue 1 on arguments 1 and 2; both operands are ready afterwards. */
static operation begin_binary(lua_State *L, operand *x, operand *y)
{
    const lm_binary *b = lua_touserdata(L, lua_upvalueindex(1));
    check_operand(L, 1, x);
    check_operand(L, 2, y);
    lm_dtype work = work_dtype(L, b, x, y);
    if (x->number) settle_number(L, 1, x, work);
    if (y->number) settle_number(L, 2, y, work);
    check_right(L, b, work, y->a);
    return (operation){.binary = b->kernels[work], .swapped = b->swapped, .work = work,
                       .made = b->rule == LM_COMPARISON ? LM_UINT8 : work};
}

static int array_binary(lua_State *L)
{
    operand x, y;
    operation op = begin_binary(L, &x, &y);
    int64_t shape[LM_MAXDIM];
    lm_array *out;
    if (y.number || same_shape(x.a, y.a)) {
        out = lm_newarray(L, op.made, x.a->ndim, x.a->shape);
    } else {
        int ndim = lm_broadcast(x.a->ndim, x.a->shape, y.a->ndim, y.a->shape, shape);
        if (ndim < 0) return lm_misfit(L, x.a->ndim, x.a->shape, y.a->ndim, y.a->shape);
        out = lm_newarray(L, op.made, ndim, shape);
    }
    run_binary(&op, out, x.a, y.a, true);
    return 1;
}

/* What an in-place operation gives must fit: floats do not go into integers. */
static void check_result(lua_State *L, lm_dtype made, const lm_array *a)
{
    if (lm_dtypes[made].kind == 'f' && lm_dtypes[a->dtype].kind != 'f')
        luaL_error(L, "the result is %s, the array holds %s: use the form that makes a new array", lm_dtypes[made].name,
                   lm_dtypes[a->dtype].name);
}

/* a:add_(b): a is the first operand and takes the result. */
static int array_binary_inplace(lua_State *L)
{
    operand x, y;
    lm_array *a = lm_checkarray(L, 1);
    operation op = begin_binary(L, &x, &y);
    int64_t shape[LM_MAXDIM];
    check_result(L, op.made, a);
    int ndim = lm_broadcast(a->ndim, a->shape, y.a->ndim, y.a->shape, shape);
    if (ndim != a->ndim || memcmp(shape, a->shape, a->ndim * sizeof *shape))
        return lm_misfit(L, a->ndim, a->shape, y.a->ndim, y.a->shape);
    if (!y.number && lm_tangled(a, y.a)) y.a = lm_newcopy(L, 2, y.a->dtype);
    lm_checkwrite(L, a);
    run_binary(&op, a, a, y.a, false);
    lua_settop(L, 1);
    return 1;
}

/* --- one operand ---------------------------------------------------------------------------------------- */

static operation begin_unary(const lm_unary *u, const lm_array *a)
{
    lm_dtype work = u->rule != LM_SAME && lm_dtypes[a->dtype].kind != 'f' ? LM_FLOAT64 : a->dtype;
    lm_dtype made = u->rule == LM_TRUTH ? LM_UINT8 : work;
    return (operation){.unary = u->kernels[work], .work = work, .made = made, .left = a->dtype};
}

/* Cheap: a new result of an operation that waits for memory rather than computes. */
static void run_unary(operation *op, lm_array *out, const lm_array *a, bool cheap)
{
    op->out = out->dtype;
    op->direct = op->left == op->work && op->out == op->made;
    if (a->contiguous && out->contiguous && out->size > 0) {
        char *data[] = {out->data, a->data};
        int64_t stride[] = {1, 1};
        if (cheap && lm_bytes(out) >= LM_STREAM) run_streaming(op, unary_inner, out, &a, stride, 1);
        else unary_inner(op, data, stride, out->size);
        return;
    }
    lm_loop loop;
    lm_loopset(&loop, out->ndim, out->shape, 2, (const lm_array *[]){out, a});
    lm_looprun(&loop, unary_inner, op);
}

static int array_unary(lua_State *L)
{
    const lm_array *a = lm_checkarray(L, 1);
    const lm_unary *u = lua_touserdata(L, lua_upvalueindex(1));
    operation op = begin_unary(u, a);
    run_unary(&op, lm_newarray(L, op.made, a->ndim, a->shape), a, u->rule == LM_SAME);
    return 1;
}

static int array_unary_inplace(lua_State *L)
{
    lm_array *a = lm_checkarray(L, 1);
    operation op = begin_unary(lua_touserdata(L, lua_upvalueindex(1)), a);
    check_result(L, op.made, a);
    lm_checkwrite(L, a);
    run_unary(&op, a, a, false);
    lua_settop(L, 1);
    return 1;
}

/* --- open ----------------------------------------------------------------------------------------------- */

/* The row as upvalue of the function, under its name or with a _ behind it, in the table on top of the stack. */
static void add_method(lua_State *L, const void *row, const char *name, const char *behind, lua_CFunction f)
{
    lua_pushfstring(L, "%s%s", name, behind);
    lua_pushlightuserdata(L, (void *)row);
    lua_pushcclosure(L, f, 1);
    lua_rawset(L, -3);
}

void lm_elementwiseopen(lua_State *L)
{
    for (const lm_binary *b = lm_binaries; b->name; b++) {
        add_method(L, b, b->name, "", array_binary);
        if (b->rule != LM_COMPARISON) add_method(L, b, b->name, "_", array_binary_inplace);
        if (!b->metamethod) continue;
        lua_pushvalue(L, -2);
        add_method(L, b, b->metamethod, "", array_binary);
        lua_pop(L, 1);
    }
    for (const lm_unary *u = lm_unaries; u->name; u++) {
        add_method(L, u, u->name, "", array_unary);
        if (u->rule != LM_TRUTH) add_method(L, u, u->name, "_", array_unary_inplace);
        if (strcmp(u->name, "neg")) continue;
        lua_pushvalue(L, -2);
        add_method(L, u, "__unm", "", array_unary);
        lua_pop(L, 1);
    }
}
