#include "isolate.h"

#include "clock.h"
#include "session.h"
#include "tick.h"
#include "wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the child writes to its pipe: a head, then the encoded value. */
typedef enum content { RESULT, FAILURE, TROUBLE } content; /* TROUBLE: a text, when not even a failure could be sent */

typedef struct head {
    uint64_t bytes;
    uint64_t content;
} head;

typedef struct child {
    const lm_kind *kind;
    pid_t pid;          /* 0: there is none any more */
    int pipe;           /* -1: closed */
    int status;         /* how it ended, as waitpid says */
    bool lost;          /* somebody else has waited for it */
    int reaper;         /* whether this process took in orphans before */
    lm_buffer *read;    /* what came through the pipe; lives in user value 1 */
    char before[4096];  /* this process's children when the child was made, as text */
} child;

static const lm_kind child_kind = {"mpi.isolate.child", sizeof(child)};

static child *living; /* one at a time */

/* --- this process's memory ---------------------------------------------------------------------------------- */

typedef struct pages {
    long all, data; /* data: private and writable, which is what RLIMIT_DATA counts, and the stack */
} pages;

static pages memory_pages(void)
{
    pages p = {0, 0};
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return p;
    if (read(fd, text, sizeof text - 1) <= 0 || sscanf(text, "%ld %*d %*d %*d %*d %ld", &p.all, &p.data) != 2) p = (pages){0, 0};
    close(fd);
    return p;
}

/* What is shared with other processes and may be written, as of the last look. */
static struct span {
    unsigned long from, to;
} *shared;
static size_t spans, spans_room;
static long looked_at; /* pages that the process had then; as long as that stays, so do its mappings */

/* Looks again when it must: that takes a third of what a child takes. */
static bool list_shared(void)
{
    long all = memory_pages().all;
    if (all > 0 && all == looked_at) return true;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return false;
    char line[512], rights[5];
    struct span s;
    bool begins = true, fine = true;
    for (spans = 0; fine && fgets(line, sizeof line, maps); begins = strchr(line, '\n') != NULL) {
        if (!begins || sscanf(line, "%lx-%lx %4s", &s.from, &s.to, rights) != 3 || rights[1] != 'w' || rights[3] != 's') continue;
        if (spans == spans_room) {
            size_t wanted = 2 * spans_room + 16;
            struct span *more = realloc(shared, wanted * sizeof s);
            fine = more != NULL;
            if (!fine) break;
            shared = more;
            spans_room = wanted;
        }
        shared[spans++] = s;
    }
    fclose(maps);
    looked_at = fine ? all : 0;
    return fine;
}

/* --- the child's side --------------------------------------------------------------------------------------- */

/* exit() in the child, from os.exit or a library: what it wrote itself goes out, MPI's and the program's own ends are
   not for it. */
static void leave(int status, void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(status);
}

/* The rank's handlers would report a crash at length, or raise an error in the wrong process. */
static void reset_signals(void)
{
    struct sigaction action;
    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
            signal(number, SIG_DFL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C is for the rank, which ends its child */
}

/* Every inherited descriptor but 0 to 2 and `keep` becomes one that can do nothing: its number stays taken, so that
   files still open in this copy of the program never meet what the task opens. */
static void close_inherited(int keep)
{
    int nothing = open("/dev/null", O_PATH | O_CLOEXEC), empty = open("/dev/null", O_RDONLY);
    dup2(empty, STDIN_FILENO);
    close(empty);
    DIR *all = opendir("/proc/self/fd");
    if (!all) return;
    for (struct dirent *e; (e = readdir(all));) {
        int fd = atoi(e->d_name);
        if (fd > STDERR_FILENO && fd != keep && fd != nothing && fd != dirfd(all)) dup3(nothing, fd, O_CLOEXEC);
    }
    closedir(all);
    close(nothing);
}

/* Memory shared with other processes can be read, not written: MPI's own above all. */
static void protect_shared(void)
{
    for (size_t i = 0; i < spans; i++) mprotect((void *)shared[i].from, shared[i].to - shared[i].from, PROT_READ);
}

/* When the machine runs out of memory, the kernel is to end the task, not the rank. */
static void offer_to_end(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, "1000", 4) < 0) errno = 0; /* then it is as likely as the rank */
    close(fd);
}

static void limit_memory(lua_Integer memory, struct rlimit *before)
{
    getrlimit(RLIMIT_DATA, before);
    if (memory == 0) return;
    struct rlimit limit = *before;
    limit.rlim_cur = (rlim_t)(memory_pages().data * sysconf(_SC_PAGESIZE) + memory);
    if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_DATA, &limit);
}

/* deliver(value, content, fd): sends the value, encoded. */
static int deliver(lua_State *L)
{
    lm_buffer *b = lm_scratch(L);
    lm_grow(L, b, sizeof(head));
    lm_encode(L, 1, b);
    head h = {b->size - sizeof h, (uint64_t)lua_tointeger(L, 2)};
    memcpy(b->data, &h, sizeof h);
    for (size_t at = 0; at < b->size;) {
        ssize_t written = write((int)lua_tointeger(L, 3), b->data + at, b->size - at);
        if (written < 0 && errno != EINTR) _exit(1);
        if (written > 0) at += (size_t)written;
    }
    return 0;
}

