/* The header of a .npy file: format versions 1 to 3. Pure functions of bytes. */
#ifndef LM_NPYHEADER_H
#define LM_NPYHEADER_H

#include "dtype.h"

#include <stdbool.h>
#include <stdint.h>

#define LM_NPYDIM 8
#define LM_NPYMAXHEADER 65536 /* what arrays of at most 8 dimensions need is under 300 bytes */

typedef struct lm_npyheader {
    lm_dtype dtype;
    bool fortran;
    int ndim;
    int64_t shape[LM_NPYDIM], size; /* size: elements */
    uint64_t offset;                /* of the data in the file */
    char error[160];                /* the field and what is wrong with it */
} lm_npyheader;

/* How many bytes the header takes in all, from the file's first 12 (or all it has); 0 and `error` when it is none. */
uint64_t lm_npylength(const unsigned char *bytes, size_t n, lm_npyheader *h);

/* Reads the header that these bytes begin with; false and `error` when they are none. */
bool lm_npyparse(const unsigned char *bytes, size_t n, lm_npyheader *h);

#define LM_NPYROOM 512

/* Writes version 1.0's header as NumPy does; `to` has LM_NPYROOM bytes. Returns how many it takes, a multiple of 64. */
size_t lm_npyformat(lm_dtype dtype, int ndim, const int64_t *shape, char *to);

#endif
