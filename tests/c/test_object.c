/* What each state has one of stays its own, whichever state asks, linked with buffer.c object.c */
#include "buffer.h"

#include <stdio.h>
#include <stdlib.h>

static void check(bool fine, const char *what)
{
    if (fine) return;
    fprintf(stderr, "test_object: %s\n", what);
    exit(1);
}

static lua_State *new_state(void)
{
    lua_State *L = luaL_newstate();
    check(L, "no state");
    luaopen_buffer(L);
    return L;
}

/* Notes the state's shared buffer in the state itself. */
static lm_buffer *scratch_note(lua_State *L)
{
    lm_buffer *b = lm_scratch(L);
    lua_pushlightuserdata(L, b);
    lua_setglobal(L, "scratch");
    return b;
}

static bool is_scratch(lua_State *L, const lm_buffer *b)
{
    lua_getglobal(L, "scratch");
    bool is = lua_touserdata(L, -1) == b;
    lua_pop(L, 1);
    return is;
}

int main(void)
{
    lua_State *states[] = {new_state(), new_state()};
    check(scratch_note(states[0]) != scratch_note(states[1]), "two states share a buffer");
    for (int i = 0; i < 6; i++) check(is_scratch(states[i % 2], lm_scratch(states[i % 2])), "a state gets another's buffer");

    lm_buffer *kept = lm_keepscratch(states[0]);
    check(is_scratch(states[0], kept), "what is kept is not what was shared");
    check(lm_scratch(states[0]) != kept, "what is kept is shared still");
    check(is_scratch(states[1], lm_scratch(states[1])), "another state keeps this one's buffer");

    for (int i = 0; i < 100; i++) { /* the next may lie where the last one lay */
        lua_close(states[0]);
        states[0] = new_state();
        lm_grow(states[0], scratch_note(states[0]), 1000);
        check(is_scratch(states[0], lm_scratch(states[0])), "a new state gets a buffer that is not its own");
        lua_close(states[1]);
        states[1] = new_state();
        lm_grow(states[1], scratch_note(states[1]), 1000);
        check(is_scratch(states[0], lm_scratch(states[0])), "a state gets a closed one's buffer");
    }
    lua_close(states[0]);
    lua_close(states[1]);
    return 0;
}
