#include "op.h"

#include "comm.h"
#include "datatype.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

const char *const lm_opnames[LM_OPS] = {
    [LM_SUM] = "SUM",   [LM_PROD] = "PROD", [LM_MAX] = "MAX",       [LM_MIN] = "MIN",       [LM_LAND] = "LAND",
    [LM_LOR] = "LOR",   [LM_LXOR] = "LXOR", [LM_BAND] = "BAND",     [LM_BOR] = "BOR",       [LM_BXOR] = "BXOR",
    [LM_MAXLOC] = "MAXLOC", [LM_MINLOC] = "MINLOC", [LM_FUNCTION] = "a function", [LM_BLOCKS] = "mpi.op",
};

typedef struct op_object {
    const lm_kind *kind;
    lm_opid id;
    bool commutative;
} op_object;

static const lm_kind op_kind = {"mpi.op", sizeof(op_object)};

lm_opid lm_testop(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) return LM_SUM;
    if (lua_isfunction(L, index)) return LM_FUNCTION;
    const op_object *o = lm_test(L, index, &op_kind);
    return o ? o->id : LM_OPS;
}

/* --- numbers ---------------------------------------------------------------------------------------------- */

enum { INTEGER, FLOAT, BOOLEAN, INTEGER_AT, FLOAT_AT, OTHER };

static bool op_logical(int op) { return op == LM_LAND || op == LM_LOR || op == LM_LXOR; }
static bool op_bitwise(int op) { return op == LM_BAND || op == LM_BOR || op == LM_BXOR; }

/* A pair {value, location} for MAXLOC and MINLOC. */
static bool scalar_pair(lua_State *L, int index, lm_scalar *s)
{
    if (!lua_istable(L, index)) return false;
    int is_location;
    lua_rawgeti(L, index, 1);
    lua_rawgeti(L, index, 2);
    s->location = lua_tointegerx(L, -1, &is_location);
    bool fine = is_location && lua_type(L, -1) == LUA_TNUMBER && lua_type(L, -2) == LUA_TNUMBER;
    if (fine && lua_isinteger(L, -2)) {
        s->kind = INTEGER_AT;
        s->value.i = lua_tointeger(L, -2);
    } else if (fine) {
        s->kind = FLOAT_AT;
        s->value.x = lua_tonumber(L, -2);
    }
    lua_pop(L, 2);
    return fine;
}

bool lm_toscalar(lua_State *L, int index, lm_opid op, lm_scalar *s)
{
    int fine = false;
    *s = (lm_scalar){.kind = OTHER, .op = (uint8_t)op};
    if (op >= LM_MAXLOC) return op < LM_FUNCTION && scalar_pair(L, index, s);
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        fine = op_logical(op);
        s->value.i = lua_toboolean(L, index);
        if (fine) s->kind = BOOLEAN;
        break;
    case LUA_TNUMBER:
        if (op_logical(op)) {
            fine = true;
            s->value.i = lua_tonumber(L, index) != 0;
            s->kind = INTEGER;
        } else if (lua_isinteger(L, index) || op_bitwise(op)) {
            s->value.i = lua_tointegerx(L, index, &fine);
            if (fine) s->kind = INTEGER;
        } else {
            fine = true;
            s->value.x = lua_tonumber(L, index);
            s->kind = FLOAT;
        }
        break;
    default: break;
    }
    return fine;
}

bool lm_isscalar(const lm_scalar *s) { return s->kind != OTHER; }

void lm_pushscalar(lua_State *L, const lm_scalar *s)
{
    switch (s->kind) {
    case INTEGER: lua_pushinteger(L, s->value.i); break;
    case FLOAT: lua_pushnumber(L, s->value.x); break;
    case BOOLEAN: lua_pushboolean(L, s->value.i != 0); break;
    default:
        lua_createtable(L, 2, 0);
        if (s->kind == INTEGER_AT) lua_pushinteger(L, s->value.i);
        else lua_pushnumber(L, s->value.x);
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, s->location);
        lua_rawseti(L, -2, 2);
    }
}

