#include "place.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>

static bool is_name(const char *s, size_t n)
{
    if (n == 0 || n > 40 || (*s >= '0' && *s <= '9')) return false;
    for (size_t i = 0; i < n; i++) {
        bool letter = (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z');
        if (!letter && s[i] != '_' && (s[i] < '0' || s[i] > '9')) return false;
    }
    return true;
}

static void add_string_key(luaL_Buffer *text, const char *s, size_t n)
{
    if (is_name(s, n)) {
        luaL_addchar(text, '.');
        luaL_addlstring(text, s, n);
        return;
    }
    luaL_addstring(text, "[\"");
    for (size_t i = 0; i < n && i < 40; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') luaL_addchar(text, '\\');
        if (c >= ' ' && c != 127) {
            luaL_addchar(text, (char)c);
        } else {
            char code[] = {'\\', (char)('0' + c / 100), (char)('0' + c / 10 % 10), (char)('0' + c % 10)};
            luaL_addlstring(text, code, 4);
        }
    }
    luaL_addstring(text, n > 40 ? "…\"]" : "\"]");
}

/* Adds ".key", "[3]", " (upvalue 'f')". */
static void add_place(lua_State *L, luaL_Buffer *text, const lm_place *p)
{
    size_t n;
    const char *s;
    switch (p->what) {
    case LM_ITEM:
        lua_pushfstring(L, "[%I]", p->at);
        break;
    case LM_UPVALUE:
        s = lua_getupvalue(L, p->slot, (int)p->at);
        lua_pop(L, 1);
        lua_pushfstring(L, " (upvalue '%s')", s);
        break;
    case LM_KEY:
        lua_pushfstring(L, " (a key)");
        break;
    default:
        switch (lua_type(L, p->slot)) {
        case LUA_TSTRING:
            s = lua_tolstring(L, p->slot, &n);
            add_string_key(text, s, n);
            return;
        case LUA_TNUMBER:
            if (lua_isinteger(L, p->slot)) lua_pushfstring(L, "[%I]", lua_tointeger(L, p->slot));
            else lua_pushfstring(L, "[%f]", lua_tonumber(L, p->slot));
            break;
        case LUA_TBOOLEAN:
            lua_pushfstring(L, "[%s]", lua_toboolean(L, p->slot) ? "true" : "false");
            break;
        default:
            lua_pushfstring(L, "[a %s]", luaL_typename(L, p->slot));
        }
    }
    luaL_addvalue(text);
}

#define SHOWN 10 /* places at each end of a long path */

void lm_refuse(lua_State *L, lm_place *innermost, const char *what)
{
    lm_place *first = NULL;
    int n = 0;
    for (lm_place *p = innermost; p; n++) { /* turn the list round: the outermost place is named first */
        lm_place *outer = p->outer;
        p->outer = first;
        first = p;
        p = outer;
    }
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    luaL_addstring(&text, "value");
    int i = 0;
    for (lm_place *p = first; p; p = p->outer, i++) {
        if (n <= 2 * SHOWN || i < SHOWN || i >= n - SHOWN) add_place(L, &text, p);
        else if (i == SHOWN) luaL_addstring(&text, "…");
    }
    luaL_pushresult(&text);
    luaL_error(L, "cannot send %s at %s", what, lua_tostring(L, -1));
    abort();
}
