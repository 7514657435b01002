/* The header of .npy files, with npyheader.c dtype.c */
#include "npyheader.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lm_npyheader h;
    memset(&h, 0xa5, sizeof h);
    if (!lm_npyparse(bytes, n, &h)) {
        if (!memchr(h.error, 0, sizeof h.error) || !strchr(h.error, ':')) abort(); /* every error names its field */
        return 0;
    }
    if (h.offset > n || h.ndim < 0 || h.ndim > LM_NPYDIM || h.dtype >= LM_DTYPES) abort();
    int64_t size = 1;
    for (int d = 0; d < h.ndim; d++) {
        if (h.shape[d] < 0) abort();
        size = h.size == 0 ? 0 : size * h.shape[d];
    }
    if (size != h.size) abort();
    char again[512];
    lm_npyheader same;
    size_t length = lm_npyformat(h.dtype, h.ndim, h.shape, again);
    if (length % 64 || length > sizeof again) abort();
    if (!lm_npyparse((unsigned char *)again, length, &same) || same.dtype != h.dtype || same.ndim != h.ndim || same.offset != length ||
        memcmp(same.shape, h.shape, (size_t)h.ndim * sizeof *h.shape))
        abort();
    return 0;
}