static bool scalar_float(const lm_scalar *s) { return s->kind == FLOAT || s->kind == FLOAT_AT; }
static double scalar_number(const lm_scalar *s) { return scalar_float(s) ? s->value.x : (double)s->value.i; }

/* i < x without the rounding of i. */
static bool integer_less(int64_t i, double x)
{
    if (x >= 0x1p63) return true;
    if (x > -0x1p63) return i < (int64_t)ceil(x);
    return false; /* also NaN */
}

static bool float_less(double x, int64_t i)
{
    if (x < -0x1p63) return true;
    if (x < 0x1p63) return (int64_t)floor(x) < i;
    return false;
}

static bool scalar_less(const lm_scalar *a, const lm_scalar *b)
{
    if (scalar_float(a)) return scalar_float(b) ? a->value.x < b->value.x : float_less(a->value.x, b->value.i);
    return scalar_float(b) ? integer_less(a->value.i, b->value.x) : a->value.i < b->value.i;
}

/* b = a op b */
static void scalar_combine(const lm_scalar *a, lm_scalar *b)
{
    if (a->kind == OTHER || b->kind == OTHER || a->op != b->op) {
        b->kind = OTHER;
        return;
    }
    bool floats = scalar_float(a) || scalar_float(b);
    uint64_t i = (uint64_t)a->value.i, j = (uint64_t)b->value.i;
    switch (b->op) {
    case LM_SUM:
    case LM_PROD:
        if (floats) {
            double x = scalar_number(a), y = scalar_number(b);
            b->value.x = b->op == LM_SUM ? x + y : x * y;
            b->kind = FLOAT;
        } else {
            b->value.i = (int64_t)(b->op == LM_SUM ? i + j : i * j);
        }
        break;
    case LM_MAX:
        if (!scalar_less(a, b)) *b = *a;
        break;
    case LM_MIN:
        if (!scalar_less(b, a)) *b = *a;
        break;
    case LM_MAXLOC:
    case LM_MINLOC:
        if (b->op == LM_MAXLOC ? scalar_less(b, a) : scalar_less(a, b)) *b = *a;
        else if (!scalar_less(a, b) && !scalar_less(b, a) && a->location < b->location) *b = *a;
        break;
    case LM_BAND: b->value.i = (int64_t)(i & j); break;
    case LM_BOR: b->value.i = (int64_t)(i | j); break;
    case LM_BXOR: b->value.i = (int64_t)(i ^ j); break;
    default: {
        bool x = i != 0, y = j != 0;
        b->value.i = b->op == LM_LAND ? x && y : b->op == LM_LOR ? x || y : x != y;
        b->kind = a->kind == BOOLEAN && b->kind == BOOLEAN ? BOOLEAN : INTEGER;
    }
    }
}

static void scalar_function(void *in, void *inout, int *n, MPI_Datatype *type)
{
    (void)type;
    const lm_scalar *a = in;
    lm_scalar *b = inout;
    for (int i = 0; i < *n; i++) scalar_combine(a + i, b + i);
}

MPI_Datatype lm_scalartype(void)
{
    static MPI_Datatype type = MPI_DATATYPE_NULL;
    if (type == MPI_DATATYPE_NULL) type = lm_blocktype(MPI_BYTE, sizeof(lm_scalar));
    return type;
}

MPI_Op lm_scalarop(void)
{
    static MPI_Op op = MPI_OP_NULL;
    if (op == MPI_OP_NULL) MPI_Op_create(scalar_function, 1, &op);
    return op;
}

/* --- any values ------------------------------------------------------------------------------------------- */

static bool truth(lua_State *L, int index)
{
    if (lua_isboolean(L, index)) return lua_toboolean(L, index);
    if (lua_type(L, index) == LUA_TNUMBER) return lua_tonumber(L, index) != 0;
    return luaL_error(L, "attempt to combine a %s value with a logical operator", luaL_typename(L, index));
}

