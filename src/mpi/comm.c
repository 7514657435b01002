#include "comm.h"

#include "agree.h"
#include "error.h"
#include "progress.h"
#include "session.h"
#include "tick.h"
#include "turn.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lm_kind comm_kind = {"mpi.comm", sizeof(lm_comm)};
bool lm_in_operator;

/* --- arguments -------------------------------------------------------------------------------------------- */

lm_comm *lm_checkopen(lua_State *L, int arg)
{
    lm_comm *c = lm_check(L, arg, &comm_kind);
    if (c->comm == MPI_COMM_NULL) luaL_argerror(L, arg, c->record ? "an interruption ended the communicator" : "the communicator was freed");
    return c;
}

void lm_checkmpi(lua_State *L)
{
    if (lm_in_operator) luaL_error(L, "an operator cannot communicate");
    if (lm_isolated) luaL_error(L, "a task in isolation cannot communicate");
}

void lm_refusetask(lua_State *L, const lm_comm *c, const char *call)
{
    luaL_error(L, "comm:%s in a task of comm:%s on the same communicator; a task may use others, such as one that comm:dup() "
                  "made before", call, c->mapping);
}

/* The same of the running C function. */
static void comm_refuse(lua_State *L, int arg, const lm_comm *c)
{
    lua_Debug at;
    if (lua_getstack(L, 0, &at) && lua_getinfo(L, "n", &at) && at.name) lm_refusetask(L, c, at.name);
    luaL_argerror(L, arg, lua_pushfstring(L, "a task of comm:%s uses the communicator that is mapped", c->mapping));
}

lm_comm *lm_checkcomm(lua_State *L, int arg)
{
    lm_comm *c = lm_checkopen(L, arg);
    lm_checkmpi(L);
    if (c->mapping) comm_refuse(L, arg, c);
    return c;
}

int lm_checkrank(lua_State *L, int arg, const lm_comm *c, const char *what, int otherwise)
{
    if (lua_isnoneornil(L, arg)) {
        if (otherwise == MPI_UNDEFINED) luaL_argerror(L, arg, lua_pushfstring(L, "%s is missing", what));
        return otherwise;
    }
    lua_Integer rank = lm_checkinteger(L, arg, what);
    if ((rank < 0 || rank >= c->size) && rank != MPI_PROC_NULL && !(rank == MPI_ANY_SOURCE && otherwise == MPI_ANY_SOURCE))
        luaL_argerror(L, arg, lua_pushfstring(L, "%s is %I, but the ranks of this communicator are 0 to %d", what, rank, c->size - 1));
    return (int)rank;
}

int lm_checktag(lua_State *L, int arg, int otherwise)
{
    static lua_Integer highest = -1;
    if (lua_isnoneornil(L, arg)) return otherwise;
    lua_Integer tag = lm_checkinteger(L, arg, "tag");
    if (highest < 0) {
        int *value, found;
        MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &value, &found);
        highest = found ? *value : 32767;
    }
    if ((tag < 0 || tag > highest) && !(tag == MPI_ANY_TAG && otherwise == MPI_ANY_TAG))
        luaL_argerror(L, arg, lua_pushfstring(L, "tag is %I, expected 0 to %I", tag, highest));
    return (int)tag;
}

/* --- making ----------------------------------------------------------------------------------------------- */

static lm_commrecord *records;

lm_commrecord *lm_firstrecord(void) { return records; }

lm_commrecord *lm_findrecord(uint64_t id)
{
    lm_commrecord *r = records;
    while (r && r->id != id) r = r->next;
    return r;
}

static lm_commrecord *record_named(const char *named)
{
    lm_commrecord *r = records;
    while (r && (!r->named || strcmp(r->named, named))) r = r->next;
    return r;
}

/* The id comes from the communicator's first rank. Collective. */
static lm_commrecord *record_new(lua_State *L, MPI_Comm comm, const char *named, const char *call)
{
    static uint64_t made;
    lm_commrecord *new = calloc(1, sizeof *new);
    if (!new) luaL_error(L, "not enough memory");
    *new = (lm_commrecord){.next = records, .comm = comm, .named = named};
    int code = lm_makechannels(new);
    if (code != MPI_SUCCESS) free(new);
    lm_mpi(L, code, call);
    MPI_Comm_rank(comm, &new->rank);
    MPI_Comm_size(comm, &new->size);
    if (new->size > 1) {
        int world;
        MPI_Comm_rank(MPI_COMM_WORLD, &world);
        new->id = (uint64_t)world << 32 | ++made;
        MPI_Bcast(&new->id, 1, MPI_UINT64_T, 0, comm);
    }
    lm_place(L, new->place, sizeof new->place);
    return records = new;
}

static void record_forget(lm_commrecord *record)
{
    lm_commrecord **at = &records;
    while (*at != record) at = &(*at)->next;
    *at = record->next;
    free(record);
}

