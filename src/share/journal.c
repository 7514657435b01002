#include "journal.h"

#include "checksum.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A record is appended by a single write, so what a killed job leaves are whole records and at most one torn one a
   rank. The file may lie on a network, where appending is not atomic: hence the lock around it. */
typedef struct head {
    char magic[4];
    uint32_t check;      /* of what follows in the head */
    uint64_t number;
    uint64_t bytes;      /* of the encoded value behind the head */
    uint32_t body_check;
    uint32_t zero;
} head;

static const char magic[4] = {'\x1E', 'l', 'm', '\x1E'};

typedef struct journal {
    const lm_kind *kind;
    int fd; /* -1: closed */
    char *mapped; /* while it is scanned */
    size_t length;
} journal;

static const lm_kind journal_kind = {"mpi.journal.file", sizeof(journal)};

/* Bytes of the file's end that nobody writes to are locked: one while a job uses it, one while a record is appended. */
#define OWNER ((off_t)1 << 62)
#define APPENDER (OWNER + 1)

static journal *journal_check(lua_State *L)
{
    journal *j = lm_check(L, 1, &journal_kind);
    if (j->fd < 0) luaL_argerror(L, 1, "the journal was closed");
    return j;
}

/* nil and the reason */
static int fail(lua_State *L, int problem)
{
    lua_pushnil(L);
    lua_pushstring(L, strerror(problem));
    return 2;
}

/* Locks that belong to the open file, not to the process. Where the file's system knows none, false and errno. */
static bool lock(int fd, off_t at, int type, bool wait)
{
    struct flock range = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int done;
    while ((done = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range)) < 0 && errno == EINTR) continue;
    return done == 0;
}

/* open(path, create) → file; or nil and the reason */
static int journal_open(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    journal *j = lm_new(L, &journal_kind, 0);
    j->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | (lua_toboolean(L, 2) ? O_CREAT : 0), 0666);
    return j->fd < 0 ? fail(L, errno) : 1;
}

/* file:own() → false when another job uses the file; until it is closed nobody else can own it. */
static int method_own(lua_State *L)
{
    journal *j = journal_check(L);
    lua_pushboolean(L, lock(j->fd, OWNER, F_WRLCK, false) || (errno != EAGAIN && errno != EACCES));
    return 1;
}

/* Writes all or, when that fails, leaves the file as it was: then an errno. */
static int append(int fd, const char *bytes, size_t n)
{
    struct stat before;
    bool locked = lock(fd, APPENDER, F_WRLCK, true);
    int problem = 0;
    if (fstat(fd, &before)) problem = errno;
    for (size_t at = 0; at < n && !problem;) {
        ssize_t written = write(fd, bytes + at, n - at);
        if (written >= 0) at += (size_t)written;
        else if (errno != EINTR) problem = errno;
        if (problem && at > 0 && ftruncate(fd, before.st_size)) at = n; /* then it is a torn record */
    }
    if (locked) lock(fd, APPENDER, F_UNLCK, false);
    return problem;
}

/* file:append(number, value[, text]) → true, or nil and the reason. `text` is written before the record. */
static int method_append(lua_State *L)
{
    journal *j = journal_check(L);
    lua_Integer number = luaL_checkinteger(L, 2);
    size_t before;
    const char *text = luaL_optlstring(L, 4, "", &before);
    lm_buffer *b = lm_scratch(L);
    memcpy(lm_grow(L, b, before + sizeof(head)), text, before);
    lm_encode(L, 3, b);
    const char *body = b->data + before + sizeof(head);
    head h = {.number = (uint64_t)number, .bytes = b->size - before - sizeof h};
    memcpy(h.magic, magic, sizeof magic);
    h.body_check = lm_checksum(0, body, h.bytes);
    h.check = lm_checksum(0, &h.number, sizeof h - offsetof(head, number));
    memcpy(b->data + before, &h, sizeof h);
    int problem = append(j->fd, b->data, b->size);
    if (problem) return fail(L, problem);
    lua_pushboolean(L, true);
    return 1;
}

/* The whole record at p, of which n bytes are there: its length, else 0. */
static size_t record_length(const char *p, size_t n, head *h)
{
    if (n < sizeof *h || memcmp(p, magic, sizeof magic)) return 0;
    memcpy(h, p, sizeof *h);
    if (h->check != lm_checksum(0, &h->number, sizeof *h - offsetof(head, number)) || h->bytes > n - sizeof *h) return 0;
    return h->body_check == lm_checksum(0, p + sizeof *h, h->bytes) ? sizeof *h + h->bytes : 0;
}

/* Pushes a list of number, offset, number, offset … of the records from `at` on, and the number of bytes between
   records. Returns where the last one ends. */