/* Sends the value on top; on failure the reason is there instead. */
static bool delivered(lua_State *L, content what, int fd)
{
    lua_pushcfunction(L, deliver);
    lua_insert(L, -2);
    lua_pushinteger(L, what);
    lua_pushinteger(L, fd);
    return lua_pcall(L, 3, 0, 0) == LUA_OK;
}

/* Runs the function below n arguments on top of the stack; it returns whether the task went well, and its value. */
static _Noreturn void child_run(lua_State *L, int n, lua_Integer memory, int fd, pid_t parent)
{
    struct rlimit before;
    lm_isolated = true;
    living = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    on_exit(leave, NULL);
    lua_sethook(L, NULL, 0, 0); /* what hooks look after is the rank's */
    reset_signals();
    close_inherited(fd);
    protect_shared();
    offer_to_end();
    limit_memory(memory, &before);
    int status = lua_pcall(L, n, 2, 0);
    setrlimit(RLIMIT_DATA, &before);
    fflush(NULL);
    bool sent = status == LUA_OK && delivered(L, lua_toboolean(L, -2) ? RESULT : FAILURE, fd);
    if (!sent) delivered(L, TROUBLE, fd);
    _exit(0);
}

/* --- the rank's side ---------------------------------------------------------------------------------------- */

/* The processes that are this one's children, as text: "17 23 ". */
static void list_children(char *text, size_t room)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);
    text[n < 0 ? 0 : n] = 0;
    if (fd >= 0) close(fd);
}

static bool lists(const char *text, pid_t pid)
{
    for (char *end; *text; text = *end ? end + 1 : end)
        if ((pid_t)strtol(text, &end, 10) == pid) return true;
        else if (end == text) break;
    return false;
}

/* Ends what the child has started and left behind: it became this process's. Nothing when this process had so many
   children that they were not all listed. */
static void end_orphans(const child *c)
{
    char text[sizeof c->before];
    for (bool found = strlen(c->before) < sizeof c->before - 1; found;) {
        found = false;
        list_children(text, sizeof text);
        char *at = text, *end;
        for (long pid; (pid = strtol(at, &end, 10)) > 0; at = end) {
            if (lists(c->before, (pid_t)pid) || kill((pid_t)pid, SIGKILL)) continue;
            found = waitpid((pid_t)pid, NULL, 0) == pid || found;
        }
    }
    prctl(PR_SET_CHILD_SUBREAPER, c->reaper);
}

/* Whether the child has ended, now that its end is known. */
static bool child_reaped(child *c, bool block)
{
    if (c->pid == 0) return true;
    pid_t pid;
    while ((pid = waitpid(c->pid, &c->status, block ? 0 : WNOHANG)) < 0 && errno == EINTR) continue;
    if (pid == 0) return false;
    c->lost = pid < 0;
    c->pid = 0;
    living = NULL;
    /* the lock of a line it was printing is this process's, too */
    if (c->lost || c->status != 0) flock(STDOUT_FILENO, LOCK_UN);
    end_orphans(c);
    return true;
}

static void close_pipe(child *c)
{
    if (c->pipe >= 0) close(c->pipe);
    c->pipe = -1;
}

/* Takes what is in the pipe; closes it at its end. */
static void child_read(lua_State *L, child *c)
{
    enum { PIECE = 1 << 16 };
    while (c->pipe >= 0) {
        head h;
        size_t want = PIECE;
        if (c->read->size >= sizeof h) { /* as much memory as it takes, and no more */
            memcpy(&h, c->read->data, sizeof h);
            size_t left = sizeof h + h.bytes - c->read->size;
            if (left > 0 && !lm_reserve(L, c->read, left)) luaL_error(L, "not enough memory");
            if (left > want) want = left;
        }
        char *room = lm_grow(L, c->read, want);
        ssize_t n = read(c->pipe, room, want);
        c->read->size -= want - (size_t)(n > 0 ? n : 0);
        if (n == 0) close_pipe(c);
        else if (n < 0 && errno == EAGAIN) return;
        else if (n < 0 && errno != EINTR) close_pipe(c);
    }
}

/* The child that may still run is ended. */
static void child_end(child *c)
{
    close_pipe(c);
    if (c->pid == 0) return;
    kill(c->pid, SIGKILL);
    child_reaped(c, true);
}

#define LAST_NAP 0.05
#define FIRST_NAP 50e-6 /* while the child, done, is on its way out */
#define BREATH 0.1

