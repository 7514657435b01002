#include "editor.h"

#include "tty.h"

#include <fcntl.h>
#include <histedit.h>
#include <lauxlib.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define REMEMBERED 5000 /* lines of history */
#define LOOK 200 /* milliseconds between two looks at the terminal's size */
#define CTRL_R 18
#define ESCAPE 27

static EditLine *editor;
static History *history_of_lines;
static const char *prompt;
static lua_State *asking; /* the state that waits for the line; its index 2 is the completer */
static bool interrupted, pasting;

static void show(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t n = write(lm_ttyfd(), text, left);
        if (n <= 0) return;
        text += n;
        left -= (size_t)n;
    }
}

/* --- the terminal's size ---------------------------------------------------------------------------------- */

/* Under mpirun no signal tells of a new size: whoever waits for a key looks now and then. */
static struct winsize size_known;

static void move_by(wchar_t c, int columns, int *row, int *column)
{
    int width = c == L'\n' ? 0 : wcwidth(c);
    if (c == L'\n' || *column + width > columns) *row += 1, *column = 0;
    if (width > 0) *column += width;
}

/* How many rows the cursor is below the beginning of the prompt, where a row has so many columns. */
static int rows_above(int columns)
{
    int row = 0, column = 0;
    mbstate_t state = {0};
    const char *text = prompt;
    wchar_t c;
    for (size_t n; (n = mbrtowc(&c, text, MB_CUR_MAX, &state)) > 0 && n < (size_t)-2; text += n) move_by(c, columns, &row, &column);
    const LineInfoW *line = el_wline(editor);
    for (const wchar_t *at = line->buffer; at < line->cursor; at++) move_by(*at, columns, &row, &column);
    return row;
}

/* The terminal has broken the line anew, in rows of its new width: it is drawn in their place. */
static void look_at_size(void)
{
    struct winsize size;
    if (ioctl(lm_ttyfd(), TIOCGWINSZ, &size) || size.ws_col == 0) return;
    if (size.ws_col == size_known.ws_col && size.ws_row == size_known.ws_row) return;
    char above[24] = "\r\033[J";
    int rows = rows_above(size.ws_col);
    if (rows > 0) snprintf(above, sizeof above, "\r\033[%dA\033[J", rows);
    size_known = size;
    show(above);
    el_resize(editor);
    el_set(editor, EL_REFRESH);
}

/* --- keys ------------------------------------------------------------------------------------------------- */

/* libedit's search ends with the first byte of a cursor key and takes the rest for text: here it ends one byte before. */
static int next_byte(void)
{
    static bool searching, escape;
    if (escape) {
        escape = false;
        return ESCAPE;
    }
    while (!lm_awaitkey(LOOK)) look_at_size();
    look_at_size(); /* what the key does is drawn in the present one */
    int byte = lm_key();
    if (byte == CTRL_R) {
        searching = true;
    } else if (searching && byte < ' ' && byte != '\b') {
        searching = false;
        escape = byte == ESCAPE && lm_keyready();
    }
    return byte;
}

static int next_key(EditLine *e, wchar_t *key)
{
    (void)e;
    mbstate_t state = {0};
    for (;;) {
        int byte = next_byte();
        if (byte < 0) return 0;
        char c = (char)byte;
        size_t n = mbrtowc(key, &c, 1, &state);
        if (n <= 1) return 1;
        if (n == (size_t)-1) memset(&state, 0, sizeof state); /* not UTF-8: skipped */
    }
}

static unsigned char on_interrupt(EditLine *e, int key)
{
    (void)e, (void)key;
    interrupted = true;
    return CC_EOF;
}

static unsigned char on_paste(EditLine *e, int key)
{
    (void)e, (void)key;
    pasting = true;
    return CC_NORM;
}

static unsigned char on_pasted(EditLine *e, int key)
{
    (void)e, (void)key;
    pasting = false;
    return CC_NORM;
}

/* Calls the completer with the text on both sides of the cursor; the results are on the stack. */
static bool ask_completer(lua_State *L, const LineInfo *line)
{
    if (!lua_isfunction(L, 2) || !lua_checkstack(L, 8)) return false;
    lua_pushvalue(L, 2);
    lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
    lua_pushlstring(L, line->cursor, (size_t)(line->lastchar - line->cursor));
    return lua_pcall(L, 2, 2, 0) == LUA_OK;
}

