/* Arrays when memory runs out, at every point, linked with arrays.c array.c index.c view.c create.c convert.c loop.c elementwise.c arith.c maths.c reduction.c cumulate.c compare.c blas.c random.c npy.c npyheader.c mapping.c object.c dtype.c */
#include "array.h"
#include "scarce.h"

#include <lualib.h>
#include <string.h>
#include <unistd.h>

/* Returns a function that uses everything that allocates, and one that raises unless the arrays it began with are as
   they were. */
static const char chunk[] =
    "local path = ...\n"
    "local a, m = array.range(1, 12):reshape {3, 4}, array.of {{1, 2}, {3, 4}}\n"
    "array.save(path, m)\n"
    "return function ()\n"
    "    local b = array.zeros({3, 4}, 'int8') + a * 2.5 - m[1][1] // 1 + a:t():t() % 5\n"
    "    b:add_(a:slice({1, 3}, {2, 2})):mul_(b):copyfrom(a)\n"
    "    local c = array.concat {a, b, a:slice(2, 3):copy()}\n"
    "    assert(c:sum() == 224 and c:max(1)[1] == 9 and c:cumsum(2):get(1, 4) == 10 and c:mean() == 7)\n"
    "    assert(array.of(a:totable(), 'int64') == a and a:gt(3):any() and (-a):abs() == a)\n"
    "    assert(m:dot(m):get(2, 2) == 22 and a:dot(a:t()):get(1, 1) == 30 and m:dot(m[1])[1] == 5 and m:norm() > 5)\n"
    "    assert(m:copy():axpy(2, m:t()):scal(1):sum() == 30 and m:map(function (x) return x * 2 end):sum() == 20)\n"
    "    assert(#array.random(10, {seed = 1, dist = 'normal'}):bytes() == 80 and array.linspace(0, 1, 3)[2] == 0.5)\n"
    "    assert(array.load(path) == m and array.load(path, {rows = {2, 2}}):sum() == 7)\n"
    "    assert(array.load(path, {mmap = true}):allclose(m))\n"
    "    array.save(path, m)\n"
    "    assert(not pcall(function () return a + m end))\n"
    "end, function ()\n"
    "    assert(a == array.range(1, 12):reshape {3, 4} and m == array.of {{1, 2}, {3, 4}} and array.load(path) == m)\n"
    "end\n";

static int setup(lua_State *L)
{
    luaL_openlibs(L);
    luaopen_array(L);
    lua_setglobal(L, "array");
    if (luaL_loadstring(L, chunk)) return lua_error(L);
    lua_insert(L, 1);
    lua_settop(L, 2);
    lua_call(L, 1, 2);
    return 2;
}

static bool run_with(const char *path, long n)
{
    memory m = {0, false, n};
    lua_State *L = lua_newstate(memory_alloc, &m);
    lua_pushcfunction(L, setup);
    lua_pushstring(L, path);
    if (lua_pcall(L, 1, 2, 0)) fail(lua_tostring(L, -1), n);
    lua_pushvalue(L, 1);
    m.armed = true;
    int status = lua_pcall(L, 0, 0, 0);
    m.armed = false;
    if (status != LUA_OK && !strstr(lua_tostring(L, -1), "not enough memory")) fail(lua_tostring(L, -1), n);
    lua_settop(L, 2);
    if (lua_pcall(L, 0, 0, 0)) fail(lua_tostring(L, -1), n);
    lua_close(L);
    if (m.out) fail("memory leaked", n);
    return status == LUA_OK;
}

int main(void)
{
    char path[] = "/tmp/test_array_alloc.XXXXXX";
    close(mkstemp(path));
    long n = 0;
    while (!run_with(path, n)) n++;
    unlink(path);
    if (n < 60) fail("hardly anything was allocated", n);
    printf("test_array_alloc: %ld points\n", n);
    return 0;
}
