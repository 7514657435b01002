/* dtypes as MPI datatypes, and counts beyond an int. */
#ifndef LM_DATATYPE_H
#define LM_DATATYPE_H

#include "dtype.h"

#include <mpi.h>
#include <stdint.h>

MPI_Datatype lm_mpitype(lm_dtype dtype);

/* n elements as a count and type that MPI takes. Above an int's reach the type is made, and lm_endspan frees it. */
typedef struct lm_span {
    int count;
    MPI_Datatype type, base;
} lm_span;

lm_span lm_spanof(MPI_Datatype base, int64_t n);
void lm_endspan(lm_span *span);

/* One committed type of n elements; MPI never splits it. The caller frees it. */
MPI_Datatype lm_blocktype(MPI_Datatype base, int64_t n);

#endif