/* Sleeps until the child has ended, or the moment is there; serves what is due meanwhile. → whether it has ended */
static bool child_wait(lua_State *L, child *c, double moment)
{
    for (double nap = FIRST_NAP;;) {
        child_read(L, c);
        if (c->pipe < 0 && child_reaped(c, false)) return true;
        double left = moment - lm_now();
        if (left <= 0) return false;
        double most = lm_ticking() > 0 && lm_ticking() < LAST_NAP ? lm_ticking() : LAST_NAP;
        if (c->pipe < 0) {
            if (nap < most) most = nap;
            nap *= 2;
        }
        if (left > most) left = most;
        struct timespec t = {0, (long)(left * 1e9)};
        ppoll(&(struct pollfd){c->pipe, POLLIN, 0}, c->pipe >= 0, &t, NULL);
        lm_tick(L);
        /* who holds the pipe open may be a process that the child has left behind */
        if (c->pipe >= 0 && child_reaped(c, false)) child_read(L, c), close_pipe(c);
    }
}

/* How the child ended, see run(). */
static int push_end(lua_State *L, child *c)
{
    static const char *const names[] = {"result", "failure", "trouble"};
    head h;
    if (c->read->size >= sizeof h) memcpy(&h, c->read->data, sizeof h);
    if (c->read->size >= sizeof h && c->read->size - sizeof h == h.bytes && h.content <= TROUBLE) {
        lua_pushstring(L, names[h.content]);
        lm_decode(L, c->read->data + sizeof h, h.bytes);
        lm_closebuffer(L, c->read);
        return 2;
    }
    if (c->lost) {
        lua_pushliteral(L, "lost");
        return 1;
    }
    bool killed = WIFSIGNALED(c->status);
    lua_pushstring(L, killed ? "signal" : "exit");
    lua_pushinteger(L, killed ? WTERMSIG(c->status) : WEXITSTATUS(c->status));
    if (killed) lua_pushstring(L, strsignal(WTERMSIG(c->status)));
    return killed ? 3 : 2;
}

/* Makes the child, which calls the function at stack index f with the n arguments above it. */
static void child_start(lua_State *L, child *c, lua_Integer memory, int f, int n)
{
    int ends[2];
    if (!list_shared()) luaL_error(L, "cannot isolate a task: its memory cannot be looked at");
    luaL_checkstack(L, n + LUA_MINSTACK, NULL);
    if (pipe2(ends, O_CLOEXEC)) luaL_error(L, "cannot isolate a task: %s", strerror(errno));
    c->pipe = ends[0];
    fcntl(c->pipe, F_SETFL, O_NONBLOCK);
    list_children(c->before, sizeof c->before);
    prctl(PR_GET_CHILD_SUBREAPER, &c->reaper);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(NULL); /* or the child writes it again */
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        for (int i = 0; i <= n; i++) lua_pushvalue(L, f + i);
        child_run(L, n, memory, ends[1], self);
    }
    int problem = errno;
    close(ends[1]);
    if (pid < 0) {
        close_pipe(c);
        prctl(PR_SET_CHILD_SUBREAPER, c->reaper);
        luaL_error(L, "cannot isolate a task: %s", strerror(problem));
    }
    c->pid = pid;
    living = c;
}

/* attend(child, end, breathe) → whether it has ended before that moment */
static int child_attend(lua_State *L)
{
    child *c = lua_touserdata(L, 1);
    double end = lua_tonumber(L, 2);
    for (;;) {
        double breath = lm_now() + BREATH;
        bool ended = child_wait(L, c, end < breath ? end : breath);
        if (ended || lm_now() >= end) {
            lua_pushboolean(L, ended);
            return 1;
        }
        lua_pushvalue(L, 3);
        lua_call(L, 0, 0);
    }
}

/* run(memory, seconds, breathe, f, …): calls f(…) in a copy of this process that may use `memory` more bytes, 0: as many
   as there are. f returns whether the task went well, and its value. → "result", "failure" or "trouble" and what it sent,
   or how it ended without: "exit" and the status; "signal", its number and name; "timeout"; "lost". Calls breathe() at
   times, so that hooks run. A hook may raise wherever it runs, also when a variable is closed: hence the protected call. */
static int isolate_run(lua_State *L)
{
    lua_Integer memory = luaL_checkinteger(L, 1);
    double end = lm_now() + luaL_checknumber(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    luaL_checktype(L, 4, LUA_TFUNCTION);
    if (living) return luaL_error(L, "a task in isolation is running already");
    int n = lua_gettop(L) - 4;
    child *c = lm_new(L, &child_kind, 1);
    c->pipe = -1;
    c->read = lm_newbuffer(L);
    lua_setiuservalue(L, -2, 1);
    lua_pushcfunction(L, child_attend);
    lua_pushvalue(L, -2);
    lua_pushnumber(L, end);
    lua_pushvalue(L, 3);
    child_start(L, c, memory, 4, n);
    int status = lua_pcall(L, 3, 1, 0);
    child_end(c);
    if (status != LUA_OK) return lua_error(L);
    if (lua_toboolean(L, -1)) return push_end(L, c);
    lua_pushliteral(L, "timeout");
    return 1;
}

static int child_close(lua_State *L)
{
    child *c = lm_test(L, 1, &child_kind);
    if (c) child_end(c);
    return 0;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", child_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"run", isolate_run}, {NULL, NULL}};

int luaopen_isolate(lua_State *L)
{
    lm_newkind(L, &child_kind, methods, metamethods);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
