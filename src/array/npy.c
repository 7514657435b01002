/* .npy files. A file is read by pread and checked against its real size before any memory is asked for; it is
   written under another name in the same directory and takes its place when it is complete. */
#include "convert.h"
#include "mapping.h"
#include "npyheader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An open file; a temporary one is removed with it. */
typedef struct file {
    const lm_kind *kind;
    int fd; /* -1 when closed */
    char temporary[4096];
} file;

static const lm_kind file_kind = {"mpi.file", sizeof(file)};

static int file_close(lua_State *L)
{
    file *f = lm_test(L, 1, &file_kind);
    if (f && f->fd >= 0) {
        close(f->fd);
        f->fd = -1;
        if (*f->temporary) unlink(f->temporary);
    }
    return 0;
}

/* Pushes a closed file, to be closed when the function ends, whichever way. */
static file *file_new(lua_State *L)
{
    file *f = lm_new(L, &file_kind, 0);
    f->fd = -1;
    lua_toclose(L, -1);
    return f;
}

static int load_error(lua_State *L, const char *path, const char *what)
{
    return luaL_error(L, "cannot load %s: %s", path, what);
}

/* After read_at: the file was long enough when it was opened. */
static int read_error(lua_State *L, const char *path)
{
    return load_error(L, path, errno ? strerror(errno) : "the file became shorter meanwhile");
}