/* Tells of messages that nobody received and of communicators that nobody freed. The others are at the end too. */
static int records_end(void)
{
    int lines = 0, rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (const lm_commrecord *r = records; r; r = r->next) {
        int there, count = r->letters;
        MPI_Status status;
        while (r->comm != MPI_COMM_NULL) {
            MPI_Message message;
            if (MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, r->comm, &there, &message, &status) != MPI_SUCCESS || !there) break;
            char envelope[4096];
            MPI_Mrecv(envelope, sizeof envelope, MPI_BYTE, &message, &status);
            count++;
        }
        if (count > 0 && !r->excused) {
            fprintf(stderr, "rank %d: %d message%s never received on %s%s\n", rank, count, count > 1 ? "s were" : " was",
                    r->named ? "" : "the communicator made at ", r->named ? r->named : r->place);
            lines++;
        }
        if (!r->named && !r->excused) {
            fprintf(stderr, "rank %d: the communicator made at %s was never freed\n", rank, *r->place ? r->place : "?");
            lines++;
        }
    }
    return lines;
}

int lm_makechannels(lm_commrecord *r)
{
    int code = MPI_Comm_dup(r->comm, &r->payload);
    return code == MPI_SUCCESS ? MPI_Comm_dup(r->comm, &r->later) : code;
}

void lm_renewcomm(lm_comm *c)
{
    c->comm = c->record->comm;
    c->payload = c->record->payload;
    c->later = c->record->later;
    lm_leaveturns(c);
    c->letters = NULL;
    c->receives = 0;
    if (c->keeper) c->keeper->leave(c);
    c->keeper = NULL;
    c->mapping = NULL;
    memset(c->sent, 0, sizeof *c->sent * 3 * (size_t)c->size);
}

/* Pushes the object over a record. */
static lm_comm *comm_push(lua_State *L, lm_commrecord *record)
{
    lm_comm *c = lm_new(L, &comm_kind, 3);
    c->rank = record->rank;
    c->size = record->size;
    c->sent = lua_newuserdatauv(L, sizeof *c->sent * 3 * (size_t)c->size, 0);
    c->posted = c->sent + c->size;
    c->taken = c->posted + c->size;
    lua_setiuservalue(L, -2, 1);
    c->record = record;
    record->object = c;
    lm_renewcomm(c);
    return c;
}

lm_comm *lm_newcomm(lua_State *L, MPI_Comm comm, const char *call)
{
    return comm_push(L, record_new(L, comm, NULL, call));
}

/* Pushes the object of one of MPI's own two communicators. Messages travel on duplicates, made once in a process, so
   that a library in the same process may use the originals; collective the first time. */
static void comm_pushnamed(lua_State *L, MPI_Comm original, const char *name)
{
    lm_commrecord *record = record_named(name);
    if (!record) {
        MPI_Comm comm;
        lm_mpi(L, MPI_Comm_dup(original, &comm), name);
        MPI_Comm_set_name(comm, name);
        record = record_new(L, comm, name, name);
    }
    comm_push(L, record);
}

/* --- methods ---------------------------------------------------------------------------------------------- */

static int comm_rank(lua_State *L)
{
    lua_pushinteger(L, lm_checkopen(L, 1)->rank);
    return 1;
}

static int comm_size(lua_State *L)
{
    lua_pushinteger(L, lm_checkopen(L, 1)->size);
    return 1;
}

static int comm_name(lua_State *L)
{
    lm_comm *c = lm_checkopen(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        size_t length;
        const char *name = luaL_checklstring(L, 2, &length);
        if (length >= MPI_MAX_OBJECT_NAME)
            return luaL_argerror(L, 2, lua_pushfstring(L, "a name has at most %d bytes", MPI_MAX_OBJECT_NAME - 1));
        lm_mpi(L, MPI_Comm_set_name(c->comm, name), "name");
    }
    char name[MPI_MAX_OBJECT_NAME];
    int length;
    lm_mpi(L, MPI_Comm_get_name(c->comm, name, &length), "name");
    lua_pushlstring(L, name, (size_t)length);
    return 1;
}

/* Agrees on a call that makes or frees communicators: its arguments are this rank's own. */
static void comm_agree(lua_State *L, lm_comm *c, const char *call, const char *mistake)
{
    lm_wait(L, call, NULL, 0, -1);
    lm_intent intent = lm_plainintent(call, 0, mistake);
    lm_agree(L, c, &intent, false);
}

/* Pushes the message luaL_argerror would raise. */
static const char *comm_mistake(lua_State *L, int arg, const char *call, const char *text)
{
    return lua_pushfstring(L, "bad argument #%d to '%s' (%s)", arg - 1, call, text);
}