/* Whether pair b wins over pair a, both tables. */
static bool pair_wins(lua_State *L, bool highest, int a, int b)
{
    lua_geti(L, a, 1);
    lua_geti(L, b, 1);
    bool less = lua_compare(L, -2, -1, LUA_OPLT), more = lua_compare(L, -1, -2, LUA_OPLT);
    bool wins = highest ? less : more;
    if (!less && !more) {
        lua_geti(L, a, 2);
        lua_geti(L, b, 2);
        wins = lua_compare(L, -1, -2, LUA_OPLT);
        lua_pop(L, 2);
    }
    lua_pop(L, 2);
    return wins;
}

void lm_combine(lua_State *L, lm_opid op, int function)
{
    static const int arithmetic[LM_OPS] = {
        [LM_SUM] = LUA_OPADD, [LM_PROD] = LUA_OPMUL, [LM_BAND] = LUA_OPBAND, [LM_BOR] = LUA_OPBOR, [LM_BXOR] = LUA_OPBXOR,
    };
    int a = lua_gettop(L) - 1, b = a + 1;
    switch (op) {
    case LM_FUNCTION:
        lua_pushvalue(L, function);
        lua_insert(L, a);
        lua_call(L, 2, 1);
        return;
    case LM_MAX:
        if (lua_compare(L, a, b, LUA_OPLT)) lua_copy(L, b, a);
        break;
    case LM_MIN:
        if (lua_compare(L, b, a, LUA_OPLT)) lua_copy(L, b, a);
        break;
    case LM_MAXLOC:
    case LM_MINLOC:
        if (pair_wins(L, op == LM_MAXLOC, a, b)) lua_copy(L, b, a);
        break;
    case LM_LAND:
    case LM_LOR:
    case LM_LXOR: {
        bool both = lua_isboolean(L, a) && lua_isboolean(L, b), x = truth(L, a), y = truth(L, b);
        bool z = op == LM_LAND ? x && y : op == LM_LOR ? x || y : x != y;
        if (both) lua_pushboolean(L, z);
        else lua_pushinteger(L, z);
        lua_replace(L, a);
        break;
    }
    default:
        lua_arith(L, arithmetic[op]);
        return;
    }
    lua_settop(L, a);
}

/* --- arrays ----------------------------------------------------------------------------------------------- */

static int reduction_key = MPI_KEYVAL_INVALID;

const char *lm_reducible(lm_opid op, const lm_array *a)
{
    if (op_bitwise(op) && lm_dtypes[a->dtype].kind == 'f') return "combines integers only";
    if ((op == LM_MAXLOC || op == LM_MINLOC) && (a->ndim != 2 || a->shape[1] != 2))
        return "combines pairs: an array of shape (n, 2)";
    return NULL;
}

/* Pairs {value, location} of one dtype, and truth values of floats: the two cases MPI's own operators leave out. */
#define KERNELS(name, type) \
    static void pairs_##name(const void *in, void *inout, int64_t n, bool highest) \
    { \
        const type *a = in; \
        type *b = inout; \
        for (int64_t i = 0; i < n; i += 2) \
            if (highest ? b[i] < a[i] : a[i] < b[i]) b[i] = a[i], b[i + 1] = a[i + 1]; \
            else if (a[i] == b[i] && a[i + 1] < b[i + 1]) b[i + 1] = a[i + 1]; \
    }
KERNELS(float64, double)
KERNELS(float32, float)
KERNELS(int8, int8_t)
KERNELS(int16, int16_t)
KERNELS(int32, int32_t)
KERNELS(int64, int64_t)
KERNELS(uint8, uint8_t)
KERNELS(uint16, uint16_t)
KERNELS(uint32, uint32_t)
KERNELS(uint64, uint64_t)
#undef KERNELS

static void (*const pairs[LM_DTYPES])(const void *, void *, int64_t, bool) = {
    [LM_FLOAT64] = pairs_float64, [LM_FLOAT32] = pairs_float32, [LM_INT8] = pairs_int8,     [LM_INT16] = pairs_int16,
    [LM_INT32] = pairs_int32,     [LM_INT64] = pairs_int64,     [LM_UINT8] = pairs_uint8,   [LM_UINT16] = pairs_uint16,
    [LM_UINT32] = pairs_uint32,   [LM_UINT64] = pairs_uint64,
};

