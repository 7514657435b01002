#include "pending.h"

#include <lauxlib.h>
#include <stdlib.h>

/* Grown together; they live as long as the process, as handles may outlive a Lua state. */
static MPI_Request *handles;
static struct lm_request **owners, **ending;
static int *indices;
static MPI_Status *statuses;
static int count, room, held;

static void (*on_ended)(struct lm_request *r, int code, const MPI_Status *status);

void lm_onended(void (*ended)(struct lm_request *r, int code, const MPI_Status *status)) { on_ended = ended; }

static bool grow(void **array, size_t size)
{
    void *larger = realloc(*array, size * (size_t)(2 * room + 32));
    if (larger) *array = larger;
    return larger;
}

void lm_reservepending(lua_State *L)
{
    if (count + held + 16 <= room) return; /* a finalizer may open some before the request that room is made for */
    if (!grow((void **)&handles, sizeof *handles) || !grow((void **)&owners, sizeof *owners) ||
        !grow((void **)&ending, sizeof *ending) || !grow((void **)&indices, sizeof *indices) ||
        !grow((void **)&statuses, sizeof *statuses))
        luaL_error(L, "not enough memory");
    room = 2 * room + 32;
}

void lm_holdpending(int n) { held += n; }

bool lm_pend(struct lm_request *r, MPI_Request *handle)
{
    if (*handle == MPI_REQUEST_NULL) return false;
    handles[count] = *handle;
    owners[count++] = r;
    *handle = MPI_REQUEST_NULL;
    return true;
}

/* Closes the gaps that null handles make. */
static void pack(void)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (handles[i] == MPI_REQUEST_NULL) continue;
        handles[kept] = handles[i];
        owners[kept++] = owners[i];
    }
    count = kept;
}

void lm_poll(void)
{
    static bool inside; /* MPI looks for something to do also in the call made here */
    if (inside || count == 0) return;
    inside = true;
    int n, code = MPI_Testsome(count, handles, &n, indices, statuses);
    if (n == MPI_UNDEFINED || (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS)) n = 0;
    for (int i = 0; i < n; i++) {
        ending[i] = owners[indices[i]];
        handles[indices[i]] = MPI_REQUEST_NULL;
    }
    if (n > 0) pack();
    for (int i = 0; i < n; i++) on_ended(ending[i], code == MPI_SUCCESS ? MPI_SUCCESS : statuses[i].MPI_ERROR, &statuses[i]);
    inside = false;
}

void lm_pollseldom(void)
{
    static int looks;
    if (++looks * 32 < count) return;
    looks = 0;
    lm_poll();
}

int lm_cancelpending(struct lm_request *r, MPI_Status *status)
{
    int i = 0;
    while (owners[i] != r) i++;
    int code = MPI_Cancel(&handles[i]);
    if (code == MPI_SUCCESS) code = MPI_Wait(&handles[i], status);
    handles[i] = MPI_REQUEST_NULL;
    pack();
    return code;
}

void lm_droppending(struct lm_request *r)
{
    for (int i = 0; i < count; i++)
        if (owners[i] == r) handles[i] = MPI_REQUEST_NULL;
    pack();
}