/* NULL and the value of an optional integer argument, or a mistake. */
static const char *comm_integer(lua_State *L, int arg, const char *call, const char *what, int otherwise, int *value)
{
    int is;
    lua_Integer i = lua_isnoneornil(L, arg) ? otherwise : lua_tointegerx(L, arg, &is);
    *value = (int)i;
    if (lua_isnoneornil(L, arg) ? otherwise != INT_MIN : is && i == (int)i) return NULL;
    return comm_mistake(L, arg, call, lua_pushfstring(L, "%s: integer expected, got %s", what, lm_got(L, arg)));
}

static int comm_dup(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    comm_agree(L, c, "dup", NULL);
    MPI_Comm new;
    lm_mpi(L, MPI_Comm_dup(c->comm, &new), "dup");
    MPI_Comm_set_name(new, "");
    lm_newcomm(L, new, "dup");
    return 1;
}

void lm_newcommornil(lua_State *L, MPI_Comm comm, const char *call)
{
    if (comm == MPI_COMM_NULL) lua_pushnil(L);
    else lm_newcomm(L, comm, call);
}

static int comm_split(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int color, key = 0;
    const char *mistake = comm_integer(L, 2, "split", "color", INT_MIN, &color);
    if (!mistake) mistake = comm_integer(L, 3, "split", "key", 0, &key);
    if (!mistake && color < 0 && color != MPI_UNDEFINED)
        mistake = comm_mistake(L, 2, "split", "color is negative; a rank that wants no communicator passes mpi.UNDEFINED");
    comm_agree(L, c, "split", mistake);
    MPI_Comm new;
    lm_mpi(L, MPI_Comm_split(c->comm, color, key, &new), "split");
    lm_newcommornil(L, new, "split");
    return 1;
}

static int comm_split_type(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    int key;
    const char *mistake = comm_integer(L, 3, "split_type", "key", 0, &key);
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "shared"))
        mistake = comm_mistake(L, 2, "split_type", "the type is \"shared\": the ranks that share memory");
    comm_agree(L, c, "split_type", mistake);
    MPI_Comm new;
    lm_mpi(L, MPI_Comm_split_type(c->comm, MPI_COMM_TYPE_SHARED, key, MPI_INFO_NULL, &new), "split_type");
    lm_newcommornil(L, new, "split_type");
    return 1;
}

/* comm:subset(ranks): the ranks of the list, in its order. Every rank of the communicator calls. */
static int comm_subset(lua_State *L)
{
    lm_comm *c = lm_checkcomm(L, 1);
    const char *mistake = NULL;
    int key = MPI_UNDEFINED;
    uint64_t listed = 0; /* so that different lists differ */
    if (lua_istable(L, 2)) {
        lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
        bool *seen = lua_newuserdatauv(L, (size_t)c->size, 0);
        memset(seen, 0, (size_t)c->size);
        for (lua_Integer i = 1; i <= n && !mistake; i++) {
            int is;
            lua_rawgeti(L, 2, i);
            lua_Integer r = lua_tointegerx(L, -1, &is);
            lua_pop(L, 1);
            if (!is || r < 0 || r >= c->size)
                mistake = comm_mistake(L, 2, "subset", lua_pushfstring(L, "entry %I is not a rank from 0 to %d", i, c->size - 1));
            else if (seen[r])
                mistake = comm_mistake(L, 2, "subset", lua_pushfstring(L, "rank %I is listed twice", r));
            else seen[r] = true;
            if (r == c->rank) key = (int)i;
            listed = (listed + (uint64_t)r + 1) * UINT64_C(0x9E3779B97F4A7C15);
        }
    } else {
        mistake = comm_mistake(L, 2, "subset", lua_pushfstring(L, "list of ranks expected, got %s", lm_got(L, 2)));
    }
    lm_wait(L, "subset", NULL, 0, -1);
    lm_intent intent = lm_plainintent("subset", listed, mistake);
    lm_agree(L, c, &intent, false);
    MPI_Comm new;
    lm_mpi(L, MPI_Comm_split(c->comm, key == MPI_UNDEFINED ? MPI_UNDEFINED : 0, key, &new), "subset");
    lm_newcommornil(L, new, "subset");
    return 1;
}

static int comm_compare(lua_State *L)
{
    lm_comm *c = lm_checkopen(L, 1), *other = lm_checkopen(L, 2);
    int result;
    lm_mpi(L, MPI_Comm_compare(c->comm, other->comm, &result), "compare");
    lua_pushstring(L, result == MPI_IDENT     ? "ident"
                      : result == MPI_CONGRUENT ? "congruent"
                      : result == MPI_SIMILAR   ? "similar"
                                                : "unequal");
    return 1;
}

