#include "mapping.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct mapping {
    const lm_kind *kind;
    lm_block block;
    char *base; /* of the pages; NULL when there are none */
    size_t length;
    struct mapping *next;
} mapping;

static const lm_kind mapping_kind = {"mpi.mapping", sizeof(mapping)};

/* --- a file that becomes shorter under its mapping ------------------------------------------------------ */

static mapping *volatile mappings; /* all that have pages */
static struct sigaction before;

/* The kernel tells of a page whose file is gone by SIGBUS, in the middle of whatever reads it. */
static void on_bus(int number, siginfo_t *info, void *context)
{
    char *at = info->si_addr;
    for (mapping *m = mappings; m; m = m->next)
        if (at >= m->base && at < m->base + m->length) {
            m->block.data = NULL;
            int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
            if (mmap(m->base, m->length, PROT_READ, flags, -1, 0) != MAP_FAILED) return;
        }
    if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(number, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(number);
    else sigaction(SIGBUS, &before, NULL); /* it comes again, and ends the process */
}

static void catch_bus(void)
{
    static bool caught;
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    if (!caught) caught = sigaction(SIGBUS, &action, &before) == 0;
}

/* --- mappings ------------------------------------------------------------------------------------------- */

lm_block *lm_pushmapping(lua_State *L, int fd, uint64_t offset, size_t bytes)
{
    mapping *m = lm_new(L, &mapping_kind, 0);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = offset % page;
    catch_bus();
    void *base = mmap(NULL, bytes + skip, PROT_READ, MAP_SHARED, fd, (off_t)(offset - skip));
    if (base == MAP_FAILED) return NULL;
    m->base = base;
    m->length = bytes + skip;
    m->block = (lm_block){.data = m->base + skip, .bytes = bytes, .guarded = true, .mapped = true};
    m->next = mappings;
    mappings = m;
    return &m->block;
}

static int mapping_gc(lua_State *L)
{
    mapping *m = lm_test(L, 1, &mapping_kind);
    if (!m || !m->base) return 0;
    for (mapping **at = (mapping **)&mappings; *at; at = &(*at)->next)
        if (*at == m) {
            *at = m->next;
            break;
        }
    munmap(m->base, m->length);
    m->base = NULL;
    m->block.data = NULL;
    return 0;
}

void lm_mappingopen(lua_State *L)
{
    static const luaL_Reg none[] = {{NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", mapping_gc}, {NULL, NULL}};
    lm_newkind(L, &mapping_kind, none, metamethods);
    lua_pop(L, 1);
}