static unsigned char on_tab(EditLine *e, int key)
{
    (void)key;
    const LineInfo *line = el_line(e);
    const char *from = line->buffer;
    while (from < line->cursor && (*from == ' ' || *from == '\t')) from++;
    if (pasting || from == line->cursor) return el_insertstr(e, "    ") == 0 ? CC_REFRESH : CC_ERROR;
    int top = lua_gettop(asking);
    unsigned char result = CC_ERROR;
    if (ask_completer(asking, line)) {
        const char *insert = lua_tostring(asking, -2), *below = lua_tostring(asking, -1);
        if (insert && *insert && el_insertstr(e, insert) == 0) result = CC_REFRESH;
        if (below) {
            show("\n");
            show(below);
            result = CC_REDISPLAY;
        }
    }
    lua_settop(asking, top);
    return result;
}

/* --- beginning -------------------------------------------------------------------------------------------- */

static char *get_prompt(EditLine *e)
{
    (void)e;
    return (char *)prompt;
}

static FILE *stream(const char *mode)
{
    int fd = fcntl(lm_ttyfd(), F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? NULL : fdopen(fd, mode);
}

static void bind(const char *key, const char *what) { el_set(editor, EL_BIND, key, what, NULL); }

static bool start(void)
{
    FILE *in = stream("r"), *out = stream("w");
    HistEvent event;
    if (!in || !out) return false;
    /* what is typed is UTF-8; nothing else in the program depends on these classes */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    editor = el_init("luampi", in, out, out);
    history_of_lines = history_init();
    if (!editor || !history_of_lines) return false;
    history(history_of_lines, &event, H_SETSIZE, REMEMBERED);
    history(history_of_lines, &event, H_SETUNIQUE, 1);
    el_set(editor, EL_HIST, history, history_of_lines);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_PROMPT, get_prompt);
    el_set(editor, EL_GETCFN, next_key);
    el_set(editor, EL_SETTY, "-d", "-isig", NULL);
    el_set(editor, EL_ADDFN, "luampi-complete", "complete the name before the cursor", on_tab);
    el_set(editor, EL_ADDFN, "luampi-interrupt", "give up the line", on_interrupt);
    el_set(editor, EL_ADDFN, "luampi-paste", "pasted text begins", on_paste);
    el_set(editor, EL_ADDFN, "luampi-pasted", "pasted text ends", on_pasted);
    bind("^I", "luampi-complete");
    bind("^C", "luampi-interrupt");
    bind("\\e[200~", "luampi-paste");
    bind("\\e[201~", "luampi-pasted");
    bind("^R", "em-inc-search-prev");
    bind("^W", "ed-delete-prev-word");
    bind("\\e[1~", "ed-move-to-beg");
    bind("\\e[4~", "ed-move-to-end");
    bind("\\e[H", "ed-move-to-beg");
    bind("\\e[F", "ed-move-to-end");
    bind("\\e[3~", "ed-delete-next-char");
    bind("\\e[1;5D", "ed-prev-word");
    bind("\\e[1;5C", "em-next-word");
    el_source(editor, NULL);
    return true;
}

/* --- for Lua ---------------------------------------------------------------------------------------------- */

static bool started(void)
{
    static bool tried;
    if (!tried) {
        tried = true;
        if (!start()) editor = NULL;
    }
    return editor != NULL;
}

int lm_remember(lua_State *L)
{
    HistEvent event;
    const char *line = luaL_checkstring(L, 1);
    if (started()) history(history_of_lines, &event, H_ENTER, line);
    return 0;
}

int lm_edit(lua_State *L)
{
    prompt = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    if (!started()) return luaL_error(L, "no line editing on this terminal");
    show("\033[?2004h"); /* pasted text is marked */
    interrupted = false;
    asking = L;
    el_resize(editor);
    ioctl(lm_ttyfd(), TIOCGWINSZ, &size_known);
    int count;
    const char *line = el_gets(editor, &count);
    lm_ttyraw();
    if (line && !interrupted) {
        size_t n = strlen(line);
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
        lua_pushlstring(L, line, n);
        return 1;
    }
    show(interrupted ? "^C\n" : "\n");
    lua_pushnil(L);
    lua_pushstring(L, interrupted ? "interrupted" : "end");
    return 2;
}