void lm_releasecomm(lua_State *L, lm_comm *c)
{
    MPI_Comm comm = c->comm, later = c->later;
    c->comm = c->later = MPI_COMM_NULL;
    record_forget(c->record);
    c->record = NULL;
    lm_mpi(L, MPI_Comm_free(&later), "free");
    if (c->requests == 0) lm_mpi(L, MPI_Comm_free(&c->payload), "free");
    lm_mpi(L, MPI_Comm_free(&comm), "free");
}

void lm_leavecomm(lm_comm *c)
{
    if (--c->requests == 0 && c->comm == MPI_COMM_NULL && c->payload != MPI_COMM_NULL) MPI_Comm_free(&c->payload);
}

/* Raises while a method of c is at work, further down the stack of this thread or of one that has resumed it:
   finalizers and operators run inside of them. */
static void comm_rest(lua_State *L, const lm_comm *c)
{
    lua_Debug at;
    int level = 1; /* above comm:free itself */
    for (lua_State *thread = L; thread; thread = lm_resumer(thread), level = 0) {
        for (; lua_getstack(thread, level, &at); level++) {
            lua_getinfo(thread, "Sn", &at);
            if (*at.what != 'C' || !lua_checkstack(thread, 1) || !lua_getlocal(thread, &at, 1)) continue;
            bool busy = lua_touserdata(thread, -1) == c;
            lua_pop(thread, 1);
            if (busy)
                luaL_error(L, "free: %s is under way on the communicator", at.name ? lua_pushfstring(L, "comm:%s", at.name) : "a call");
        }
    }
}

static int comm_free(lua_State *L)
{
    lm_comm *c = lm_check(L, 1, &comm_kind);
    if (c->comm == MPI_COMM_NULL) {
        if (c->record) record_forget(c->record);
        c->record = NULL;
        return 0;
    }
    lm_checkmpi(L);
    if (c->record->named) return luaL_error(L, "%s cannot be freed", c->record->named);
    if (c->mapping) comm_refuse(L, 1, c);
    comm_rest(L, c);
    comm_agree(L, c, "free", NULL);
    lm_endturns(L, c, "free");
    if (c->keeper) c->keeper->free(L, c);
    c->keeper = NULL;
    lm_releasecomm(L, c);
    return 0;
}

/* Without MPI: the communicator itself is freed by all its ranks together, or never. */
static int comm_gc(lua_State *L)
{
    lm_comm *c = lm_test(L, 1, &comm_kind);
    if (c && c->record && c->record->object == c) c->record->object = NULL;
    return 0;
}

static int comm_tostring(lua_State *L)
{
    lm_comm *c = lm_check(L, 1, &comm_kind);
    if (c->comm == MPI_COMM_NULL) {
        lua_pushstring(L, c->record ? "mpi.comm (ended by an interruption)" : "mpi.comm (freed)");
        return 1;
    }
    char name[MPI_MAX_OBJECT_NAME] = "";
    int length;
    MPI_Comm_get_name(c->comm, name, &length);
    lua_pushfstring(L, "%s (rank %d of %d)", *name ? name : "mpi.comm", c->rank, c->size);
    return 1;
}

static int comm_eq(lua_State *L)
{
    lm_comm *a = lm_test(L, 1, &comm_kind), *b = lm_test(L, 2, &comm_kind);
    lua_pushboolean(L, a && b && a->comm == b->comm && (a == b || a->comm != MPI_COMM_NULL));
    return 1;
}

static const luaL_Reg methods[] = {
    {"rank", comm_rank},
    {"size", comm_size},
    {"name", comm_name},
    {"dup", comm_dup},
    {"split", comm_split},
    {"split_type", comm_split_type},
    {"subset", comm_subset},
    {"compare", comm_compare},
    {"free", comm_free},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__tostring", comm_tostring},
    {"__eq", comm_eq},
    {"__close", comm_free},
    {"__gc", comm_gc},
    {NULL, NULL},
};

void luaopen_comm(lua_State *L)
{
    lm_atend(records_end, true);
    static const struct { const char *name; int value; } constants[] = {
        {"ANY_SOURCE", MPI_ANY_SOURCE}, {"ANY_TAG", MPI_ANY_TAG},
        {"PROC_NULL", MPI_PROC_NULL},   {"UNDEFINED", MPI_UNDEFINED},
    };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        lua_pushinteger(L, constants[i].value);
        lua_setfield(L, -2, constants[i].name);
    }
    lm_newkind(L, &comm_kind, methods, metamethods);
    /* as a module of its own, so that messages can name a method however it was called */
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, comm_kind.name);
    lua_pop(L, 1);
    lua_setfield(L, -2, "comm");
    comm_pushnamed(L, MPI_COMM_WORLD, "mpi.COMM_WORLD");
    lua_setfield(L, -2, "COMM_WORLD");
    comm_pushnamed(L, MPI_COMM_SELF, "mpi.COMM_SELF");
    lua_setfield(L, -2, "COMM_SELF");
}