static void logical(lm_dtype dtype, lm_opid op, const void *in, void *inout, int64_t n)
{
#define LOGICAL(type) \
    for (int64_t i = 0; i < n; i++) { \
        bool x = ((const type *)in)[i] != 0, y = ((type *)inout)[i] != 0; \
        ((type *)inout)[i] = op == LM_LAND ? x && y : op == LM_LOR ? x || y : x != y; \
    }
    if (dtype == LM_FLOAT64) LOGICAL(double)
    else LOGICAL(float)
#undef LOGICAL
}

/* Protected: calls the Lua function for each pair of elements. Arguments: reduction, in, inout. */
static int combine_elements(lua_State *L)
{
    const lm_reduction *r = lua_touserdata(L, 1);
    const char *in = lua_touserdata(L, 2);
    char *inout = lua_touserdata(L, 3);
    lm_dtype dtype = r->like->dtype;
    int size = lm_dtypes[dtype].size;
    for (int64_t i = 0; i < r->like->size; i++) {
        lua_pushvalue(L, 4);
        lm_pushelement(L, dtype, in + i * size);
        lm_pushelement(L, dtype, inout + i * size);
        lua_call(L, 2, 1);
        if (lua_type(L, -1) != LUA_TNUMBER) return luaL_error(L, "the operator returned a %s, expected a number", luaL_typename(L, -1));
        lm_setelement(L, -1, dtype, inout + i * size);
        lua_settop(L, 4);
    }
    return 0;
}

/* Protected: calls the function of mpi.op with both blocks as arrays. Arguments: reduction, in, inout, mpi.op. */
static int combine_blocks(lua_State *L)
{
    const lm_reduction *r = lua_touserdata(L, 1);
    const lm_array *like = r->like;
    lua_getiuservalue(L, 4, 1);
    lm_array *a = lm_newarray(L, like->dtype, like->ndim, like->shape), *b = lm_newarray(L, like->dtype, like->ndim, like->shape);
    memcpy(a->data, lua_touserdata(L, 2), lm_bytes(a));
    memcpy(b->data, lua_touserdata(L, 3), lm_bytes(b));
    lua_pushvalue(L, -1);
    lua_insert(L, 5);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1) && !lua_rawequal(L, -1, 5)) {
        const char *what = luaL_getmetafield(L, -1, "__name") == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
        return luaL_error(L, "the operator returned %s; its result is what it leaves in b, as by b:copyfrom(a + b)", what);
    }
    memcpy(lua_touserdata(L, 3), b->data, lm_bytes(b));
    return 0;
}

/* b = a op b on blocks of the shape of r->like; a Lua operator's error is the result of the protected call. */
static int combine(lua_State *L, lm_reduction *r, void *a, void *b)
{
    lm_dtype dtype = (lm_dtype)r->like->dtype;
    switch (r->op) {
    case LM_MAXLOC:
    case LM_MINLOC:
        pairs[dtype](a, b, r->like->size, r->op == LM_MAXLOC);
        return LUA_OK;
    case LM_FUNCTION:
    case LM_BLOCKS: break;
    default:
        logical(dtype, r->op, a, b, r->like->size);
        return LUA_OK;
    }
    lua_pushcfunction(L, r->op == LM_FUNCTION ? combine_elements : combine_blocks);
    lua_pushlightuserdata(L, r);
    lua_pushlightuserdata(L, a);
    lua_pushlightuserdata(L, b);
    lua_pushvalue(L, r->function);
    lm_in_operator = true;
    int code = lua_pcall(L, 4, 0, 0);
    lm_in_operator = false;
    return code;
}

bool lm_foldblocks(lua_State *L, int op, const lm_array *like, char *blocks, int64_t n)
{
    lm_reduction r = {.op = lm_testop(L, op), .function = lua_absindex(L, op), .like = like};
    for (int64_t i = 1; i < n; i++)
        if (combine(L, &r, blocks + (size_t)(i - 1) * lm_bytes(like), blocks + (size_t)i * lm_bytes(like)) != LUA_OK) return false;
    return true;
}