/* All n bytes at this offset, however many calls it takes; false when the file ends before or reading fails. */
static bool read_at(int fd, char *to, uint64_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t got = pread(fd, to, n < (1u << 30) ? n : 1u << 30, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = 0;
        if (got <= 0) return false;
        to += got;
        n -= (uint64_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static bool write_at(int fd, const char *from, uint64_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t put = pwrite(fd, from, n < (1u << 30) ? n : 1u << 30, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        from += put;
        n -= (uint64_t)put;
        offset += (uint64_t)put;
    }
    return true;
}

/* Opens the file and reads its header; what is wrong with it raises. */
static void open_npy(lua_State *L, file *f, const char *path, lm_npyheader *h)
{
    struct stat status;
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0 || fstat(f->fd, &status)) load_error(L, path, strerror(errno));
    if (!S_ISREG(status.st_mode)) load_error(L, path, "not a regular file");
    unsigned char start[12];
    uint64_t size = (uint64_t)status.st_size, known = size < sizeof start ? size : sizeof start;
    if (!read_at(f->fd, (char *)start, known, 0)) read_error(L, path);
    uint64_t length = lm_npylength(start, known, h);
    if (length == 0) load_error(L, path, h->error);
    if (length > size)
        load_error(L, path, lua_pushfstring(L, "header length: %I bytes, the file has %I", (lua_Integer)length,
                                            (lua_Integer)size));
    if (length > LM_NPYMAXHEADER)
        load_error(L, path, lua_pushfstring(L, "header length: %I bytes, at most %d make sense", (lua_Integer)length,
                                            LM_NPYMAXHEADER));
    char *header = lua_newuserdatauv(L, length, 0);
    if (!read_at(f->fd, header, length, 0)) read_error(L, path);
    if (!lm_npyparse((unsigned char *)header, length, h)) load_error(L, path, h->error);
    lua_pop(L, 1);
    uint64_t bytes = (uint64_t)h->size * lm_dtypes[h->dtype].size;
    if (bytes > size - h->offset)
        load_error(L, path, lua_pushfstring(L, "shape: %s of %s takes %I bytes, the file has %I after its header",
                                            lm_pushshape(L, h->ndim, h->shape), lm_dtypes[h->dtype].name,
                                            (lua_Integer)bytes, (lua_Integer)(size - h->offset)));
}

/* Integer `name` of the communicator at index: a call of its method. */
static lua_Integer ask_comm(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    lua_Integer n = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return n;
}

/* The rows to load, from 0: first up to before last. Options are at arg 2. True when a part was asked for. */
static bool part_of(lua_State *L, const char *path, const lm_npyheader *h, int64_t *first, int64_t *last)
{
    int64_t n = h->ndim ? h->shape[0] : 1;
    *first = 0;
    *last = n;
    if (lua_isnil(L, 2)) return false;
    bool rows = lua_getfield(L, 2, "rows") != LUA_TNIL, comm = lua_getfield(L, 2, "comm") != LUA_TNIL;
    if (!rows && !comm) return false;
    if (rows && comm) luaL_argerror(L, 2, "rows and comm exclude each other");
    if (h->ndim == 0) load_error(L, path, "a 0-d array has no rows");
    if (comm) {
        int index = lua_gettop(L), type = lua_type(L, index);
        luaL_argcheck(L, type == LUA_TUSERDATA || type == LUA_TTABLE, 2, "comm: not a communicator");
        int64_t rank = ask_comm(L, index, "rank"), size = ask_comm(L, index, "size");
        if (size < 1 || rank < 0 || rank >= size) luaL_argerror(L, 2, "comm: not a communicator");
        int64_t each = n / size, more = n % size;
        *first = rank * each + (rank < more ? rank : more);
        *last = *first + each + (rank < more);
        return true;
    }
    int index = lua_gettop(L) - 1;
    luaL_argcheck(L, lua_type(L, index) == LUA_TTABLE, 2, "rows: a list {first, last} expected");
    int64_t range[2];
    for (int i = 0; i < 2; i++) {
        int whole;
        lua_rawgeti(L, index, i + 1);
        range[i] = lua_tointegerx(L, -1, &whole);
        if (!whole) luaL_argerror(L, 2, "rows: a list of two integers {first, last} expected");
        lua_pop(L, 1);
        if (range[i] < 0 && range[i] >= -n) range[i] += n + 1;
    }
    if (range[0] < 1 || range[0] > n + 1 || range[1] < range[0] - 1 || range[1] > n)
        luaL_argerror(L, 2, lua_pushfstring(L, "rows %I to %I, the file has 1 to %I", (lua_Integer)range[0],
                                            (lua_Integer)range[1], (lua_Integer)n));
    *first = range[0] - 1;
    *last = range[1];
    return true;
}

#define PIECE ((int64_t)1 << 20) /* bytes of a Fortran-ordered file in memory at a time */

/* The rows of a file in Fortran order: in the file, the first dimension is the one that runs fastest. */
static bool read_fortran(lua_State *L, int fd, const lm_npyheader *h, lm_array *a, int64_t first)
{
    int64_t size = lm_dtypes[h->dtype].size, rows = a->shape[0], n = h->shape[0];
    int64_t columns = a->size / rows, done = 0;
    /* whole columns lie behind each other; of a part of the rows, each column's piece lies alone */
    int64_t atonce = rows == n && rows * size < PIECE ? PIECE / (rows * size) : 1;
    if (atonce > columns) atonce = columns;
    int64_t each = atonce > 1 || rows * size < PIECE ? rows : PIECE / size;
    char *piece = lua_newuserdatauv(L, (size_t)(atonce * each * size), 0);
    int64_t at[LM_MAXDIM] = {0}, offset = 0;
    for (; done < columns; done += atonce) {
        int64_t some = columns - done < atonce ? columns - done : atonce;
        for (int64_t row = 0; row < rows; row += each) {
            int64_t part = rows - row < each ? rows - row : each;
            uint64_t from = h->offset + (uint64_t)((done * n + first + row) * size);
            if (!read_at(fd, piece, (uint64_t)(some * part * size), from)) return false;
            for (int64_t c = 0; c < some; c++) {
                char *to = a->data + (offset + row * a->stride[0]) * size;
                lm_casts[a->dtype][a->dtype](to, a->stride[0], piece + c * part * size, 1, part);
                if (row + part < rows) continue;
                for (int d = 1; d < a->ndim; d++) { /* the next column: dimension 2 runs fastest */
                    offset += a->stride[d];
                    if (++at[d] < a->shape[d]) break;
                    offset -= a->shape[d] * a->stride[d];
                    at[d] = 0;
                }
            }
        }
    }
    lua_pop(L, 1);
    return true;
}

/* Pushes the rows from `first` on as an array over the file itself. */
static void map_rows(lua_State *L, int fd, const char *path, const lm_npyheader *h, int64_t first, const int64_t *shape)
{
    int64_t size = lm_dtypes[h->dtype].size;
    if (h->offset % (uint64_t)size)
        load_error(L, path, lua_pushfstring(L, "mmap: its data begins at byte %I, no multiple of %I",
                                            (lua_Integer)h->offset, (lua_Integer)size));
    lm_block *block = lm_pushmapping(L, fd, h->offset, (size_t)(h->size * size));
    if (!block) load_error(L, path, strerror(errno));
    lm_array *a = lm_newover(L, -1, block, h->dtype, h->ndim, h->shape);
    int64_t stride = 1;
    for (int d = 0; d < h->ndim && h->fortran; d++) {
        a->stride[d] = stride;
        stride *= h->shape[d];
    }
    if (h->ndim) {
        a->data += first * a->stride[0] * size;
        a->shape[0] = shape[0];
    }
    lm_settle(a);
}

/* Pushes the rows from `first` on, read into new memory. */
static void read_rows(lua_State *L, int fd, const char *path, const lm_npyheader *h, int64_t first, const int64_t *shape)
{
    lm_array *a = lm_newarray(L, h->dtype, h->ndim, shape);
    if (a->size == 0) return;
    uint64_t row = h->ndim ? lm_bytes(a) / (uint64_t)shape[0] : 0;
    bool read = h->fortran && h->ndim > 1 ? read_fortran(L, fd, h, a, first)
                                          : read_at(fd, a->data, lm_bytes(a), h->offset + (uint64_t)first * row);
    if (!read) read_error(L, path);
}

/* array.load(path[, {rows=, comm=, mmap=}]) → array, and the number of its first row when a part was asked for. */
static int npy_load(lua_State *L)
{
    static const char *const known[] = {"rows", "comm", "mmap", NULL};
    lua_settop(L, 2);
    const char *path = luaL_checkstring(L, 1);
    lm_npyheader h;
    int64_t first, last, shape[LM_MAXDIM];
    lm_checkoptions(L, 2, known);
    bool map = !lua_isnil(L, 2) && (lua_getfield(L, 2, "mmap"), lua_toboolean(L, -1));
    file *f = file_new(L);
    open_npy(L, f, path, &h);
    bool part = part_of(L, path, &h, &first, &last);
    memcpy(shape, h.shape, sizeof shape);
    if (h.ndim) shape[0] = last - first;
    if (map && h.size > 0 && last > first) map_rows(L, f->fd, path, &h, first, shape);
    else read_rows(L, f->fd, path, &h, first, shape);
    if (!part) return 1;
    lua_pushinteger(L, first + 1);
    return 2;
}

static int save_error(lua_State *L, const char *path, const char *what)
{
    return luaL_error(L, "cannot save %s: %s", path, what);
}

#define RESERVE_FROM (UINT64_C(1) << 18) /* bytes from which on it pays */

/* Makes a new file beside the one it is to replace; `target` becomes the path with symbolic links followed. Room for
   `bytes` is taken at once: a full disk says so before anything is written, and ext4, which sends data that has no
   place yet to the disk when one file replaces another, finds nothing to wait for. */
static void open_temporary(lua_State *L, file *f, const char *path, char *target, uint64_t bytes)
{
    static unsigned counter;
    struct stat status;
    mode_t mode = 0666;
    bool there = stat(path, &status) == 0;
    if (there && !S_ISREG(status.st_mode)) save_error(L, path, "not a regular file");
    if (!there || !realpath(path, target)) {
        if (strlen(path) >= PATH_MAX) save_error(L, path, strerror(ENAMETOOLONG));
        strcpy(target, path);
    }
    for (int i = 0; i < 100 && f->fd < 0; i++) {
        int n = snprintf(f->temporary, sizeof f->temporary, "%s.%ld.%u", target, (long)getpid(), counter++);
        if (n < 0 || (size_t)n >= sizeof f->temporary) save_error(L, path, strerror(ENAMETOOLONG));
        f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (f->fd < 0 && errno != EEXIST) break;
    }
    if (f->fd < 0) save_error(L, path, strerror(errno));
    if (there) fchmod(f->fd, status.st_mode & 07777);
    /* not every file system can */
    if (bytes >= RESERVE_FROM && fallocate(f->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) && errno == ENOSPC)
        save_error(L, path, strerror(errno));
}

/* array.save(path, a[, {comm=, sync=}]). With comm every rank brings its block of rows; how they agree is Lua's, on
   wrong arguments, too. */
static int npy_save(lua_State *L)
{
    static const char *const known[] = {"comm", "sync", NULL};
    bool sync = false;
    lua_settop(L, 3);
    if (lua_type(L, 3) == LUA_TTABLE) {
        if (lua_getfield(L, 3, "comm") != LUA_TNIL) {
            lua_settop(L, 3);
            lua_pushvalue(L, lua_upvalueindex(1));
            lm_callmodule(L, "mpi.arrayfile", "save", 4, 0);
            return 0;
        }
        lua_getfield(L, 3, "sync");
        sync = lua_toboolean(L, -1);
    }
    const char *path = luaL_checkstring(L, 1);
    lm_checkoptions(L, 3, known);
    const lm_array *a = lm_checkarray(L, 2);
    char target[PATH_MAX], header[LM_NPYROOM];
    a = lm_pushpacked(L, 2, a->dtype);
    file *f = file_new(L);
    size_t n = lm_npyformat(a->dtype, a->ndim, a->shape, header);
    open_temporary(L, f, path, target, n + lm_bytes(a));
    bool written = write_at(f->fd, header, n, 0) && write_at(f->fd, a->data, lm_bytes(a), n);
    if (!written || (sync && fsync(f->fd)) || rename(f->temporary, target)) return save_error(L, path, strerror(errno));
    *f->temporary = 0;
    return 0;
}

/* --- the steps of a file written together --------------------------------------------------------------- */

/* create(path, dtype, shape) → file, temporary name, target, bytes of the header that is in it */
static int step_create(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lm_dtype dtype = lm_checkdtype(L, 2, LM_FLOAT64);
    int64_t shape[LM_MAXDIM];
    int ndim = lm_checkshape(L, 3, shape);
    char target[PATH_MAX], header[LM_NPYROOM];
    uint64_t bytes = lm_dtypes[dtype].size;
    for (int d = 0; d < ndim; d++)
        if (__builtin_mul_overflow(bytes, (uint64_t)shape[d], &bytes)) return save_error(L, path, strerror(EFBIG));
    file *f = lm_new(L, &file_kind, 0);
    f->fd = -1;
    size_t n = lm_npyformat(dtype, ndim, shape, header);
    open_temporary(L, f, path, target, n + bytes);
    if (!write_at(f->fd, header, n, 0)) return save_error(L, path, strerror(errno));
    lua_pushstring(L, f->temporary);
    lua_pushstring(L, target);
    lua_pushinteger(L, (lua_Integer)n);
    return 4;
}

/* write(temporary, a, offset, sync): the array's elements from this byte on */
static int step_write(lua_State *L)
{
    lua_settop(L, 4);
    const char *path = luaL_checkstring(L, 1);
    const lm_array *a = lm_checkarray(L, 2);
    lua_Integer offset = luaL_checkinteger(L, 3);
    luaL_argcheck(L, offset >= 0, 3, "an offset from 0 expected");
    a = lm_pushpacked(L, 2, a->dtype);
    file *f = file_new(L);
    f->fd = open(path, O_WRONLY | O_CLOEXEC);
    if (f->fd < 0 || !write_at(f->fd, a->data, lm_bytes(a), (uint64_t)offset) || (lua_toboolean(L, 4) && fsync(f->fd)))
        return luaL_error(L, "%s", strerror(errno));
    return 0;
}

/* commit(file, target): the temporary file takes the target's place; without a target it goes */
static int step_commit(lua_State *L)
{
    file *f = lm_check(L, 1, &file_kind);
    const char *target = luaL_optstring(L, 2, NULL);
    if (f->fd >= 0 && target) {
        if (rename(f->temporary, target)) return luaL_error(L, "%s", strerror(errno));
        *f->temporary = 0;
    }
    lua_settop(L, 1);
    return file_close(L);
}

static const luaL_Reg steps[] = {{"create", step_create}, {"write", step_write}, {"commit", step_commit}, {NULL, NULL}};

const luaL_Reg lm_npyfunctions[] = {{"load", npy_load}, {NULL, NULL}};

void lm_npyopen(lua_State *L)
{
    static const luaL_Reg none[] = {{NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", file_close}, {"__close", file_close}, {NULL, NULL}};
    lm_newkind(L, &file_kind, none, metamethods);
    lua_pop(L, 1);
    lm_mappingopen(L);
    luaL_newlib(L, steps);
    lua_pushcclosure(L, npy_save, 1);
    lua_setfield(L, -2, "save");
}
