#include "datatype.h"

#include <limits.h>

MPI_Datatype lm_mpitype(lm_dtype dtype)
{
    switch (dtype) {
    case LM_FLOAT64: return MPI_DOUBLE;
    case LM_FLOAT32: return MPI_FLOAT;
    case LM_INT8: return MPI_INT8_T;
    case LM_INT16: return MPI_INT16_T;
    case LM_INT32: return MPI_INT32_T;
    case LM_INT64: return MPI_INT64_T;
    case LM_UINT8: return MPI_UINT8_T;
    case LM_UINT16: return MPI_UINT16_T;
    case LM_UINT32: return MPI_UINT32_T;
    default: return MPI_UINT64_T;
    }
}

MPI_Datatype lm_blocktype(MPI_Datatype base, int64_t n)
{
    enum { CHUNK = 1 << 30 };
    MPI_Datatype type;
    int64_t chunks = n / CHUNK, rest = n % CHUNK;
    if (chunks == 0) {
        MPI_Type_contiguous((int)n, base, &type);
    } else {
        MPI_Aint low, extent;
        MPI_Type_get_extent(base, &low, &extent);
        MPI_Datatype parts[2];
        MPI_Type_vector((int)chunks, CHUNK, CHUNK, base, &parts[0]);
        MPI_Type_contiguous((int)rest, base, &parts[1]);
        MPI_Type_create_struct(2, (int[]){1, 1}, (MPI_Aint[]){0, (MPI_Aint)(chunks * CHUNK) * extent}, parts, &type);
        MPI_Type_free(&parts[0]);
        MPI_Type_free(&parts[1]);
    }
    MPI_Type_commit(&type);
    return type;
}

lm_span lm_spanof(MPI_Datatype base, int64_t n)
{
    if (n <= INT_MAX) return (lm_span){(int)n, base, base};
    return (lm_span){1, lm_blocktype(base, n), base};
}

void lm_endspan(lm_span *span)
{
    if (span->type != span->base) MPI_Type_free(&span->type);
}