/* Called by MPI: nothing may unwind from here. */
static void reduction_function(void *in, void *inout, int *count, MPI_Datatype *type)
{
    (void)count; /* a block is one element, never split */
    lm_reduction *r;
    int found;
    MPI_Type_get_attr(*type, reduction_key, &r, &found);
    if (r->failed || combine(r->L, r, in, inout) == LUA_OK) return;
    r->failed = true;
    lua_replace(r->L, r->message);
}

static MPI_Op reduction_op(bool commutative)
{
    static MPI_Op ops[2] = {MPI_OP_NULL, MPI_OP_NULL};
    if (reduction_key == MPI_KEYVAL_INVALID) MPI_Type_create_keyval(MPI_TYPE_NULL_COPY_FN, MPI_TYPE_NULL_DELETE_FN, &reduction_key, NULL);
    if (ops[commutative] == MPI_OP_NULL) MPI_Op_create(reduction_function, commutative, &ops[commutative]);
    return ops[commutative];
}

static MPI_Op reduction_native(lm_opid op)
{
    switch (op) {
    case LM_SUM: return MPI_SUM;
    case LM_PROD: return MPI_PROD;
    case LM_MAX: return MPI_MAX;
    case LM_MIN: return MPI_MIN;
    case LM_LAND: return MPI_LAND;
    case LM_LOR: return MPI_LOR;
    case LM_LXOR: return MPI_LXOR;
    case LM_BAND: return MPI_BAND;
    case LM_BOR: return MPI_BOR;
    case LM_BXOR: return MPI_BXOR;
    default: return MPI_OP_NULL;
    }
}

bool lm_isnative(lm_opid op, lm_dtype dtype)
{
    return reduction_native(op) != MPI_OP_NULL && !(op_logical(op) && lm_dtypes[dtype].kind == 'f');
}

void lm_beginreduction(lua_State *L, lm_reduction *r, int op, const lm_array *like)
{
    *r = (lm_reduction){.L = L, .op = lm_testop(L, op), .function = op, .like = like};
    r->type = lm_mpitype(like->dtype);
    r->count = like->size;
    r->mpi = reduction_native(r->op);
    if (lm_isnative(r->op, (lm_dtype)like->dtype)) return;
    const op_object *o = lm_test(L, op, &op_kind);
    r->mpi = reduction_op(o && o->commutative);
    lua_pushnil(L);
    r->message = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    r->type = lm_blocktype(r->type, like->size);
    MPI_Type_set_attr(r->type, reduction_key, r);
    r->count = 1;
}

void lm_endreduction(lm_reduction *r)
{
    if (r->message) MPI_Type_free(&r->type);
}

/* --- open ------------------------------------------------------------------------------------------------- */

static void op_push(lua_State *L, lm_opid id, bool commutative)
{
    op_object *o = lm_new(L, &op_kind, 1);
    o->id = id;
    o->commutative = commutative;
}

/* mpi.op(f[, commutative]) */
static int op_new(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    op_push(L, LM_BLOCKS, lua_toboolean(L, 2));
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static int op_tostring(lua_State *L)
{
    const op_object *o = lm_check(L, 1, &op_kind);
    if (o->id == LM_BLOCKS) lua_pushstring(L, "mpi.op");
    else lua_pushfstring(L, "mpi.%s", lm_opnames[o->id]);
    return 1;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__tostring", op_tostring}, {NULL, NULL}};

void luaopen_op(lua_State *L)
{
    lm_newkind(L, &op_kind, methods, metamethods);
    lua_pop(L, 1);
    for (int id = 0; id < LM_FUNCTION; id++) {
        op_push(L, (lm_opid)id, true);
        lua_setfield(L, -2, lm_opnames[id]);
    }
    lua_pushcfunction(L, op_new);
    lua_setfield(L, -2, "op");
}