static size_t scan(lua_State *L, const char *bytes, size_t at, size_t size)
{
    lua_newtable(L);
    lua_Integer entries = 0;
    size_t end = at, damaged = 0;
    head h;
    while (at < size) {
        size_t length = record_length(bytes + at, size - at, &h);
        if (!length) {
            const char *next = memmem(bytes + at + 1, size - at - 1, magic, sizeof magic);
            at = next ? (size_t)(next - bytes) : size;
            continue;
        }
        damaged += at - end;
        lua_pushinteger(L, (lua_Integer)h.number);
        lua_rawseti(L, -2, ++entries);
        lua_pushinteger(L, (lua_Integer)at);
        lua_rawseti(L, -2, ++entries);
        end = at += length;
    }
    lua_pushinteger(L, (lua_Integer)damaged);
    return end;
}

static void unmap(journal *j)
{
    if (j->mapped) munmap(j->mapped, j->length);
    j->mapped = NULL;
}

/* file:scan(skip) → list of numbers and offsets, bytes between records that are none, where the last record ends, the
   file's size. The first `skip` bytes are no record's. nil and the reason when the file cannot be read. */
static int method_scan(lua_State *L)
{
    journal *j = journal_check(L);
    size_t skip = (size_t)luaL_checkinteger(L, 2);
    struct stat status;
    if (fstat(j->fd, &status)) return fail(L, errno);
    size_t size = (size_t)status.st_size;
    lua_settop(L, 2);
    if (size <= skip) {
        lua_newtable(L);
        lua_pushinteger(L, 0);
        lua_pushinteger(L, (lua_Integer)size);
        lua_pushinteger(L, (lua_Integer)size);
        return 4;
    }
    char *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, j->fd, 0);
    if (bytes == MAP_FAILED) return fail(L, errno);
    j->mapped = bytes;
    j->length = size;
    size_t end = scan(L, bytes, skip, size);
    unmap(j);
    lua_pushinteger(L, (lua_Integer)end);
    lua_pushinteger(L, (lua_Integer)size);
    return 4;
}

/* Exactly n bytes at `at`. */
static bool read_all(int fd, char *to, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t got = pread(fd, to, n, at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

/* file:text(n) → the first n bytes, or as many as there are */
static int method_text(lua_State *L)
{
    journal *j = journal_check(L);
    char text[64];
    size_t n = (size_t)luaL_checkinteger(L, 2);
    ssize_t got = pread(j->fd, text, n < sizeof text ? n : sizeof text, 0);
    lua_pushlstring(L, text, got > 0 ? (size_t)got : 0);
    return 1;
}

/* file:read(offset) → true, the value of the record there; or nil when there is none */
static int method_read(lua_State *L)
{
    journal *j = journal_check(L);
    off_t at = (off_t)luaL_checkinteger(L, 2);
    struct stat status;
    head h;
    if (!read_all(j->fd, (char *)&h, sizeof h, at) || memcmp(h.magic, magic, sizeof magic) || fstat(j->fd, &status) ||
        h.bytes > (uint64_t)(status.st_size - at) || h.check != lm_checksum(0, &h.number, sizeof h - offsetof(head, number)))
        return 0;
    lm_buffer *b = lm_newbuffer(L);
    lua_toclose(L, -1);
    char *body = lm_grow(L, b, h.bytes);
    if (!read_all(j->fd, body, h.bytes, at + (off_t)sizeof h) || lm_checksum(0, body, h.bytes) != h.body_check) return 0;
    lua_pushboolean(L, true);
    lm_decode(L, b->data, h.bytes);
    return 2;
}

/* file:truncate(size) → true, or nil and the reason */
static int method_truncate(lua_State *L)
{
    if (ftruncate(journal_check(L)->fd, (off_t)luaL_checkinteger(L, 2))) return fail(L, errno);
    lua_pushboolean(L, true);
    return 1;
}

static int method_close(lua_State *L)
{
    journal *j = lm_test(L, 1, &journal_kind);
    if (!j) return 0;
    unmap(j);
    if (j->fd >= 0) close(j->fd);
    j->fd = -1;
    return 0;
}

/* checksum(text, before) → the checksum of what came before and the text */
static int journal_checksum(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lua_pushinteger(L, lm_checksum((uint32_t)luaL_optinteger(L, 2, 0), text, n));
    return 1;
}

static const luaL_Reg methods[] = {
    {"append", method_append}, {"close", method_close}, {"own", method_own},           {"read", method_read},
    {"scan", method_scan},     {"text", method_text},   {"truncate", method_truncate}, {NULL, NULL},
};

static const luaL_Reg metamethods[] = {{"__gc", method_close}, {"__close", method_close}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"checksum", journal_checksum}, {"open", journal_open}, {NULL, NULL}};

int luaopen_journal(lua_State *L)
{
    lm_newkind(L, &journal_kind, methods, metamethods);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
